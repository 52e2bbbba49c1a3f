import type { DirectoryChange, NodeLease, StreamRecord } from '#contract/directory-keys.ts';

/*
 * What a directory needs of the place where the cluster's state lies: a handful of atomic steps. The rules of a node
 * (heartbeat, healing, fencing) are in leased-directory.ts, once for every store. Each method rejects with
 * DirectoryError `away` when the store is out of reach or doesn't answer in time.
 */

/** A record without the epoch, which the store gives. */
export type Claimant = Omit<StreamRecord, 'epoch'>;

/** A claim as the store decides it, in one step. */
export interface StoreClaim {
  /** Of encodeStreamField. */
  readonly field: string;
  readonly claimant: Claimant;
  /** Claim from exactly this record of another node. */
  readonly expected?: { readonly nodeId: string; readonly epoch: number };
  /** The highest epoch the node has seen: the new one is above it even when the store lost its own. */
  readonly floorEpoch: number;
  /** Claim an absent record only if the data set is older than this; undefined: at any age. */
  readonly settledAgeMs?: number;
  /** Store time in ms after which the claim is void: one that a pause delayed must not come true later. */
  readonly notAfterMs: number;
}

/**
 * `busy`: the record of another node stands, whose lease lives or not; `unsettled`: see ClaimResult; `late`: it came past `notAfterMs`.
 */
export type StoreClaimResult =
  | { readonly kind: 'ok'; readonly epoch: number }
  | { readonly kind: 'busy'; readonly record: StreamRecord; readonly alive: boolean }
  | { readonly kind: 'unsettled' }
  | { readonly kind: 'late' };

/** What a heartbeat tells. */
export interface BeatReply {
  /** The beat number the store had of this node; undefined: no lease, it expired or the data is gone. */
  readonly previousBeat: number | undefined;
  /** The store's clock. */
  readonly timeMs: number;
}

/** A stream's record by its field, of encodeStreamField. */
export interface StoreEntry {
  readonly field: string;
  readonly record: StreamRecord;
}

/** One page of a round through all records. */
export interface ScanPage {
  /** Where to go on; '0': the round is complete. */
  readonly cursor: string;
  readonly entries: readonly StoreEntry[];
}

/** What a store tells its directory; must not throw. */
export interface StoreListener {
  /** A connection is there: time for a heartbeat. May come repeatedly. */
  onConnected(): void;
  /** The connection is gone. May come repeatedly, and not at all when the network goes silent. */
  onDisconnected(): void;
  onChange(change: DirectoryChange): void;
  /** Messages may have been missed; the subscription is in place again. */
  onGap(): void;
  /** Something in the store made no sense and was ignored. */
  onMalformed(where: string): void;
}

/** The place itself: memory (memory-directory.ts) or Redis (redis-store.ts). */
export interface DirectoryStore {
  /** Begins to connect; goes on trying until close. Called once. */
  start(listener: StoreListener): void;
  /** Writes the lease for `leaseMs` from now. */
  beat(lease: NodeLease, leaseMs: number): Promise<BeatReply>;
  claim(claim: StoreClaim): Promise<StoreClaimResult>;
  /**
   * Makes sure that records of this node stand: an absent one, an older one of this node, and one that ranks lower is
   * overwritten and announced. Answers, for each entry, with the record that ranks higher and therefore stays, or undefined.
   */
  assertRecords(entries: readonly StoreEntry[]): Promise<readonly (StreamRecord | undefined)[]>;
  /** Deletes the records that have exactly this node and epoch (null: any epoch of that node), and announces it. */
  release(nodeId: string, entries: readonly { readonly field: string; readonly epoch: number | null }[]): Promise<void>;
  lookup(field: string): Promise<{ readonly record: StreamRecord; readonly alive: boolean } | undefined>;
  /** Which of these nodes have a lease. */
  alive(nodeIds: readonly string[]): Promise<ReadonlySet<string>>;
  /** Every node with a lease. */
  nodes(): Promise<readonly NodeLease[]>;
  /** About `count` records from a cursor on; '0' begins. */
  scan(cursor: string, count: number): Promise<ScanPage>;
  /** Ends the lease. */
  leave(nodeId: string): Promise<void>;
  /** Ends the connections; idempotent. Calls in progress reject. */
  close(): void;
}
