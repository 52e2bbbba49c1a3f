import { EMPTY, writeU24, writeU32 } from '../lib/bytes.ts';
import { FormatError } from '../lib/format-error.ts';
import type { Frame, Metadata } from '../media/frame.ts';
import type { AudioTrack, Track, VideoTrack } from '../media/track.ts';
import { ecmaArray, encodeAmf0 } from './amf0.ts';
import {
  AAC_RAW,
  AAC_SEQUENCE_HEADER,
  AUDIO_FOURCC,
  AUDIO_OF_FOURCC,
  AVC_NALU,
  AVC_SEQUENCE_HEADER,
  EX_AUDIO_MULTITRACK,
  EX_CODED_FRAMES,
  EX_CODED_FRAMES_X,
  EX_ONE_TRACK,
  EX_SEQUENCE_START,
  EX_VIDEO_HEADER,
  EX_VIDEO_MULTITRACK,
  FLV_CODEC_AVC,
  FLV_CODEC_HEVC,
  FLV_FRAME_INTER,
  FLV_FRAME_KEY,
  FLV_SOUND,
  FLV_SOUND_EX_HEADER,
  VIDEO_FOURCC,
} from './flv-codecs.ts';
import { FLV_TAG_AUDIO, FLV_TAG_SCRIPT, FLV_TAG_VIDEO, encodeFlvTag } from './flv-file.ts';
import { encodeRtmpMessage } from './rtmp-chunk-writer.ts';
import { CSID_AUDIO, CSID_DATA, CSID_VIDEO } from './rtmp-message.ts';

/**
 * How HEVC, the one codec with two forms, is written: by E-RTMP's FourCC `hvc1`, or by the codec id 12 that older players
 * read. Codecs known to E-RTMP alone (AV1, VP9, Opus, AC-3, FLAC) have the one form.
 */
export type FlvDialect = 'enhanced' | 'codec-12';

/** Further tracks have a FourCC whatever their codec; G.711 and Speex have none, and come in no multitrack body. */
const FURTHER_AUDIO_FOURCC = new Map([...AUDIO_OF_FOURCC].map(([fourCc, codec]) => [codec, fourCc]));

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

/** The sequence header of a track; undefined for codecs without one (MP3, G.711, Speex, AC-3). */
export function flvSequenceHeader(
  track: Track,
  timestampMs: number,
  dialect: FlvDialect = 'enhanced',
): FlvPayload | undefined {
  if (track.config.length === 0) return undefined;
  const body = track.config;
  if (track.kind === 'video') {
    const head = videoHead(track, true, AVC_SEQUENCE_HEADER, EX_SEQUENCE_START, 0, dialect);
    return { type: FLV_TAG_VIDEO, timestampMs, head, body };
  }
  return { type: FLV_TAG_AUDIO, timestampMs, head: audioHead(track, AAC_SEQUENCE_HEADER, EX_SEQUENCE_START), body };
}

/** A frame. */
export function flvFrame(frame: Frame, dialect: FlvDialect = 'enhanced'): FlvPayload {
  const { track, dtsMs, data } = frame;
  if (track.kind === 'video') {
    const head = videoHead(track, frame.isKey, AVC_NALU, EX_CODED_FRAMES, frame.ptsMs - dtsMs, dialect);
    return { type: FLV_TAG_VIDEO, timestampMs: dtsMs, head, body: data };
  }
  return { type: FLV_TAG_AUDIO, timestampMs: dtsMs, head: audioHead(track, AAC_RAW, EX_CODED_FRAMES), body: data };
}

function videoHead(
  track: VideoTrack,
  isKey: boolean,
  avcPacketType: number,
  exPacketType: number,
  compositionMs: number,
  dialect: FlvDialect,
): Buffer {
  const frameType = (isKey ? FLV_FRAME_KEY : FLV_FRAME_INTER) << 4;
  if (track.index !== undefined) return furtherVideoHead(track, frameType, exPacketType, compositionMs, track.index);
  if (track.codec === 'h264' || (track.codec === 'hevc' && dialect === 'codec-12')) {
    const head = Buffer.allocUnsafe(5);
    head[0] = frameType | (track.codec === 'h264' ? FLV_CODEC_AVC : FLV_CODEC_HEVC);
    head[1] = avcPacketType;
    writeU24(head, compositionMs, 2);
    return head;
  }
  // Only HEVC has composition times here; CodedFramesX spares them where they are 0.
  const timed = exPacketType === EX_CODED_FRAMES && track.codec === 'hevc' && compositionMs !== 0;
  const untimed = exPacketType === EX_CODED_FRAMES && track.codec === 'hevc' ? EX_CODED_FRAMES_X : exPacketType;
  const head = Buffer.allocUnsafe(timed ? 8 : 5);
  head[0] = EX_VIDEO_HEADER | frameType | (timed ? exPacketType : untimed);
  writeU32(head, VIDEO_FOURCC[track.codec], 1);
  if (timed) writeU24(head, compositionMs, 5);
  return head;
}

/** Of a multitrack body with one track. E-RTMP v2, "ExVideoTagHeader", "ExVideoTagBody". */
function furtherVideoHead(
  { codec }: VideoTrack,
  frameType: number,
  exPacketType: number,
  compositionMs: number,
  index: number,
): Buffer {
  const isTimed = exPacketType === EX_CODED_FRAMES && (codec === 'h264' || codec === 'hevc');
  const packetType = isTimed && compositionMs === 0 ? EX_CODED_FRAMES_X : exPacketType;
  const hasTime = isTimed && compositionMs !== 0;
  const head = Buffer.allocUnsafe(hasTime ? 10 : 7);
  head[0] = EX_VIDEO_HEADER | frameType | EX_VIDEO_MULTITRACK;
  writeTrackHead(head, packetType, VIDEO_FOURCC[codec], index);
  if (hasTime) writeU24(head, compositionMs, 7);
  return head;
}

function writeTrackHead(head: Buffer, packetType: number, fourCc: number, index: number): void {
  head[1] = (EX_ONE_TRACK << 4) | packetType;
  writeU32(head, fourCc, 2);
  head[6] = index;
}

function audioHead(track: AudioTrack, aacPacketType: number, exPacketType: number): Buffer {
  if (track.index !== undefined) {
    const head = Buffer.allocUnsafe(7);
    head[0] = (FLV_SOUND_EX_HEADER << 4) | EX_AUDIO_MULTITRACK;
    writeTrackHead(head, exPacketType, FURTHER_AUDIO_FOURCC.get(track.codec) ?? 0, track.index);
    return head;
  }
  const exCode = AUDIO_FOURCC.get(track.codec);
  if (exCode !== undefined) {
    const head = Buffer.allocUnsafe(5);
    head[0] = (FLV_SOUND_EX_HEADER << 4) | exPacketType;
    writeU32(head, exCode, 1);
    return head;
  }
  const format = FLV_SOUND.get(track.codec)! << 4;
  // AAC always says 44 kHz, 16 bits, stereo; players read its configuration. FLV 10.1 §E.4.2.1
  if (track.codec === 'aac') return Buffer.from([format | 0x0f, aacPacketType]);
  return Buffer.from([format | rateBits(track.sampleRate) | 2 | (track.channels > 1 ? 1 : 0)]);
}

/** The nearest of FLV's rates that is not below; MP3 players read the frame's own header. */
function rateBits(sampleRate: number): number {
  if (sampleRate > 22050) return 3 << 2;
  if (sampleRate > 11025) return 2 << 2;
  return sampleRate > 5512 ? 1 << 2 : 0;
}

/** onMetaData with the metadata as an ECMA array; values AMF0 cannot carry are left out. */
export function flvMetadata(metadata: Metadata, timestampMs: number): FlvPayload {
  return { type: FLV_TAG_SCRIPT, timestampMs, head: encodeMetadata(metadata), body: EMPTY };
}

/** A data message as it came: AMF0, name first. */
export function flvData(amf0: Buffer, timestampMs: number): FlvPayload {
  return { type: FLV_TAG_SCRIPT, timestampMs, head: amf0, body: EMPTY };
}

function encodeMetadata(metadata: Metadata): Buffer {
  const whole = Object.assign(Object.create(null) as Record<string, unknown>, metadata);
  try {
    return encodeAmf0('onMetaData', ecmaArray(whole));
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
  }
  for (const key of Object.keys(whole)) {
    try {
      encodeAmf0({ [key]: whole[key] });
    } catch {
      delete whole[key];
    }
  }
  return encodeAmf0('onMetaData', ecmaArray(whole));
}

/** The payload as one RTMP message on the chunk stream of its type; see encodeRtmpMessage. */
export function encodeRtmpMedia(payload: FlvPayload, streamId: number, chunkSize: number): Buffer {
  const { type, timestampMs, head, body } = payload;
  const chunkStreamId = type === FLV_TAG_VIDEO ? CSID_VIDEO : type === FLV_TAG_AUDIO ? CSID_AUDIO : CSID_DATA;
  return encodeRtmpMessage(chunkSize, chunkStreamId, type, streamId, timestampMs, head, body);
}

/** The payload as one FLV tag; see encodeFlvTag. */
export function encodeFlvMedia(payload: FlvPayload): Buffer {
  return encodeFlvTag(payload.type, payload.timestampMs, payload.head, payload.body);
}
