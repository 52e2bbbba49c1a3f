import type { Track } from './track.ts';

/**
 * Turns a publisher's 32-bit millisecond timestamps into a stream's own: 32-bit wrap unrolled, strictly increasing within
 * a kind of track, a jump backwards (an encoder that starts over) goes on after the last frame for both kinds alike.
 */
export class StreamClock {
  /**
   * `startMs`: the time to give the first timestamp, for a publisher that goes on in a stream that already has frames;
   * without it the first timestamp is kept as it is.
   */
  constructor(startMs?: number) {
    void startMs;
  }

  /** The stream time of a frame with this unsigned 32-bit timestamp. Call once a frame, in wire order. */
  dtsMs(kind: Track['kind'], timestamp: number): number {
    void kind;
    void timestamp;
    throw new Error('to come');
  }
}
