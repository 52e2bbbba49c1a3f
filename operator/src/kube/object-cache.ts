import type { KubeObject } from './object.ts';
import { keyOf } from './object.ts';

/** Which cached objects. */
export interface CacheSelection {
  readonly namespace?: string | undefined;
  /** All of these labels with these values. */
  readonly labels?: Readonly<Record<string, string>>;
}

/** What a Reflector knows of its kind, for reading. Objects are shared: never change one. */
export interface ObjectCache<T extends KubeObject> {
  readonly size: number;
  /** By `namespace/name` (keyOf), or the name of a cluster-scoped object. */
  get(key: string): T | undefined;
  /** All that match, in no set order. */
  list(selection?: CacheSelection): T[];
  keys(): IterableIterator<string>;
}

/** What putting an object in its place did. `previous` is there but for `added`. */
export type Change<T> =
  | { readonly kind: 'added' }
  | { readonly kind: 'updated'; readonly previous: T }
  /** Same name, other uid: the old one was deleted and this one created since. */
  | { readonly kind: 'recreated'; readonly previous: T }
  | { readonly kind: 'same'; readonly previous: T };

/** The cache that its Reflector writes. */
export class MutableObjectCache<T extends KubeObject> implements ObjectCache<T> {
  readonly #objects = new Map<string, T>();

  get size(): number {
    return this.#objects.size;
  }

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  keys(): IterableIterator<string> {
    return this.#objects.keys();
  }

  list(selection: CacheSelection = {}): T[] {
    const wanted = Object.entries(selection.labels ?? {});
    const found: T[] = [];
    for (const object of this.#objects.values()) {
      const { namespace, labels } = object.metadata;
      if (selection.namespace !== undefined && namespace !== selection.namespace) continue;
      if (wanted.every(([name, value]) => labels?.[name] === value)) found.push(object);
    }
    return found;
  }

  put(object: T): Change<T> {
    const key = keyOf(object);
    const previous = this.#objects.get(key);
    this.#objects.set(key, object);
    if (!previous) return { kind: 'added' };
    if (previous.metadata.uid !== object.metadata.uid) return { kind: 'recreated', previous };
    const isSame = previous.metadata.resourceVersion === object.metadata.resourceVersion;
    return { kind: isSame ? 'same' : 'updated', previous };
  }

  /** Takes out; returns what was there. */
  remove(key: string): T | undefined {
    const object = this.#objects.get(key);
    this.#objects.delete(key);
    return object;
  }
}
