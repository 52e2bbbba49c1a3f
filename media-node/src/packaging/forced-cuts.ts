import type { Logger } from 'pino';
import type { KeyFramesTooFar } from '#contract/admin-api.ts';
import type { SegmentEnd } from './segmenter.ts';

/** A GOP that has been cut so often is told of before its end, which may never come. */
const MOST_CUTS_UNTOLD = 3;

/** What a segment was to be. */
export interface SegmentAims {
  readonly seq: number;
  readonly targetDurationS: number;
  readonly fragmentMs: number;
}

/** Tells that an encoder's key frames are too far from each other: segments are cut between them. */
export class ForcedCuts {
  readonly #log: Logger;
  readonly #onLongGop: (detail: KeyFramesTooFar) => void;
  /** In a row, without a key frame between. */
  #count = 0;

  constructor(log: Logger, onLongGop: (detail: KeyFramesTooFar) => void) {
    this.#log = log;
    this.#onLongGop = onLongGop;
  }

  /** A segment is complete. */
  add({ isForced, cutGopMs: keyFrameDistanceMs }: SegmentEnd, { seq, targetDurationS, fragmentMs }: SegmentAims): void {
    this.#count = isForced ? this.#count + 1 : 0;
    if (this.#count === 1) {
      const keyframeIntervalS = fragmentMs / 1_000;
      this.#log.warn(
        { seq, targetDurationS, keyframeIntervalS },
        "HLS segment cut without a key frame: the encoder's GOP is longer than the target duration; set its keyframe interval to keyframeIntervalS",
      );
    }
    const targetDurationMs = targetDurationS * 1_000;
    // A segment may also be cut because it is too large.
    if (keyFrameDistanceMs === undefined || keyFrameDistanceMs <= targetDurationMs) return;
    if (isForced && this.#count < MOST_CUTS_UNTOLD) return;
    this.#onLongGop({ keyFrameDistanceMs, targetDurationMs, fragmentMs });
  }
}
