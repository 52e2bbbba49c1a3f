import { BitReader } from '../../lib/bit-reader.ts';
import { FormatError } from '../../lib/format-error.ts';
import type { SpsInfo } from './h264.ts';
import { unescapeNal } from './nal.ts';

/** HEVCDecoderConfigurationRecord. ISO/IEC 14496-15 §8.3.3.1. */
export interface HevcConfig {
  readonly profileIdc: number;
  readonly levelIdc: number;
  /** Bytes of each NAL unit's length field in frames: 1, 2 or 4. */
  readonly lengthSize: number;
  readonly vps: readonly Buffer[];
  readonly sps: readonly Buffer[];
  readonly pps: readonly Buffer[];
}

const NAL_VPS = 32;
const NAL_SPS = 33;
const NAL_PPS = 34;

/** Reads the record. Throws FormatError 'codec-config'. */
export function parseHevcConfig(bytes: Buffer): HevcConfig {
  if (bytes.length < 23) throw broken(`has ${bytes.length} bytes, 23 at the least`);
  // Version 0 was written by encoders before the standard was final; the fields are the same.
  if (bytes[0]! > 1) throw broken(`begins with version ${bytes[0]}, not 1: send MP4's hvcC, not Annex B start codes`);
  const lengthSize = (bytes[21]! & 3) + 1;
  if (lengthSize === 3) throw broken('gives NAL unit lengths of 3 bytes, which ISO/IEC 14496-15 forbids');
  const sets: Record<number, Buffer[]> = { [NAL_VPS]: [], [NAL_SPS]: [], [NAL_PPS]: [] };
  let offset = 23;
  for (let array = 0; array < bytes[22]!; array++) {
    if (offset + 3 > bytes.length) throw broken(`of ${bytes.length} bytes ends within an array of NAL units`);
    const into = sets[bytes[offset]! & 0x3f];
    const count = bytes.readUInt16BE(offset + 1);
    offset += 3;
    for (let i = 0; i < count; i++) {
      const end = offset + 2 <= bytes.length ? offset + 2 + bytes.readUInt16BE(offset) : Infinity;
      if (end > bytes.length) throw broken(`of ${bytes.length} bytes ends within a NAL unit`);
      into?.push(bytes.subarray(offset + 2, end));
      offset = end;
    }
  }
  return {
    profileIdc: bytes[1]! & 31,
    levelIdc: bytes[12]!,
    lengthSize,
    vps: sets[NAL_VPS]!,
    sps: sets[NAL_SPS]!,
    pps: sets[NAL_PPS]!,
  };
}

function broken(what: string): FormatError {
  return new FormatError('codec-config', `HEVCDecoderConfigurationRecord ${what}`);
}

/** Reads an SPS NAL unit, its two header bytes included. HEVC §7.3.2.2. Throws FormatError 'codec-config'. */
export function parseHevcSps(nal: Buffer): SpsInfo {
  const bits = new BitReader(unescapeNal(nal), 'HEVC SPS');
  bits.skip(16 + 4);
  const subLayers = bits.bits(3);
  bits.skip(1); // sps_temporal_id_nesting_flag
  bits.skip(88 + 8); // general profile, tier, compatibility and level
  const present: (readonly [boolean, boolean])[] = [];
  for (let i = 0; i < subLayers; i++) present.push([bits.flag(), bits.flag()]);
  if (subLayers > 0) bits.skip(2 * (8 - subLayers));
  for (const [profile, level] of present) bits.skip((profile ? 88 : 0) + (level ? 8 : 0));
  bits.ue(); // sps_seq_parameter_set_id
  const chromaFormat = bits.ue();
  const separatePlanes = chromaFormat === 3 && bits.flag();
  let width = bits.ue();
  let height = bits.ue();
  if (bits.flag()) {
    const subsampled = !separatePlanes && (chromaFormat === 1 || chromaFormat === 2);
    width -= (subsampled ? 2 : 1) * (bits.ue() + bits.ue());
    height -= (subsampled && chromaFormat === 1 ? 2 : 1) * (bits.ue() + bits.ue());
  }
  if (width <= 0 || height <= 0 || width > 65536 || height > 65536) {
    throw new FormatError('codec-config', `HEVC SPS gives a picture of ${width} by ${height}`);
  }
  return { width, height };
}

const PROFILES: ReadonlyMap<number, string> = new Map([
  [1, 'Main'],
  [2, 'Main10'],
  [3, 'Main Still Picture'],
  [4, 'Rext'],
]);

/** general_profile_idc as SRS's API prints it; `Other` where it has no name there. */
export function hevcProfileName(profileIdc: number): string {
  return PROFILES.get(profileIdc) ?? 'Other';
}

/** general_level_idc is thirty times the level: 93 → `3.1`, 120 → `4`. */
export function hevcLevelName(levelIdc: number): string {
  return `${Math.round(levelIdc / 3) / 10}`;
}
