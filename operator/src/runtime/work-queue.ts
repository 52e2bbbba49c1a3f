import type { Clock, Timer } from './clock.ts';
import { systemClock } from './clock.ts';
import { exponential } from './backoff.ts';
import { TokenBucket } from './token-bucket.ts';

/** Told what the queue does, for metrics. */
export interface WorkQueueObserver {
  /** Keys that wait to be taken, after a change. */
  onDepth(depth: number): void;
  /** A key was put in the queue (not: merged with one that waits). */
  onAdd(): void;
  /** A key was put back by `addRateLimited`. */
  onRetry(): void;
  /** A key was taken after so long in the queue. */
  onTaken(queuedMs: number): void;
  /** The work on a key ended after so long. */
  onDone(workedMs: number): void;
}

/** Options of a WorkQueue. */
export interface WorkQueueOptions {
  readonly clock?: Clock;
  readonly observer?: WorkQueueObserver;
}

const FIRST_RETRY_MS = 5;
const LONGEST_RETRY_MS = 300_000;
const RETRIES_PER_SECOND = 10;
const RETRY_BURST = 100;

/**
 * client-go's work queue (util/workqueue): a key waits at most once and is worked on by at most one worker; added while
 * being worked on, it comes again afterwards. Bounded by the number of different keys.
 */
export class WorkQueue {
  readonly #clock: Clock;
  readonly #observer: WorkQueueObserver | undefined;
  /** Keys in the order in which they are to be taken, with the time at which they came. */
  readonly #queue = new Map<string, number>();
  /** Keys that have to be worked on: all of the queue, and those added while being worked on. */
  readonly #dirty = new Set<string>();
  /** Keys being worked on, with the time at which they were taken. */
  readonly #processing = new Map<string, number>();
  readonly #delayed = new Map<string, { dueMs: number; timer: Timer }>();
  readonly #failures = new Map<string, number>();
  readonly #takers: ((key: string | undefined) => void)[] = [];
  readonly #bucket: TokenBucket;
  #isClosed = false;

  constructor(options: WorkQueueOptions = {}) {
    this.#clock = options.clock ?? systemClock;
    this.#observer = options.observer;
    this.#bucket = new TokenBucket(this.#clock, RETRIES_PER_SECOND, RETRY_BURST);
  }

  /** Keys that wait to be taken; not those being worked on or delayed. */
  get depth(): number {
    return this.#queue.size;
  }

  /** Adds a key, unless it waits already. */
  add(key: string): void {
    if (this.#isClosed || this.#dirty.has(key)) return;
    this.#dirty.add(key);
    this.#observer?.onAdd();
    if (!this.#processing.has(key)) this.#enqueue(key);
  }

  /** Adds a key after a while; of several delays for a key the one that ends first counts. */
  addAfter(key: string, delayMs: number): void {
    if (this.#isClosed) return;
    if (delayMs <= 0) {
      this.add(key);
      return;
    }
    const dueMs = this.#clock.monotonicMs() + delayMs;
    const waiting = this.#delayed.get(key);
    if (waiting && waiting.dueMs <= dueMs) return;
    waiting?.timer.cancel();
    const timer = this.#clock.after(delayMs, () => {
      this.#delayed.delete(key);
      this.add(key);
    });
    this.#delayed.set(key, { dueMs, timer });
  }

  /**
   * Adds a key after a failure: 5 ms · 2ⁿ, at most 5 min, for its nth in a row, and no more than 10 a second (burst 100)
   * over all keys; never before `atLeastMs`.
   */
  addRateLimited(key: string, atLeastMs = 0): void {
    if (this.#isClosed) return;
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    this.#observer?.onRetry();
    const ownMs = exponential(FIRST_RETRY_MS, LONGEST_RETRY_MS, failures);
    this.addAfter(key, Math.max(ownMs, this.#bucket.take(), atLeastMs));
  }

  /** After a success: the next failure of the key is its first. */
  forget(key: string): void {
    this.#failures.delete(key);
  }

  /** Failures in a row of a key. */
  failuresOf(key: string): number {
    return this.#failures.get(key) ?? 0;
  }

  /** Takes the next key, waiting for one; call `done` with it. Undefined once the queue is closed, even if keys wait. */
  take(): Promise<string | undefined> {
    if (this.#isClosed) return Promise.resolve(undefined);
    const next = this.#queue.entries().next();
    if (next.done) return new Promise((resolve) => this.#takers.push(resolve));
    const [key, addedMs] = next.value;
    this.#queue.delete(key);
    this.#begin(key, addedMs);
    return Promise.resolve(key);
  }

  /** The work on a key has ended, well or not. */
  done(key: string): void {
    const takenMs = this.#processing.get(key);
    if (takenMs === undefined) return;
    this.#processing.delete(key);
    this.#observer?.onDone(this.#clock.monotonicMs() - takenMs);
    if (this.#dirty.has(key) && !this.#isClosed) this.#enqueue(key);
  }

  /** Ends the queue: takers get undefined, delays are called off, later adds are dropped. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const { timer } of this.#delayed.values()) timer.cancel();
    this.#delayed.clear();
    this.#queue.clear();
    this.#dirty.clear();
    this.#failures.clear();
    this.#observer?.onDepth(0);
    for (const taker of this.#takers.splice(0)) taker(undefined);
  }

  #enqueue(key: string): void {
    const nowMs = this.#clock.monotonicMs();
    const taker = this.#takers.shift();
    if (taker) {
      this.#begin(key, nowMs);
      taker(key);
      return;
    }
    this.#queue.set(key, nowMs);
    this.#observer?.onDepth(this.#queue.size);
  }

  #begin(key: string, addedMs: number): void {
    const nowMs = this.#clock.monotonicMs();
    this.#dirty.delete(key);
    this.#processing.set(key, nowMs);
    this.#observer?.onTaken(nowMs - addedMs);
    this.#observer?.onDepth(this.#queue.size);
  }
}
