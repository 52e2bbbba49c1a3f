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
