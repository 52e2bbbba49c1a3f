import type { Role } from '#contract/names.ts';
import type { Manifest } from '../kube/object.ts';
import type { Cluster } from './cluster.ts';
import { ownedMetadata, selectRole } from './labels.ts';
import { names } from './names.ts';

/** Lets a node's drain evict one pod of the role at a time; a pod that is not ready serves nobody and never blocks it. */
export function podDisruptionBudget(cluster: Cluster, role: Role): Manifest {
  const { name } = cluster.metadata;
  return {
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: ownedMetadata(cluster, role, names.role(name, role)),
    spec: {
      maxUnavailable: 1,
      unhealthyPodEvictionPolicy: 'AlwaysAllow',
      selector: { matchLabels: selectRole(name, role) },
    },
  };
}
