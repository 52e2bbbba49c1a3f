import type { Track } from '../media/track.ts';

/** A track's clock that goes back by more than this has jumped; less is jitter and is squeezed. */
const BACKWARD_JUMP_MS = 250;
/** A track's clock that goes on by more than this has jumped: viewers would freeze for that long. */
const FORWARD_JUMP_MS = 3_000;
const LONGEST_FRAME_MS = 100;

interface Clock {
  /** What is added to incoming times; undefined until the track's first frame after a seam. */
  offsetMs: number | undefined;
  lastOutMs: number | undefined;
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
    video: { offsetMs: undefined, lastOutMs: undefined, frameMs: 40 },
    audio: { offsetMs: undefined, lastOutMs: undefined, frameMs: 23 },
  };
  #offsetMs: number | undefined;
  /** Incoming time of the seam's first frame: what is older belongs before the seam and is dropped. */
  #seamMs = -Infinity;

  /** The next frame comes from another source, whose clock has nothing to do with the present one. */
  seam(): void {
    this.#offsetMs = undefined;
    this.#clocks.video.offsetMs = undefined;
    this.#clocks.audio.offsetMs = undefined;
  }

  /** Maps the decoding time of the next frame of a track; undefined when the frame has to be dropped. */
  map(kind: Track['kind'], dtsMs: number): number | undefined {
    const clock = this.#clocks[kind];
    if (this.#offsetMs === undefined) this.#begin(clock, dtsMs);
    if (clock.offsetMs === undefined) {
      if (dtsMs < this.#seamMs && this.#seamMs - dtsMs < FORWARD_JUMP_MS) return undefined;
      clock.offsetMs = this.#offsetMs ?? 0;
    }
    let outMs = dtsMs + clock.offsetMs;
    if (jumped(outMs, clock.lastOutMs ?? this.lastMs)) outMs = this.#rejoin(clock, dtsMs);
    const lastMs = clock.lastOutMs;
    if (lastMs !== undefined) {
      if (outMs <= lastMs) outMs = lastMs + 1;
      const gapMs = outMs - lastMs;
      if (gapMs <= LONGEST_FRAME_MS) clock.frameMs = gapMs;
    }
    clock.lastOutMs = outMs;
    if (this.lastMs === undefined || outMs > this.lastMs) this.lastMs = outMs;
    return outMs;
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
