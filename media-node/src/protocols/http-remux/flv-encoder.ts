import { encodeFlvHeader } from '../../formats/flv-file.ts';
import { encodeFlvMedia, flvData, flvFrame, flvMetadata, flvSequenceHeader } from '../../formats/flv-muxer.ts';
import { EMPTY } from '../../lib/bytes.ts';
import type { Frame, Metadata } from '../../media/frame.ts';
import type { Track } from '../../media/track.ts';
import type { FrameEncoder } from '../../stream/frame-encoder.ts';

/** Frames as FLV tags. */
export const FLV_ENCODER: FrameEncoder = {
  id: 'flv',

  header(tracks: readonly Track[], metadata: Metadata | undefined, dtsMs: number): Buffer {
    const has = (kind: Track['kind']): boolean => tracks.some((track) => track.kind === kind);
    return Buffer.concat([
      encodeFlvHeader(has('audio'), has('video')),
      metadata === undefined ? EMPTY : FLV_ENCODER.metadata(metadata),
      ...tracks.map((track) => FLV_ENCODER.config(track, dtsMs)),
    ]);
  },

  config(track: Track, dtsMs: number): Buffer {
    const payload = flvSequenceHeader(track, dtsMs);
    return payload === undefined ? EMPTY : encodeFlvMedia(payload);
  },

  /** At time 0 wherever it comes: ffmpeg takes metadata of any other time for a subtitle track. */
  metadata(metadata: Metadata): Buffer {
    return encodeFlvMedia(flvMetadata(metadata, 0));
  },

  data(amf0: Buffer, dtsMs: number): Buffer {
    return encodeFlvMedia(flvData(amf0, dtsMs));
  },

  encode(frame: Frame): Buffer {
    return encodeFlvMedia(flvFrame(frame));
  },
};
