/*
 * Every name that more than one component writes: API group, labels, ports, secrets' keys, metrics.
 */

/** API group of the custom resources. */
export const API_GROUP = 'livecluster.io';
export const API_VERSION = 'v1alpha1';
export const GROUP_VERSION = `${API_GROUP}/${API_VERSION}`;

/** The Vhost host that catches every name no other Vhost has; SRS's word for it. */
export const DEFAULT_VHOST = '__defaultVhost__';

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error'] as const;

/** What a media node does: take publishes and own streams, or pull them and serve viewers. */
export const ROLES = ['origin', 'edge'] as const;
export type Role = (typeof ROLES)[number];

/** Field managers of server-side apply: one for owned objects, one for status. */
export const FIELD_MANAGER = 'livecluster-operator';
export const STATUS_FIELD_MANAGER = 'livecluster-operator-status';

/** Labels that the operator writes on everything it owns. */
export const LABELS = {
  name: 'app.kubernetes.io/name',
  instance: 'app.kubernetes.io/instance',
  component: 'app.kubernetes.io/component',
  managedBy: 'app.kubernetes.io/managed-by',
  partOf: 'app.kubernetes.io/part-of',
  cluster: `${API_GROUP}/cluster`,
  role: `${API_GROUP}/role`,
} as const;

/** Annotations. */
export const ANNOTATIONS = {
  /** On pod templates: hash of what needs a new pod when it changes. */
  podSpecHash: `${API_GROUP}/pod-spec-hash`,
  /** On a StatefulSet: hash of its volumes, which can't change; another one means that it is made anew. */
  volumeHash: `${API_GROUP}/volume-hash`,
} as const;

/** Ports of a media node, by their names in Services and pods. */
export const PORTS = { rtmp: 1935, rtmps: 1936, http: 8080, api: 1985, admin: 8090 } as const;
export const REDIS_PORT = 6379;
/** The operator's own port for health and metrics. */
export const OPERATOR_ADMIN_PORT = 8081;

/** File names inside a node's mounted configuration folder. */
export const CONFIG_FILES = {
  /** NodeConfig as JSON. */
  config: 'config.json',
  /** Bearer token of the admin port. */
  adminToken: 'admin-token',
  /** Key (hex) with which nodes of one cluster sign relay connections. */
  relayKey: 'relay-key',
  /** redis:// or rediss:// URL of the directory, password included. */
  redisUrl: 'redis-url',
  /** TlsFile as JSON: certificates of RTMPS. Not there without any. */
  tls: 'tls.json',
  /** S3File as JSON: credentials for the bucket of recordings. Of origins that have one alone. */
  s3: 's3.json',
} as const;
