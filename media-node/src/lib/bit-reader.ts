import { FormatError } from './format-error.ts';

/** Reads bits, most significant first, and the Exp-Golomb codes of H.264 and HEVC. Past the end: FormatError 'codec-config'. */
export class BitReader {
  readonly #bytes: Uint8Array;
  readonly #what: string;
  #bit = 0;

  /** `what` names the structure in errors. */
  constructor(bytes: Uint8Array, what: string) {
    this.#bytes = bytes;
    this.#what = what;
  }

  get bitsLeft(): number {
    return this.#bytes.length * 8 - this.#bit;
  }

  /** An unsigned number of 0 to 32 bits. */
  bits(count: number): number {
    if (count > this.bitsLeft) {
      throw new FormatError(
        'codec-config',
        `${this.#what} ends after ${this.#bytes.length} bytes, in the middle of a field`,
      );
    }
    let value = 0;
    for (let left = count; left > 0;) {
      const inByte = this.#bit & 7;
      const take = Math.min(left, 8 - inByte);
      const part = (this.#bytes[this.#bit >> 3]! >> (8 - inByte - take)) & ((1 << take) - 1);
      value = value * (1 << take) + part;
      this.#bit += take;
      left -= take;
    }
    return value;
  }

  flag(): boolean {
    return this.bits(1) === 1;
  }

  skip(count: number): void {
    for (let left = count; left > 0; left -= 32) this.bits(Math.min(left, 32));
  }

  /** ue(v): Rec. ITU-T H.264 §9.1. */
  ue(): number {
    let zeros = 0;
    while (!this.flag()) {
      zeros += 1;
      if (zeros > 32) throw new FormatError('codec-config', `${this.#what} holds an Exp-Golomb code of over 32 bits`);
    }
    return zeros === 0 ? 0 : 2 ** zeros - 1 + this.bits(zeros);
  }

  /** se(v): Rec. ITU-T H.264 §9.1.1. */
  se(): number {
    const code = this.ue();
    return code % 2 === 1 ? (code + 1) / 2 : 0 - code / 2;
  }
}
