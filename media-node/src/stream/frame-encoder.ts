import type { Frame, Metadata } from '../media/frame.ts';
import type { Track } from '../media/track.ts';

/** What an encoder of one output may read of its stream, at any time. */
export interface EncoderSource {
  /** As they are for the next frame; another array when they change. */
  readonly tracks: readonly Track[];
}

/**
 * Turns frames into one wire format. Pure: no sockets, no timers, no state that a frame changes, so that one encoder
 * serves every player of its format and its output may be given to a player from any frame boundary on. A format that
 * counts its packets has an encoder for each output: see forOutput.
 */
export interface FrameEncoder {
  /** Format and variant, such as `flv` or `rtmp/1`: players whose encoders share an id share the encoded bytes. */
  readonly id: string;
  /**
   * The encoder for players that take more than one track of a kind: while the stream has further tracks (Track.index) they get
   * its bytes, else they share those of the others. Left out: they get the first tracks alone.
   */
  readonly multitrack?: FrameEncoder;
  /**
   * The encoder of one output, with the same id, for formats whose frames change a state: every player of the output gets
   * its bytes, each from some key frame on. Left out, this one serves all outputs.
   */
  forOutput?(source: EncoderSource): FrameEncoder;
  /**
   * What a player gets once, before its first frame: container header, metadata, decoder configurations.
   * `dtsMs` is the decoding time of the first frame that will follow.
   */
  header(tracks: readonly Track[], metadata: Metadata | undefined, dtsMs: number): Buffer;
  /** A decoder configuration in mid-stream: a late track, a changed one, or again after a skip. May be empty. */
  config(track: Track, dtsMs: number): Buffer;
  /** New metadata in mid-stream. May be empty. */
  metadata(metadata: Metadata): Buffer;
  /** A data message beside the media (AMF0, name first), at the time of its neighbours. Left out: the format has none. */
  data?(amf0: Buffer, dtsMs: number): Buffer;
  /** One frame, as whole messages of the format. */
  encode(frame: Frame): Buffer;
}
