import type { Frame, Metadata } from '../media/frame.ts';
import type { Track } from '../media/track.ts';

/**
 * Turns frames into one wire format. Pure: no sockets, no timers, no state that a frame changes, so that one encoder
 * serves every player of its format and its output may be given to a player from any frame boundary on.
 */
export interface FrameEncoder {
  /** Format and variant, such as `flv` or `rtmp/1`: players whose encoders share an id share the encoded bytes. */
  readonly id: string;
  /**
   * What a player gets once, before its first frame: container header, metadata, decoder configurations.
   * `dtsMs` is the decoding time of the first frame that will follow.
   */
  header(tracks: readonly Track[], metadata: Metadata | undefined, dtsMs: number): Buffer;
  /** A decoder configuration in mid-stream: a late track, a changed one, or again after a skip. May be empty. */
  config(track: Track, dtsMs: number): Buffer;
  /** New metadata in mid-stream. May be empty. */
  metadata(metadata: Metadata): Buffer;
  /** One frame, as whole messages of the format. */
  encode(frame: Frame): Buffer;
}
