import { makeAudioTrack, makeVideoTrack } from '../media/codecs/make-track.ts';
import type { Frame } from '../media/frame.ts';
import type { AudioTrack, VideoTrack } from '../media/track.ts';

/* Media for the tests of this folder: it can be muxed, and decoders find nothing in it but parameter sets. */

const SPS = Buffer.from('674d400deca0a8cf11360220000003002000000641e28532c0', 'hex');
const PPS = Buffer.from('68ebe3cb20', 'hex');

/** H.264, 4-byte lengths; another `id` has another configuration. */
export function videoTrack(id = 1): VideoTrack {
  const avcC = Buffer.concat([
    Buffer.from([1, 0x4d, 0x40, 0x0d, 0xff, 0xe1, 0, SPS.length]),
    SPS,
    Buffer.from([id === 1 ? 1 : 2, 0, PPS.length]),
    PPS,
    ...(id === 1 ? [] : [Buffer.from([0, PPS.length + 1]), PPS, Buffer.from([id & 255])]),
  ]);
  return makeVideoTrack(id, 'h264', avcC);
}

/** AAC-LC of 48 kHz, stereo; another `id` is mono. */
export function audioTrack(id = 2): AudioTrack {
  return makeAudioTrack(id, 'aac', Buffer.from(id === 2 ? '1190' : '1188', 'hex'));
}

export const VIDEO = videoTrack();
export const AUDIO = audioTrack();

/** `bytes`: of its one NAL unit. */
export function video(dtsMs: number, isKey = false, track: VideoTrack = VIDEO, bytes = isKey ? 200 : 50): Frame {
  const data = Buffer.alloc(4 + bytes, 0x55);
  data.writeUInt32BE(bytes, 0);
  data[4] = isKey ? 0x65 : 0x41;
  return { track, dtsMs, ptsMs: dtsMs + 40, isKey, data };
}

export function audio(dtsMs: number, track: AudioTrack = AUDIO): Frame {
  return { track, dtsMs, ptsMs: dtsMs, isKey: true, data: Buffer.alloc(60, 0x21) };
}

export interface StreamShape {
  readonly startMs?: number;
  readonly seconds: number;
  readonly fps?: number;
  /** Frames from key frame to key frame. 0: no picture. */
  readonly gop?: number;
  readonly hasAudio?: boolean;
  readonly video?: VideoTrack;
  readonly audio?: AudioTrack;
}

/** The frames of an encoder that is never late, in the order of their times, which are whole milliseconds. */
export function streamOf(shape: StreamShape): Frame[] {
  const { startMs = 0, seconds, fps = 30, gop = 60, hasAudio = true } = shape;
  const frames: Frame[] = [];
  const count = gop === 0 ? 0 : Math.round(seconds * fps);
  for (let n = 0; n < count; n++) {
    frames.push(video(startMs + Math.round((n * 1_000) / fps), n % gop === 0, shape.video));
  }
  const sounds = hasAudio ? Math.floor((seconds * 48_000) / 1_024) : 0;
  for (let n = 0; n < sounds; n++) frames.push(audio(startMs + Math.round((n * 1_024) / 48), shape.audio));
  return frames.toSorted((a, b) => a.dtsMs - b.dtsMs || (a.track.kind === 'video' ? -1 : 1));
}
