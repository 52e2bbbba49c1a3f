import type { Frame, Metadata } from '../media/frame.ts';
import type { Track } from '../media/track.ts';

/**
 * How HEVC, the one codec with two forms, is written: by E-RTMP's FourCC `hvc1`, or by the codec id 12 that older players
 * read. Codecs known to E-RTMP alone (AV1, VP9, Opus, AC-3, FLAC) have the one form.
 */
export type FlvDialect = 'enhanced' | 'codec-12';

/** The payload of one RTMP message or FLV tag in two parts; give both to encodeRtmpMessage or encodeFlvTag. */
export interface FlvPayload {
  /** FLV_TAG_AUDIO, FLV_TAG_VIDEO or FLV_TAG_SCRIPT. */
  readonly type: number;
  readonly timestampMs: number;
  /** The tag body's header. */
  readonly head: Buffer;
  /** The frame's own bytes, not copied. */
  readonly body: Buffer;
}

/** The sequence header of a track; undefined for codecs without one (MP3, G.711, Speex). */
export function flvSequenceHeader(
  track: Track,
  timestampMs: number,
  dialect: FlvDialect = 'enhanced',
): FlvPayload | undefined {
  void [track, timestampMs, dialect];
  throw new Error('to come');
}
/** A frame. */
export function flvFrame(frame: Frame, dialect: FlvDialect = 'enhanced'): FlvPayload {
  void [frame, dialect];
  throw new Error('to come');
}
/** onMetaData with the metadata as an ECMA array; values AMF0 cannot carry are left out. */
export function flvMetadata(metadata: Metadata, timestampMs: number): FlvPayload {
  void [metadata, timestampMs];
  throw new Error('to come');
}
/** The payload as one RTMP message on the chunk stream of its type; see encodeRtmpMessage. */
export function encodeRtmpMedia(payload: FlvPayload, streamId: number, chunkSize: number): Buffer {
  void [payload, streamId, chunkSize];
  throw new Error('to come');
}
/** The payload as one FLV tag; see encodeFlvTag. */
export function encodeFlvMedia(payload: FlvPayload): Buffer {
  void payload;
  throw new Error('to come');
}
