import { readU32 } from '../lib/bytes.ts';
import { FormatError } from '../lib/format-error.ts';
import { parseAvcConfig } from '../media/codecs/h264.ts';
import { parseHevcConfig } from '../media/codecs/hevc.ts';
import type { Frame } from '../media/frame.ts';
import type { VideoTrack } from '../media/track.ts';

/** Bytes of a start code; the long form everywhere, as the first NAL unit and parameter sets need it (H.264 §B.1.2). */
const START_CODE = 4;
/** An access unit delimiter that promises nothing about slice types: H.264 §7.3.2.4, HEVC §7.3.2.5. */
const AVC_AUD = Buffer.from([0, 0, 0, 1, 0x09, 0xf0]);
const HEVC_AUD = Buffer.from([0, 0, 0, 1, 0x46, 0x01, 0x50]);

/** Where a codec keeps the type in a NAL unit's first byte, and the types that matter here. */
interface NalHeader {
  readonly shift: number;
  readonly mask: number;
  readonly aud: number;
  /** The first of the parameter sets' types, which follow one another. */
  readonly firstSet: number;
}

const AVC_NAL: NalHeader = { shift: 0, mask: 31, aud: 9, firstSet: 7 }; // SPS, PPS: H.264 table 7-1
const HEVC_NAL: NalHeader = { shift: 1, mask: 63, aud: 35, firstSet: 32 }; // VPS, SPS, PPS: HEVC table 7-1

/**
 * A video track's frames as a byte stream (Annex B of H.264 and of HEVC), as MPEG-TS carries them: each access unit begins
 * with a delimiter (ISO/IEC 13818-1 §2.14.1, §2.17.1), key frames have their parameter sets before them. Pure.
 */
export class AnnexB {
  readonly #nal: NalHeader;
  readonly #lengthSize: number;
  readonly #aud: Buffer;
  /** The delimiter and the configuration's parameter sets, in their byte stream form. */
  readonly #audAndSets: Buffer;
  /** The kinds of parameter sets in the configuration, a bit each, from `firstSet` on. */
  readonly #kinds: number;

  /** `track` is H.264 or HEVC. Throws FormatError 'codec-config'. */
  constructor(track: VideoTrack) {
    let sets: readonly (readonly Buffer[])[];
    if (track.codec === 'h264') {
      const config = parseAvcConfig(track.config);
      this.#nal = AVC_NAL;
      this.#aud = AVC_AUD;
      this.#lengthSize = config.lengthSize;
      sets = [config.sps, config.pps];
    } else if (track.codec === 'hevc') {
      const config = parseHevcConfig(track.config);
      this.#nal = HEVC_NAL;
      this.#aud = HEVC_AUD;
      this.#lengthSize = config.lengthSize;
      sets = [config.vps, config.sps, config.pps];
    } else {
      throw new FormatError('codec-config', `${track.codec} has no NAL units and so no byte stream form`);
    }
    const startCode = this.#aud.subarray(0, START_CODE);
    this.#audAndSets = Buffer.concat([this.#aud, ...sets.flat().flatMap((set) => [startCode, set])]);
    this.#kinds = sets.reduce((kinds, { length }, index) => (length > 0 ? kinds | (1 << index) : kinds), 0);
  }

  /** Bytes that `write` will write; 0 for a frame without a NAL unit. Throws FormatError 'nal'. */
  measure(frame: Frame): number {
    const { data } = frame;
    let bytes = 0;
    for (let at = 0; at < data.length;) {
      const length = this.#lengthAt(data, at);
      at += this.#lengthSize;
      if (length > data.length - at) throw this.#broken(length, data.length - at);
      if (length > 0 && !this.#isDelimiter(data, at)) bytes += START_CODE + length;
      at += length;
    }
    return bytes === 0 ? 0 : this.#head(frame).length + bytes;
  }

  /** Writes a frame that has been measured; returns the offset after it. */
  write(frame: Frame, out: Buffer, offset: number): number {
    const { data } = frame;
    let to = offset + this.#head(frame).copy(out, offset);
    for (let at = 0; at < data.length;) {
      const length = this.#lengthAt(data, at);
      at += this.#lengthSize;
      if (length > 0 && !this.#isDelimiter(data, at)) {
        out[to] = out[to + 1] = out[to + 2] = 0;
        out[to + 3] = 1;
        to += START_CODE;
        to += data.copy(out, to, at, at + length);
      }
      at += length;
    }
    return to;
  }

  #broken(length: number, left: number): FormatError {
    const found =
      length === Infinity
        ? "a frame ends within a NAL unit's length"
        : `a NAL unit says it has ${length} bytes where its frame has ${left} left`;
    const mend = `send NAL units behind lengths of ${this.#lengthSize} bytes, as the decoder configuration says`;
    return new FormatError('nal', `${found}: ${mend}`);
  }

  /** What goes before the frame's own NAL units; its own delimiter is left out for it. */
  #head({ data, isKey }: Frame): Buffer {
    if (!isKey) return this.#aud;
    let kinds = 0;
    for (let at = 0; at < data.length;) {
      const length = this.#lengthAt(data, at);
      at += this.#lengthSize;
      const set = this.#typeAt(data, at) - this.#nal.firstSet;
      if (length > 0 && set >= 0 && set < 3) kinds |= 1 << set;
      at += length;
    }
    // A set of the frame's own may be a newer one; it comes later, so it wins.
    return (kinds & this.#kinds) === this.#kinds ? this.#aud : this.#audAndSets;
  }

  #isDelimiter(data: Buffer, at: number): boolean {
    return this.#typeAt(data, at) === this.#nal.aud;
  }

  #typeAt(data: Buffer, at: number): number {
    return (data[at]! >> this.#nal.shift) & this.#nal.mask;
  }

  /** The length field at an offset; too large to be met where the frame ends within it. */
  #lengthAt(data: Buffer, at: number): number {
    if (at + this.#lengthSize > data.length) return Infinity;
    switch (this.#lengthSize) {
      case 1:
        return data[at]!;
      case 2:
        return (data[at]! << 8) | data[at + 1]!;
      default:
        return readU32(data, at);
    }
  }
}
