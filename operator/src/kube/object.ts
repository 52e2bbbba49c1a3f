/** metadata.ownerReferences[] (Kubernetes meta/v1 OwnerReference). */
export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean;
  readonly blockOwnerDeletion?: boolean;
}

/** metadata (Kubernetes meta/v1 ObjectMeta), as far as the operator reads or writes it. Stamps are RFC 3339. */
export interface ObjectMeta {
  readonly name: string;
  readonly namespace?: string;
  readonly generateName?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly generation?: number;
  readonly creationTimestamp?: string;
  readonly deletionTimestamp?: string;
  readonly deletionGracePeriodSeconds?: number;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly ownerReferences?: readonly OwnerReference[];
  readonly finalizers?: readonly string[];
  readonly managedFields?: readonly unknown[];
}

/**
 * Any Kubernetes object, as its JSON is: no field is dropped, renamed or turned into a Date on the way in or out.
 * Extend it with the fields that are used: `interface Secret extends KubeObject { data?: Record<string, string> }`.
 */
export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ObjectMeta;
  readonly spec?: unknown;
  readonly status?: unknown;
}

/** An object with fields beside spec and status (data, type, rules …) that nobody described: what builders make. */
export type Manifest = KubeObject & { readonly [field: string]: unknown };

/** Which kind: `{ apiVersion: 'apps/v1', kind: 'StatefulSet' }`. Must be in the table of resource.ts. */
export interface ObjectType {
  readonly apiVersion: string;
  readonly kind: string;
}

/** Which object. `namespace` is left out for cluster-scoped kinds. */
export interface ObjectRef extends ObjectType {
  readonly namespace?: string;
  readonly name: string;
}

/** A list as read, all pages of it. `resourceVersion` is where a watch goes on from. */
export interface KubeList<T extends KubeObject = KubeObject> {
  readonly resourceVersion: string;
  readonly items: readonly T[];
}

/** One line of a watch. A BOOKMARK's object has only kind and metadata.resourceVersion. */
export interface WatchEvent<T extends KubeObject = KubeObject> {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK';
  readonly object: T;
}

/** `namespace/name`, or `name` of a cluster-scoped object: the key of caches and work queues. */
export function keyOf(object: KubeObject | ObjectRef): string {
  const { namespace, name } = 'metadata' in object ? object.metadata : object;
  return namespace ? `${namespace}/${name}` : name;
}

/** Takes a key apart again; `namespace` is missing for a cluster-scoped object's. */
export function splitKey(key: string): { readonly namespace?: string; readonly name: string } {
  const slash = key.indexOf('/');
  return slash < 0 ? { name: key } : { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}

/** The reference that names an object that is at hand. */
export function refOf(object: KubeObject): ObjectRef {
  const { apiVersion, kind, metadata } = object;
  return { apiVersion, kind, name: metadata.name, ...(metadata.namespace ? { namespace: metadata.namespace } : {}) };
}
