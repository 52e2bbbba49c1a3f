import { BitReader } from '../../lib/bit-reader.ts';
import { FormatError } from '../../lib/format-error.ts';
import { unescapeNal } from './nal.ts';

/** AVCDecoderConfigurationRecord. ISO/IEC 14496-15 §5.3.3.1. */
export interface AvcConfig {
  readonly profileIdc: number;
  readonly constraintFlags: number;
  readonly levelIdc: number;
  /** Bytes of each NAL unit's length field in frames: 1, 2 or 4. */
  readonly lengthSize: number;
  readonly sps: readonly Buffer[];
  readonly pps: readonly Buffer[];
}

/** What a sequence parameter set says of the picture. */
export interface SpsInfo {
  readonly width: number;
  readonly height: number;
}

/** Reads the record; extension fields after the parameter sets are left alone. Throws FormatError 'codec-config'. */
export function parseAvcConfig(bytes: Buffer): AvcConfig {
  if (bytes.length < 6) throw broken(`of ${bytes.length} bytes, 7 at the least`);
  if (bytes[0] !== 1) {
    throw broken(`begins with version ${bytes[0]}, not 1: send MP4's avcC, not Annex B start codes`);
  }
  const lengthSize = (bytes[4]! & 3) + 1;
  if (lengthSize === 3) throw broken('gives NAL unit lengths of 3 bytes, which ISO/IEC 14496-15 forbids');
  const sps: Buffer[] = [];
  const pps: Buffer[] = [];
  let offset = readSets(bytes, 6, bytes[5]! & 31, sps);
  if (offset < bytes.length) offset = readSets(bytes, offset + 1, bytes[offset]!, pps);
  return { profileIdc: bytes[1]!, constraintFlags: bytes[2]!, levelIdc: bytes[3]!, lengthSize, sps, pps };
}

function readSets(bytes: Buffer, start: number, count: number, into: Buffer[]): number {
  let offset = start;
  for (let i = 0; i < count; i++) {
    const end = offset + 2 <= bytes.length ? offset + 2 + bytes.readUInt16BE(offset) : Infinity;
    if (end > bytes.length) throw broken(`of ${bytes.length} bytes ends within a parameter set`);
    into.push(bytes.subarray(offset + 2, end));
    offset = end;
  }
  return offset;
}

function broken(what: string): FormatError {
  return new FormatError('codec-config', `H.264 AVCDecoderConfigurationRecord ${what}`);
}

/** Profiles whose SPS carries chroma format and scaling matrices. H.264 §7.3.2.1.1. */
const HIGH_PROFILES = new Set([100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135]);

/** Reads an SPS NAL unit, its header byte included. H.264 §7.3.2.1.1. Throws FormatError 'codec-config'. */
export function parseH264Sps(nal: Buffer): SpsInfo {
  const bits = new BitReader(unescapeNal(nal), 'H.264 SPS');
  bits.skip(8);
  const profileIdc = bits.bits(8);
  bits.skip(16); // constraint flags, level
  bits.ue(); // seq_parameter_set_id
  let chromaFormat = 1;
  let separatePlanes = false;
  if (HIGH_PROFILES.has(profileIdc)) {
    chromaFormat = bits.ue();
    if (chromaFormat === 3) separatePlanes = bits.flag();
    bits.ue(); // bit_depth_luma_minus8
    bits.ue(); // bit_depth_chroma_minus8
    bits.skip(1); // qpprime_y_zero_transform_bypass_flag
    if (bits.flag()) skipScalingLists(bits, chromaFormat === 3 ? 12 : 8);
  }
  bits.ue(); // log2_max_frame_num_minus4
  const orderType = bits.ue();
  if (orderType === 0) {
    bits.ue();
  } else if (orderType === 1) {
    bits.skip(1);
    bits.se();
    bits.se();
    const cycle = bits.ue();
    if (cycle > 255)
      throw new FormatError('codec-config', `H.264 SPS has ${cycle} reference frames in a cycle, over 255`);
    for (let i = 0; i < cycle; i++) bits.se();
  }
  bits.ue(); // max_num_ref_frames
  bits.skip(1); // gaps_in_frame_num_value_allowed_flag
  const widthInMbs = bits.ue() + 1;
  const heightInMapUnits = bits.ue() + 1;
  const framesOnly = bits.flag();
  if (!framesOnly) bits.skip(1);
  bits.skip(1); // direct_8x8_inference_flag
  const fieldFactor = framesOnly ? 1 : 2;
  let width = widthInMbs * 16;
  let height = heightInMapUnits * 16 * fieldFactor;
  if (bits.flag()) {
    const subsampled = !separatePlanes && chromaFormat !== 0;
    const unitX = subsampled && chromaFormat !== 3 ? 2 : 1;
    const unitY = (subsampled && chromaFormat === 1 ? 2 : 1) * fieldFactor;
    width -= unitX * (bits.ue() + bits.ue());
    height -= unitY * (bits.ue() + bits.ue());
  }
  if (width <= 0 || height <= 0 || width > 65536 || height > 65536) {
    throw new FormatError('codec-config', `H.264 SPS gives a picture of ${width} by ${height}`);
  }
  return { width, height };
}

function skipScalingLists(bits: BitReader, count: number): void {
  for (let list = 0; list < count; list++) {
    if (!bits.flag()) continue;
    let next = 8;
    for (let i = 0, size = list < 6 ? 16 : 64; i < size && next !== 0; i++) next = (next + bits.se() + 256) % 256;
  }
}

const PROFILES: ReadonlyMap<number, string> = new Map([
  [66, 'Baseline'],
  [77, 'Main'],
  [88, 'Extended'],
  [100, 'High'],
  [110, 'High(10)'],
  [122, 'High(422)'],
  [144, 'High(444)'],
  [244, 'High(444+Predictive)'],
]);

/** profile_idc as SRS's API prints it; `Other` where it has no name there. */
export function h264ProfileName(profileIdc: number): string {
  return PROFILES.get(profileIdc) ?? 'Other';
}

/** level_idc as SRS's API prints it: 31 → `3.1`, 40 → `4`; level 1b where constraint_set3_flag says so (H.264 §A.3.4). */
export function h264LevelName(levelIdc: number, profileIdc = 100, constraintFlags = 0): string {
  const oneB = levelIdc === 9 || (levelIdc === 11 && profileIdc < 100 && (constraintFlags & 0x10) !== 0);
  if (oneB) return '1b';
  return levelIdc % 10 === 0 ? `${levelIdc / 10}` : `${Math.floor(levelIdc / 10)}.${levelIdc % 10}`;
}
