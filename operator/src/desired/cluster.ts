import type { LiveClusterSpec } from '#contract/crd/live-cluster.ts';
import { GROUP_VERSION } from '#contract/names.ts';
import type { OwnerReference } from '../kube/object.ts';

/** A LiveCluster as builders take it: judged by the schema, every default filled in. */
export interface Cluster {
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly uid: string;
  };
  readonly spec: LiveClusterSpec;
}

/** What builders know of the operator itself. */
export interface OperatorSettings {
  /** Image of the media nodes unless the LiveCluster names another: the operator's own. */
  readonly image: string;
  /** Image of the embedded Redis unless the LiveCluster names another. */
  readonly redisImage: string;
  /** Namespace in which the operator's pods run; undefined outside Kubernetes. */
  readonly namespace?: string | undefined;
}

/** The owner reference of everything that a cluster owns: the garbage collector removes it with the LiveCluster. */
export function ownerReference(cluster: Cluster): OwnerReference {
  const { name, uid } = cluster.metadata;
  return { apiVersion: GROUP_VERSION, kind: 'LiveCluster', name, uid, controller: true, blockOwnerDeletion: true };
}
