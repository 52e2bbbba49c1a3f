import type { Logger } from 'pino';
import type { StreamRecord } from '#contract/directory-keys.ts';
import type { StreamKey } from '../stream/stream-key.ts';
import { outranks } from './directory.ts';
import type { Fenced, NodeInfo, OwnerRecord } from './directory.ts';
import type { DirectoryStore, StoreClaim, StoreEntry } from './directory-store.ts';

export interface OwnRecordsOptions {
  readonly node: NodeInfo;
  readonly store: DirectoryStore;
  readonly leaseMs: number;
  readonly now: () => number;
  readonly logger: Logger;
  /** A claim of this field from a record of another node, as the store wants it. */
  readonly claimOver: (field: string, expected: { readonly nodeId: string; readonly epoch: number }) => StoreClaim;
  readonly onEpoch: (epoch: number) => void;
  readonly onFenced: (fenced: Fenced) => void;
}

/** One stream of this node. */
interface Owned {
  readonly key: StreamKey;
  /** What the claimer was told: names this claim in release and onFenced. */
  readonly claimEpoch: number;
  /** What the record has: above claimEpoch when a claim whose answer got lost was carried out. */
  epoch: number;
}

/** Records in one store call. */
const BATCH = 100;
/** Records checked with each heartbeat, in turn, for what a lost message or lost data did to them. */
const CHECKED_A_BEAT = 16;
/** Releases noted while the store is away. What is past it the sweep finds. */
const MAX_PENDING_RELEASES = 10_000;

/**
 * The streams that this node has, and their records in the store: written again where they are missing, given up where
 * another node's ranks higher, given back when they are released.
 */
export class OwnRecords {
  readonly #options: OwnRecordsOptions;
  readonly #owned = new Map<string, Owned>();
  /** Fields with a claim under way, how many: neither checked nor given back meanwhile. */
  readonly #claiming = new Map<string, number>();
  /** Field → epoch to give back, null for a claim whose answer never came. */
  readonly #pendingReleases = new Map<string, number | null>();
  /** Fields where a record of a node without a lease ranks higher, since when. */
  readonly #contested = new Map<string, number>();
  #checkFrom = 0;

  constructor(options: OwnRecordsOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#owned.size;
  }

  /** A claim in the store, so that nothing else touches its record meanwhile. A failed one is given back if need be. */
  async whileClaiming<T>(field: string, claim: () => Promise<T>): Promise<T> {
    this.#claiming.set(field, (this.#claiming.get(field) ?? 0) + 1);
    try {
      return await claim();
    } catch (error) {
      // It may have been carried out all the same: the record goes unless the stream is ours by then.
      if (!this.#owned.has(field)) this.#noteRelease(field, null);
      throw error;
    } finally {
      const left = (this.#claiming.get(field) ?? 1) - 1;
      if (left <= 0) this.#claiming.delete(field);
      else this.#claiming.set(field, left);
    }
  }

  add(field: string, key: StreamKey, epoch: number): void {
    this.#owned.set(field, { key, claimEpoch: epoch, epoch });
    this.#pendingReleases.delete(field);
    this.#contested.delete(field);
  }

  /** Gives up what `add` was told with this epoch; `isUp` false: later. Never rejects. */
  async release(field: string, claimEpoch: number, isUp: boolean): Promise<void> {
    const owned = this.#owned.get(field);
    if (owned?.claimEpoch !== claimEpoch) return;
    this.#forget(field);
    if (isUp) {
      try {
        await this.#options.store.release(this.#options.node.nodeId, [{ field, epoch: owned.epoch }]);
        return;
      } catch {
        // Noted below.
      }
    }
    if (!this.#owned.has(field)) this.#noteRelease(field, owned.epoch);
  }

  /** Gives up everything. */
  async releaseAll(): Promise<void> {
    const entries = [...this.#owned].map(([field, { epoch }]) => ({ field, epoch }));
    this.#owned.clear();
    for (let at = 0; at < entries.length; at += BATCH) {
      await this.#options.store.release(this.#options.node.nodeId, entries.slice(at, at + BATCH));
    }
  }

  /** A record of this node that nothing here knows of. */
  isLeftover({ field, record }: StoreEntry): boolean {
    return record.nodeId === this.#options.node.nodeId && !this.#owned.has(field) && !this.#claiming.has(field);
  }

  /** Another node claimed a stream, as the change channel says. */
  claimedBy(field: string, by: { readonly nodeId: string; readonly epoch: number }): void {
    const { nodeId } = this.#options.node;
    const owned = this.#owned.get(field);
    if (owned !== undefined && by.nodeId !== nodeId && outranks(by, { epoch: owned.epoch, nodeId })) {
      this.#fence(field, owned, { nodeId: by.nodeId, epoch: by.epoch });
    }
  }

  /** Makes the store right again: all records, or with a heartbeat the next few in turn. */
  async check(which: 'all' | 'some'): Promise<void> {
    const fields = which === 'all' ? [...this.#owned.keys()] : this.#nextToCheck();
    for (let at = 0; at < fields.length; at += BATCH) await this.#checkBatch(fields.slice(at, at + BATCH));
    await this.#flushReleases();
  }

  /** The next few, and all contested ones. */
  #nextToCheck(): string[] {
    const fields = [...this.#owned.keys()];
    if (this.#checkFrom >= fields.length) this.#checkFrom = 0;
    const some = fields.slice(this.#checkFrom, this.#checkFrom + CHECKED_A_BEAT);
    this.#checkFrom += CHECKED_A_BEAT;
    return [...new Set([...some, ...this.#contested.keys()])];
  }

  async #checkBatch(fields: readonly string[]): Promise<void> {
    const { store, node } = this.#options;
    const { nodeId, host, rtmpPort, adminPort } = node;
    const entries: StoreEntry[] = [];
    for (const field of fields) {
      const owned = this.#owned.get(field);
      if (owned === undefined || this.#claiming.has(field)) continue;
      entries.push({ field, record: { version: 1, nodeId, host, rtmpPort, adminPort, epoch: owned.epoch } });
    }
    if (entries.length === 0) return;
    const higher = await store.assertRecords(entries);
    const rivals = higher.filter((record) => record !== undefined).filter((record) => record.nodeId !== nodeId);
    const alive = rivals.length === 0 ? new Set<string>() : await store.alive(rivals.map((record) => record.nodeId));
    for (const [index, entry] of entries.entries()) await this.#settle(entry, higher[index], alive);
  }

  async #settle(entry: StoreEntry, higher: StreamRecord | undefined, alive: ReadonlySet<string>): Promise<void> {
    const { store, node, now, leaseMs, logger, claimOver, onEpoch } = this.#options;
    const { field } = entry;
    const owned = this.#owned.get(field);
    if (owned === undefined || owned.epoch !== entry.record.epoch) return;
    if (higher === undefined) {
      this.#contested.delete(field);
      return;
    }
    onEpoch(higher.epoch);
    if (higher.nodeId === node.nodeId) {
      // A claim whose answer never came was carried out after all: the record's epoch is ours.
      owned.epoch = higher.epoch;
      return;
    }
    if (alive.has(higher.nodeId)) {
      this.#fence(field, owned, ownerOf(higher));
      return;
    }
    // Its node may be dead, or not have written its lease again yet: it has a lease's time to show up.
    const sinceMs = this.#contested.get(field) ?? now();
    this.#contested.set(field, sinceMs);
    if (now() - sinceMs < leaseMs) return;
    const result = await store.claim(claimOver(field, { nodeId: higher.nodeId, epoch: higher.epoch }));
    if (result.kind !== 'ok') return;
    onEpoch(result.epoch);
    this.#contested.delete(field);
    owned.epoch = result.epoch;
    if (this.#owned.get(field) !== owned) this.#noteRelease(field, result.epoch);
    logger.info({ ...owned.key, deadNodeId: higher.nodeId, epoch: result.epoch }, 'stream kept: the other is dead');
  }

  #fence(field: string, owned: Owned, by: Fenced['by']): void {
    this.#forget(field);
    this.#options.logger.warn(
      { ...owned.key, epoch: owned.epoch, byNodeId: by.nodeId, byEpoch: by.epoch },
      'stream was fenced: another origin has it with a higher epoch',
    );
    this.#options.onFenced({ key: owned.key, epoch: owned.claimEpoch, by });
  }

  #forget(field: string): void {
    this.#owned.delete(field);
    this.#contested.delete(field);
  }

  async #flushReleases(): Promise<void> {
    const { store, node } = this.#options;
    while (this.#pendingReleases.size > 0) {
      const batch = [...this.#pendingReleases].slice(0, BATCH);
      const due = batch.filter(([field]) => !this.#owned.has(field) && !this.#claiming.has(field));
      if (due.length > 0) {
        await store.release(
          node.nodeId,
          due.map(([field, epoch]) => ({ field, epoch })),
        );
      }
      for (const [field, epoch] of batch) {
        const isSame = this.#pendingReleases.get(field) === epoch;
        if (isSame && !this.#claiming.has(field)) this.#pendingReleases.delete(field);
      }
      if (due.length === 0) return;
    }
  }

  #noteRelease(field: string, epoch: number | null): void {
    if (this.#pendingReleases.size < MAX_PENDING_RELEASES) this.#pendingReleases.set(field, epoch);
  }
}

/** A record as the rest of the node knows it. */
export function ownerOf({ nodeId, host, rtmpPort, adminPort, epoch }: StreamRecord): OwnerRecord {
  return { nodeId, host, rtmpPort, adminPort, epoch };
}
