import { LABELS } from '#contract/names.ts';
import type { Role } from '#contract/names.ts';
import type { ObjectMeta } from '../kube/object.ts';
import { ownerReference } from './cluster.ts';
import type { Cluster } from './cluster.ts';

/*
 * Every label and selector. A StatefulSet's selector can't change after it was made, and what pods carry decides which
 * Service finds them: what stands in the select… functions is final.
 */

/** What an object is part of. `cluster`: of no single one. */
export type Component = Role | 'redis' | 'cluster';

const NAME = 'livecluster';

/** The labels of an object of a cluster. */
export function labelsOf(cluster: string, component: Component): Record<string, string> {
  return {
    [LABELS.name]: NAME,
    [LABELS.instance]: cluster,
    [LABELS.component]: component,
    [LABELS.managedBy]: 'livecluster-operator',
    [LABELS.partOf]: NAME,
    [LABELS.cluster]: cluster,
    ...(component === 'origin' || component === 'edge' ? { [LABELS.role]: component } : {}),
  };
}

/** Finds the pods of one role of a cluster. */
export function selectRole(cluster: string, role: Role): Record<string, string> {
  return { [LABELS.cluster]: cluster, [LABELS.role]: role };
}

/** Finds the pods of a cluster's embedded Redis. */
export function selectRedis(cluster: string): Record<string, string> {
  return { [LABELS.cluster]: cluster, [LABELS.component]: 'redis' };
}

/** A pod selector that finds a cluster's media pods of every role. */
export function selectMedia(cluster: string): Record<string, unknown> {
  return {
    matchLabels: { [LABELS.cluster]: cluster },
    matchExpressions: [{ key: LABELS.role, operator: 'Exists' }],
  };
}

/** What all watches of owned kinds select. */
export const OWNED_SELECTOR = LABELS.cluster;

/** Labels as kubectl and the scale subresource write them: `a=b,c=d`. */
export function selectorText(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}=${value}`)
    .join(',');
}

/** Metadata of an object that a cluster owns. */
export function ownedMetadata(
  cluster: Cluster,
  component: Component,
  name: string,
  annotations?: Readonly<Record<string, string>>,
): ObjectMeta {
  const has = annotations !== undefined && Object.keys(annotations).length > 0;
  return {
    name,
    namespace: cluster.metadata.namespace,
    labels: labelsOf(cluster.metadata.name, component),
    ...(has ? { annotations } : {}),
    ownerReferences: [ownerReference(cluster)],
  };
}
