import type { Manifest } from '../kube/object.ts';
import type { Cluster } from './cluster.ts';
import { ownedMetadata } from './labels.ts';
import type { Component } from './labels.ts';
import { names } from './names.ts';

/** The identity of the media pods, without rights and without a token. */
export function mediaServiceAccount(cluster: Cluster): Manifest {
  return serviceAccount(cluster, 'cluster', names.mediaAccount(cluster.metadata.name));
}

/** The same for the embedded Redis. */
export function redisServiceAccount(cluster: Cluster): Manifest {
  return serviceAccount(cluster, 'redis', names.redis(cluster.metadata.name));
}

function serviceAccount(cluster: Cluster, component: Component, name: string): Manifest {
  return {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: ownedMetadata(cluster, component, name),
    automountServiceAccountToken: false,
  };
}
