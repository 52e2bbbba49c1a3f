import { MAX_EPOCH } from '#contract/directory-keys.ts';
import type { DirectoryChange, NodeLease, StreamRecord } from '#contract/directory-keys.ts';
import { DirectoryError, outranks } from './directory.ts';
import type {
  BeatReply,
  DirectoryStore,
  ScanPage,
  StoreClaim,
  StoreClaimResult,
  StoreEntry,
  StoreListener,
} from './directory-store.ts';
import { LeasedDirectory } from './leased-directory.ts';
import type { LeasedDirectoryOptions } from './lease-options.ts';

interface Data {
  readonly streams: Map<string, StreamRecord>;
  readonly leases: Map<string, { readonly lease: NodeLease; readonly endsMs: number }>;
  bornMs: number | undefined;
  epoch: number;
}

/** A moment of a backend's data, for tests that restart it with old data. */
export interface MemorySnapshot {
  readonly data: Data;
}

/** The state that the nodes of one process share, for `make run` and tests. Faults can be put in. */
export class MemoryDirectoryBackend {
  readonly now: () => number;
  readonly #nodes = new Map<string, MemoryStore>();
  #data = emptyData();
  #away = false;
  readonly #partitioned = new Set<string>();

  constructor(now: () => number = Date.now) {
    this.now = now;
  }

  get data(): Data {
    return this.#data;
  }

  /** Fault: out of reach for every node, as a stopped Redis is. */
  setAway(away: boolean): void {
    this.#each(() => {
      this.#away = away;
    });
  }

  /** Fault: out of reach for one node. */
  setPartitioned(nodeId: string, partitioned: boolean): void {
    this.#each(() => {
      if (partitioned) this.#partitioned.add(nodeId);
      else this.#partitioned.delete(nodeId);
    });
  }

  /** Fault: all data gone, connections stay. */
  empty(): void {
    this.#data = emptyData();
  }

  snapshot(): MemorySnapshot {
    return { data: copyOf(this.#data) };
  }

  /** Fault: the data of an earlier moment. */
  restore(snapshot: MemorySnapshot): void {
    this.#data = copyOf(snapshot.data);
  }

  isReachable(nodeId: string): boolean {
    return !this.#away && !this.#partitioned.has(nodeId);
  }

  join(nodeId: string, store: MemoryStore): void {
    this.#nodes.set(nodeId, store);
  }

  part(nodeId: string): void {
    this.#nodes.delete(nodeId);
  }

  publish(change: DirectoryChange): void {
    for (const [nodeId, store] of this.#nodes) {
      if (this.isReachable(nodeId)) store.received(change);
    }
  }

  /** Makes a change and tells the nodes whose connection it made or broke. */
  #each(change: () => void): void {
    const before = new Map([...this.#nodes.keys()].map((nodeId) => [nodeId, this.isReachable(nodeId)]));
    change();
    for (const [nodeId, store] of this.#nodes) {
      const isReachable = this.isReachable(nodeId);
      if (isReachable !== before.get(nodeId)) store.reachable(isReachable);
    }
  }
}

function emptyData(): Data {
  return { streams: new Map(), leases: new Map(), bornMs: undefined, epoch: 0 };
}

function copyOf(data: Data): Data {
  return { ...data, streams: new Map(data.streams), leases: new Map(data.leases) };
}

/** One node's connection to a backend. Each step is atomic: it runs in one turn of the event loop. */
export class MemoryStore implements DirectoryStore {
  readonly #backend: MemoryDirectoryBackend;
  readonly #nodeId: string;
  #listener: StoreListener | undefined;
  #closed = false;

  constructor(backend: MemoryDirectoryBackend, nodeId: string) {
    this.#backend = backend;
    this.#nodeId = nodeId;
  }

  start(listener: StoreListener): void {
    this.#listener = listener;
    this.#backend.join(this.#nodeId, this);
    if (this.#backend.isReachable(this.#nodeId)) queueMicrotask(() => listener.onConnected());
  }

  reachable(isReachable: boolean): void {
    if (this.#closed) return;
    if (isReachable) this.#listener?.onConnected();
    else this.#listener?.onDisconnected();
  }

  received(change: DirectoryChange): void {
    // As over a wire: never within the step that caused it.
    queueMicrotask(() => {
      if (!this.#closed) this.#listener?.onChange(change);
    });
  }

  beat(lease: NodeLease, leaseMs: number): Promise<BeatReply> {
    return this.#step((data, nowMs) => {
      const former = this.#leaseOf(lease.nodeId);
      data.leases.set(lease.nodeId, { lease, endsMs: nowMs + leaseMs });
      data.bornMs ??= nowMs;
      return { previousBeat: former?.beat, timeMs: nowMs };
    });
  }

  claim(claim: StoreClaim): Promise<StoreClaimResult> {
    return this.#step((data, nowMs) => {
      if (nowMs > claim.notAfterMs) return { kind: 'late' };
      const { field, claimant, expected } = claim;
      const record = data.streams.get(field);
      if (record !== undefined && record.nodeId !== claimant.nodeId) {
        const isExpected = record.nodeId === expected?.nodeId && record.epoch === expected.epoch;
        if (!isExpected) return { kind: 'busy', record, alive: this.#leaseOf(record.nodeId) !== undefined };
      }
      if (record === undefined && claim.settledAgeMs !== undefined && expected === undefined) {
        if (data.bornMs === undefined || nowMs - data.bornMs < claim.settledAgeMs) return { kind: 'unsettled' };
      }
      const epoch = Math.min(Math.max(nowMs, claim.floorEpoch, data.epoch, record?.epoch ?? 0) + 1, MAX_EPOCH);
      data.epoch = epoch;
      data.streams.set(field, { ...claimant, epoch });
      this.#backend.publish({ version: 1, kind: 'claimed', field, nodeId: claimant.nodeId, epoch });
      return { kind: 'ok', epoch };
    });
  }

  assertRecords(entries: readonly StoreEntry[]): Promise<readonly (StreamRecord | undefined)[]> {
    return this.#step((data) =>
      entries.map(({ field, record: mine }) => {
        data.epoch = Math.max(data.epoch, mine.epoch);
        const record = data.streams.get(field);
        if (record !== undefined && outranks(record, mine)) return record;
        if (record?.nodeId !== mine.nodeId || record.epoch !== mine.epoch) {
          data.streams.set(field, mine);
          this.#backend.publish({ version: 1, kind: 'claimed', field, nodeId: mine.nodeId, epoch: mine.epoch });
        }
        return undefined;
      }),
    );
  }

  release(
    nodeId: string,
    entries: readonly { readonly field: string; readonly epoch: number | null }[],
  ): Promise<void> {
    return this.#step((data) => {
      for (const { field, epoch } of entries) {
        const record = data.streams.get(field);
        if (record?.nodeId !== nodeId || (epoch !== null && record.epoch !== epoch)) continue;
        data.streams.delete(field);
        this.#backend.publish({ version: 1, kind: 'released', field, nodeId, epoch: record.epoch });
      }
    });
  }

  lookup(field: string): Promise<{ readonly record: StreamRecord; readonly alive: boolean } | undefined> {
    return this.#step((data) => {
      const record = data.streams.get(field);
      return record && { record, alive: this.#leaseOf(record.nodeId) !== undefined };
    });
  }

  alive(nodeIds: readonly string[]): Promise<ReadonlySet<string>> {
    return this.#step(() => new Set(nodeIds.filter((nodeId) => this.#leaseOf(nodeId) !== undefined)));
  }

  nodes(): Promise<readonly NodeLease[]> {
    return this.#step((data) =>
      [...data.leases.keys()].map((nodeId) => this.#leaseOf(nodeId)).filter((lease) => lease !== undefined),
    );
  }

  scan(cursor: string, count: number): Promise<ScanPage> {
    return this.#step((data) => {
      const from = Number(cursor);
      const entries = [...data.streams].slice(from, from + count).map(([field, record]) => ({ field, record }));
      const next = from + entries.length;
      return { cursor: next < data.streams.size ? String(next) : '0', entries };
    });
  }

  leave(nodeId: string): Promise<void> {
    return this.#step((data) => {
      data.leases.delete(nodeId);
    });
  }

  close(): void {
    this.#closed = true;
    this.#backend.part(this.#nodeId);
  }

  #leaseOf(nodeId: string): NodeLease | undefined {
    const { data, now } = this.#backend;
    const entry = data.leases.get(nodeId);
    if (entry === undefined || entry.endsMs > now()) return entry?.lease;
    data.leases.delete(nodeId);
    return undefined;
  }

  async #step<T>(work: (data: Data, nowMs: number) => T): Promise<T> {
    if (this.#closed) throw new DirectoryError('closed', 'the directory is closed');
    if (!this.#backend.isReachable(this.#nodeId)) throw new DirectoryError('away', 'the directory is out of reach');
    const result = work(this.#backend.data, this.#backend.now());
    // An answer takes a turn, as any other does.
    await Promise.resolve();
    return result;
  }
}

/** A directory on a backend that nodes of this process share. */
export function createMemoryDirectory(
  backend: MemoryDirectoryBackend,
  options: LeasedDirectoryOptions,
): LeasedDirectory {
  return new LeasedDirectory(new MemoryStore(backend, options.node.nodeId), options);
}
