const NEWLINE = 0x0a;

/** Cuts a byte stream into lines; keeps at most one unfinished line. Bytes may be split anywhere, in a character too. */
export class LineSplitter {
  readonly #longestBytes: number;
  #parts: Buffer[] = [];
  #partBytes = 0;

  /** A line of more than `longestBytes` bytes makes `push` throw RangeError. */
  constructor(longestBytes: number) {
    this.#longestBytes = longestBytes;
  }

  /** Takes the next bytes; returns the lines that they complete, decoded, without newline, empty ones left out. */
  push(bytes: Buffer): string[] {
    const lines: string[] = [];
    let start = 0;
    for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, start)) {
      this.#keep(bytes.subarray(start, end));
      const line = Buffer.concat(this.#parts, this.#partBytes).toString('utf8').trim();
      this.#parts = [];
      this.#partBytes = 0;
      if (line) lines.push(line);
      start = end + 1;
    }
    this.#keep(bytes.subarray(start));
    return lines;
  }

  #keep(part: Buffer): void {
    if (part.length === 0) return;
    this.#partBytes += part.length;
    if (this.#partBytes > this.#longestBytes) {
      throw new RangeError(`a line is longer than ${this.#longestBytes} bytes`);
    }
    this.#parts.push(part);
  }
}
