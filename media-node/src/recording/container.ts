import type { Frame, Metadata } from '../media/frame.ts';
import type { Track } from '../media/track.ts';
import { FlvContainer } from './flv-container.ts';
import { Mp4Container } from './mp4-container.ts';
import type { RecordingFormat } from './recording-path.ts';

/** Bytes that replace as many at a place of a file that has been written. */
export interface Patch {
  readonly position: number;
  readonly bytes: Buffer;
}

/** Turns the frames of one recording into the bytes of its file. Pure. */
export interface Container {
  /** Tracks of the stream that the file has. */
  readonly tracks: readonly Track[];
  /** Takes a frame; those of other tracks, or from before the file's beginning, are passed over. */
  frame(frame: Frame): void;
  /**
   * What can be written: whole units (tags, fragments), so that a file which ends behind any of them is whole. The header
   * comes with the first call.
   */
  take(): Buffer[];
  /** Makes units of all the frames there are; take() then gives them. */
  end(): void;
  /** What the header says once the file's length is known; its bytes lie in what the first take() gave. */
  patch(fileBytes: number): Patch | undefined;
  /** Milliseconds from the first frame to the end of the last one. */
  readonly durationMs: number;
}

/** Begins a file whose time 0 is `originMs` of the stream. Throws RecordingError `no-track`. */
export function makeContainer(
  format: RecordingFormat,
  tracks: readonly Track[],
  metadata: Metadata | undefined,
  originMs: number,
): Container {
  return format === 'mp4' ? new Mp4Container(tracks, originMs) : new FlvContainer(tracks, metadata, originMs);
}
