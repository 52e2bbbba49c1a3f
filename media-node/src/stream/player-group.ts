import type { Flushable, FlushPolicy, FlushTicket } from './flush-policy.ts';
import type { GroupWrite } from './group-write.ts';
import type { PlayerQueue } from './player-queue.ts';

/** Players of one group at most: writing to them all is the longest time for which a flush holds the event loop. */
export const GROUP_PLAYERS = 250;

/** Where a player may begin or go on: before a key frame. */
export interface Cut {
  readonly position: number;
  readonly frames: number;
  readonly dtsMs: number;
}

/** What a group reads of its output. */
export interface GroupSource {
  /** Position behind the last byte, and how many frames stand before it. */
  readonly end: number;
  readonly frames: number;
  from(position: number): Buffer;
  /** Before a flush: what waits elsewhere may come along. */
  beforeFlush(): void;
  /** After a flush: what every group has got may go. */
  onFlushed(): void;
  now(): number;
  /** Writes to many sockets at once; undefined where this process cannot. */
  readonly groupWrite: GroupWrite | undefined;
}

/**
 * Players of one output that are written to at the same instants: one Buffer for all that are in step. Groups of a large
 * audience are spread over the window, so that none holds the event loop for long.
 */
export class PlayerGroup implements Flushable {
  /** Position up to which those in step have been served, and the frames before it. */
  position = 0;
  frames = 0;
  /** The first cut since then. */
  cut: Cut | undefined;
  readonly #source: GroupSource;
  readonly #queues: PlayerQueue[] = [];
  #ticket: FlushTicket | undefined;
  #dueMs = 0;
  #isFlushing = false;
  #hasLeavers = false;

  constructor(source: GroupSource) {
    this.#source = source;
    this.#catchUp();
  }

  get size(): number {
    return this.#queues.length;
  }

  add(queue: PlayerQueue): void {
    // Nothing was kept for nobody.
    if (this.#queues.length === 0) this.#catchUp();
    queue.index = this.#queues.length;
    this.#queues.push(queue);
  }

  remove(queue: PlayerQueue): void {
    if (queue.index < 0) return;
    // During a flush the array must keep its order: the flush compacts it.
    if (this.#isFlushing) {
      this.#hasLeavers = true;
      return;
    }
    const last = this.#queues.pop();
    if (last !== undefined && last !== queue) {
      this.#queues[queue.index] = last;
      last.index = queue.index;
    }
    queue.index = -1;
  }

  /**
   * Has it flushed in `delayMs` at the latest, 0 being the end of this turn; a flush that comes earlier stays. `nowMs` is
   * the policy's time.
   */
  flushWithin(delayMs: number, nowMs: number, policy: FlushPolicy): void {
    if (this.#queues.length === 0) return;
    const dueMs = nowMs + delayMs;
    if (this.#ticket !== undefined) {
      // The same instant, reckoned from another time, may differ by a rounding.
      if (this.#dueMs <= dueMs + 1) return;
      this.#ticket.cancel();
    }
    this.#dueMs = dueMs;
    this.#ticket = policy.schedule(this, delayMs);
  }

  /** Flushes at once in place of the flush to come. */
  flushNow(): void {
    this.cancelFlush();
    this.flush();
  }

  /** Takes the flush to come back; idempotent. */
  cancelFlush(): void {
    this.#ticket?.cancel();
    this.#ticket = undefined;
  }

  /** Writes what came since the last flush to every player. */
  flush(): void {
    this.#ticket = undefined;
    if (this.#isFlushing || this.#queues.length === 0) return;
    this.#source.beforeFlush();
    if (this.position === this.#source.end || this.#queues.length === 0) return;
    const nowMs = this.#source.now();
    const batch = this.#source.from(this.position);
    this.#isFlushing = true;
    try {
      const { groupWrite } = this.#source;
      for (const queue of this.#queues) queue.offer(this, batch, nowMs, groupWrite);
      groupWrite?.write(batch);
    } finally {
      this.#isFlushing = false;
      this.#catchUp();
      if (this.#hasLeavers) this.#compact();
      this.#source.onFlushed();
    }
  }

  #catchUp(): void {
    this.position = this.#source.end;
    this.frames = this.#source.frames;
    this.cut = undefined;
  }

  #compact(): void {
    this.#hasLeavers = false;
    let kept = 0;
    for (const queue of this.#queues) {
      if (queue.hasLeft) {
        queue.index = -1;
        continue;
      }
      queue.index = kept;
      this.#queues[kept++] = queue;
    }
    this.#queues.length = kept;
  }
}
