import type { Logger } from 'pino';
import { OWNED_SELECTOR } from '../desired/labels.ts';
import { OWNED_TYPES } from '../desired/objects.ts';
import type { KubeClient } from '../kube/client.ts';
import type { CacheSelection } from '../kube/object-cache.ts';
import type { KubeObject, ObjectType } from '../kube/object.ts';
import { Reflector } from '../kube/reflector.ts';
import type { ReflectorHandler } from '../kube/reflector.ts';
import type { Clock } from '../runtime/clock.ts';
import { LIVE_CLUSTER, POD, VHOST } from './api-objects.ts';

/** Kinds that are watched: the users' by name, what clusters own by label. */
const WATCHED: Readonly<Record<string, { readonly type: ObjectType; readonly labelSelector?: string }>> = {
  LiveCluster: { type: LIVE_CLUSTER },
  Vhost: { type: VHOST },
  Pod: { type: POD, labelSelector: OWNED_SELECTOR },
  ...Object.fromEntries(
    Object.values(OWNED_TYPES).map((type) => [type.kind, { type, labelSelector: OWNED_SELECTOR }] as const),
  ),
};

export interface WatchesOptions {
  readonly client: KubeClient;
  /** Namespaces to watch; empty: all of them. */
  readonly namespaces: readonly string[];
  readonly log: Logger;
  readonly clock?: Clock;
}

/** What the operator knows of the cluster: one Reflector a kind (and namespace), looked at as one. */
export class Watches {
  readonly #reflectors = new Map<string, Reflector[]>();

  constructor(options: WatchesOptions) {
    const { client, namespaces, log, clock } = options;
    const scopes = namespaces.length > 0 ? namespaces : [undefined];
    for (const [kind, watched] of Object.entries(WATCHED)) {
      const shared = { client, log, ...watched, ...(clock ? { clock } : {}) };
      const reflectors = scopes.map((namespace) => new Reflector(Object.assign({ namespace }, shared)));
      this.#reflectors.set(kind, reflectors);
    }
  }

  /** By `namespace/name`. The type is the caller's word: no schema is looked at. */
  get<T extends KubeObject>(kind: string, key: string): T | undefined {
    for (const { cache } of this.#of(kind)) {
      const found = cache.get(key);
      if (found) return found as T;
    }
    return undefined;
  }

  /** All that match. See `get` for the type. */
  list<T extends KubeObject>(kind: string, selection: CacheSelection = {}): T[] {
    return this.#of(kind).flatMap(({ cache }) => cache.list(selection) as T[]);
  }

  keys(kind: string): string[] {
    return this.#of(kind).flatMap(({ cache }) => Array.from(cache.keys()));
  }

  onChange(kind: string, handler: ReflectorHandler<KubeObject>): void {
    for (const reflector of this.#of(kind)) reflector.addHandler(handler);
  }

  /** Begins to watch; true once every cache has its first list, false if closed before. */
  async start(): Promise<boolean> {
    const all = [...this.#reflectors.values()].flat();
    for (const reflector of all) reflector.start();
    const synced = await Promise.all(all.map((reflector) => reflector.hasSynced));
    return synced.every(Boolean);
  }

  async close(reason: string): Promise<void> {
    await Promise.all([...this.#reflectors.values()].flat().map((reflector) => reflector.close(reason)));
  }

  #of(kind: string): readonly Reflector[] {
    const reflectors = this.#reflectors.get(kind);
    if (!reflectors) throw new Error(`${kind} is not watched: add it to WATCHED in reconcile/watches.ts`);
    return reflectors;
  }
}
