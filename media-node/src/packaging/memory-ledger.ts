import type { StreamKey } from '../stream/stream-key.ts';
import { streamKeyId } from '../stream/stream-key.ts';
import type { LedgerAnswer, PackagingLedger } from './packaged-stream.ts';

/** Streams at most; past it the one saved longest ago is forgotten. */
const MAX_STREAMS = 10_000;

/** A ledger of one process, which the nodes in it may share: tests and `make run`. */
export class MemoryLedger implements PackagingLedger {
  /** In the order of their last saving. */
  readonly #states = new Map<string, { readonly state: string; readonly untilMs: number }>();
  readonly #now: () => number;
  /** Answers as a store out of reach does. */
  isAway = false;

  /** `now`: milliseconds since 1970; default Date.now. */
  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  save(key: StreamKey, state: string, keepMs: number): void {
    if (this.isAway) return;
    const id = streamKeyId(key);
    this.#states.delete(id);
    this.#states.set(id, { state, untilMs: this.#now() + keepMs });
    const [oldest] = this.#states.keys();
    if (this.#states.size > MAX_STREAMS && oldest !== undefined) this.#states.delete(oldest);
  }

  load(key: StreamKey): Promise<LedgerAnswer> {
    if (this.isAway) return Promise.resolve({ kind: 'away' });
    const saved = this.#states.get(streamKeyId(key));
    const isFound = saved !== undefined && saved.untilMs > this.#now();
    return Promise.resolve(isFound ? { kind: 'found', state: saved.state } : { kind: 'none' });
  }
}
