/** Unsigned 24-bit big-endian, as RTMP and FLV use it; the caller has checked the bounds. */
export function readU24(bytes: Buffer, offset: number): number {
  return ((bytes[offset]! << 16) | (bytes[offset + 1]! << 8) | bytes[offset + 2]!) >>> 0;
}

/** Signed 24-bit big-endian (FLV composition times). */
export function readI24(bytes: Buffer, offset: number): number {
  return ((bytes[offset]! << 24) | (bytes[offset + 1]! << 16) | (bytes[offset + 2]! << 8)) >> 8;
}

/** Unsigned 32-bit big-endian; quicker than Buffer's own, which checks bounds again. */
export function readU32(bytes: Buffer, offset: number): number {
  return ((bytes[offset]! << 24) | (bytes[offset + 1]! << 16) | (bytes[offset + 2]! << 8) | bytes[offset + 3]!) >>> 0;
}

/** Writes the low 24 bits of `value`, big-endian; negative values as two's complement. Returns the offset after it. */
export function writeU24(bytes: Buffer, value: number, offset: number): number {
  bytes[offset] = value >>> 16;
  bytes[offset + 1] = value >>> 8;
  bytes[offset + 2] = value;
  return offset + 3;
}

/** Writes the low 32 bits of `value`, big-endian. Returns the offset after it. */
export function writeU32(bytes: Buffer, value: number, offset: number): number {
  bytes[offset] = value >>> 24;
  bytes[offset + 1] = value >>> 16;
  bytes[offset + 2] = value >>> 8;
  bytes[offset + 3] = value;
  return offset + 4;
}

/** The one empty buffer; spares an allocation where "no bytes" is common. */
export const EMPTY: Buffer = Buffer.alloc(0);

/** Four ASCII characters as a big-endian number, as FourCC fields carry them; throws RangeError otherwise. */
export function fourCc(text: string): number {
  if (!/^[\x20-\x7e]{4}$/.test(text)) throw new RangeError(`a FourCC has four ASCII characters, not '${text}'`);
  return readU32(Buffer.from(text, 'latin1'), 0);
}

/** A number as `0x` and at least two hexadecimal digits, for messages. */
export function hex(value: number): string {
  return `0x${value.toString(16).padStart(2, '0')}`;
}
