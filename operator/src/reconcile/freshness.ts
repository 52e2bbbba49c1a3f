import type { KubeObject } from '../kube/object.ts';

/**
 * Whether `a` is an older state of the same object than `b`: a cache that has not seen our own write yet must not look
 * like somebody's edit. Kubernetes counts resource versions up; what is no number is never called older.
 */
export function isOlder(a: KubeObject, b: KubeObject): boolean {
  if (a.metadata.uid !== b.metadata.uid) return false;
  const [ofA, ofB] = [versionOf(a), versionOf(b)];
  return ofA !== undefined && ofB !== undefined && ofA < ofB;
}

function versionOf(object: KubeObject): bigint | undefined {
  const { resourceVersion } = object.metadata;
  return resourceVersion !== undefined && /^[0-9]{1,30}$/.test(resourceVersion) ? BigInt(resourceVersion) : undefined;
}
