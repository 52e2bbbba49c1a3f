import type { Role } from '#contract/names.ts';

/**
 * Names of everything that a cluster owns. None is the cluster's name with a suffix that could end another cluster's
 * name and give one name twice: `a` never owns what `a-origin` owns.
 */
export const names = {
  /** StatefulSet, headless Service, disruption budget and NetworkPolicy of a role. */
  role: (cluster: string, role: Role) => `${cluster}-${role}`,
  /** Secret mounted into the pods of a role. */
  config: (cluster: string, role: Role) => `${cluster}-${role}-config`,
  /** Secret with the random values, made once and kept. */
  auth: (cluster: string) => `${cluster}-auth`,
  /** Services. */
  ingest: (cluster: string) => `${cluster}-ingest`,
  playback: (cluster: string) => `${cluster}-playback`,
  api: (cluster: string) => `${cluster}-api`,
  /** ServiceAccount of the media pods. */
  mediaAccount: (cluster: string) => `${cluster}-media`,
  /** StatefulSet, Service, NetworkPolicy, ServiceAccount of the embedded Redis and the Secret with its redis.conf. */
  redis: (cluster: string) => `${cluster}-redis`,
} as const;

/** Name of a Service that pods of the Kubernetes cluster can resolve, whatever the cluster's domain is. */
export function serviceHost(service: string, namespace: string): string {
  return `${service}.${namespace}.svc`;
}
