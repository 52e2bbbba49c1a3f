import type { Metadata } from '../media/frame.ts';
import type { Track } from '../media/track.ts';
import type { Playback, Player } from './player.ts';
import type { Ingest, Protocol, Publisher } from './publisher.ts';
import type { StreamKey } from './stream-key.ts';

/** Counts of one stream since it was made; grow only, except the ones that say "now". */
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
  /** Publishers that took the place of another in a running stream, and jumps of their clocks that were smoothed. */
  readonly seams: number;
  readonly discontinuities: number;
  /** Viewers now, by protocol; relays apart. */
  readonly viewers: Readonly<Record<Protocol, number>>;
  readonly relays: number;
}

export declare class Stream {
  readonly key: StreamKey;
  /** The source now, if any. */
  readonly publisher: Publisher | undefined;
  /** When the present publisher attached, by the clock in ms; undefined without one. */
  readonly publishedAtMs: number | undefined;
  readonly tracks: readonly Track[];
  readonly metadata: Metadata | undefined;
  /** Players with their places; a snapshot. */
  playbacks(): readonly Playback[];
  /** Players, no encoder: see StreamDemand. */
  readonly isWanted: boolean;
  /**
   * Makes `publisher` the source. An encoder closes and replaces whoever is there (the Gate has decided before); a relay
   * replaces a relay. Throws StreamError `busy` for a relay where an encoder is, `closed` on a dropped stream.
   */
  attach(publisher: Publisher): Ingest;
  /** Adds a player; without a publisher it waits. Throws StreamError `closed` on a dropped stream. */
  play(player: Player): Playback;
  /** Keeps the stream registered until the returned function is called (idempotent). */
  hold(): () => void;
  stats(): StreamStats;
}
