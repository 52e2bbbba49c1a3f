import type { Frame, Metadata } from '../media/frame.ts';
import type { Track } from '../media/track.ts';
import type { Stream } from './stream.ts';

/**
 * Somebody on this node who wants a stream's frames themselves, not a wire format's bytes: a packager, a recorder. It is no
 * viewer and no demand. Calls are synchronous, in order, and must not throw; frames are shared and read-only.
 */
export interface StreamObserver {
  /** How much later than they came it bears to get frames; default 100 ms. Asked when it begins. */
  readonly mostDelayMs?: number;
  /** The tracks from the next frame on, at most one of a kind; at once with the present ones, where there are any. */
  onTracks(tracks: readonly Track[]): void;
  /** Its times always go on, strictly rising within a track, whatever `play.atc` says. */
  onFrame(frame: Frame): void;
  onMetadata(metadata: Metadata): void;
  /** The next frame does not continue the last one: another publisher, or a publisher's clock that jumped. */
  onSeam(): void;
}

/**
 * Told when an encoder begins to publish a stream on this node, and when the last one has left and nobody's return is waited
 * for (`publish.grace`). Calls alternate for each stream, beginning with onSource; before the first frame.
 */
export interface SourceListener {
  onSource(stream: Stream): void;
  onSourceGone(stream: Stream): void;
}

/** A viewer without a lasting connection, such as one of HLS, from `Stream.attend`. */
export interface Attendance {
  /** Says that it was sent so many bytes more. */
  sent(bytes: number): void;
  /** Idempotent. */
  leave(): void;
}
