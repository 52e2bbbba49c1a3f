import { setTimeout as delay } from 'node:timers/promises';
import { encodeStreamField } from '#contract/directory-keys.ts';
import { MAX_PACKAGING_STATE_BYTES } from '#contract/packaging.ts';
import type { LedgerAnswer, PackagingLedger } from '../packaging/packaged-stream.ts';
import type { StreamKey } from '../stream/stream-key.ts';
import { MAX_BATCH } from './shared-store.ts';
import type { SharedStore } from './shared-store.ts';

/** Streams whose state waits to be written, at most; past it the oldest is given up. */
const MAX_WAITING = 10_000;
/** After a write that failed. */
const RETRY_MS = 500;
/** A read that failed is tried again: a busy store must not make a playlist begin anew, whose numbers no player takes well. */
const LOAD_TRIES = 4;
const LOAD_RETRY_MS = 150;

interface Waiting {
  readonly state: string;
  readonly untilMs: number;
}

/** Counts since the start; they grow only. */
export interface LedgerCounts {
  saved: number;
  /** Writes that failed, each of a batch, and states that were too large or of a name that can't be stored. */
  failed: number;
}

/** Where playlists go on, in a store that all nodes share. Only the newest state of a stream is written, one batch at a time. */
export class SharedLedger implements PackagingLedger {
  readonly counts: LedgerCounts = { saved: 0, failed: 0 };
  readonly #store: SharedStore;
  readonly #now: () => number;
  readonly #waiting = new Map<string, Waiting>();
  /** Being written. */
  #written: ReadonlyMap<string, Waiting> = new Map();
  #writing: Promise<void> | undefined;
  #retry: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(store: SharedStore, now: () => number = Date.now) {
    this.#store = store;
    this.#now = now;
  }

  save(key: StreamKey, state: string, keepMs: number): void {
    const field = encodeStreamField(key);
    if (this.#isClosed) return;
    if (field === undefined || Buffer.byteLength(state) > MAX_PACKAGING_STATE_BYTES) {
      this.counts.failed += 1;
      return;
    }
    this.#waiting.set(field, { state, untilMs: this.#now() + keepMs });
    const [oldest] = this.#waiting.keys();
    if (this.#waiting.size > MAX_WAITING && oldest !== undefined) this.#waiting.delete(oldest);
    if (this.#retry === undefined) this.#writeSoon();
  }

  async load(key: StreamKey): Promise<LedgerAnswer> {
    const field = encodeStreamField(key);
    if (field === undefined) return { kind: 'none' };
    const own = this.#waiting.get(field) ?? this.#written.get(field);
    if (own !== undefined && own.untilMs > this.#now()) return { kind: 'found', state: own.state };
    for (let tries = 1; ; tries++) {
      try {
        const state = await this.#store.loadState(field);
        return state === undefined ? { kind: 'none' } : { kind: 'found', state };
      } catch {
        if (tries === LOAD_TRIES || this.#isClosed) return { kind: 'away' };
        await delay(LOAD_RETRY_MS);
      }
    }
  }

  /** The store is back. */
  connected(): void {
    clearTimeout(this.#retry);
    this.#retry = undefined;
    this.#writeSoon();
  }

  /** Resolves when everything is written, or could not be. */
  async settled(): Promise<void> {
    await this.#writing;
  }

  /** What waits is given up; idempotent. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#retry);
    this.#waiting.clear();
  }

  #writeSoon(): void {
    this.#writing ??= this.#write().finally(() => (this.#writing = undefined));
  }

  async #write(): Promise<void> {
    // What is saved in this turn goes together.
    await Promise.resolve();
    while (this.#waiting.size > 0 && !this.#isClosed) {
      const batch = new Map([...this.#waiting].slice(0, MAX_BATCH));
      for (const field of batch.keys()) this.#waiting.delete(field);
      this.#written = batch;
      if (await this.#writeBatch(batch)) continue;
      // Newer ones that came meanwhile stay.
      for (const [field, waiting] of batch) if (!this.#waiting.has(field)) this.#waiting.set(field, waiting);
      this.#retry = setTimeout(() => this.connected(), RETRY_MS);
      this.#retry.unref();
      break;
    }
    this.#written = new Map();
  }

  async #writeBatch(batch: ReadonlyMap<string, Waiting>): Promise<boolean> {
    const nowMs = this.#now();
    const states = [...batch]
      .filter(([, { untilMs }]) => untilMs > nowMs)
      .map(([field, { state, untilMs }]) => ({ field, state, keepMs: untilMs - nowMs }));
    if (states.length === 0) return true;
    try {
      await this.#store.saveStates(states);
      this.counts.saved += states.length;
      return true;
    } catch {
      this.counts.failed += 1;
      return this.#isClosed;
    }
  }
}
