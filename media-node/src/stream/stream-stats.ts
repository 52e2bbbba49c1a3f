import type { Protocol } from './publisher.ts';

/** Counts of one stream since it was made; grow only, except viewers and relays, which are those there now. */
export interface StreamStats {
  readonly framesIn: number;
  /** Bytes of media handed in by publishers (frames, without the wire's overhead). */
  readonly bytesIn: number;
  /** Bytes handed to players' sockets. */
  readonly bytesOut: number;
  /** Frames that no player could use: before the first key frame, or at a seam. */
  readonly framesDropped: number;
  readonly skips: number;
  readonly framesSkipped: number;
  /** Publishers that went on where another had been. */
  readonly seams: number;
  /** Jumps of a publisher's clock that were smoothed. */
  readonly discontinuities: number;
  /** Viewers now, by protocol; relays apart. */
  readonly viewers: Readonly<Record<Protocol, number>>;
  readonly relays: number;
}
