import { httpChunk } from '../../http/endless-body.ts';
import { EMPTY } from '../../lib/bytes.ts';
import type { Frame, Metadata } from '../../media/frame.ts';
import type { Track } from '../../media/track.ts';
import type { EncoderSource, FrameEncoder } from '../../stream/frame-encoder.ts';

/**
 * The same format, whatever goes out in an HTTP chunk of its own: about 9 bytes more a frame, and whatever is cut out of
 * the stream between frames is a piece of a chunked body, so that viewers share it with its framing.
 */
export class ChunkedEncoder implements FrameEncoder {
  readonly id: string;
  readonly forOutput?: (source: EncoderSource) => FrameEncoder;
  readonly data?: NonNullable<FrameEncoder['data']>;
  readonly #inner: FrameEncoder;

  constructor(inner: FrameEncoder) {
    this.#inner = inner;
    this.id = `${inner.id}/chunked`;
    if (inner.forOutput !== undefined) this.forOutput = (source) => new ChunkedEncoder(inner.forOutput!(source));
    if (inner.data !== undefined) this.data = (amf0, dtsMs) => chunkOrNothing(inner.data!(amf0, dtsMs));
  }

  header(tracks: readonly Track[], metadata: Metadata | undefined, dtsMs: number): Buffer {
    return chunkOrNothing(this.#inner.header(tracks, metadata, dtsMs));
  }

  config(track: Track, dtsMs: number): Buffer {
    return chunkOrNothing(this.#inner.config(track, dtsMs));
  }

  metadata(metadata: Metadata): Buffer {
    return chunkOrNothing(this.#inner.metadata(metadata));
  }

  encode(frame: Frame): Buffer {
    return chunkOrNothing(this.#inner.encode(frame));
  }
}

/** An empty chunk would end the body. */
function chunkOrNothing(bytes: Buffer): Buffer {
  return bytes.length === 0 ? EMPTY : httpChunk(bytes);
}
