import { ANNOTATIONS, REDIS_PORT } from '#contract/names.ts';
import type { Manifest } from '../kube/object.ts';
import type { Cluster, OperatorSettings } from './cluster.ts';
import { labelsOf, ownedMetadata, selectRedis } from './labels.ts';
import { names } from './names.ts';
import {
  CONTAINER_SECURITY_CONTEXT,
  POD_SECURITY_CONTEXT,
  SECRET_FILE_MODE,
  shortHash,
  withDefaultRequests,
} from './pod.ts';
import { bytesOf } from './quantity.ts';
import { AUTH_KEYS, secret } from './secrets.ts';
import type { AuthValues, SecretObject } from './secrets.ts';

const CONFIG_DIR = '/etc/redis';
const CONFIG_FILE = 'redis.conf';
/** The password alone, for redis-cli by hand: REDISCLI_AUTH="$(cat /etc/redis/password)". */
const PASSWORD_FILE = 'password';
const DATA_DIR = '/data';
const DEFAULT_REQUESTS = { cpu: '50m', memory: '64Mi' };
/** Without a limit of its own; a directory of ten thousand streams takes a few MiB. */
const DEFAULT_MAX_MEMORY_BYTES = 256 * 2 ** 20;
/** Share of the memory limit: buffers of clients and the copy that a rewrite makes come on top. */
const MEMORY_SHARE = 0.6;

/**
 * The Secret with redis.conf: a password belongs in no argument, which everybody on the machine can read. noeviction: a
 * record that vanishes would look like a stream that ended.
 */
export function redisConfigSecret(cluster: Cluster, auth: AuthValues): SecretObject {
  return secret(cluster, 'redis', names.redis(cluster.metadata.name), {
    [CONFIG_FILE]: redisConf(cluster, auth),
    [PASSWORD_FILE]: auth.redisPassword,
  });
}

function redisConf(cluster: Cluster, auth: AuthValues): string {
  const { resources, persistence } = cluster.spec.redis;
  const limit = resources.limits?.['memory'];
  const limitBytes = limit === undefined ? undefined : bytesOf(limit);
  const maxMemoryBytes = limitBytes === undefined ? DEFAULT_MAX_MEMORY_BYTES : Math.floor(limitBytes * MEMORY_SHARE);
  const lines = [
    'bind * -::*',
    `port ${REDIS_PORT}`,
    'protected-mode yes',
    `requirepass ${auth.redisPassword}`,
    `dir ${DATA_DIR}`,
    'save ""',
    `appendonly ${persistence ? 'yes' : 'no'}`,
    `maxmemory ${maxMemoryBytes}`,
    'maxmemory-policy noeviction',
    // A node that is gone without a word is noticed; the lease of 5 s is what counts, this only frees the socket.
    'tcp-keepalive 30',
  ];
  return `${lines.join('\n')}\n`;
}

/**
 * The embedded Redis: one pod. Its volume is optional, because every node writes its records again when Redis comes back
 * empty. The volume of a StatefulSet can't change: ANNOTATIONS.volumeHash tells when to make it anew.
 */
export function redisStatefulSet(cluster: Cluster, auth: AuthValues, operator: OperatorSettings): Manifest {
  const { name } = cluster.metadata;
  const { persistence } = cluster.spec.redis;
  const spec = podSpec(cluster, operator);
  return {
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    metadata: ownedMetadata(cluster, 'redis', names.redis(name), {
      [ANNOTATIONS.volumeHash]: shortHash(persistence ?? null),
    }),
    spec: {
      replicas: 1,
      serviceName: names.redis(name),
      podManagementPolicy: 'Parallel',
      updateStrategy: { type: 'RollingUpdate' },
      revisionHistoryLimit: 3,
      selector: { matchLabels: selectRedis(name) },
      template: {
        metadata: {
          labels: labelsOf(name, 'redis'),
          // Redis reads its file at its start only, so a change of it is a new pod.
          annotations: { [ANNOTATIONS.podSpecHash]: shortHash([spec, redisConf(cluster, auth)]) },
        },
        spec,
      },
      ...(persistence && volumeOf(persistence, labelsOf(name, 'redis'))),
    },
  };
}

function podSpec(cluster: Cluster, operator: OperatorSettings): Record<string, unknown> {
  const { name } = cluster.metadata;
  const { image, persistence, resources } = cluster.spec.redis;
  // -e: a command's error is the exit code. The password comes by REDISCLI_AUTH, which no list of processes shows.
  const ping = { exec: { command: ['redis-cli', '-e', 'ping'] }, timeoutSeconds: 3 };
  return {
    serviceAccountName: names.redis(name),
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    securityContext: POD_SECURITY_CONTEXT,
    terminationGracePeriodSeconds: 10,
    ...(cluster.spec.image.pullSecrets ? { imagePullSecrets: cluster.spec.image.pullSecrets } : {}),
    containers: [
      {
        name: 'redis',
        image: image ?? operator.redisImage,
        imagePullPolicy: cluster.spec.image.pullPolicy,
        command: ['redis-server', `${CONFIG_DIR}/${CONFIG_FILE}`],
        env: [
          {
            name: 'REDISCLI_AUTH',
            valueFrom: { secretKeyRef: { name: names.auth(name), key: AUTH_KEYS.redisPassword } },
          },
        ],
        ports: [{ name: 'redis', containerPort: REDIS_PORT, protocol: 'TCP' }],
        resources: withDefaultRequests(resources, DEFAULT_REQUESTS),
        securityContext: CONTAINER_SECURITY_CONTEXT,
        volumeMounts: [
          { name: 'config', mountPath: CONFIG_DIR, readOnly: true },
          { name: 'data', mountPath: DATA_DIR },
        ],
        startupProbe: { ...ping, periodSeconds: 1, failureThreshold: 60 },
        readinessProbe: { ...ping, periodSeconds: 5, failureThreshold: 3 },
        livenessProbe: { ...ping, periodSeconds: 10, failureThreshold: 6 },
      },
    ],
    volumes: [
      { name: 'config', secret: { secretName: names.redis(name), defaultMode: SECRET_FILE_MODE } },
      ...(persistence ? [] : [{ name: 'data', emptyDir: { sizeLimit: '1Gi' } }]),
    ],
  };
}

/** The claim of its volume, which goes with the StatefulSet. */
function volumeOf(
  { size, storageClassName }: NonNullable<Cluster['spec']['redis']['persistence']>,
  labels: Record<string, string>,
): Record<string, unknown> {
  return {
    persistentVolumeClaimRetentionPolicy: { whenDeleted: 'Delete', whenScaled: 'Retain' },
    volumeClaimTemplates: [
      {
        apiVersion: 'v1',
        kind: 'PersistentVolumeClaim',
        metadata: { name: 'data', labels },
        spec: {
          accessModes: ['ReadWriteOnce'],
          resources: { requests: { storage: size } },
          ...(storageClassName ? { storageClassName } : {}),
        },
      },
    ],
  };
}
