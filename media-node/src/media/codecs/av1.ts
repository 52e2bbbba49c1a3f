import { BitReader } from '../../lib/bit-reader.ts';
import { FormatError } from '../../lib/format-error.ts';
import type { SpsInfo } from './h264.ts';

/** AV1CodecConfigurationRecord, the part that players and APIs ask for. AV1 in ISOBMFF §2.3.3. */
export interface Av1Config {
  readonly profile: number;
  readonly levelIndex: number;
  /** OBUs, normally one sequence header. */
  readonly obus: Buffer;
}

/** Reads an AV1CodecConfigurationRecord. `obus` is a view of `bytes`. Throws FormatError 'codec-config'. */
export function parseAv1Config(bytes: Buffer): Av1Config {
  if (bytes.length < 4 || bytes[0] !== 0x81) {
    throw new FormatError(
      'codec-config',
      'AV1CodecConfigurationRecord does not begin with marker and version 1 (0x81)',
    );
  }
  return { profile: bytes[1]! >> 5, levelIndex: bytes[1]! & 31, obus: bytes.subarray(4) };
}

/** Reads the first OBU, which must be a sequence header. AV1 §5.3, §5.5. Throws FormatError 'codec-config'. */
export function parseAv1SequenceHeader(obus: Buffer): SpsInfo {
  const bits = new BitReader(obus, 'AV1 sequence header');
  bits.skip(1);
  const type = bits.bits(4);
  if (type !== 1)
    throw new FormatError('codec-config', `AV1 configuration begins with OBU type ${type}, not a sequence header`);
  const extension = bits.flag();
  const hasSize = bits.flag();
  bits.skip(1 + (extension ? 8 : 0));
  if (hasSize) while (bits.flag()) bits.skip(7);
  if (hasSize) bits.skip(7);
  bits.skip(3 + 1); // seq_profile, still_picture
  if (bits.flag()) bits.skip(5);
  else skipOperatingPoints(bits);
  const widthBits = bits.bits(4) + 1;
  const heightBits = bits.bits(4) + 1;
  return { width: bits.bits(widthBits) + 1, height: bits.bits(heightBits) + 1 };
}

function skipOperatingPoints(bits: BitReader): void {
  let delayBits = 0;
  const timing = bits.flag();
  if (timing) {
    bits.skip(64);
    if (bits.flag()) bits.ue(); // num_ticks_per_picture_minus_1: uvlc() reads as ue(v) does
    if (bits.flag()) {
      delayBits = bits.bits(5) + 1;
      bits.skip(32 + 5 + 5);
    }
  }
  const displayDelay = bits.flag();
  for (let left = bits.bits(5) + 1; left > 0; left--) {
    bits.skip(12);
    if (bits.bits(5) > 7) bits.skip(1);
    if (delayBits > 0 && bits.flag()) bits.skip(2 * delayBits + 1);
    if (displayDelay && bits.flag()) bits.skip(4);
  }
}
