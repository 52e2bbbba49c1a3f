import { z } from 'zod';
import { durationMs } from '../duration.ts';
import { LOG_LEVELS, PORTS } from '../names.ts';
import { MOST_CERTIFICATES } from '../tls-file.ts';
import { StorageSpec } from './recording.ts';
import {
  Annotations,
  Labels,
  LocalObjectReference,
  Port,
  Quantity,
  Resources,
  SecretKeyRef,
  boundedDuration,
  passThrough,
  withRules,
} from './schema.ts';

/*
 * LiveCluster: one live-streaming cluster. Every default stands here and nowhere else; a field is here only when
 * something works by it.
 */

const extraEnv = z.array(
  z
    .looseObject({
      name: z
        .string()
        .max(128)
        .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, { error: 'must be a variable name: letters, digits and _, no digit first' })
        .describe('Name of the variable.'),
    })
    .meta({ 'x-kubernetes-preserve-unknown-fields': true }),
);

const role = (what: string, replicas: z.ZodDefault<z.ZodInt>) => ({
  replicas,
  resources: Resources.prefault({}).describe(
    `Requests and limits of the ${what} container. Requests default to cpu 250m and memory 256Mi.`,
  ),
  nodeSelector: Labels.optional().describe(`Labels a node must have to run ${what} pods.`),
  tolerations: z.array(passThrough()).max(32).optional().describe(`Taints that ${what} pods tolerate, as in a pod.`),
  affinity: passThrough()
    .optional()
    .describe(`Affinity of ${what} pods, as in a pod; replaces the default spread over nodes.`),
  topologySpreadConstraints: z
    .array(passThrough())
    .max(16)
    .optional()
    .describe(`Spread of ${what} pods, as in a pod; replaces the default spread over nodes.`),
  priorityClassName: z.string().min(1).max(253).optional().describe(`Priority class of ${what} pods.`),
  podMetadata: z
    .strictObject({
      labels: Labels.optional().describe('Labels added to the pods.'),
      annotations: Annotations.optional().describe('Annotations added to the pods.'),
    })
    .optional()
    .describe(`Labels and annotations of ${what} pods, beside the operator's own.`),
  extraEnv: extraEnv
    .max(64)
    .refine((list) => new Set(list.map(({ name }) => name)).size === list.length, {
      error: 'names a variable twice: remove one',
    })
    .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['name'] })
    .optional()
    .describe(`Environment variables added to the ${what} container, as in a pod. A change rolls the pods.`),
  logLevel: z.enum(LOG_LEVELS).default('info').describe('Least severe log line that is written. Reloads live.'),
  maxConnections: z
    .int()
    .min(1)
    .max(1_000_000)
    .default(1000)
    .describe("Connections of all protocols together that one pod takes; SRS's max_connections. Reloads live."),
});

const service = (what: string) =>
  withRules(
    z.strictObject({
      type: z
        .enum(['LoadBalancer', 'NodePort', 'ClusterIP'])
        .default('LoadBalancer')
        .describe(`Type of the Service through which ${what}.`),
      annotations: Annotations.optional().describe(
        "Annotations of the Service, such as a cloud's load balancer settings.",
      ),
      loadBalancerClass: z
        .string()
        .min(1)
        .max(253)
        .optional()
        .describe('Load balancer implementation to use; needs type LoadBalancer.'),
      sourceRanges: z
        .array(
          z
            .string()
            .max(49)
            .regex(/^[0-9a-fA-F.:]+\/[0-9]{1,3}$/, { error: 'must be a CIDR such as 10.0.0.0/8' }),
        )
        .max(64)
        .optional()
        .describe('Client addresses (CIDR) that the load balancer lets in; needs type LoadBalancer.'),
      externalTrafficPolicy: z
        .enum(['Cluster', 'Local'])
        .default('Cluster')
        .describe(
          'Local keeps the client address visible and sends traffic only to nodes that run a pod. Not for type ClusterIP.',
        ),
    }),
    {
      rule: "self.type == 'LoadBalancer' || !has(self.loadBalancerClass)",
      message: 'loadBalancerClass needs type LoadBalancer: set the type or remove loadBalancerClass',
      check: (service) => service.type === 'LoadBalancer' || service.loadBalancerClass === undefined,
    },
    {
      rule: "self.type == 'LoadBalancer' || !has(self.sourceRanges)",
      message: 'sourceRanges needs type LoadBalancer: set the type or remove sourceRanges',
      check: (service) => service.type === 'LoadBalancer' || service.sourceRanges === undefined,
    },
    {
      rule: "self.type != 'ClusterIP' || self.externalTrafficPolicy == 'Cluster'",
      message: 'externalTrafficPolicy Local needs type LoadBalancer or NodePort: set the type or remove it',
      check: (service) => service.type !== 'ClusterIP' || service.externalTrafficPolicy === 'Cluster',
    },
  ).prefault({});

const Spec = z.strictObject({
  image: z
    .strictObject({
      repository: z
        .string()
        .min(1)
        .max(512)
        .optional()
        .describe("Image of the media nodes without tag. Default: the operator's own."),
      tag: z
        .string()
        .max(128)
        .regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]*$/, {
          error: 'must be a tag: up to 128 of A-Z, a-z, 0-9, _, . and -',
        })
        .optional()
        .describe("Tag. Default: the operator's own."),
      digest: z
        .string()
        .max(71)
        .regex(/^sha256:[0-9a-f]{64}$/, { error: 'must be sha256: and 64 hex digits' })
        .optional()
        .describe('Digest; wins over the tag.'),
      pullPolicy: z
        .enum(['Always', 'IfNotPresent', 'Never'])
        .default('IfNotPresent')
        .describe('When to pull the image.'),
      pullSecrets: z.array(LocalObjectReference).max(16).optional().describe('Secrets for the registry.'),
    })
    .prefault({})
    .describe('Image of the media nodes. A change rolls the pods.'),
  origin: z
    .strictObject({
      ...role(
        'origin',
        z.int().min(1).max(100).default(2).describe('Origin pods: they take publishes and own streams.'),
      ),
      storage: StorageSpec,
    })
    .prefault({})
    .describe('The pods that take publishes and own streams.'),
  edge: z
    .strictObject({
      ...role(
        'edge',
        z
          .int()
          .min(0)
          .max(1000)
          .default(2)
          .describe('Edge pods: they pull streams and serve viewers. The scale subresource sets this.'),
      ),
      pull: z
        .strictObject({
          hold: boundedDuration()
            .default('30s')
            .describe('How long a pull from an origin goes on after its last viewer has left. Reloads live.'),
        })
        .prefault({})
        .describe('How edges get streams from origins.'),
    })
    .prefault({})
    .describe('The pods that pull a stream when its first viewer comes.'),
  protocols: withRules(
    z
      .strictObject({
        rtmp: z
          .strictObject({ port: Port.default(PORTS.rtmp).describe('Port of RTMP, on pods and Services.') })
          .prefault({})
          .describe('RTMP.'),
        rtmps: z
          .strictObject({
            enabled: z
              .boolean()
              .default(false)
              .describe('Listen for RTMPS too, on origins and edges; needs tls.certificateRefs.'),
            port: Port.default(PORTS.rtmps).describe('Port of RTMPS, on pods and Services.'),
          })
          .prefault({})
          .describe('RTMPS: RTMP inside TLS 1.2, for publishing and playing. Plain RTMP stays on.'),
        http: z
          .strictObject({
            port: Port.default(PORTS.http).describe('Port of HTTP (playback, player page), on pods and Services.'),
          })
          .prefault({})
          .describe('HTTP playback.'),
        api: z
          .strictObject({ port: Port.default(PORTS.api).describe('Port of the HTTP API, inside the cluster only.') })
          .prefault({})
          .describe('HTTP API.'),
      })
      .meta({ description: 'Ports of each protocol. A change rolls the pods.' }),
    {
      rule: `[self.rtmp.port, self.http.port, self.api.port, ${PORTS.admin}].all(p, [self.rtmp.port, self.http.port, self.api.port, ${PORTS.admin}].exists_one(q, q == p))`,
      message: `each protocol needs a port of its own and ${PORTS.admin} is the admin port: choose distinct ports for rtmp, http and api`,
      check: (p) => new Set([p.rtmp.port, p.http.port, p.api.port, PORTS.admin]).size === 4,
    },
    {
      rule: `!self.rtmps.enabled || !(self.rtmps.port in [self.rtmp.port, self.http.port, self.api.port, ${PORTS.admin}])`,
      message: 'rtmps.port is the port of another protocol: choose one of its own',
      check: (p) => !p.rtmps.enabled || ![p.rtmp.port, p.http.port, p.api.port, PORTS.admin].includes(p.rtmps.port),
    },
  ).prefault({}),
  tls: z
    .strictObject({
      certificateRefs: z
        .array(LocalObjectReference)
        .max(MOST_CERTIFICATES)
        .refine((refs) => new Set(refs.map(({ name }) => name)).size === refs.length, {
          error: 'names a Secret twice: remove one',
        })
        .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['name'] })
        .default([])
        .describe(
          'Secrets of type kubernetes.io/tls (tls.crt, tls.key) in the same namespace. A client gets the one whose names hold the host that it asks for, else the first. A renewed one is in force within about three minutes, no session is cut.',
        ),
    })
    .prefault({})
    .describe('Certificates of RTMPS.'),
  redis: withRules(
    z
      .strictObject({
        mode: z
          .enum(['Embedded', 'External'])
          .default('Embedded')
          .describe(
            'Embedded: the operator runs one Redis for this cluster. External: an existing one, by redis.external.',
          ),
        image: z
          .string()
          .min(1)
          .max(512)
          .optional()
          .describe("Image of the embedded Redis. Default: the operator's setting."),
        resources: Resources.prefault({}).describe(
          'Requests and limits of the embedded Redis. Requests default to cpu 50m and memory 64Mi.',
        ),
        persistence: z
          .strictObject({
            size: Quantity.describe('Size of the volume.'),
            storageClassName: z
              .string()
              .min(1)
              .max(253)
              .optional()
              .describe('Storage class of the volume. Immutable once created.'),
          })
          .optional()
          .describe(
            'A volume for the embedded Redis. Not needed: nodes write their records again when it comes back empty.',
          ),
        external: z
          .strictObject({
            urlSecretRef: SecretKeyRef.describe(
              'Secret key that holds a redis:// or rediss:// URL; append ?cluster=true for Redis Cluster.',
            ),
          })
          .optional()
          .describe('The existing Redis for mode External.'),
      })
      .meta({
        description:
          'What the pods share: which origin has which stream, how its playlists go on, who counts a viewer.',
      }),
    {
      rule: "self.mode != 'External' || has(self.external)",
      message: 'mode External needs redis.external.urlSecretRef: name the Secret and key that hold the URL',
      check: (redis) => redis.mode !== 'External' || redis.external !== undefined,
    },
    {
      rule: "self.mode == 'External' || !has(self.external)",
      message: 'redis.external is set but mode is Embedded: set redis.mode to External or remove redis.external',
      check: (redis) => redis.mode === 'External' || redis.external === undefined,
    },
  ).prefault({}),
  exposure: z
    .strictObject({
      ingest: service('encoders reach the origins').describe('The Service <name>-ingest: RTMP to the origins.'),
      playback: service('viewers reach the edges').describe('The Service <name>-playback: RTMP and HTTP to the edges.'),
    })
    .prefault({})
    .describe('How encoders and viewers reach the cluster. A change never touches pods.'),
  drain: withRules(
    z
      .strictObject({
        origin: boundedDuration()
          .default('1h')
          .describe('How long a draining origin waits for its publishers. Reloads live, up to max.'),
        edge: boundedDuration()
          .default('30m')
          .describe('How long a draining edge waits for its viewers. Reloads live, up to max.'),
        max: boundedDuration()
          .default('1h')
          .describe("The pods' grace period: no drain lasts longer. A change rolls the pods."),
      })
      .meta({ description: 'How long pods wait for their sessions when they are rolled or scaled in.' }),
    {
      rule: 'duration(self.origin) <= duration(self.max) && duration(self.edge) <= duration(self.max)',
      message: 'drain.origin and drain.edge must not exceed drain.max: raise max or lower them',
      check: (drain) => {
        try {
          return Math.max(durationMs(drain.origin), durationMs(drain.edge)) <= durationMs(drain.max);
        } catch {
          return true; // the pattern of the field has told already
        }
      },
    },
  ).prefault({}),
  networkPolicy: z
    .strictObject({
      enabled: z.boolean().default(true).describe('Write NetworkPolicies for the pods.'),
      metricsFrom: z
        .array(passThrough())
        .max(16)
        .optional()
        .describe(
          'Peers (as in a NetworkPolicy) that may read /metrics on the admin port. Default: any pod of the cluster.',
        ),
      apiFrom: z
        .array(passThrough())
        .max(16)
        .optional()
        .describe('Peers (as in a NetworkPolicy) that may use the HTTP API. Default: pods of the same namespace.'),
    })
    .prefault({})
    .describe('NetworkPolicies of the pods.'),
});

export const LiveClusterSpec = withRules(Spec, {
  rule: '!self.protocols.rtmps.enabled || size(self.tls.certificateRefs) > 0',
  message: 'protocols.rtmps needs a certificate: name a Secret of type kubernetes.io/tls in tls.certificateRefs',
  check: (spec) => !spec.protocols.rtmps.enabled || spec.tls.certificateRefs.length > 0,
});
export type LiveClusterSpec = z.infer<typeof LiveClusterSpec>;
