import type { StreamKey } from '../stream/stream-key.ts';
import type { Role } from '#contract/names.ts';

/*
 * The cluster's directory as a node sees it: which origin has which stream, and which nodes live. Two adapters:
 * memory-directory.ts and redis-directory.ts; directory.conformance.ts runs on both.
 */

/**
 * `away`: the store is out of reach, the call had no known effect; `bad-name`: the stream's name can't be stored (too
 * long or no valid text); `bad-url`: the address of the store is wrong; `closed`: this directory was closed.
 */
export type DirectoryErrorCode = 'away' | 'bad-name' | 'bad-url' | 'closed';

/** What keeps the directory from answering; its message says how to mend it. */
export class DirectoryError extends Error {
  override readonly name = 'DirectoryError';
  readonly code: DirectoryErrorCode;
  constructor(code: DirectoryErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** What a node says of itself at its start. */
export interface NodeInfo {
  /** From newNodeId in contract/directory-keys.ts. */
  readonly nodeId: string;
  readonly role: Role;
  /** Address under which the other nodes reach it. */
  readonly host: string;
  readonly rtmpPort: number;
  readonly httpPort: number;
  readonly adminPort: number;
  readonly ordinal: number;
  readonly software: string;
}

/** A living node. */
export interface NodeEntry extends NodeInfo {
  readonly load: number;
}

/** Who has a stream. */
export interface OwnerRecord {
  readonly nodeId: string;
  readonly host: string;
  readonly rtmpPort: number;
  readonly adminPort: number;
  /** Of its claim. Of two claims the higher (epoch, node id) wins. */
  readonly epoch: number;
}

/** Who has a stream, and whether that node lives. */
export interface Lookup {
  readonly owner: OwnerRecord;
  /** Whether the owner's lease lives; without one it crashed, hangs, or can't reach the store. */
  readonly alive: boolean;
}

/** On what a claim may rest. */
export interface ClaimOptions {
  /** Take the stream over from exactly this record (compare and set). */
  readonly expected?: { readonly nodeId: string; readonly epoch: number };
  /** The caller asked the other origins and none has the stream: claim though the data may be incomplete. */
  readonly askedOrigins?: boolean;
}

/** What came of a claim; an epoch is above all that were given before. */
export type ClaimResult =
  | { readonly kind: 'ok'; readonly epoch: number }
  /** Another node has it; see Lookup.alive. */
  | ({ readonly kind: 'busy' } & Lookup)
  /** The store came back or began a moment ago and may lack records of live streams: ask the origins first. */
  | { readonly kind: 'unsettled' };

/** What happened to streams of the cluster, as its channel tells. */
export type Change =
  | {
      readonly kind: 'claimed' | 'released';
      readonly key: StreamKey;
      readonly nodeId: string;
      readonly epoch: number;
    }
  /** Changes may have been missed: whoever waits for one looks up again. */
  | { readonly kind: 'resync' };

/** This node lost a stream of its own to a claim with a higher (epoch, node id); its publisher must end. */
export interface Fenced {
  readonly key: StreamKey;
  /** The epoch that `claim` gave. */
  readonly epoch: number;
  readonly by: OwnerRecord | { readonly nodeId: string; readonly epoch: number };
}

/** Whether the store answers. */
export type DirectoryState = 'up' | 'down';

/** Counts since the start, for metrics; they grow only. */
export interface DirectoryCounts {
  claims: number;
  fences: number;
  /** Times the store came back and the node wrote its lease and records again. */
  heals: number;
  /** Values and messages of the store that did not make sense and were ignored. */
  malformed: number;
}

/** Which node has which stream: one publisher a stream in the whole cluster. docs/adr/0006-directory.md says by what. */
export interface Directory {
  readonly nodeId: string;
  /** `up` from the first heartbeat that was answered until one was not, or the connection broke. */
  readonly state: DirectoryState;
  readonly counts: Readonly<DirectoryCounts>;
  /** Streams this node has, as it knows them. */
  readonly owned: number;
  /** Registers the node and begins the heartbeat. Resolves also when the store is away: it goes on trying. */
  start(): Promise<void>;
  /** Rejects with DirectoryError. */
  claim(key: StreamKey, options?: ClaimOptions): Promise<ClaimResult>;
  /**
   * Takes a stream while the store is away; to be settled when it comes back. The caller asked every origin in reach
   * before. If the store is back by now this is a claim with `askedOrigins`. Rejects with DirectoryError, never `away`.
   */
  claimAway(key: StreamKey): Promise<ClaimResult>;
  /** Gives a stream back, now or when the store is back. Resolves when it is done or noted. Never rejects. */
  release(key: StreamKey, epoch: number): Promise<void>;
  /** Undefined: nobody has it. Rejects with DirectoryError. */
  lookup(key: StreamKey): Promise<Lookup | undefined>;
  /** Nodes with a living lease, this one included. Rejects with DirectoryError. */
  nodes(role: Role): Promise<readonly NodeEntry[]>;
  /** As the last heartbeats saw them; kept while the store is away, when some may have died. Never blocks. */
  knownNodes(role: Role): readonly NodeEntry[];
  /** Both return a function that ends the subscription. Listeners must not throw. */
  onChange(listener: (change: Change) => void): () => void;
  onFenced(listener: (fenced: Fenced) => void): () => void;
  /** Releases every stream and the lease (for at most a second) and ends; idempotent. */
  close(reason: string): Promise<void>;
}

/** Whether claim a beats claim b. */
export function outranks(
  a: { readonly epoch: number; readonly nodeId: string },
  b: { readonly epoch: number; readonly nodeId: string },
): boolean {
  return a.epoch === b.epoch ? a.nodeId > b.nodeId : a.epoch > b.epoch;
}
