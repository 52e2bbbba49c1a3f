/** Room for a first segment. */
const FIRST_BYTES = 256 * 1024;
/** The next segment is a little longer than the last one. */
const SPARE = 1.1;
/** Memory of a segment that is not used, beyond which it is copied into its own. */
const MOST_UNUSED = 0.15;

/**
 * Memory of one segment after another, in which its pieces are written side by side: a segment is there without being put
 * together, and its pieces are no garbage. V8 collects everything when enough Buffers were made, so each that is not counts.
 */
export class SegmentArena {
  #memory: Buffer | undefined;
  #capacity = FIRST_BYTES;
  /** What was kept, and what was taken besides. */
  #length = 0;
  #taken = 0;

  /** Memory for a piece, right behind what was taken before. What it held before a later call is moved where memory is short. */
  readonly take = (bytes: number): Buffer => {
    const end = this.#taken + bytes;
    const memory = this.#withRoom(end);
    const piece = memory.subarray(this.#taken, end);
    this.#taken = end;
    return piece;
  };

  /** Keeps a piece, taken or not; other memory that was taken since the last piece is given back. */
  keep(piece: Buffer): void {
    const end = this.#length + piece.length;
    const memory = this.#withRoom(end);
    const isInPlace = piece.buffer === memory.buffer && piece.byteOffset === memory.byteOffset + this.#length;
    if (!isInPlace) piece.copy(memory, this.#length);
    this.#length = end;
    this.#taken = end;
  }

  /** Gives back what was taken and not kept. */
  undo(): void {
    this.#taken = this.#length;
  }

  /** The pieces kept since the last call. */
  end(): Buffer {
    const memory = this.#memory;
    const length = this.#length;
    this.#memory = undefined;
    this.#length = 0;
    this.#taken = 0;
    if (memory === undefined) return Buffer.alloc(0);
    this.#capacity = Math.ceil(length * SPARE);
    const kept = memory.subarray(0, length);
    return memory.length - length <= memory.length * MOST_UNUSED ? kept : copyOf(kept);
  }

  #withRoom(bytes: number): Buffer {
    const before = this.#memory;
    if (before !== undefined && bytes <= before.length) return before;
    const wished = before === undefined ? this.#capacity : before.length * 1.5;
    const memory = Buffer.allocUnsafeSlow(Math.max(bytes, Math.ceil(wished)));
    before?.copy(memory, 0, 0, this.#taken);
    this.#memory = memory;
    return memory;
  }
}

function copyOf(bytes: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  bytes.copy(copy);
  return copy;
}
