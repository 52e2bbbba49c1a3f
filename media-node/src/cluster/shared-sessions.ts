import { setImmediate as nextTurn } from 'node:timers/promises';
import { LocalViewerSessions } from '../packaging/viewer-sessions.ts';
import type { ViewerSessions } from '../packaging/viewer-sessions.ts';
import { MAX_BATCH } from './shared-store.ts';
import type { SessionTime, SharedStore } from './shared-store.ts';

/** Claims, releases and ends that wait to be told to the store, at most. Past it claims are granted here. */
const MAX_WAITING = 20_000;
const MAX_ID_LENGTH = 128;
/** After a call that failed, ends are told again. */
const RETRY_MS = 500;

interface Claim {
  readonly keepMs: number;
  readonly answer: (isOurs: boolean) => void;
}

/** Counts since the start; they grow only. */
export interface SessionCounts {
  claims: number;
  /** Calls to the store: each carries whatever gathered while the one before was on its way. */
  calls: number;
  failed: number;
}

/**
 * Sessions without a connection as all nodes know them, in a store that they share. Without the store every node counts what it
 * sees, and remembers whom it ended until it can say so.
 */
export class SharedSessions implements ViewerSessions {
  readonly counts: SessionCounts = { claims: 0, calls: 0, failed: 0 };
  readonly #store: SharedStore;
  readonly #nodeId: string;
  readonly #now: () => number;
  readonly #local: LocalViewerSessions;
  readonly #claims = new Map<string, Claim[]>();
  readonly #releases = new Set<string>();
  /** Id → until when it is refused; of those that the store has not been told. */
  readonly #ends = new Map<string, number>();
  #telling: Promise<void> | undefined;
  #retry: NodeJS.Timeout | undefined;
  #reload: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(store: SharedStore, nodeId: string, now: () => number = Date.now) {
    this.#store = store;
    this.#nodeId = nodeId;
    this.#now = now;
    this.#local = new LocalViewerSessions(now);
  }

  isEnded(id: string): boolean {
    return this.#local.isEnded(id);
  }

  onEnded(listener: (id: string) => void): () => void {
    return this.#local.onEnded(listener);
  }

  end(id: string, keepMs: number): void {
    this.#local.end(id, keepMs);
    if (this.#isClosed || id.length > MAX_ID_LENGTH) return;
    this.#ends.delete(id);
    this.#ends.set(id, this.#now() + keepMs);
    bound(this.#ends);
    this.#tellSoon();
  }

  claim(id: string, keepMs: number): Promise<boolean> {
    this.counts.claims += 1;
    const isOdd = id === '' || id.length > MAX_ID_LENGTH;
    if (this.#isClosed || isOdd || this.#claims.size >= MAX_WAITING) return Promise.resolve(true);
    this.#releases.delete(id);
    return new Promise((answer) => {
      const claim = { keepMs, answer };
      const waiting = this.#claims.get(id);
      if (waiting === undefined) this.#claims.set(id, [claim]);
      else waiting.push(claim);
      this.#tellSoon();
    });
  }

  release(id: string): void {
    if (this.#isClosed || id.length > MAX_ID_LENGTH) return;
    this.#releases.add(id);
    bound(this.#releases);
    this.#tellSoon();
  }

  /** The store is there, or back: learns whom the others ended, and tells whom this node did. False: it does not answer. */
  async connected(): Promise<boolean> {
    this.#tellSoon();
    clearTimeout(this.#reload);
    try {
      this.ended(await this.#store.endedSessions());
      return true;
    } catch {
      this.counts.failed += 1;
      if (this.#isClosed) return false;
      this.#reload = setTimeout(() => void this.connected(), RETRY_MS);
      this.#reload.unref();
      return false;
    }
  }

  /** Sessions were ended, here or elsewhere. */
  ended(sessions: readonly SessionTime[]): void {
    for (const { id, keepMs } of sessions) this.#local.end(id, keepMs);
  }

  /** Resolves when everything is told, or could not be. */
  async settled(): Promise<void> {
    await this.#telling;
  }

  /** Waiting claims are granted; idempotent. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#retry);
    clearTimeout(this.#reload);
    for (const claims of this.#claims.values()) for (const { answer } of claims) answer(true);
    this.#claims.clear();
  }

  #tellSoon(): void {
    this.#telling ??= this.#tell().finally(() => (this.#telling = undefined));
  }

  async #tell(): Promise<void> {
    // What comes in this turn goes together.
    await nextTurn();
    let isUp = true;
    while (isUp && !this.#isClosed && this.#claims.size + this.#releases.size + this.#ends.size > 0) {
      // Releases before claims: an id that is released and claimed again is in the claims alone.
      isUp = await this.#tellReleases();
      isUp = (await this.#tellClaims()) && isUp;
      isUp = (await this.#tellEnds()) && isUp;
    }
    if (isUp || this.#isClosed || this.#ends.size === 0) return;
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.#tellSoon(), RETRY_MS);
    this.#retry.unref();
  }

  async #tellClaims(): Promise<boolean> {
    const batch = [...this.#claims].slice(0, MAX_BATCH);
    if (batch.length === 0) return true;
    for (const [id] of batch) this.#claims.delete(id);
    const times = batch.map(([id, claims]) => ({ id, keepMs: Math.max(...claims.map(({ keepMs }) => keepMs)) }));
    let ours: readonly boolean[] = [];
    const isUp = await this.#call(async () => {
      ours = await this.#store.claimSessions(this.#nodeId, times);
    });
    // Without word of the others a viewer is rather counted twice than not at all.
    for (const [index, [, claims]] of batch.entries()) for (const { answer } of claims) answer(ours[index] ?? true);
    return isUp;
  }

  async #tellReleases(): Promise<boolean> {
    const batch = [...this.#releases].slice(0, MAX_BATCH);
    for (const id of batch) this.#releases.delete(id);
    // One that is lost ends by its time.
    return batch.length === 0 || this.#call(() => this.#store.releaseSessions(this.#nodeId, batch));
  }

  async #tellEnds(): Promise<boolean> {
    const nowMs = this.#now();
    const batch = [...this.#ends].slice(0, MAX_BATCH);
    if (batch.length === 0) return true;
    const times = batch.map(([id, untilMs]) => ({ id, keepMs: untilMs - nowMs })).filter(({ keepMs }) => keepMs > 0);
    const isUp = times.length === 0 || (await this.#call(() => this.#store.endSessions(times)));
    if (isUp) for (const [id, untilMs] of batch) if (this.#ends.get(id) === untilMs) this.#ends.delete(id);
    return isUp;
  }

  async #call(call: () => Promise<void>): Promise<boolean> {
    this.counts.calls += 1;
    try {
      await call();
      return true;
    } catch {
      this.counts.failed += 1;
      return false;
    }
  }
}

/** Forgets the oldest of too many. */
function bound(waiting: Set<string> | Map<string, unknown>): void {
  const [oldest] = waiting.keys();
  if (waiting.size > MAX_WAITING && oldest !== undefined) waiting.delete(oldest);
}
