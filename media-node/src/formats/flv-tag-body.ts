import { readI24, readU24, readU32 } from '../lib/bytes.ts';
import { FormatError } from '../lib/format-error.ts';
import type { AudioCodec, VideoCodec } from '../media/track.ts';
import {
  AAC_RAW,
  AAC_SEQUENCE_HEADER,
  AUDIO_OF_FOURCC,
  AVC_NALU,
  AVC_SEQUENCE_HEADER,
  EX_AUDIO_MULTITRACK,
  EX_CODED_FRAMES,
  EX_CODED_FRAMES_X,
  EX_MANY_TRACKS_MANY_CODECS,
  EX_METADATA,
  EX_MOD_EX,
  EX_ONE_TRACK,
  EX_SEQUENCE_START,
  EX_VIDEO_HEADER,
  EX_VIDEO_MULTITRACK,
  FLV_CODEC_AVC,
  FLV_CODEC_HEVC,
  FLV_FRAME_COMMAND,
  FLV_FRAME_KEY,
  FLV_SOUND_AAC,
  FLV_SOUND_EX_HEADER,
  FLV_SOUND_MP3,
  FLV_SOUND_MP3_8K,
  FLV_SOUND_PCMA,
  FLV_SOUND_PCMU,
  FLV_SOUND_SPEEX,
  FOURCC_AVC,
  FOURCC_HEVC,
  VIDEO_OF_FOURCC,
} from './flv-codecs.ts';

/** Kinds of what is not carried on; metrics count by them, so the set stays small and fixed. */
export type IgnoredKind =
  | 'codec' // a codec that no player of ours knows
  | 'track' // a track of E-RTMP's multitrack beside the one with id 0
  | 'empty-config' // a sequence header with nothing in it
  | 'no-config' // a frame before its track's configuration
  | 'data'; // a data message that players do not get: too large, or meant for the server

/** Counts of what was not carried on; grow only. */
export type IgnoredCounts = Record<IgnoredKind, number>;

/** Counts of which none has begun. */
export function noIgnored(): IgnoredCounts {
  return { codec: 0, track: 0, 'empty-config': 0, 'no-config': 0, data: 0 };
}

/** What a tag body carries. */
export type BodyKind =
  | 'config' // a decoder configuration
  | 'frame'
  | 'nothing' // lawful and of no use: an end of sequence, a seek command, an empty body
  | 'unknown'; // lawful perhaps, but not carried on: `ignored` says why

/**
 * One audio or video tag body, read by parseVideoBody or parseAudioBody into an object of the caller's that is used again
 * for each tag: this is done for every frame.
 */
export class TagBody {
  kind: BodyKind = 'nothing';
  videoCodec: VideoCodec = 'h264';
  audioCodec: AudioCodec = 'aac';
  isKey = false;
  /** Presentation minus decoding time, negative where an encoder says so. */
  compositionMs = 0;
  /** Where the configuration or frame begins in the payload, and where it ends. */
  start = 0;
  end = 0;
  /** FLV's own rate and channels, for codecs without a configuration; 0 behind an extended header. */
  sampleRate = 0;
  channels = 0;
  ignored = '';
  ignoredKind: IgnoredKind = 'codec';
  /** Tracks in the body beside the one that is taken. */
  otherTracks = 0;
}

function set(body: TagBody, kind: BodyKind, start: number, end: number): void {
  // An encoder with nothing to say sends a header alone.
  body.kind = start < end ? kind : 'nothing';
  if (start >= end && kind === 'config') ignore(body, 'empty sequence header', 'empty-config');
  body.start = start;
  body.end = end;
}

function ignore(body: TagBody, why: string, kind: IgnoredKind): void {
  body.kind = 'unknown';
  body.ignored = why;
  body.ignoredKind = kind;
}

const FLV_VIDEO_NAMES = ['', 'JPEG', 'Sorenson H.263', 'Screen video', 'VP6', 'VP6 with alpha', 'Screen video 2'];

/** Reads a video tag body. FLV 10.1 §E.4.3, E-RTMP v2. Throws FormatError 'flv'. */
export function parseVideoBody(payload: Buffer, body: TagBody): void {
  body.kind = 'nothing';
  body.otherTracks = 0;
  if (payload.length === 0) return;
  const first = payload[0]!;
  if ((first & EX_VIDEO_HEADER) !== 0) {
    parseExVideo(payload, body);
    return;
  }
  const frameType = first >> 4;
  const codec = first & 15;
  body.isKey = frameType === FLV_FRAME_KEY;
  if (frameType === FLV_FRAME_COMMAND) return;
  if (codec !== FLV_CODEC_AVC && codec !== FLV_CODEC_HEVC) {
    ignore(body, `video codec ${FLV_VIDEO_NAMES[codec] || `id ${codec}`}`, 'codec');
    return;
  }
  body.videoCodec = codec === FLV_CODEC_AVC ? 'h264' : 'hevc';
  need(payload, 5, 'video');
  body.compositionMs = readI24(payload, 2);
  const packetType = payload[1]!;
  if (packetType === AVC_NALU) set(body, 'frame', 5, payload.length);
  else if (packetType === AVC_SEQUENCE_HEADER) set(body, 'config', 5, payload.length);
}

function parseExVideo(payload: Buffer, body: TagBody): void {
  body.isKey = ((payload[0]! >> 4) & 7) === FLV_FRAME_KEY;
  body.compositionMs = 0;
  const ex = readExHeader(payload, EX_VIDEO_MULTITRACK, 'video', body);
  if (ex === undefined) return;
  const codec = VIDEO_OF_FOURCC.get(ex.fourCc);
  if (codec === undefined) {
    ignore(body, 'video codec of an unknown FourCC', 'codec');
    return;
  }
  body.videoCodec = codec;
  let { start } = ex;
  if (ex.packetType === EX_SEQUENCE_START) {
    set(body, 'config', start, ex.end);
  } else if (ex.packetType === EX_CODED_FRAMES || ex.packetType === EX_CODED_FRAMES_X) {
    if (ex.packetType === EX_CODED_FRAMES && (ex.fourCc === FOURCC_AVC || ex.fourCc === FOURCC_HEVC)) {
      need(payload, start + 3, 'video');
      body.compositionMs = readI24(payload, start);
      start += 3;
    }
    set(body, 'frame', start, ex.end);
  }
}

const FLV_SOUND_NAMES = ['PCM', 'ADPCM', 'MP3', 'PCM', 'Nellymoser', 'Nellymoser', 'Nellymoser'];
const FLV_SOUND_RATES = [5512, 11025, 22050, 44100];

/** Reads an audio tag body. FLV 10.1 §E.4.2, E-RTMP v2. Throws FormatError 'flv'. */
export function parseAudioBody(payload: Buffer, body: TagBody): void {
  body.kind = 'nothing';
  body.otherTracks = 0;
  body.isKey = true;
  body.compositionMs = 0;
  if (payload.length === 0) return;
  const first = payload[0]!;
  const format = first >> 4;
  body.sampleRate = FLV_SOUND_RATES[(first >> 2) & 3]!;
  body.channels = (first & 1) + 1;
  switch (format) {
    case FLV_SOUND_AAC:
      body.audioCodec = 'aac';
      need(payload, 2, 'audio');
      if (payload[1] === AAC_RAW) set(body, 'frame', 2, payload.length);
      else if (payload[1] === AAC_SEQUENCE_HEADER) set(body, 'config', 2, payload.length);
      return;
    case FLV_SOUND_MP3:
    case FLV_SOUND_MP3_8K:
      body.audioCodec = 'mp3';
      if (format === FLV_SOUND_MP3_8K) body.sampleRate = 8000;
      break;
    case FLV_SOUND_PCMA:
    case FLV_SOUND_PCMU:
      // G.711 is 8 kHz whatever the rate bits say.
      body.audioCodec = format === FLV_SOUND_PCMA ? 'pcma' : 'pcmu';
      body.sampleRate = 8000;
      break;
    case FLV_SOUND_SPEEX:
      // 16 kHz, one channel, whatever the bits say. §E.4.2.1
      body.audioCodec = 'speex';
      body.sampleRate = 16000;
      body.channels = 1;
      break;
    case FLV_SOUND_EX_HEADER:
      parseExAudio(payload, body);
      return;
    default:
      ignore(body, `audio codec ${FLV_SOUND_NAMES[format] ?? `id ${format}`}`, 'codec');
      return;
  }
  set(body, 'frame', 1, payload.length);
}

function parseExAudio(payload: Buffer, body: TagBody): void {
  body.sampleRate = 0;
  body.channels = 0;
  const ex = readExHeader(payload, EX_AUDIO_MULTITRACK, 'audio', body);
  if (ex === undefined) return;
  const codec = AUDIO_OF_FOURCC.get(ex.fourCc);
  if (codec === undefined) {
    ignore(body, 'audio codec of an unknown FourCC', 'codec');
    return;
  }
  body.audioCodec = codec;
  if (ex.packetType === EX_SEQUENCE_START) set(body, 'config', ex.start, ex.end);
  else if (ex.packetType === EX_CODED_FRAMES) set(body, 'frame', ex.start, ex.end);
}

interface ExHeader {
  readonly packetType: number;
  readonly fourCc: number;
  readonly start: number;
  readonly end: number;
}

/**
 * Reads E-RTMP's extended header, alike for audio and video: ModEx packets (passed over: the one kind there is adds
 * nanoseconds to times that we keep in milliseconds), the multitrack wrapper (the track with id 0 is taken, the others
 * are counted), FourCC. Undefined where nothing of use follows: other tracks, a video command.
 */
function readExHeader(payload: Buffer, multitrackType: number, what: string, body: TagBody): ExHeader | undefined {
  let packetType = payload[0]! & 15;
  let offset = 1;
  while (packetType === EX_MOD_EX) {
    need(payload, offset + 1, what);
    let size = payload[offset]! + 1;
    offset += 1;
    if (size === 256) {
      need(payload, offset + 2, what);
      size = payload.readUInt16BE(offset) + 1;
      offset += 2;
    }
    need(payload, offset + size + 1, what);
    packetType = payload[offset + size]! & 15;
    offset += size + 1;
  }
  const isCommand = what === 'video' && ((payload[0]! >> 4) & 7) === FLV_FRAME_COMMAND;
  if (isCommand && packetType !== EX_METADATA) return undefined;
  if (packetType !== multitrackType) {
    need(payload, offset + 4, what);
    return { packetType, fourCc: readU32(payload, offset), start: offset + 4, end: payload.length };
  }
  need(payload, offset + 1, what);
  const arrangement = payload[offset]! >> 4;
  packetType = payload[offset]! & 15;
  offset += 1;
  let fourCc = 0;
  if (arrangement !== EX_MANY_TRACKS_MANY_CODECS) {
    need(payload, offset + 4, what);
    fourCc = readU32(payload, offset);
    offset += 4;
  }
  let taken: ExHeader | undefined;
  while (offset < payload.length) {
    if (arrangement === EX_MANY_TRACKS_MANY_CODECS) {
      need(payload, offset + 4, what);
      fourCc = readU32(payload, offset);
      offset += 4;
    }
    need(payload, offset + 1, what);
    const trackId = payload[offset]!;
    offset += 1;
    let end = payload.length;
    if (arrangement !== EX_ONE_TRACK) {
      need(payload, offset + 3, what);
      end = offset + 3 + readU24(payload, offset);
      offset += 3;
      need(payload, end, what);
    }
    if (trackId === 0 && taken === undefined) taken = { packetType, fourCc, start: offset, end };
    else body.otherTracks += 1;
    offset = end;
  }
  return taken;
}

function need(payload: Buffer, length: number, what: string): void {
  if (payload.length < length) {
    throw new FormatError('flv', `FLV ${what} tag of ${payload.length} bytes ends within its header`);
  }
}
