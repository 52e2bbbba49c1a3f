import type { Logger } from 'pino';
import { setTimeout as delay } from 'node:timers/promises';
import { decodeStreamField, encodeStreamField } from '#contract/directory-keys.ts';
import type { DirectoryChange } from '#contract/directory-keys.ts';
import type { Role } from '#contract/names.ts';
import type { StreamKey } from '../stream/stream-key.ts';
import { DirectoryError } from './directory.ts';
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
} from './directory.ts';
import type { DirectoryStore, StoreClaim } from './directory-store.ts';
import { Epochs } from './epochs.ts';
import { Heartbeat } from './heartbeat.ts';
import { KnownNodes, leaseOf } from './known-nodes.ts';
import { LEASE_DEFAULTS } from './lease-options.ts';
import type { LeasedDirectoryOptions } from './lease-options.ts';
import { OwnRecords, ownerOf } from './own-records.ts';
import { StaleSweep } from './stale-sweep.ts';

/** A store call is given up by then; a claim that runs later is void. */
const CLAIM_VALID_MS = 1_000;

/** A node's side of the directory on any store: lease, healing, fencing. */
export class LeasedDirectory implements Directory {
  readonly nodeId: string;
  readonly counts: DirectoryCounts = { claims: 0, fences: 0, heals: 0, malformed: 0 };
  readonly #store: DirectoryStore;
  readonly #options: Required<Omit<LeasedDirectoryOptions, 'load'>>;
  readonly #load: () => number;
  readonly #log: Logger;
  readonly #records: OwnRecords;
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
  readonly #epochs: Epochs;
  readonly #known = new KnownNodes();
  readonly #heartbeat: Heartbeat;
  #firstBeat: (() => void) | undefined;
  #started = false;
  #closed = false;
  #closing: Promise<void> | undefined;

  constructor(store: DirectoryStore, options: LeasedDirectoryOptions) {
    this.nodeId = options.node.nodeId;
    this.#store = store;
    this.#load = options.load ?? (() => 0);
    this.#options = { ...LEASE_DEFAULTS, ...options };
    this.#log = options.logger.child({ component: 'directory', nodeId: this.nodeId });
    this.#epochs = new Epochs(this.#options.now);
    this.#heartbeat = new Heartbeat({
      everyMs: this.#options.renewMs,
      beat: () => this.#beat(),
      onFailed: (error) => this.#wentDown(messageOf(error)),
      isUp: () => this.#state === 'up',
    });
    this.#records = new OwnRecords({
      node: this.#options.node,
      store,
      leaseMs: this.#options.leaseMs,
      now: this.#options.now,
      logger: this.#log,
      claimOver: (field, expected) => this.#storeClaim(field, { expected, askedOrigins: true }),
      onEpoch: (epoch) => this.#epochs.saw(epoch),
      onFenced: (fenced) => {
        this.counts.fences += 1;
        for (const listener of this.#fencedListeners) listener(fenced);
      },
    });
    this.#sweep = new StaleSweep({
      store,
      everyMs: this.#options.sweepMs,
      staleMs: this.#options.staleMs,
      now: this.#options.now,
      logger: this.#log,
      isOwnLeftover: (entry) => this.#records.isLeftover(entry),
      ownNodeId: this.nodeId,
    });
  }

  get state(): DirectoryState {
    return this.#state;
  }

  get owned(): number {
    return this.#records.size;
  }

  async start(): Promise<void> {
    if (this.#started) return;
    this.#started = true;
    const first = new Promise<void>((resolve) => {
      this.#firstBeat = resolve;
    });
    this.#store.start({
      onConnected: () => void this.#heartbeat.now(),
      onDisconnected: () => this.#wentDown('the connection closed'),
      onChange: (change) => this.#changed(change),
      onGap: () => {
        this.#mustHeal ||= this.#everUp;
        void this.#heartbeat.now();
      },
      onMalformed: (where) => this.#malformed(where),
    });
    this.#heartbeat.start();
    // A node without its directory still serves; it only must not wait for it for ever.
    await Promise.race([first, delay(this.#options.startWaitMs, undefined, { ref: false })]);
    if (this.#state === 'down' && !this.#closed) {
      this.#log.warn('directory is away at the start; going on without it and trying again');
    }
  }

  async claim(key: StreamKey, options: ClaimOptions = {}): Promise<ClaimResult> {
    const field = this.#field(key);
    this.#assertUsable();
    if (!this.#isWhole && options.askedOrigins !== true) {
      // The record may be that of a dead node while the stream’s holder has not written its own yet.
      if (options.expected !== undefined) return { kind: 'unsettled' };
      // Records may be missing, yet one that is there is worth more than asking around.
      const found = await this.lookup(key);
      if (found === undefined) return { kind: 'unsettled' };
      if (found.owner.nodeId !== this.nodeId) return { kind: 'busy', ...found };
    }
    return this.#records.whileClaiming(field, async () => {
      const result = await this.#store.claim(this.#storeClaim(field, options));
      return this.#claimed(key, field, result);
    });
  }

  #storeClaim(field: string, options: ClaimOptions): StoreClaim {
    const { node, settleMs } = this.#options;
    const { nodeId, host, rtmpPort, adminPort } = node;
    return {
      field,
      claimant: { version: 1, nodeId, host, rtmpPort, adminPort },
      ...(options.expected === undefined ? {} : { expected: options.expected }),
      floorEpoch: this.#epochs.highest,
      ...(options.askedOrigins === true ? {} : { settledAgeMs: settleMs }),
      notAfterMs: this.#epochs.storeMs + CLAIM_VALID_MS,
    };
  }

  #claimed(key: StreamKey, field: string, result: Awaited<ReturnType<DirectoryStore['claim']>>): ClaimResult {
    switch (result.kind) {
      case 'ok': {
        this.#epochs.saw(result.epoch);
        // Its lease is given up, so others may take the stream at once.
        if (this.#closed) throw new DirectoryError('closed', 'the directory was closed during the claim');
        this.#records.add(field, key, result.epoch);
        this.counts.claims += 1;
        return { kind: 'ok', epoch: result.epoch };
      }
      case 'busy': {
        this.#epochs.saw(result.record.epoch);
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
    const epoch = this.#epochs.next();
    this.#records.add(field, key, epoch);
    this.counts.claims += 1;
    // The claim above may have brought the store back as "up" while it failed: have the record written soon.
    this.#mustHeal = true;
    return { kind: 'ok', epoch };
  }

  async release(key: StreamKey, epoch: number): Promise<void> {
    const field = encodeStreamField(key);
    if (field === undefined || this.#closed) return;
    await this.#records.release(field, epoch, this.#state === 'up');
  }

  async lookup(key: StreamKey): Promise<Lookup | undefined> {
    const field = this.#field(key);
    this.#assertUsable();
    const found = await this.#store.lookup(field);
    if (found === undefined) return undefined;
    this.#epochs.saw(found.record.epoch);
    return { owner: ownerOf(found.record), alive: found.alive };
  }

  async nodes(role: Role): Promise<readonly NodeEntry[]> {
    this.#assertUsable();
    this.#known.told(await this.#store.nodes(), this.#isWhole);
    return this.knownNodes(role);
  }

  knownNodes(role: Role): readonly NodeEntry[] {
    return this.#known.of(role);
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
    this.#heartbeat.stop();
    this.#firstBeat?.();
    const { size } = this.#records;
    if (this.#started && this.#state === 'up') await Promise.race([this.#leave(), delay(1_000)]);
    this.#state = 'down';
    this.#store.close();
    this.#changeListeners.clear();
    this.#fencedListeners.clear();
    this.#log.info({ reason, released: size }, 'directory closed');
  }

  async #leave(): Promise<void> {
    try {
      await this.#records.releaseAll();
      await this.#store.leave(this.nodeId);
    } catch (error) {
      this.#log.warn({ fault: messageOf(error) }, 'could not release everything; the lease will expire by itself');
    }
  }

  /** No living node's lease or records are missing in the store, as far as is known. */
  get #isWhole(): boolean {
    return this.#options.now() >= this.#unsettledUntilMs;
  }

  /** Ends at once and tells nobody, as a killed process does: records and lease stay. For tests of such ends. */
  abandon(): void {
    this.#closed = true;
    this.#state = 'down';
    this.#heartbeat.stop();
    this.#firstBeat?.();
    this.#store.close();
    this.#closing ??= Promise.resolve();
  }

  // --- heartbeat ---

  async #beat(): Promise<void> {
    const { node, leaseMs, now } = this.#options;
    this.#beatNumber += 1;
    const beat = this.#beatNumber;
    const load = Math.max(0, this.#load());
    const reply = await this.#store.beat({ version: 1, ...leaseOf(node), load, beat }, leaseMs);
    if (this.#closed) return;
    this.#epochs.told(reply.timeMs);
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
      await this.#records.check(healing ? 'all' : 'some');
      // Others have not written their leases again yet.
      this.#known.told(await this.#store.nodes(), !lost && !this.#wasAway && this.#isWhole);
    } catch (error) {
      this.#mustHeal = healing;
      throw error;
    }
    if (this.#closed) return;
    this.#sweep.step();
    if (this.#state === 'down') this.#cameUp();
    if (healing && !isFirst) {
      this.counts.heals += 1;
      this.#log.info({ records: this.#records.size }, 'lease and records are in the directory again');
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
    this.#log.warn({ fault: why }, 'directory is away; running streams go on');
    this.#heartbeat.soon();
  }

  // --- changes ---

  #changed(change: DirectoryChange): void {
    if (this.#closed) return;
    const key = decodeStreamField(change.field);
    if (key === undefined) {
      this.#malformed('a stream name on the change channel');
      return;
    }
    this.#epochs.saw(change.epoch);
    if (change.kind === 'claimed') this.#records.claimedBy(change.field, change);
    this.#emit({ kind: change.kind, key, nodeId: change.nodeId, epoch: change.epoch });
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

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
