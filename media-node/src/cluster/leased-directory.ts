import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { decodeStreamField, encodeStreamField } from '#contract/directory-keys.ts';
import type { DirectoryChange, NodeLease, StreamRecord } from '#contract/directory-keys.ts';
import type { Role } from '#contract/names.ts';
import type { StreamKey } from '../stream/stream-key.ts';
import { DirectoryError, outranks } from './directory.ts';
import type {
  Change,
  ClaimOptions,
  ClaimResult,
  Directory,
  DirectoryCounts,
  DirectoryState,
  Fenced,
  Lookup,
  NodeEntry,
  NodeInfo,
  OwnerRecord,
} from './directory.ts';
import type { DirectoryStore, StoreClaim, StoreEntry } from './directory-store.ts';
import { StaleSweep } from './stale-sweep.ts';

export interface LeasedDirectoryOptions {
  readonly node: NodeInfo;
  readonly logger: Logger;
  /** Sessions served now, told with each heartbeat. */
  readonly load?: () => number;
  /** Between heartbeats. Default 1.5 s. */
  readonly renewMs?: number;
  /** Life of a lease. Default 5 s. */
  readonly leaseMs?: number;
  /**
   * How long after it began or came back the store counts as incomplete: the others need a reconnect (≤ 1 s) and a
   * heartbeat to write their records again. Default 3 s.
   */
  readonly settleMs?: number;
  /** Between steps of the sweep for records of dead nodes. Default 10 s. */
  readonly sweepMs?: number;
  /** How long a node must have been without a lease before its records are swept. Default 30 s. */
  readonly staleMs?: number;
  /** How long `start` waits for the first heartbeat's answer. Default 2 s. */
  readonly startWaitMs?: number;
  readonly now?: () => number;
}

/** A store call is given up by then; a claim that runs later is void. */
const CLAIM_VALID_MS = 1_000;
/** Records in one store call. */
const BATCH = 100;
/** Own records checked with each heartbeat, in turn, for what a lost message or lost data did to them. */
const CHECKED_A_BEAT = 16;
/** Releases noted while the store is away. What is past it the sweep finds. */
const MAX_PENDING_RELEASES = 10_000;

interface Owned {
  readonly key: StreamKey;
  /** What the claimer was told: names this claim in release and onFenced. */
  readonly claimEpoch: number;
  /** What the record has: above claimEpoch when a claim whose answer got lost was carried out. */
  epoch: number;
}

/** A node's side of the directory on any store: lease, healing, fencing. */
export class LeasedDirectory implements Directory {
  readonly nodeId: string;
  readonly counts: DirectoryCounts = { claims: 0, fences: 0, heals: 0, malformed: 0 };
  readonly #store: DirectoryStore;
  readonly #options: Required<Omit<LeasedDirectoryOptions, 'load'>>;
  readonly #load: () => number;
  readonly #log: Logger;
  readonly #owned = new Map<string, Owned>();
  /** Fields with a claim under way: neither swept nor released as leftovers. */
  readonly #claiming = new Map<string, number>();
  /** Field → epoch to give back, null for a claim whose answer never came. */
  readonly #pendingReleases = new Map<string, number | null>();
  /** Fields where a record of a node without a lease ranks higher, since when. */
  readonly #contested = new Map<string, number>();
  readonly #changeListeners = new Set<(change: Change) => void>();
  readonly #fencedListeners = new Set<(fenced: Fenced) => void>();
  readonly #sweep: StaleSweep;
  #state: DirectoryState = 'down';
  #everUp = false;
  #wasAway = false;
  #mustHeal = false;
  #unsettledUntilMs = 0;
  #beatNumber = 0;
  #lastBeatAnswered = -1;
  /** Store's clock minus ours. */
  #clockOffsetMs = 0;
  #maxEpochSeen = 0;
  #known: readonly NodeLease[] = [];
  #checkFrom = 0;
  #timer: NodeJS.Timeout | undefined;
  #beating = false;
  #beatAgain = false;
  #firstBeat: (() => void) | undefined;
  #started = false;
  #closed = false;
  #closing: Promise<void> | undefined;

  constructor(store: DirectoryStore, options: LeasedDirectoryOptions) {
    this.nodeId = options.node.nodeId;
    this.#store = store;
    this.#load = options.load ?? (() => 0);
    this.#options = {
      renewMs: 1_500,
      leaseMs: 5_000,
      settleMs: 3_000,
      sweepMs: 10_000,
      staleMs: 30_000,
      startWaitMs: 2_000,
      now: Date.now,
      ...options,
    };
    this.#log = options.logger.child({ component: 'directory', nodeId: this.nodeId });
    this.#sweep = new StaleSweep({
      store,
      everyMs: this.#options.sweepMs,
      staleMs: this.#options.staleMs,
      now: this.#options.now,
      logger: this.#log,
      isOwnLeftover: (entry) =>
        entry.record.nodeId === this.nodeId && !this.#owned.has(entry.field) && !this.#claiming.has(entry.field),
      ownNodeId: this.nodeId,
    });
  }

  get state(): DirectoryState {
    return this.#state;
  }

  get owned(): number {
    return this.#owned.size;
  }

  async start(): Promise<void> {
    if (this.#started) return;
    this.#started = true;
    const first = new Promise<void>((resolve) => {
      this.#firstBeat = resolve;
    });
    this.#store.start({
      onConnected: () => void this.#beatNow(),
      onDisconnected: () => this.#wentDown('the connection closed'),
      onChange: (change) => this.#changed(change),
      onGap: () => {
        this.#mustHeal ||= this.#everUp;
        void this.#beatNow();
      },
      onMalformed: (where) => this.#malformed(where),
    });
    this.#schedule(this.#options.renewMs);
    // A node without its directory still serves; it only must not wait for it for ever.
    await Promise.race([first, delay(this.#options.startWaitMs, undefined, { ref: false })]);
    if (this.#state === 'down' && !this.#closed) {
      this.#log.warn('directory is away at the start; going on without it and trying again');
    }
  }

  async claim(key: StreamKey, options: ClaimOptions = {}): Promise<ClaimResult> {
    const field = this.#field(key);
    this.#assertUsable();
    const isSettled = this.#options.now() >= this.#unsettledUntilMs;
    if (!isSettled && options.askedOrigins !== true) {
      // The record may be that of a dead node while the stream’s holder has not written its own yet.
      if (options.expected !== undefined) return { kind: 'unsettled' };
      // Records may be missing, yet one that is there is worth more than asking around.
      const found = await this.lookup(key);
      if (found === undefined) return { kind: 'unsettled' };
      if (found.owner.nodeId !== this.nodeId) return { kind: 'busy', ...found };
    }
    this.#claiming.set(field, (this.#claiming.get(field) ?? 0) + 1);
    try {
      const result = await this.#store.claim(this.#storeClaim(field, options));
      return this.#claimed(key, field, result);
    } catch (error) {
      // It may have been carried out all the same: the record is given back unless the stream is ours by then.
      if (!this.#owned.has(field)) this.#noteRelease(field, null);
      throw error;
    } finally {
      const left = (this.#claiming.get(field) ?? 1) - 1;
      if (left <= 0) this.#claiming.delete(field);
      else this.#claiming.set(field, left);
    }
  }

  #storeClaim(field: string, options: ClaimOptions): StoreClaim {
    const { node, now, settleMs } = this.#options;
    const { nodeId, host, rtmpPort, adminPort } = node;
    return {
      field,
      claimant: { version: 1, nodeId, host, rtmpPort, adminPort },
      ...(options.expected === undefined ? {} : { expected: options.expected }),
      floorEpoch: this.#maxEpochSeen,
      ...(options.askedOrigins === true ? {} : { settledAgeMs: settleMs }),
      notAfterMs: now() + this.#clockOffsetMs + CLAIM_VALID_MS,
    };
  }

  #claimed(key: StreamKey, field: string, result: Awaited<ReturnType<DirectoryStore['claim']>>): ClaimResult {
    switch (result.kind) {
      case 'ok': {
        this.#sawEpoch(result.epoch);
        if (this.#closed) {
          this.#noteRelease(field, result.epoch);
          throw new DirectoryError('closed', 'the directory was closed during the claim');
        }
        this.#own(key, field, result.epoch);
        return { kind: 'ok', epoch: result.epoch };
      }
      case 'busy': {
        this.#sawEpoch(result.record.epoch);
        return { kind: 'busy', owner: ownerOf(result.record), alive: result.alive };
      }
      case 'unsettled': {
        return { kind: 'unsettled' };
      }
      case 'late': {
        throw new DirectoryError('away', 'the directory answered too late; the claim is void');
      }
    }
  }

  async claimAway(key: StreamKey): Promise<ClaimResult> {
    const field = this.#field(key);
    if (this.#state === 'up') {
      try {
        return await this.claim(key, { askedOrigins: true });
      } catch (error) {
        if (!(error instanceof DirectoryError) || error.code !== 'away') throw error;
      }
    }
    if (this.#closed) throw new DirectoryError('closed', 'the directory is closed');
    const epoch = Math.max(this.#maxEpochSeen, this.#options.now() + this.#clockOffsetMs) + 1;
    this.#sawEpoch(epoch);
    this.#own(key, field, epoch);
    // The claim above may have brought the store back as "up" while it failed: have the record written soon.
    this.#mustHeal = true;
    return { kind: 'ok', epoch };
  }

  #own(key: StreamKey, field: string, epoch: number): void {
    this.#owned.set(field, { key, claimEpoch: epoch, epoch });
    this.#pendingReleases.delete(field);
    this.#contested.delete(field);
    this.counts.claims += 1;
  }

  async release(key: StreamKey, epoch: number): Promise<void> {
    const field = encodeStreamField(key);
    if (field === undefined) return;
    const owned = this.#owned.get(field);
    if (this.#closed || owned?.claimEpoch !== epoch) return;
    this.#owned.delete(field);
    this.#contested.delete(field);
    if (this.#state === 'up') {
      try {
        await this.#store.release(this.nodeId, [{ field, epoch: owned.epoch }]);
        return;
      } catch {
        // Noted below.
      }
    }
    if (!this.#owned.has(field)) this.#noteRelease(field, owned.epoch);
  }

  async lookup(key: StreamKey): Promise<Lookup | undefined> {
    const field = this.#field(key);
    this.#assertUsable();
    const found = await this.#store.lookup(field);
    if (found === undefined) return undefined;
    this.#sawEpoch(found.record.epoch);
    return { owner: ownerOf(found.record), alive: found.alive };
  }

  async nodes(role: Role): Promise<readonly NodeEntry[]> {
    this.#assertUsable();
    this.#known = await this.#store.nodes();
    return this.knownNodes(role);
  }

  knownNodes(role: Role): readonly NodeEntry[] {
    return this.#known.filter((lease) => lease.role === role).map(entryOf);
  }

  onChange(listener: (change: Change) => void): () => void {
    this.#changeListeners.add(listener);
    return () => this.#changeListeners.delete(listener);
  }

  onFenced(listener: (fenced: Fenced) => void): () => void {
    this.#fencedListeners.add(listener);
    return () => this.#fencedListeners.delete(listener);
  }

  close(reason: string): Promise<void> {
    this.#closing ??= this.#close(reason);
    return this.#closing;
  }

  async #close(reason: string): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#firstBeat?.();
    const releases = [...this.#owned].map(([field, { epoch }]) => ({ field, epoch }));
    this.#owned.clear();
    if (this.#started && this.#state === 'up') await Promise.race([this.#leave(releases), delay(1_000)]);
    this.#state = 'down';
    this.#store.close();
    this.#changeListeners.clear();
    this.#fencedListeners.clear();
    this.#log.info({ reason, released: releases.length }, 'directory closed');
  }

  async #leave(releases: readonly { readonly field: string; readonly epoch: number }[]): Promise<void> {
    try {
      for (let at = 0; at < releases.length; at += BATCH) {
        await this.#store.release(this.nodeId, releases.slice(at, at + BATCH));
      }
      await this.#store.leave(this.nodeId);
    } catch (error) {
      this.#log.warn({ error: messageOf(error) }, 'could not release everything; the lease will expire by itself');
    }
  }

  /** Ends at once and tells nobody, as a killed process does: records and lease stay. For tests of such ends. */
  abandon(): void {
    this.#closed = true;
    this.#state = 'down';
    clearTimeout(this.#timer);
    this.#firstBeat?.();
    this.#store.close();
    this.#closing ??= Promise.resolve();
  }

  // --- heartbeat ---

  #schedule(afterMs: number): void {
    clearTimeout(this.#timer);
    if (this.#closed) return;
    this.#timer = setTimeout(() => void this.#beatNow(), afterMs);
  }

  /** One heartbeat at a time; asked for meanwhile, another follows. Never rejects. */
  async #beatNow(): Promise<void> {
    if (this.#closed) return;
    if (this.#beating) {
      this.#beatAgain = true;
      return;
    }
    this.#beating = true;
    clearTimeout(this.#timer);
    try {
      await this.#beat();
    } catch (error) {
      this.#wentDown(messageOf(error));
    } finally {
      this.#beating = false;
      const again = this.#beatAgain && this.#state === 'up';
      this.#beatAgain = false;
      const { renewMs } = this.#options;
      this.#schedule(again ? 0 : this.#state === 'up' ? renewMs : Math.min(renewMs, 500));
    }
  }

  async #beat(): Promise<void> {
    const { node, leaseMs, now } = this.#options;
    this.#beatNumber += 1;
    const beat = this.#beatNumber;
    const load = Math.max(0, this.#load());
    const reply = await this.#store.beat({ version: 1, ...leaseOf(node), load, beat }, leaseMs);
    if (this.#closed) return;
    this.#clockOffsetMs = reply.timeMs - now();
    const isFirst = !this.#everUp;
    // No lease, or an older one than was acknowledged: it expired, or the store lost data.
    const lost = reply.previousBeat === undefined || reply.previousBeat < this.#lastBeatAnswered;
    this.#lastBeatAnswered = beat;
    if (!isFirst && lost && this.#state === 'up') {
      this.#log.warn('lease was gone from the directory; writing it and every record again');
      this.#unsettledUntilMs = now() + this.#options.settleMs;
    }
    this.#mustHeal ||= lost;
    const healing = this.#mustHeal;
    this.#mustHeal = false;
    try {
      await this.#assert(healing ? [...this.#owned.keys()] : this.#nextToCheck());
      await this.#flushReleases();
      this.#known = await this.#store.nodes();
    } catch (error) {
      this.#mustHeal = healing;
      throw error;
    }
    if (this.#closed) return;
    this.#sweep.step();
    if (this.#state === 'down') this.#cameUp();
    if (healing && !isFirst) {
      this.counts.heals += 1;
      this.#log.info({ records: this.#owned.size }, 'lease and records are in the directory again');
      this.#emit({ kind: 'resync' });
    }
  }

  #cameUp(): void {
    if (this.#wasAway) this.#unsettledUntilMs = this.#options.now() + this.#options.settleMs;
    this.#wasAway = false;
    this.#everUp = true;
    this.#state = 'up';
    this.#firstBeat?.();
    this.#log.info('directory is up');
  }

  #wentDown(why: string): void {
    if (this.#closed) return;
    this.#mustHeal = true;
    this.#wasAway = true;
    if (this.#state === 'down') return;
    this.#state = 'down';
    this.#log.warn({ error: why }, 'directory is away; running streams go on');
    this.#schedule(Math.min(this.#options.renewMs, 500));
  }

  /** The next few own records in turn, and all contested ones. */
  #nextToCheck(): string[] {
    const fields = [...this.#owned.keys()];
    if (this.#checkFrom >= fields.length) this.#checkFrom = 0;
    const some = fields.slice(this.#checkFrom, this.#checkFrom + CHECKED_A_BEAT);
    this.#checkFrom += CHECKED_A_BEAT;
    return [...new Set([...some, ...this.#contested.keys()])];
  }

  /** Writes own records where they are missing, and finds out which were lost to others. */
  async #assert(fields: readonly string[]): Promise<void> {
    for (let at = 0; at < fields.length; at += BATCH) {
      const entries: StoreEntry[] = [];
      for (const field of fields.slice(at, at + BATCH)) {
        const owned = this.#owned.get(field);
        if (owned !== undefined && !this.#claiming.has(field)) {
          entries.push({ field, record: this.#recordOf(owned) });
        }
      }
      if (entries.length === 0) continue;
      const higher = await this.#store.assertRecords(entries);
      const rivals = higher.filter((record) => record !== undefined && record.nodeId !== this.nodeId);
      const alive = rivals.length === 0 ? new Set<string>() : await this.#store.alive(rivals.map((r) => r!.nodeId));
      for (const [index, record] of higher.entries()) {
        const entry = entries[index];
        if (entry !== undefined) await this.#settle(entry, record, alive);
      }
    }
  }

  async #settle(entry: StoreEntry, higher: StreamRecord | undefined, alive: ReadonlySet<string>): Promise<void> {
    const { field } = entry;
    const owned = this.#owned.get(field);
    if (owned === undefined || owned.epoch !== entry.record.epoch) return;
    if (higher === undefined) {
      this.#contested.delete(field);
      return;
    }
    this.#sawEpoch(higher.epoch);
    if (higher.nodeId === this.nodeId) {
      // A claim whose answer never came was carried out after all: the record's epoch is ours.
      owned.epoch = higher.epoch;
      return;
    }
    if (alive.has(higher.nodeId)) {
      this.#fence(field, owned, ownerOf(higher));
      return;
    }
    // Its node may be dead, or not have written its lease again yet: it has a lease's time to show up.
    const { now, leaseMs } = this.#options;
    const since = this.#contested.get(field) ?? now();
    this.#contested.set(field, since);
    if (now() - since < leaseMs) return;
    const result = await this.#store.claim(
      this.#storeClaim(field, { expected: { nodeId: higher.nodeId, epoch: higher.epoch }, askedOrigins: true }),
    );
    if (result.kind !== 'ok') return;
    this.#sawEpoch(result.epoch);
    this.#contested.delete(field);
    owned.epoch = result.epoch;
    if (this.#owned.get(field) !== owned) this.#noteRelease(field, result.epoch);
    this.#log.info({ ...owned.key, deadNodeId: higher.nodeId, epoch: result.epoch }, 'stream kept: the other is dead');
  }

  #recordOf(owned: Owned): StreamRecord {
    const { nodeId, host, rtmpPort, adminPort } = this.#options.node;
    return { version: 1, nodeId, host, rtmpPort, adminPort, epoch: owned.epoch };
  }

  async #flushReleases(): Promise<void> {
    while (this.#pendingReleases.size > 0) {
      const batch = [...this.#pendingReleases].slice(0, BATCH);
      const due = batch.filter(([field]) => !this.#owned.has(field) && !this.#claiming.has(field));
      if (due.length > 0) {
        await this.#store.release(
          this.nodeId,
          due.map(([field, epoch]) => ({ field, epoch })),
        );
      }
      for (const [field, epoch] of batch) {
        if (this.#pendingReleases.get(field) === epoch && !this.#claiming.has(field)) {
          this.#pendingReleases.delete(field);
        }
      }
      if (due.length === 0) return;
    }
  }

  #noteRelease(field: string, epoch: number | null): void {
    if (this.#pendingReleases.size < MAX_PENDING_RELEASES) this.#pendingReleases.set(field, epoch);
  }

  // --- changes ---

  #changed(change: DirectoryChange): void {
    if (this.#closed) return;
    const key = decodeStreamField(change.field);
    if (key === undefined) {
      this.#malformed('a stream name on the change channel');
      return;
    }
    this.#sawEpoch(change.epoch);
    const owned = this.#owned.get(change.field);
    if (change.kind === 'claimed' && change.nodeId !== this.nodeId && owned !== undefined) {
      const mine = { epoch: owned.epoch, nodeId: this.nodeId };
      if (outranks(change, mine)) {
        this.#fence(change.field, owned, { nodeId: change.nodeId, epoch: change.epoch });
      }
    }
    this.#emit({ kind: change.kind, key, nodeId: change.nodeId, epoch: change.epoch });
  }

  #fence(field: string, owned: Owned, by: Fenced['by']): void {
    this.#owned.delete(field);
    this.#contested.delete(field);
    this.counts.fences += 1;
    this.#log.warn(
      { ...owned.key, epoch: owned.epoch, byNodeId: by.nodeId, byEpoch: by.epoch },
      'stream was fenced: another origin has it with a higher epoch',
    );
    for (const listener of this.#fencedListeners) listener({ key: owned.key, epoch: owned.claimEpoch, by });
  }

  #emit(change: Change): void {
    for (const listener of this.#changeListeners) listener(change);
  }

  #malformed(where: string): void {
    this.counts.malformed += 1;
    // Each heartbeat may meet the same broken value: one line a hundred is enough.
    if (this.counts.malformed % 100 === 1) {
      this.#log.warn({ where, count: this.counts.malformed }, 'value in the directory makes no sense; ignored');
    }
  }

  #sawEpoch(epoch: number): void {
    if (epoch > this.#maxEpochSeen) this.#maxEpochSeen = epoch;
  }

  #field(key: StreamKey): string {
    const field = encodeStreamField(key);
    if (field === undefined) {
      throw new DirectoryError('bad-name', 'the stream’s name is too long or no valid text; use a shorter, plain one');
    }
    return field;
  }

  #assertUsable(): void {
    if (this.#closed) throw new DirectoryError('closed', 'the directory is closed');
    if (this.#state === 'down') throw new DirectoryError('away', 'the directory is out of reach');
  }
}

function leaseOf(node: NodeInfo): Omit<NodeLease, 'version' | 'load' | 'beat'> {
  const { nodeId, role, host, rtmpPort, httpPort, adminPort, ordinal, software } = node;
  return { nodeId, role, host, rtmpPort, httpPort, adminPort, ordinal, software };
}

function entryOf(lease: NodeLease): NodeEntry {
  return { ...leaseOf(lease), load: lease.load };
}

function ownerOf(record: StreamRecord): OwnerRecord {
  const { nodeId, host, rtmpPort, adminPort, epoch } = record;
  return { nodeId, host, rtmpPort, adminPort, epoch };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
