import type { PackagingSnapshot } from '#contract/packaging.ts';
import type { StreamKey } from '../stream/stream-key.ts';

/*
 * How a packaged stream is read, wherever it is packaged: by this node's Packager or, over the cluster, by the origin that has
 * the encoder. Protocols (HLS, DASH) know these ports alone.
 */

/** A stream that is packaged somewhere. */
export interface PackagedStream {
  readonly key: StreamKey;
  /** Undefined until there is something to play. */
  readonly snapshot: PackagingSnapshot | undefined;
  /**
   * Resolves when `snapshot` is another one than `seen`, when `mostMs` are over, when the packaging ends or `signal` is
   * aborted. Never rejects. The number of waiters is bounded by the node's connections.
   */
  changed(seen: PackagingSnapshot | undefined, mostMs: number, signal?: AbortSignal): Promise<void>;
  /**
   * Bytes of a file that a snapshot named, while it is listed and a while after; shared, never to be changed. Undefined:
   * there is no such file. Synchronous where the bytes are in memory. Rejects with PackagingError `unreachable`.
   */
  read(file: string): Buffer | undefined | Promise<Buffer | undefined>;
}

/** The port by which protocols find packaged streams, wherever they are packaged. */
export interface PackagedStreams {
  /**
   * The packaging of a stream, here or elsewhere; undefined where nobody publishes it or its Vhost packages nothing.
   * Rejects with PackagingError.
   */
  find(key: StreamKey): PackagedStream | undefined | Promise<PackagedStream | undefined>;
}

/** `unreachable`: the node that has it does not answer; `too-many`: this node follows as many streams as it may. */
export type PackagingErrorCode = 'unreachable' | 'too-many';

/** A packaged stream that is somewhere but cannot be shown now. */
export class PackagingError extends Error {
  override readonly name = 'PackagingError';
  readonly code: PackagingErrorCode;
  constructor(code: PackagingErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** `away`: the store is out of reach. */
export type LedgerAnswer = { readonly kind: 'found'; readonly state: string } | { readonly kind: 'none' | 'away' };

/** Where the node that packages a stream leaves what the next one needs to go on in the same playlist. Both never reject. */
export interface PackagingLedger {
  /** Keeps the newest state of a stream, for `keepMs`. Text of at most MAX_PACKAGING_STATE_BYTES. */
  save(key: StreamKey, state: string, keepMs: number): void;
  load(key: StreamKey): Promise<LedgerAnswer>;
}

/** The nodes that followed or packaged a stream: they know what its viewers were told last, whatever became of the ledger. */
export interface PackagingWitnesses {
  /**
   * Asks all of them; `onState` gets what each knows, as a text of the ledger. Resolves when nobody is left to ask, or soon after
   * `signal` was aborted: whether everybody has answered. Never rejects.
   */
  ask(key: StreamKey, signal: AbortSignal, onState: (text: string) => void): Promise<boolean>;
}
