import type { Track } from './track.ts';

/** A step back by more than this is an encoder that starts over, not jitter. */
const BACKWARD_JUMP_MS = 500;
/** A step forward by more than this, which the other kind of track does not share, is a new time base. */
const FORWARD_JUMP_MS = 10_000;
/** What a jump becomes; SRS writes the same. */
const STEP_AFTER_JUMP_MS = 10;

/** The time line of one kind of track. */
interface KindClock {
  seen: boolean;
  /** The publisher's last timestamp, 32 bits and unrolled. */
  rawLast: number;
  unrolled: number;
  /** Added to unrolled time; belongs to `epoch`. */
  offset: number;
  epoch: number;
  /** The last time given out. */
  last: number;
}

/**
 * Turns a publisher's 32-bit millisecond timestamps into a stream's own: 32-bit wrap unrolled, strictly increasing within
 * a kind of track. A jump (an encoder that starts over or changes its time base) goes on 10 ms after the last frame, and
 * the other kind takes the same shift when it jumps in turn, so both stay in step.
 */
export class StreamClock {
  readonly #audio: KindClock;
  readonly #video: KindClock;
  readonly #startMs: number | undefined;
  /** The newest time base: the shift, and a count of jumps. */
  #offset = 0;
  #epoch = 0;
  #keepsJumps = false;

  /** One that unrolls the wrap and leaves all else as it comes: for a stream, whose Timeline sees to the rest. */
  static unrolling(): StreamClock {
    const clock = new StreamClock();
    clock.#keepsJumps = true;
    return clock;
  }

  /**
   * `startMs`: the time to give the first timestamp, for a publisher that goes on in a stream that already has frames;
   * without it the first timestamp is kept as it is. Nothing is ever given a time below it, or below 0.
   */
  constructor(startMs?: number) {
    this.#startMs = startMs;
    const before = (startMs ?? 0) - 1;
    this.#audio = { seen: false, rawLast: 0, unrolled: 0, offset: 0, epoch: 0, last: before };
    this.#video = { seen: false, rawLast: 0, unrolled: 0, offset: 0, epoch: 0, last: before };
  }

  /** The stream time of a frame with this unsigned 32-bit timestamp. Call once a frame, in wire order. */
  dtsMs(kind: Track['kind'], timestamp: number): number {
    const own = kind === 'audio' ? this.#audio : this.#video;
    const other = kind === 'audio' ? this.#video : this.#audio;
    if (own.seen) {
      const delta = (timestamp - own.rawLast) | 0;
      own.unrolled += delta;
      if (!this.#keepsJumps && (delta < 0 || delta > FORWARD_JUMP_MS)) this.#judgeJump(own, other, delta);
    } else {
      own.seen = true;
      if (other.seen) {
        own.unrolled = other.unrolled + ((timestamp - other.rawLast) | 0);
      } else {
        own.unrolled = timestamp;
        if (this.#startMs !== undefined) this.#offset = this.#startMs - timestamp;
      }
      own.offset = this.#offset;
      own.epoch = this.#epoch;
    }
    own.rawLast = timestamp;
    own.last = this.#keepsJumps ? own.unrolled : Math.max(own.last + 1, own.unrolled + own.offset);
    return own.last;
  }

  /**
   * The stream time of a frame of a further track of this kind: it follows the first one, and whoever goes on with it looks
   * whether it is in order and near. Changes nothing.
   */
  besideMs(kind: Track['kind'], timestamp: number): number {
    const [same, other] = kind === 'audio' ? [this.#audio, this.#video] : [this.#video, this.#audio];
    const led = same.seen ? same : other;
    if (!led.seen) return this.#startMs ?? timestamp;
    return Math.max(0, led.unrolled + ((timestamp - led.rawLast) | 0) + led.offset);
  }

  #judgeJump(own: KindClock, other: KindClock, delta: number): void {
    if (own.epoch !== this.#epoch) {
      // The other kind jumped first; this is our side of the same jump.
      own.offset = this.#offset;
      own.epoch = this.#epoch;
      return;
    }
    if (delta < 0 && delta >= -BACKWARD_JUMP_MS) return;
    const together = other.seen && other.epoch === own.epoch;
    // A track that paused comes back at the other's time: no jump.
    if (delta > 0 && together && Math.abs(own.unrolled - other.unrolled) <= FORWARD_JUMP_MS) return;
    const inStep = together && Math.abs(own.last - other.last) <= FORWARD_JUMP_MS;
    const from = inStep ? Math.max(own.last, other.last) : own.last;
    own.offset = this.#offset = from + STEP_AFTER_JUMP_MS - own.unrolled;
    own.epoch = this.#epoch += 1;
  }
}
