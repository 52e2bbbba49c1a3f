import { durationMs } from '#contract/duration.ts';
import { ANNOTATIONS } from '#contract/names.ts';
import type { Role } from '#contract/names.ts';
import type { NodeEnv } from '#contract/node-env.ts';
import { ADMIN_PATHS } from '#contract/admin-api.ts';
import type { Manifest } from '../kube/object.ts';
import type { Cluster, OperatorSettings } from './cluster.ts';
import { imageOf } from './image.ts';
import { labelsOf, ownedMetadata, selectRole } from './labels.ts';
import { names, serviceHost } from './names.ts';
import {
  CONTAINER_SECURITY_CONTEXT,
  POD_SECURITY_CONTEXT,
  SECRET_FILE_MODE,
  shortHash,
  withDefaultRequests,
} from './pod.ts';
import { bytesOf } from './quantity.ts';
import { portsOf } from './services.ts';
import { storageOf } from './storage.ts';

type EnvVar = { readonly name: string } & Readonly<Record<string, unknown>>;

/** Variables that a node does not start without. */
type RequiredVariable = { [K in keyof NodeEnv]-?: undefined extends NodeEnv[K] ? never : K }[keyof NodeEnv];
/** What the node is told by variables of this prefix, the operator alone decides. */
const OWN_PREFIX = 'LIVECLUSTER_';
/** Where the configuration folder is mounted; NodeEnv's default. */
const CONFIG_DIR = '/etc/livecluster';
/** As the Containerfile lays the image out. */
const COMMAND = ['node', 'media-node/src/main.ts'];
const FIRST_UNPRIVILEGED_PORT = 1024;
const DEFAULT_REQUESTS = { cpu: '250m', memory: '256Mi' };
/**
 * Share of the memory limit that V8's old space may take. Frames are Buffers, which lie outside of it; without a bound
 * V8 puts off collecting them until the kernel ends the process.
 */
const HEAP_SHARE = 0.5;

/** The pods of one role. */
export function mediaStatefulSet(cluster: Cluster, role: Role, operator: OperatorSettings): Manifest {
  const { name } = cluster.metadata;
  const template = podTemplate(cluster, role, operator);
  const { claims, hash } = storageOf(cluster, role);
  return {
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    metadata: ownedMetadata(
      cluster,
      role,
      names.role(name, role),
      // Edges have no volumes, and will have none.
      role === 'origin' ? { [ANNOTATIONS.volumeHash]: hash } : undefined,
    ),
    spec: {
      replicas: cluster.spec[role].replicas,
      serviceName: names.role(name, role),
      podManagementPolicy: 'Parallel',
      updateStrategy: { type: 'RollingUpdate' },
      revisionHistoryLimit: 3,
      selector: { matchLabels: selectRole(name, role) },
      template,
      ...claims,
    },
  };
}

function podTemplate(cluster: Cluster, role: Role, operator: OperatorSettings): Record<string, unknown> {
  const { name } = cluster.metadata;
  const { drain, image, [role]: settings } = cluster.spec;
  const { nodeSelector, tolerations, affinity, priorityClassName, podMetadata } = settings;
  const spec = {
    serviceAccountName: names.mediaAccount(name),
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    securityContext: { ...POD_SECURITY_CONTEXT, ...lowPorts(cluster) },
    // A drain must not be cut short: SIGTERM begins it and the pod may take this long.
    terminationGracePeriodSeconds: Math.ceil(durationMs(drain.max) / 1000),
    ...(image.pullSecrets ? { imagePullSecrets: image.pullSecrets } : {}),
    ...(nodeSelector ? { nodeSelector } : {}),
    ...(tolerations ? { tolerations } : {}),
    ...(affinity ? { affinity } : {}),
    ...(priorityClassName ? { priorityClassName } : {}),
    ...spread(cluster, role),
    containers: [container(cluster, role, operator)],
    volumes: [
      { name: 'config', secret: { secretName: names.config(name, role), defaultMode: SECRET_FILE_MODE } },
      { name: 'tmp', emptyDir: { sizeLimit: '64Mi' } },
      ...storageOf(cluster, role).volumes,
    ],
  };
  return {
    metadata: {
      labels: { ...podMetadata?.labels, ...labelsOf(name, role) },
      annotations: { ...podMetadata?.annotations, [ANNOTATIONS.podSpecHash]: shortHash(spec) },
    },
    spec,
  };
}

/** A port below 1024 needs a right that these pods don't have, or this safe sysctl; set only where it is needed. */
function lowPorts(cluster: Cluster): Record<string, unknown> {
  const lowest = Math.min(...Object.values(portsOf(cluster.spec)));
  if (lowest >= FIRST_UNPRIVILEGED_PORT) return {};
  return { sysctls: [{ name: 'net.ipv4.ip_unprivileged_port_start', value: String(lowest) }] };
}

/** Pods of a role spread over nodes as far as there are nodes, unless the LiveCluster says where they go. */
function spread(cluster: Cluster, role: Role): Record<string, unknown> {
  const { affinity, topologySpreadConstraints } = cluster.spec[role];
  if (topologySpreadConstraints) return { topologySpreadConstraints };
  if (affinity) return {};
  return {
    topologySpreadConstraints: [
      {
        maxSkew: 1,
        topologyKey: 'kubernetes.io/hostname',
        whenUnsatisfiable: 'ScheduleAnyway',
        labelSelector: { matchLabels: selectRole(cluster.metadata.name, role) },
      },
    ],
  };
}

function container(cluster: Cluster, role: Role, operator: OperatorSettings): Record<string, unknown> {
  const { spec } = cluster;
  const probe = (path: string) => ({ httpGet: { path, port: 'admin', scheme: 'HTTP' } });
  return {
    name: 'media-node',
    image: imageOf(spec.image, operator.image),
    imagePullPolicy: spec.image.pullPolicy,
    command: COMMAND,
    env: environment(cluster, role),
    ports: Object.entries(portsOf(spec)).map(([name, containerPort]) => ({ name, containerPort, protocol: 'TCP' })),
    resources: withDefaultRequests(spec[role].resources, DEFAULT_REQUESTS),
    securityContext: CONTAINER_SECURITY_CONTEXT,
    volumeMounts: [
      // The folder and no subPath: only a whole folder follows the Secret.
      { name: 'config', mountPath: CONFIG_DIR, readOnly: true },
      { name: 'tmp', mountPath: '/tmp' },
      ...storageOf(cluster, role).mounts,
    ],
    // Each second until it has started, so that a new pod serves as soon as it can.
    startupProbe: { ...probe(ADMIN_PATHS.health), periodSeconds: 1, timeoutSeconds: 2, failureThreshold: 120 },
    readinessProbe: { ...probe(ADMIN_PATHS.ready), periodSeconds: 2, timeoutSeconds: 2, failureThreshold: 3 },
    // Slow to act: a restart cuts every session, and a busy node answers late.
    livenessProbe: { ...probe(ADMIN_PATHS.health), periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 6 },
  };
}

/** Variables of contract/node-env.ts, then those of the LiveCluster; it can't replace the former. */
function environment(cluster: Cluster, role: Role): EnvVar[] {
  const { name, namespace } = cluster.metadata;
  const { extraEnv = [], resources } = cluster.spec[role];
  const ports = portsOf(cluster.spec);
  const ofPod = (fieldPath: string) => ({ valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath } } });
  const own: Record<RequiredVariable, { value: string } | ReturnType<typeof ofPod>> = {
    LIVECLUSTER_ROLE: { value: role },
    LIVECLUSTER_NAMESPACE: { value: namespace },
    LIVECLUSTER_CLUSTER: { value: name },
    LIVECLUSTER_POD_NAME: ofPod('metadata.name'),
    LIVECLUSTER_POD_UID: ofPod('metadata.uid'),
    LIVECLUSTER_POD_IP: ofPod('status.podIP'),
    LIVECLUSTER_CONFIG_DIR: { value: CONFIG_DIR },
    LIVECLUSTER_ORIGINS_HOST: { value: serviceHost(names.role(name, 'origin'), namespace) },
    // Origins alone ask edges.
    ...(role === 'origin' && { LIVECLUSTER_EDGES_HOST: { value: serviceHost(names.role(name, 'edge'), namespace) } }),
    LIVECLUSTER_RTMP_PORT: { value: String(ports.rtmp) },
    // Only where it is on: a variable more would roll the pods of every cluster.
    ...(ports.rtmps === undefined ? {} : { LIVECLUSTER_RTMPS_PORT: { value: String(ports.rtmps) } }),
    LIVECLUSTER_HTTP_PORT: { value: String(ports.http) },
    LIVECLUSTER_API_PORT: { value: String(ports.api) },
    LIVECLUSTER_ADMIN_PORT: { value: String(ports.admin) },
    ...storageOf(cluster, role).env,
  };
  const extra = extraEnv.filter((each) => !each.name.startsWith(OWN_PREFIX));
  const isSet = (variable: string) => extra.some((each) => each.name === variable);
  const limitBytes = resources.limits?.['memory'] === undefined ? undefined : bytesOf(resources.limits['memory']);
  const heapMiB = limitBytes === undefined ? 0 : Math.floor((limitBytes * HEAP_SHARE) / 2 ** 20);
  return [
    ...Object.entries(own).map(([variable, source]): EnvVar => Object.assign({ name: variable }, source)),
    ...(heapMiB > 0 && !isSet('NODE_OPTIONS')
      ? [{ name: 'NODE_OPTIONS', value: `--max-old-space-size=${heapMiB}` }]
      : []),
    ...extra,
  ];
}
