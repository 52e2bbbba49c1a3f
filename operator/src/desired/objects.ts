import { ROLES } from '#contract/names.ts';
import type { Role } from '#contract/names.ts';
import type { NodeConfig } from '#contract/node-config.ts';
import type { S3File } from '#contract/s3-file.ts';
import type { TlsFile } from '#contract/tls-file.ts';
import type { Manifest, ObjectType } from '../kube/object.ts';
import type { Cluster, OperatorSettings } from './cluster.ts';
import { mediaNetworkPolicy, redisNetworkPolicy } from './network-policy.ts';
import { podDisruptionBudget } from './pod-disruption-budget.ts';
import { redisConfigSecret, redisStatefulSet } from './redis.ts';
import { authSecret, configSecret } from './secrets.ts';
import type { AuthValues } from './secrets.ts';
import { mediaServiceAccount, redisServiceAccount } from './service-account.ts';
import { apiService, headlessService, ingestService, playbackService, redisService } from './services.ts';
import { mediaStatefulSet } from './stateful-set.ts';

/** Every kind that a cluster owns: what is watched, repaired and pruned. */
export const OWNED_TYPES = {
  ServiceAccount: { apiVersion: 'v1', kind: 'ServiceAccount' },
  Secret: { apiVersion: 'v1', kind: 'Secret' },
  Service: { apiVersion: 'v1', kind: 'Service' },
  PodDisruptionBudget: { apiVersion: 'policy/v1', kind: 'PodDisruptionBudget' },
  NetworkPolicy: { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy' },
  StatefulSet: { apiVersion: 'apps/v1', kind: 'StatefulSet' },
} as const satisfies Record<string, ObjectType>;

/** What the objects of a cluster are made from, beside the LiveCluster. */
export interface DesiredInput {
  readonly cluster: Cluster;
  readonly operator: OperatorSettings;
  readonly auth: AuthValues;
  readonly configs: Readonly<Record<Role, NodeConfig>>;
  /** Undefined while an external one is not known: then nothing that needs it is made. */
  readonly redisUrl: string | undefined;
  /** Certificates of RTMPS; undefined without any. */
  readonly tls?: TlsFile | undefined;
  /** Credentials for the bucket of recordings; undefined without any. */
  readonly s3?: S3File | undefined;
}

/** Everything that a cluster owns, in the order in which it is to be made: what pods need comes before the pods. */
export function desiredObjects(input: DesiredInput): Manifest[] {
  const { cluster, operator, auth, configs, redisUrl, tls, s3 } = input;
  const isEmbedded = cluster.spec.redis.mode === 'Embedded';
  const hasPolicies = cluster.spec.networkPolicy.enabled;
  const each = (build: (role: Role) => Manifest) => ROLES.map(build);
  return [
    mediaServiceAccount(cluster),
    authSecret(cluster, auth),
    ...each((role) => headlessService(cluster, role)),
    ingestService(cluster),
    playbackService(cluster),
    apiService(cluster),
    ...each((role) => podDisruptionBudget(cluster, role)),
    ...(hasPolicies ? each((role) => mediaNetworkPolicy(cluster, role, operator)) : []),
    ...(isEmbedded
      ? [
          redisServiceAccount(cluster),
          redisConfigSecret(cluster, auth),
          redisService(cluster),
          ...(hasPolicies ? [redisNetworkPolicy(cluster)] : []),
          redisStatefulSet(cluster, auth, operator),
        ]
      : []),
    ...(redisUrl === undefined
      ? []
      : [
          ...each((role) =>
            configSecret(cluster, role, configs[role], auth, redisUrl, {
              tls,
              s3: role === 'origin' ? s3 : undefined,
            }),
          ),
          ...each((role) => mediaStatefulSet(cluster, role, operator)),
        ]),
  ];
}
