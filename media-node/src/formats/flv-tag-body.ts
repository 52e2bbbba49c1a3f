import { readI24, readU24, readU32 } from '../lib/bytes.ts';
import { FormatError } from '../lib/format-error.ts';
import type { AudioCodec, VideoCodec } from '../media/track.ts';
import { MOST_TRACKS } from '../media/track.ts';
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
  | 'track' // one track too many of E-RTMP's multitrack
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
  /** E-RTMP's trackId: 0 outside of multitrack. */
  trackIndex = 0;
  /** Where the next track of a multitrack body begins in the payload; 0: there is none. */
  next = 0;
  /** Of the extended header. */
  packetType = 0;
  fourCc = 0;
  arrangement = 0;
  /** Tracks of this body that were read. */
  tracks = 0;
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

export const TOO_MANY_TRACKS = `more than ${MOST_TRACKS} tracks`;

const FLV_VIDEO_NAMES = ['', 'JPEG', 'Sorenson H.263', 'Screen video', 'VP6', 'VP6 with alpha', 'Screen video 2'];

/**
 * Reads a video tag body, of a multitrack one the first track: parseNextVideo reads the others. FLV 10.1 §E.4.3, E-RTMP v2.
 * Throws FormatError 'flv'.
 */
export function parseVideoBody(payload: Buffer, body: TagBody): void {
  body.kind = 'nothing';
  body.trackIndex = 0;
  body.next = 0;
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
  if (readExHeader(payload, EX_VIDEO_MULTITRACK, 'video', body)) takeExVideo(payload, body);
}

/** Reads the track at `body.next`, which is not 0, of a video body that parseVideoBody has begun. Throws FormatError 'flv'. */
export function parseNextVideo(payload: Buffer, body: TagBody): void {
  body.kind = 'nothing';
  if (readTrack(payload, 'video', body)) takeExVideo(payload, body);
}

function takeExVideo(payload: Buffer, body: TagBody): void {
  const { packetType, fourCc, end } = body;
  body.compositionMs = 0;
  const codec = VIDEO_OF_FOURCC.get(fourCc);
  if (codec === undefined) {
    ignore(body, 'video codec of an unknown FourCC', 'codec');
    return;
  }
  body.videoCodec = codec;
  let { start } = body;
  if (packetType === EX_SEQUENCE_START) {
    set(body, 'config', start, end);
  } else if (packetType === EX_CODED_FRAMES || packetType === EX_CODED_FRAMES_X) {
    if (packetType === EX_CODED_FRAMES && (fourCc === FOURCC_AVC || fourCc === FOURCC_HEVC)) {
      need(payload, start + 3, 'video');
      body.compositionMs = readI24(payload, start);
      start += 3;
    }
    set(body, 'frame', start, end);
  }
}

const FLV_SOUND_NAMES = ['PCM', 'ADPCM', 'MP3', 'PCM', 'Nellymoser', 'Nellymoser', 'Nellymoser'];
const FLV_SOUND_RATES = [5512, 11025, 22050, 44100];

/**
 * Reads an audio tag body, of a multitrack one the first track: parseNextAudio reads the others. FLV 10.1 §E.4.2, E-RTMP v2.
 * Throws FormatError 'flv'.
 */
export function parseAudioBody(payload: Buffer, body: TagBody): void {
  body.kind = 'nothing';
  body.trackIndex = 0;
  body.next = 0;
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
  if (readExHeader(payload, EX_AUDIO_MULTITRACK, 'audio', body)) takeExAudio(body);
}

/** Reads the track at `body.next`, which is not 0, of an audio body that parseAudioBody has begun. Throws FormatError 'flv'. */
export function parseNextAudio(payload: Buffer, body: TagBody): void {
  body.kind = 'nothing';
  if (readTrack(payload, 'audio', body)) takeExAudio(body);
}

function takeExAudio(body: TagBody): void {
  const { packetType, start, end } = body;
  const codec = AUDIO_OF_FOURCC.get(body.fourCc);
  if (codec === undefined) {
    ignore(body, 'audio codec of an unknown FourCC', 'codec');
    return;
  }
  body.audioCodec = codec;
  if (packetType === EX_SEQUENCE_START) set(body, 'config', start, end);
  else if (packetType === EX_CODED_FRAMES) set(body, 'frame', start, end);
}

/**
 * Reads E-RTMP's extended header, alike for audio and video: ModEx packets (passed over: the one kind there is adds
 * nanoseconds to times that we keep in milliseconds), the multitrack wrapper up to its first track, FourCC. False where
 * nothing of use follows, or `ignored` says why.
 */
function readExHeader(payload: Buffer, multitrackType: number, what: string, body: TagBody): boolean {
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
  if (isCommand && packetType !== EX_METADATA) return false;
  if (packetType !== multitrackType) {
    need(payload, offset + 4, what);
    body.packetType = packetType;
    body.fourCc = readU32(payload, offset);
    body.start = offset + 4;
    body.end = payload.length;
    return true;
  }
  need(payload, offset + 1, what);
  body.arrangement = payload[offset]! >> 4;
  body.packetType = payload[offset]! & 15;
  body.tracks = 0;
  offset += 1;
  if (body.arrangement > EX_MANY_TRACKS_MANY_CODECS) {
    ignore(body, 'multitrack of an unknown type', 'track');
    return false;
  }
  if (body.arrangement !== EX_MANY_TRACKS_MANY_CODECS) {
    need(payload, offset + 4, what);
    body.fourCc = readU32(payload, offset);
    offset += 4;
  }
  if (offset === payload.length) return false;
  body.next = offset;
  return readTrack(payload, what, body);
}

/** Reads what stands before the track at `body.next`; false where it is one too many, which ends the body. */
function readTrack(payload: Buffer, what: string, body: TagBody): boolean {
  let offset = body.next;
  body.next = 0;
  body.tracks += 1;
  if (body.tracks > MOST_TRACKS) {
    // They may be of no size: a few megabytes of them would be a million frames.
    ignore(body, TOO_MANY_TRACKS, 'track');
    return false;
  }
  if (body.arrangement === EX_MANY_TRACKS_MANY_CODECS) {
    need(payload, offset + 4, what);
    body.fourCc = readU32(payload, offset);
    offset += 4;
  }
  need(payload, offset + 1, what);
  body.trackIndex = payload[offset]!;
  offset += 1;
  let end = payload.length;
  if (body.arrangement !== EX_ONE_TRACK) {
    need(payload, offset + 3, what);
    end = offset + 3 + readU24(payload, offset);
    offset += 3;
    need(payload, end, what);
  }
  body.start = offset;
  body.end = end;
  if (end < payload.length) body.next = end;
  return true;
}

function need(payload: Buffer, length: number, what: string): void {
  if (payload.length < length) {
    throw new FormatError('flv', `FLV ${what} tag of ${payload.length} bytes ends within its header`);
  }
}
