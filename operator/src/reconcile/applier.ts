import { createHash } from 'node:crypto';
import { FIELD_MANAGER, LABELS } from '#contract/names.ts';
import type { Cluster } from '../desired/cluster.ts';
import type { KubeClient } from '../kube/client.ts';
import { isRecord } from '../kube/kube-error.ts';
import type { KubeObject, Manifest } from '../kube/object.ts';
import { keyOf, refOf } from '../kube/object.ts';
import { isOlder } from './freshness.ts';

/**
 * What applying did. `current`: nothing was to do. `created`, `applied`: as wanted, for the first time or with a change
 * of the wish. `repaired`, `remade`: somebody had edited or deleted it. `leaving`: the old one is still on its way out.
 */
export type ApplyOutcome = 'current' | 'created' | 'applied' | 'repaired' | 'remade' | 'leaving';

/** What came of one apply. */
export interface Applied {
  readonly outcome: ApplyOutcome;
  /** The newest state known; undefined when `leaving`. */
  readonly object?: KubeObject;
}

/** An object with a wanted name exists and is not this cluster's. */
export class NameTakenError extends Error {
  override readonly name = 'NameTakenError';
  readonly code = 'name-taken';
}

/** What was applied last. */
interface Memory {
  readonly wishHash: string;
  readonly object: KubeObject;
  readonly fingerprint: string;
}

/**
 * Brings objects to what is wished by server-side apply, and leaves out what would change nothing: an object is current
 * when the wish is the one applied last and its fields, status aside, are still those that the server answered then.
 * The API server never writes for an apply that changes nothing, so no loop can come of it.
 */
export class Applier {
  readonly #client: KubeClient;
  /** By cluster, then kind and key. */
  readonly #memories = new Map<string, Map<string, Memory>>();
  readonly #fingerprints = new WeakMap<KubeObject, string>();

  constructor(client: KubeClient) {
    this.#client = client;
  }

  /** Applies one object. `cached` is what the watch knows. Throws KubeError, NameTakenError. */
  async apply(cluster: Cluster, wish: Manifest, cached: KubeObject | undefined): Promise<Applied> {
    const memories = this.#memoriesOf(cluster);
    const key = `${wish.kind} ${keyOf(wish)}`;
    const last = memories.get(key);
    const wishHash = hash(wish);
    const isSameWish = last?.wishHash === wishHash;

    if (cached && last && isOlder(cached, last.object) && isSameWish)
      return { outcome: 'current', object: last.object };
    if (cached && isSameWish && this.#fingerprint(cached) === last.fingerprint) {
      return cached.metadata.deletionTimestamp ? { outcome: 'leaving' } : { outcome: 'current', object: cached };
    }

    // Not in the cache: gone, not seen yet, without our label, or another's.
    const present = cached ?? (await this.#client.find(refOf(wish)));
    if (present && (present.metadata.deletionTimestamp || isLeftOver(present, cluster))) return { outcome: 'leaving' };
    if (present && !isOurs(present, cluster)) {
      throw new NameTakenError(
        `${wish.kind} ${wish.metadata.name} exists and is not part of LiveCluster ${cluster.metadata.name}: delete or rename it`,
      );
    }

    const object = await this.#client.apply(wish, { fieldManager: FIELD_MANAGER });
    const fingerprint = this.#fingerprint(object);
    memories.set(key, { wishHash, object, fingerprint });
    if (!present) return { outcome: isSameWish ? 'remade' : 'created', object };
    const isRepair = isSameWish && this.#fingerprint(present) !== fingerprint && !isOlder(present, last.object);
    return { outcome: isRepair ? 'repaired' : 'applied', object };
  }

  /** Forgets one object, because it was deleted on purpose. */
  forgetObject(cluster: Cluster, object: KubeObject): void {
    this.#memoriesOf(cluster).delete(`${object.kind} ${keyOf(object)}`);
  }

  /** Forgets a cluster that is gone; `key` is its `namespace/name`. */
  forget(key: string): void {
    this.#memories.delete(key);
  }

  #memoriesOf(cluster: Cluster): Map<string, Memory> {
    const key = `${cluster.metadata.namespace}/${cluster.metadata.name}`;
    const memories = this.#memories.get(key) ?? new Map<string, Memory>();
    this.#memories.set(key, memories);
    return memories;
  }

  /** All of an object but what changes without anybody editing it. */
  #fingerprint(object: KubeObject): string {
    const known = this.#fingerprints.get(object);
    if (known !== undefined) return known;
    const { status: _status, metadata, ...rest } = object as Manifest;
    const { name, uid, labels, annotations, ownerReferences, finalizers, deletionTimestamp } = metadata;
    // Lists come without apiVersion and kind at their place, so the order of fields is made here.
    const fields = Object.entries(rest)
      .filter(([field]) => field !== 'apiVersion' && field !== 'kind')
      .sort(([a], [b]) => (a < b ? -1 : 1));
    const made = hash([name, uid, labels, annotations, ownerReferences, finalizers, deletionTimestamp, fields]);
    this.#fingerprints.set(object, made);
    return made;
  }
}

function hash(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('base64');
}

function controllerOf(object: KubeObject) {
  return object.metadata.ownerReferences?.find((each) => each.controller === true);
}

/** Whether it belongs to a former LiveCluster of the same name: the garbage collector is about to take it. */
function isLeftOver(object: KubeObject, cluster: Cluster): boolean {
  const owner = controllerOf(object);
  const { name, uid } = cluster.metadata;
  return owner?.kind === 'LiveCluster' && owner.name === name && owner.uid !== uid;
}

/** Whether this cluster may write it: it controls it, or nobody does and it was made by the operator for it. */
export function isOurs(object: KubeObject, cluster: Cluster): boolean {
  const owner = controllerOf(object);
  if (owner) return owner.uid === cluster.metadata.uid;
  const { labels, managedFields = [] } = object.metadata;
  const isMarked = labels?.[LABELS.cluster] === cluster.metadata.name && labels[LABELS.managedBy] !== undefined;
  return isMarked || managedFields.some((each) => isRecord(each) && each['manager'] === FIELD_MANAGER);
}
