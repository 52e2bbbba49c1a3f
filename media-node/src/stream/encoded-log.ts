import { ByteArena } from './byte-arena.ts';

/** A run of bytes that may not be joined at is cut into pieces of about this size, so that what is written can go. */
const RUN_BYTES = 256 * 1024;

interface Segment {
  /** Position of its first byte. */
  readonly start: number;
  readonly bytes: ByteArena;
}

/**
 * The bytes of one output, addressed by their position since its beginning. Since the last key frame they stand in one
 * piece, so that what most players get next, and what a player that joins gets first, is a view and no copy. What every
 * group of players has got is forgotten.
 */
export class EncodedLog {
  readonly #segments: Segment[] = [{ start: 0, bytes: new ByteArena(0) }];
  #end = 0;
  /** Position of the key frame that a player may join at; undefined without one. */
  #gopStart: number | undefined;
  #gopBytes = 0;
  /** The last slice made: groups that flush in one turn share it. */
  #slice: { readonly from: number; readonly to: number; readonly bytes: Buffer } | undefined;

  /** Position behind the last byte. */
  get end(): number {
    return this.#end;
  }

  get gopStart(): number | undefined {
    return this.#gopStart;
  }

  append(bytes: Buffer): void {
    const last = this.#segments.at(-1)!;
    if (this.#gopStart === undefined && last.bytes.length >= RUN_BYTES) {
      this.#begin(RUN_BYTES).append(bytes);
    } else {
      last.bytes.append(bytes);
    }
    this.#end += bytes.length;
  }

  /** The next byte begins a key frame, or whatever else a player may join at. */
  beginGop(): void {
    if (this.#gopStart !== undefined) this.#gopBytes = this.#end - this.#gopStart;
    this.#gopStart = this.#end;
    // As large as the last one and a quarter, so that it seldom moves.
    this.#begin(this.#gopBytes + (this.#gopBytes >> 2));
  }

  /** Nobody can join before the next key frame. */
  dropGop(): void {
    this.#gopStart = undefined;
  }

  /** The bytes from a position on that has not been forgotten. The same Buffer for the same question. */
  from(position: number): Buffer {
    const known = this.#slice;
    if (known?.from === position && known.to === this.#end) return known.bytes;
    const parts: Buffer[] = [];
    for (let index = this.#segments.length - 1; index >= 0; index--) {
      const { start, bytes } = this.#segments[index]!;
      if (bytes.length > 0) parts.push(bytes.from(Math.max(0, position - start)));
      if (start <= position) break;
    }
    const bytes = parts.length === 1 ? parts[0]! : Buffer.concat(parts.toReversed());
    this.#slice = { from: position, to: this.#end, bytes };
    return bytes;
  }

  /** Forgets what stands before a position, as far as nobody may join at it. */
  forget(before: number): void {
    const needed = Math.min(before, this.#gopStart ?? before);
    let gone = 0;
    while (gone + 1 < this.#segments.length && this.#segments[gone + 1]!.start <= needed) gone++;
    if (gone > 0) this.#segments.splice(0, gone);
    if (this.#slice !== undefined && this.#slice.to < this.#end) this.#slice = undefined;
  }

  #begin(capacity: number): ByteArena {
    const bytes = new ByteArena(capacity);
    const last = this.#segments.at(-1);
    // An empty one would never be passed.
    if (last !== undefined && last.bytes.length === 0) this.#segments.pop();
    this.#segments.push({ start: this.#end, bytes });
    return bytes;
  }
}
