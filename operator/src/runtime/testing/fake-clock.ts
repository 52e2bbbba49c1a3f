import type { Clock, Timer } from '../clock.ts';

interface Pending {
  readonly dueMs: number;
  readonly delayMs: number;
  readonly callback: () => void;
}

/** A clock for tests: it stands still until `advance` moves it. */
export class FakeClock implements Clock {
  #monotonicMs = 0;
  readonly #startMs: number;
  readonly #pending = new Set<Pending>();
  readonly #waiters = new Set<{ count: number; resolve: () => void }>();

  constructor(startMs = Date.UTC(2026, 0, 1)) {
    this.#startMs = startMs;
  }

  nowMs(): number {
    return this.#startMs + this.#monotonicMs;
  }

  monotonicMs(): number {
    return this.#monotonicMs;
  }

  after(delayMs: number, callback: () => void): Timer {
    const pending = { dueMs: this.#monotonicMs + Math.max(0, delayMs), delayMs, callback };
    this.#pending.add(pending);
    for (const waiter of this.#waiters) {
      if (this.#pending.size >= waiter.count) {
        this.#waiters.delete(waiter);
        waiter.resolve();
      }
    }
    return { cancel: () => this.#pending.delete(pending) };
  }

  /** Delays, in ms as asked for, of the timers that have not fired, in the order they were set. */
  get delaysMs(): number[] {
    return [...this.#pending].map((pending) => pending.delayMs);
  }

  /** Resolves once at least `count` timers are waiting. */
  waiting(count = 1): Promise<void> {
    if (this.#pending.size >= count) return Promise.resolve();
    return new Promise((resolve) => this.#waiters.add({ count, resolve }));
  }

  /** Moves on by `ms` in one leap, as for a process that was stopped; what fell due fires with the next `advance`. */
  jump(ms: number): void {
    this.#monotonicMs += ms;
  }

  /** Moves on by `ms`, firing what falls due in order, timers set meanwhile included, and lets promises settle. */
  async advance(ms: number): Promise<void> {
    await settle();
    const endMs = this.#monotonicMs + ms;
    for (;;) {
      const next = [...this.#pending].filter((each) => each.dueMs <= endMs).sort((a, b) => a.dueMs - b.dueMs)[0];
      if (!next) break;
      this.#pending.delete(next);
      this.#monotonicMs = Math.max(this.#monotonicMs, next.dueMs);
      next.callback();
      await settle();
    }
    this.#monotonicMs = endMs;
    await settle();
  }
}

/** Lets every promise that can go on without input or time go on. */
export function settle(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
