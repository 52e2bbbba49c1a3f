import { parseAacConfig } from '../media/codecs/aac.ts';
import type { AudioTrack } from '../media/track.ts';

/** How long frames of a codec are, in samples, as their headers say. */
export interface FrameSamples {
  /** The same for every frame of the track; 0 where each frame says its own. */
  readonly always: number;
  /** Samples of one frame at the codec's own rate; 0 where its header does not tell. */
  readonly of: (data: Buffer) => number;
}

const UNKNOWN = (): number => 0;

/** What the frames of a track say of their length. */
export function frameSamplesOf(track: AudioTrack): FrameSamples {
  switch (track.codec) {
    case 'aac':
      return { always: parseAacConfig(track.config).frameSamples, of: UNKNOWN };
    case 'ac3':
      return { always: 1_536, of: UNKNOWN };
    case 'mp3':
      return { always: 0, of: mpegAudioSamples };
    case 'opus':
      return { always: 0, of: opusSamples };
    case 'eac3':
      return { always: 0, of: eac3Samples };
    case 'flac':
      return { always: flacBlockSize(track.config), of: UNKNOWN };
    default:
      return { always: 0, of: UNKNOWN };
  }
}

/** ISO/IEC 11172-3 §2.4.2.1: layer III has 1152 samples, half of it at MPEG-2's lower rates. */
function mpegAudioSamples(data: Buffer): number {
  if (data.length < 2 || data[0] !== 0xff) return 0;
  const layer = (data[1]! >> 1) & 3; // 3 is layer I, 2 is II, 1 is III
  if (layer === 0) return 0;
  if (layer === 3) return 384;
  return layer === 1 && ((data[1]! >> 3) & 3) !== 3 ? 576 : 1_152;
}

/** RFC 6716 §3.1: samples of the packet at 48 kHz, by its TOC byte and frame count. */
function opusSamples(data: Buffer): number {
  if (data.length === 0) return 0;
  const config = data[0]! >> 3;
  let frame: number;
  if (config < 12) frame = config % 4 === 3 ? 2_880 : 480 << (config % 4);
  else if (config < 16) frame = 480 << (config % 2);
  else frame = 120 << (config % 4);
  const code = data[0]! & 3;
  if (code === 3) return data.length < 2 ? 0 : frame * (data[1]! & 63);
  return code === 0 ? frame : frame * 2;
}

/** ATSC A/52 annex E §2.3.1.5: blocks of 256 samples, always six at the halved rates. */
function eac3Samples(data: Buffer): number {
  if (data.length < 5 || data[0] !== 0x0b || data[1] !== 0x77) return 0;
  if (data[4]! >> 6 === 3) return 1_536;
  return 256 * ([1, 2, 3, 6][(data[4]! >> 4) & 3] ?? 6);
}

/** RFC 9639 §8.2: the block size where all blocks have the same. */
function flacBlockSize(config: Buffer): number {
  if (config.length < 12) return 0;
  const least = config.readUInt16BE(8);
  return least === config.readUInt16BE(10) ? least : 0;
}
