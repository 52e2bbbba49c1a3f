import type { Socket } from 'node:net';
import type { FrameEncoder } from './frame-encoder.ts';
import type { Protocol } from './publisher.ts';

/** How a player wants its stream; from the Vhost's `play`. */
export interface PlayOptions {
  /** Begin at the last key frame instead of the next one. */
  readonly gopCache: boolean;
  /** Media that may wait in the player's socket, in milliseconds; past it the player skips to a key frame. */
  readonly queueLengthMs: number;
}

/**
 * One receiver of a stream: a viewer, or another node (`isRelay`), which metrics do not count as a viewer and which is
 * closed when the stream's publisher leaves and nobody holds the stream, so that its node looks up the owner again.
 */
export interface Player {
  readonly id: string;
  readonly protocol: Protocol;
  readonly ip: string;
  readonly isRelay: boolean;
  readonly encoder: FrameEncoder;
  readonly options: PlayOptions;
  /** Bytes handed to `write` and not yet taken by the kernel. */
  readonly writableLength: number;
  /**
   * Where `write` puts the bytes, as they are: shared ones may be sent there past it while nothing waits. Undefined where they
   * have to go through `write`.
   */
  readonly socket: Socket | undefined;
  /** Queues bytes that many players share: never changes them. Must not throw. */
  write(bytes: Buffer): void;
  /** Ends the session behind it; idempotent. */
  close(reason: string): void;
}

/** Counts of one player; grow only. */
export interface PlayerStats {
  readonly bytesOut: number;
  /** Times it was too slow and skipped to a later key frame. */
  readonly skips: number;
  /** Frames it did not get because of that. */
  readonly framesSkipped: number;
}

/** A player's place in a stream, from `Stream.play`. */
export interface Playback {
  readonly player: Player;
  readonly startedAtMs: number;
  /** Milliseconds of media that wait in its socket now. */
  readonly queuedMs: number;
  stats(): PlayerStats;
  /** Stops the media; nothing is queued meanwhile. */
  pause(): void;
  /** Goes on at the next key frame. */
  resume(): void;
  /** Leaves the stream; idempotent. Does not close the player. */
  leave(): void;
}
