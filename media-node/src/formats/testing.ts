import { readFileSync } from 'node:fs';

/* Helpers of this folder's tests. */

/** Cuts the bytes at these places, in any order; places beyond the end and empty pieces are kept out. */
export function splitAt(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [...new Set(cuts)].filter((cut) => cut > 0 && cut < bytes.length).toSorted((a, b) => a - b);
  const pieces: Buffer[] = [];
  let start = 0;
  for (const place of [...places, bytes.length]) {
    pieces.push(bytes.subarray(start, place));
    start = place;
  }
  return pieces;
}

/** Bytes written as hexadecimal digits; spaces, line ends and `# comments` are ignored. */
export function unhex(text: string): Buffer {
  const digits = text.replaceAll(/#.*$/gm, '').replaceAll(/\s/g, '');
  if (!/^([0-9a-f]{2})*$/i.test(digits)) throw new Error(`not hexadecimal: ${digits.slice(0, 40)}`);
  return Buffer.from(digits, 'hex');
}

/** One broken input of a corpus file. */
export interface BrokenInput {
  readonly name: string;
  readonly bytes: Buffer;
  /** A part of the error's message. */
  readonly message: string;
}

/** Reads `corpus/<file>.hex`: lines of `name | hex | part of the message`; empty lines and `#` lines are skipped. */
export function readCorpus(file: string): BrokenInput[] {
  const text = readFileSync(new URL(`corpus/${file}.hex`, import.meta.url), 'utf8');
  return text
    .split('\n')
    .filter((line) => line.trim() !== '' && !line.startsWith('#'))
    .map((line) => {
      const [name, hex, message] = line.split('|').map((part) => part.trim());
      if (name === undefined || hex === undefined || !message) throw new Error(`corpus/${file}.hex: ${line}`);
      return { name, bytes: unhex(hex), message };
    });
}

/** The bytes of `corpus/<file>.txt`, which holds hexadecimal digits behind a comment that says how they were made. */
export function readHexFile(file: string): Buffer {
  return unhex(readFileSync(new URL(`corpus/${file}.txt`, import.meta.url), 'utf8'));
}

/**
 * How many mutations a fuzz target gets, and the seed of the first: FUZZ_RUNS, FUZZ_SEED. `cost`: it takes as long as so many
 * others do, and gets as many times fewer of FUZZ_RUNS.
 */
export function fuzzSettings(defaultRuns: number, cost = 1): { readonly runs: number; readonly firstSeed: number } {
  const runs = process.env['FUZZ_RUNS'];
  return {
    runs: runs === undefined ? defaultRuns : Math.ceil(Number(runs) / cost),
    firstSeed: Number(process.env['FUZZ_SEED'] ?? 1),
  };
}

/** mulberry32: small, seeded, good enough to choose bytes by. */
export function random(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

const TELLING = [0, 1, 2, 3, 0x7f, 0x80, 0xff];

/** Changes, removes, repeats and inserts a few bytes, and swaps in parts of another capture. */
export function mutate(original: Buffer, other: Buffer, below: (n: number) => number): Buffer {
  let bytes = Buffer.from(original);
  for (let changes = 1 + below(6); changes > 0; changes--) {
    // Beginnings hold the headers: half of the changes fall there.
    const at = below(2) === 0 ? below(bytes.length + 1) : below(Math.min(bytes.length, 64) + 1);
    const length = Math.min(1 + below(16), bytes.length - at);
    const before = bytes.subarray(0, at);
    const part = bytes.subarray(at, at + length);
    const after = bytes.subarray(at + length);
    const otherAt = below(other.length);
    switch (below(6)) {
      case 0:
        if (at < bytes.length) bytes[at]! ^= 1 << below(8);
        break;
      case 1:
        if (at < bytes.length) bytes[at] = TELLING[below(TELLING.length)]!;
        break;
      case 2:
        bytes = Buffer.concat([before, after]);
        break;
      case 3:
        bytes = Buffer.concat([before, part, part, after]);
        break;
      case 4:
        bytes = Buffer.concat([before, other.subarray(otherAt, otherAt + 1 + below(64)), after]);
        break;
      default:
        bytes = Buffer.from(bytes.subarray(0, at));
        break;
    }
  }
  return bytes;
}

/** The bytes in two, cut anywhere. */
export function pieces(bytes: Buffer, below: (n: number) => number): Buffer[] {
  const cut = below(bytes.length + 1);
  return [bytes.subarray(0, cut), bytes.subarray(cut)];
}
