import { writeU32 } from '../lib/bytes.ts';

/*
 * Boxes of the ISO base media file format (ISO/IEC 14496-12 §4.2), put together from their parts: for what is written once a
 * track. Fragments, which are written many times a second, are laid out by hand in fmp4-fragment.ts.
 */

/** A box: its size, its type of four characters, then the parts. */
export function box(type: string, ...parts: readonly Buffer[]): Buffer {
  let size = 8;
  for (const part of parts) size += part.length;
  const head = Buffer.allocUnsafe(8);
  writeU32(head, size, 0);
  head.write(type, 4, 4, 'latin1');
  return Buffer.concat([head, ...parts], size);
}

/** A box with a version and 24 flags. §4.2.2 */
export function fullBox(type: string, version: number, flags: number, ...parts: readonly Buffer[]): Buffer {
  return box(type, u32(version * 0x1000000 + flags), ...parts);
}

/** 32-bit numbers, big-endian; negative ones as two's complement. */
export function u32(...values: readonly number[]): Buffer {
  const bytes = Buffer.allocUnsafe(values.length * 4);
  for (const [index, value] of values.entries()) writeU32(bytes, value, index * 4);
  return bytes;
}

/** 16-bit numbers, big-endian. */
export function u16(...values: readonly number[]): Buffer {
  const bytes = Buffer.allocUnsafe(values.length * 2);
  for (const [index, value] of values.entries()) bytes.writeUInt16BE(value & 0xffff, index * 2);
  return bytes;
}

/** 64-bit numbers, big-endian, up to 2^53. */
export function u64(...values: readonly number[]): Buffer {
  const bytes = Buffer.allocUnsafe(values.length * 8);
  for (const [index, value] of values.entries()) writeU64(bytes, value, index * 8);
  return bytes;
}

/** Writes a number of up to 2^53 as 64 bits, big-endian. Returns the offset after it. */
export function writeU64(bytes: Buffer, value: number, offset: number): number {
  return writeU32(bytes, value % 0x1_0000_0000, writeU32(bytes, Math.floor(value / 0x1_0000_0000), offset));
}
