/**
 * Bytes that grow at the end and are read as one piece at any time without copying. What was handed out stays as it was:
 * growth moves to new memory and a new arena takes new memory, because sockets may still hold the old.
 */
export class ByteArena {
  #memory: Buffer;
  #length = 0;

  constructor(capacity: number) {
    this.#memory = Buffer.allocUnsafeSlow(Math.max(capacity, 4_096));
  }

  get length(): number {
    return this.#length;
  }

  append(bytes: Buffer): void {
    const end = this.#length + bytes.length;
    if (end > this.#memory.length) {
      const memory = Buffer.allocUnsafeSlow(Math.max(end, this.#memory.length * 2));
      this.#memory.copy(memory, 0, 0, this.#length);
      this.#memory = memory;
    }
    bytes.copy(this.#memory, this.#length);
    this.#length = end;
  }

  /** The bytes from `start` to the end. */
  from(start: number): Buffer {
    return this.#memory.subarray(start, this.#length);
  }
}
