import type { Track } from '../media/track.ts';

/** A track's clock that goes back by more than this has jumped; less is jitter and is squeezed. */
const BACKWARD_JUMP_MS = 250;
/** A track's clock that goes on by more than this has jumped: viewers would freeze for that long. */
const FORWARD_JUMP_MS = 3_000;
const LONGEST_FRAME_MS = 100;
/** A source that goes on begins at most this long before its last frame: with the longest GOP of a cache. */
const LONGEST_REPEAT_MS = 40_000;
/** Times of RTMP and FLV have 32 bits: a connection that begins after they wrapped tells smaller ones. */
const WRAP_MS = 2 ** 32;

interface Clock {
  /** What is added to incoming times; undefined until the track's first frame after a seam. */
  offsetMs: number | undefined;
  lastOutMs: number | undefined;
  /** The track's last incoming time. */
  lastInMs: number | undefined;
  /** A source that goes on has not come past lastInMs yet. */
  isRepeating: boolean;
  /** Duration of the last ordinary frame. */
  frameMs: number;
}

/**
 * Keeps a stream's decoding times going on, strictly increasing within each track, whatever its publishers' clocks do:
 * another publisher, an encoder that restarts its clock, a jump. What jumped continues one frame after the last time
 * that players saw, and audio and video keep their distance, because both follow the same new offset.
 */
export class Timeline {
  /** Jumps smoothed so far; seams are not counted. */
  discontinuities = 0;
  /** The latest decoding time given out, of any track. */
  lastMs: number | undefined;
  readonly #clocks: Record<Track['kind'], Clock> = {
    video: { offsetMs: undefined, lastOutMs: undefined, lastInMs: undefined, isRepeating: false, frameMs: 40 },
    audio: { offsetMs: undefined, lastOutMs: undefined, lastInMs: undefined, isRepeating: false, frameMs: 23 },
  };
  #isResuming = false;
  #isShifted = false;
  #offsetMs: number | undefined;
  /** Incoming time of the seam's first frame: what is older belongs before the seam and is dropped. */
  #seamMs = -Infinity;

  /** Whether every time so far was given out as it came. */
  get isIdentity(): boolean {
    return !this.#isShifted;
  }

  /** The next frame comes from another source, whose clock has nothing to do with the present one. */
  seam(): void {
    this.#offsetMs = undefined;
    this.#isResuming = false;
    for (const clock of [this.#clocks.video, this.#clocks.audio]) {
      clock.offsetMs = undefined;
      clock.lastInMs = undefined;
      clock.isRepeating = false;
    }
  }

  /** The next frame comes from the same source by another connection: what it sends again is dropped. */
  resume(): void {
    this.#isResuming = this.lastMs !== undefined;
  }

  /** Maps the decoding time of the next frame of a track; undefined when the frame has to be dropped. */
  map(kind: Track['kind'], dtsMs: number): number | undefined {
    const clock = this.#clocks[kind];
    if (this.#isResuming) this.#resume(dtsMs);
    if (clock.isRepeating) {
      if (clock.lastInMs !== undefined && dtsMs <= clock.lastInMs) return undefined;
      clock.isRepeating = false;
    }
    if (this.#offsetMs === undefined) this.#begin(clock, dtsMs);
    if (clock.offsetMs === undefined) {
      if (dtsMs < this.#seamMs && this.#seamMs - dtsMs < FORWARD_JUMP_MS) return undefined;
      clock.offsetMs = this.#offsetMs ?? 0;
    }
    let outMs = dtsMs + clock.offsetMs;
    if (jumped(outMs, clock.lastOutMs ?? this.lastMs)) outMs = this.#rejoin(clock, dtsMs);
    // The other track's first frame lies before this stream's zero, and no wire format has such a time.
    if (outMs < 0) return undefined;
    const lastMs = clock.lastOutMs;
    if (lastMs !== undefined) {
      if (outMs <= lastMs) outMs = lastMs + 1;
      const gapMs = outMs - lastMs;
      if (gapMs <= LONGEST_FRAME_MS) clock.frameMs = gapMs;
    }
    clock.lastOutMs = outMs;
    clock.lastInMs = dtsMs;
    if (outMs !== dtsMs) this.#isShifted = true;
    if (this.lastMs === undefined || outMs > this.lastMs) this.lastMs = outMs;
    return outMs;
  }

  /** Where a frame of a further track stands, which follows the first one of its kind; undefined before there is one. */
  beside(kind: Track['kind'], dtsMs: number): number | undefined {
    const offsetMs = this.#clocks[kind].offsetMs ?? this.#offsetMs;
    return offsetMs === undefined ? undefined : dtsMs + offsetMs;
  }

  #begin(clock: Clock, dtsMs: number): void {
    if (this.lastMs === undefined) {
      // The first source keeps its own times, so that every node of a cluster shows the same.
      this.#offsetMs = Math.max(0, -dtsMs);
      this.#seamMs = -Infinity;
    } else {
      this.#offsetMs = this.lastMs + clock.frameMs - dtsMs;
      this.#seamMs = dtsMs;
    }
  }

  /** First frame of a source that goes on: where it stands beside its last ones. */
  #resume(dtsMs: number): void {
    this.#isResuming = false;
    const { video, audio } = this.#clocks;
    const lastInMs = video.lastInMs ?? audio.lastInMs;
    if (lastInMs === undefined) return;
    const wrapMs = Math.round((lastInMs - dtsMs) / WRAP_MS) * WRAP_MS;
    if (lastInMs - dtsMs - wrapMs > LONGEST_REPEAT_MS) {
      // Not the clock it was said to be.
      this.seam();
      return;
    }
    this.#seamMs -= wrapMs;
    if (this.#offsetMs !== undefined) this.#offsetMs += wrapMs;
    for (const clock of [video, audio]) {
      if (clock.offsetMs !== undefined) clock.offsetMs += wrapMs;
      if (clock.lastInMs !== undefined) clock.lastInMs -= wrapMs;
      clock.isRepeating = clock.lastInMs !== undefined;
    }
  }

  /** The track jumped: follow the other track when it jumped the same way already, else be the first to go on. */
  #rejoin(clock: Clock, dtsMs: number): number {
    const sharedMs = dtsMs + (this.#offsetMs ?? 0);
    if (!jumped(sharedMs, this.lastMs) && sharedMs > (clock.lastOutMs ?? -Infinity) - BACKWARD_JUMP_MS) {
      clock.offsetMs = this.#offsetMs;
      return sharedMs;
    }
    this.discontinuities++;
    this.#offsetMs = (this.lastMs ?? 0) + clock.frameMs - dtsMs;
    this.#seamMs = -Infinity;
    clock.offsetMs = this.#offsetMs;
    return dtsMs + this.#offsetMs;
  }
}

function jumped(outMs: number, lastMs: number | undefined): boolean {
  return lastMs !== undefined && (outMs < lastMs - BACKWARD_JUMP_MS || outMs > lastMs + FORWARD_JUMP_MS);
}
