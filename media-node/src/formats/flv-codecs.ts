import { fourCc } from '../lib/bytes.ts';
import type { AudioCodec, VideoCodec } from '../media/track.ts';

/*
 * The numbers of FLV's audio and video tag bodies: FLV 10.1 §E.4.2 and §E.4.3, Enhanced RTMP v2 ("E-RTMP") for what
 * begins with an extended header.
 */

/** Codec ids of video tags; 12 for HEVC is no standard's but widespread. */
export const FLV_CODEC_AVC = 7;
export const FLV_CODEC_HEVC = 12;
/** Frame types of video tags. */
export const FLV_FRAME_KEY = 1;
export const FLV_FRAME_INTER = 2;
export const FLV_FRAME_COMMAND = 5;
/** AVCPacketType. */
export const AVC_SEQUENCE_HEADER = 0;
export const AVC_NALU = 1;
export const AVC_END_OF_SEQUENCE = 2;

/** Sound formats of audio tags. */
export const FLV_SOUND_MP3 = 2;
export const FLV_SOUND_PCMA = 7;
export const FLV_SOUND_PCMU = 8;
export const FLV_SOUND_EX_HEADER = 9;
export const FLV_SOUND_AAC = 10;
export const FLV_SOUND_SPEEX = 11;
export const FLV_SOUND_MP3_8K = 14;
/** AACPacketType. */
export const AAC_SEQUENCE_HEADER = 0;
export const AAC_RAW = 1;

/** Set in a video tag's first byte where E-RTMP's extended header follows. */
export const EX_VIDEO_HEADER = 0x80;
/** E-RTMP packet types, audio and video alike but for CodedFramesX (video). */
export const EX_SEQUENCE_START = 0;
export const EX_CODED_FRAMES = 1;
export const EX_SEQUENCE_END = 2;
export const EX_CODED_FRAMES_X = 3;
export const EX_METADATA = 4;
export const EX_VIDEO_MULTITRACK = 6;
export const EX_AUDIO_MULTITRACK = 5;
export const EX_MOD_EX = 7;
/** AvMultitrackType. */
export const EX_ONE_TRACK = 0;
export const EX_MANY_TRACKS_MANY_CODECS = 2;

export const FOURCC_AVC = fourCc('avc1');
export const FOURCC_HEVC = fourCc('hvc1');
export const FOURCC_AV1 = fourCc('av01');
export const FOURCC_VP9 = fourCc('vp09');
export const FOURCC_AAC = fourCc('mp4a');
export const FOURCC_MP3 = fourCc('.mp3');
export const FOURCC_OPUS = fourCc('Opus');
export const FOURCC_FLAC = fourCc('fLaC');
export const FOURCC_AC3 = fourCc('ac-3');
export const FOURCC_EAC3 = fourCc('ec-3');

export const VIDEO_FOURCC: Readonly<Record<VideoCodec, number>> = {
  h264: FOURCC_AVC,
  hevc: FOURCC_HEVC,
  av1: FOURCC_AV1,
  vp9: FOURCC_VP9,
};

/** Codecs that E-RTMP alone carries; the others keep FLV's own sound formats. */
export const AUDIO_FOURCC: ReadonlyMap<AudioCodec, number> = new Map([
  ['opus', FOURCC_OPUS],
  ['flac', FOURCC_FLAC],
  ['ac3', FOURCC_AC3],
  ['eac3', FOURCC_EAC3],
]);

export const FLV_SOUND: ReadonlyMap<AudioCodec, number> = new Map([
  ['aac', FLV_SOUND_AAC],
  ['mp3', FLV_SOUND_MP3],
  ['pcma', FLV_SOUND_PCMA],
  ['pcmu', FLV_SOUND_PCMU],
  ['speex', FLV_SOUND_SPEEX],
]);

/** Codecs of E-RTMP's video FourCCs that we carry. */
export const VIDEO_OF_FOURCC: ReadonlyMap<number, VideoCodec> = new Map([
  [FOURCC_AVC, 'h264'],
  [FOURCC_HEVC, 'hevc'],
  [FOURCC_AV1, 'av1'],
  [FOURCC_VP9, 'vp9'],
]);

/** Codecs of E-RTMP's audio FourCCs that we carry. */
export const AUDIO_OF_FOURCC: ReadonlyMap<number, AudioCodec> = new Map([
  [FOURCC_AAC, 'aac'],
  [FOURCC_MP3, 'mp3'],
  [FOURCC_OPUS, 'opus'],
  [FOURCC_FLAC, 'flac'],
  [FOURCC_AC3, 'ac3'],
  [FOURCC_EAC3, 'eac3'],
]);
