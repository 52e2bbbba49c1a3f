import { encodeRtmpMedia, flvData, flvFrame, flvMetadata, flvSequenceHeader } from '../../formats/flv-muxer.ts';
import type { FlvPayload } from '../../formats/flv-muxer.ts';
import { RTMP_OUT_CHUNK_SIZE } from '../../formats/rtmp-chunk-writer.ts';
import { EMPTY } from '../../lib/bytes.ts';
import type { Frame, Metadata } from '../../media/frame.ts';
import type { Track } from '../../media/track.ts';
import type { FrameEncoder } from '../../stream/frame-encoder.ts';

export interface RtmpForm {
  /** For players that want one kind of media alone, or nothing but metadata. */
  readonly only?: Track['kind'] | 'none' | undefined;
  /** See FrameEncoder; default: of the stream id and `only`. */
  readonly id?: string;
  readonly multitrack?: FrameEncoder | undefined;
}

/**
 * Frames as RTMP messages that any connection can send whose chunk size is RTMP_OUT_CHUNK_SIZE and whose message stream is
 * `streamId`: each message begins with a type 0 header, so its bytes depend on nothing sent before.
 */
export class RtmpEncoder implements FrameEncoder {
  readonly id: string;
  readonly multitrack?: FrameEncoder;
  readonly #streamId: number;
  readonly #only: Track['kind'] | 'none' | undefined;

  constructor(streamId: number, { only, id, multitrack }: RtmpForm = {}) {
    this.id = id ?? (only === undefined ? `rtmp/${streamId}` : `rtmp/${streamId}/${only}`);
    this.#streamId = streamId;
    this.#only = only;
    if (multitrack !== undefined) this.multitrack = multitrack;
  }

  header(tracks: readonly Track[], metadata: Metadata | undefined, dtsMs: number): Buffer {
    const parts = tracks.map((track) => this.config(track, dtsMs));
    if (metadata !== undefined) parts.unshift(this.metadata(metadata));
    return Buffer.concat(parts);
  }

  config(track: Track, dtsMs: number): Buffer {
    if (this.#leavesOut(track)) return EMPTY;
    const payload = flvSequenceHeader(track, dtsMs);
    return payload === undefined ? EMPTY : this.#encode(payload);
  }

  /** At time 0 wherever it comes: ffmpeg takes metadata of any other time for a subtitle track. */
  metadata(metadata: Metadata): Buffer {
    return this.#encode(flvMetadata(metadata, 0));
  }

  data(amf0: Buffer, dtsMs: number): Buffer {
    return this.#encode(flvData(amf0, dtsMs));
  }

  encode(frame: Frame): Buffer {
    return this.#leavesOut(frame.track) ? EMPTY : this.#encode(flvFrame(frame));
  }

  #leavesOut(track: Track): boolean {
    return this.#only !== undefined && track.kind !== this.#only;
  }

  #encode(payload: FlvPayload): Buffer {
    return encodeRtmpMedia(payload, this.#streamId, RTMP_OUT_CHUNK_SIZE);
  }
}
