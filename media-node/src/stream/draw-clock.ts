import type { FlushPolicy, FlushTicket, Flushable } from './flush-policy.ts';
import { msToFlush } from './merge-window.ts';

/** Drawn from in one go: more would hold the event loop for too long. */
const DRAWS_AT_ONCE = 50;

/** Something that wants to be called now and then. */
export interface Drawable {
  draw(): void;
}

interface Entry {
  readonly periodMs: number;
  dueMs: number;
}

/**
 * One clock for all sources of the process whose bytes wait in their sockets: those of one period are drawn from at the
 * same instants, so that fifty encoders wake the process up no more often than one.
 */
export class DrawClock implements Flushable {
  readonly #policy: FlushPolicy;
  readonly #entries = new Map<Drawable, Entry>();
  #ticket: FlushTicket | undefined;
  #ticketMs = 0;
  #isDrawing = false;

  constructor(policy: FlushPolicy) {
    this.#policy = policy;
  }

  /** Milliseconds that never go back. */
  now(): number {
    return this.#policy.now();
  }

  /** Calls `target.flush()` once, at an instant of `now`. */
  at(target: Flushable, dueMs: number): FlushTicket {
    return this.#policy.schedule(target, Math.max(1, dueMs - this.#policy.now()));
  }

  /** Calls `target.draw()` every `periodMs` until it is removed; another period replaces the one before. */
  add(target: Drawable, periodMs: number): void {
    if (this.#entries.get(target)?.periodMs === periodMs) return;
    const entry = { periodMs, dueMs: 0 };
    this.#advance(entry, this.#policy.now(), this.#entries.size);
    this.#entries.set(target, entry);
    this.#schedule();
  }

  /** Idempotent. */
  remove(target: Drawable): void {
    if (this.#entries.delete(target) && this.#entries.size === 0) this.#cancel();
  }

  flush(): void {
    this.#ticket = undefined;
    const nowMs = this.#policy.now();
    this.#isDrawing = true;
    let number = 0;
    for (const [target, entry] of this.#entries) {
      number++;
      // Timers run out up to a millisecond early.
      if (entry.dueMs > nowMs + 1) continue;
      this.#advance(entry, nowMs, number);
      target.draw();
    }
    this.#isDrawing = false;
    this.#schedule();
  }

  /** The next instant of its period; the many are spread over it. */
  #advance(entry: Entry, nowMs: number, number: number): void {
    const turns = Math.ceil(this.#entries.size / DRAWS_AT_ONCE);
    const phase = turns > 1 ? (number % turns) / turns : 0;
    entry.dueMs = nowMs + msToFlush(nowMs, entry.periodMs, phase);
  }

  #schedule(): void {
    if (this.#isDrawing || this.#entries.size === 0) return;
    let dueMs = Infinity;
    for (const entry of this.#entries.values()) dueMs = Math.min(dueMs, entry.dueMs);
    if (this.#ticket !== undefined) {
      if (this.#ticketMs <= dueMs) return;
      this.#cancel();
    }
    this.#ticketMs = dueMs;
    this.#ticket = this.#policy.schedule(this, Math.max(1, dueMs - this.#policy.now()));
  }

  #cancel(): void {
    this.#ticket?.cancel();
    this.#ticket = undefined;
  }
}
