import type { SendToAll } from '../lib/send-to-all.ts';
import type { Flushable, FlushPolicy, FlushTicket } from './flush-policy.ts';
import type { PlayerQueue } from './player-queue.ts';
import { StepList } from './step-list.ts';

/** Players of one group at most: writing to them all is the longest time for which a flush holds the event loop. */
export const GROUP_PLAYERS = 500;

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
  /** Bytes handed to players. */
  bytesOut: number;
  /** Writes to many sockets in one call; undefined where this process cannot. */
  readonly sendToAll: SendToAll | undefined;
  from(position: number): Buffer;
  /** Before a flush: what waits elsewhere may come along. */
  beforeFlush(): void;
  /** After a flush: what every group has got may go. */
  onFlushed(): void;
  now(): number;
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
  /** Those who are written to one by one; the others are in step. */
  readonly #queues: PlayerQueue[] = [];
  readonly #steps: StepList | undefined;
  #ticket: FlushTicket | undefined;
  #dueMs = 0;
  #isFlushing = false;
  /** During a flush the lists keep their order: who has left one of them leaves it at the end. */
  #hasLeavers = false;

  constructor(source: GroupSource) {
    this.#source = source;
    this.#steps = source.sendToAll && new StepList(source.sendToAll);
    this.#catchUp();
  }

  get size(): number {
    return this.#queues.length + (this.#steps?.size ?? 0);
  }

  /** What those in step have got each, since the group was made. */
  get bytesEach(): number {
    return this.#steps?.bytesEach ?? 0;
  }

  add(queue: PlayerQueue): void {
    // Nothing was kept for nobody.
    if (this.size === 0) this.#catchUp();
    this.#push(queue);
  }

  remove(queue: PlayerQueue): void {
    if (queue.index < 0) return;
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

  /** Takes a player that has got all up to `position` among those in step; false where it has to be written to by itself. */
  comeIntoStep(queue: PlayerQueue): boolean {
    if (!this.#isFlushing || this.#steps?.add(queue) !== true) return false;
    this.#hasLeavers = true;
    return true;
  }

  /** The player is not in step any more. */
  fallOutOfStep(queue: PlayerQueue): void {
    if (this.#isFlushing) {
      this.#hasLeavers = true;
      return;
    }
    this.#steps?.remove(queue.index);
    this.#push(queue);
  }

  /**
   * Has it flushed in `delayMs` at the latest, 0 being the end of this turn; a flush that comes earlier stays. `nowMs` is
   * the policy's time.
   */
  flushWithin(delayMs: number, nowMs: number, policy: FlushPolicy): void {
    if (this.size === 0) return;
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
    if (this.#isFlushing || this.size === 0) return;
    const source = this.#source;
    source.beforeFlush();
    if (this.position === source.end || this.size === 0) return;
    const nowMs = source.now();
    const batch = source.from(this.position);
    const steps = this.#steps;
    steps?.takeOutUnfit(this.#onUnfit);
    this.#isFlushing = true;
    try {
      for (const queue of this.#queues) queue.offer(this, batch, nowMs);
      if (steps !== undefined) {
        source.bytesOut += steps.size * batch.length;
        steps.write(batch);
      }
    } finally {
      this.#isFlushing = false;
      this.#catchUp();
      if (this.#hasLeavers) this.#sort();
      source.onFlushed();
    }
  }

  #catchUp(): void {
    this.position = this.#source.end;
    this.frames = this.#source.frames;
    this.cut = undefined;
  }

  #push(queue: PlayerQueue): void {
    queue.index = this.#queues.length;
    this.#queues.push(queue);
  }

  readonly #onUnfit = (queue: PlayerQueue): void => {
    queue.fallOutOfStep();
    this.#push(queue);
  };

  /** Everybody to the list that it belongs to. */
  #sort(): void {
    this.#hasLeavers = false;
    let kept = 0;
    for (const queue of this.#queues) {
      if (queue.isInStep) continue;
      if (queue.hasLeft) {
        queue.index = -1;
        continue;
      }
      queue.index = kept;
      this.#queues[kept++] = queue;
    }
    this.#queues.length = kept;
    this.#steps?.takeOutLeavers((queue) => {
      if (queue.hasLeft) queue.index = -1;
      // One that came into step in this very flush has kept its place.
      else if (this.#queues[queue.index] !== queue) this.#push(queue);
    });
  }
}
