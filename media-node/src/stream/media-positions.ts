const CAPACITY = 1_024;

/**
 * Which decoding time stands at which byte of an output, so that a player's unsent bytes can be told in milliseconds of
 * media. A ring of marks, at least `spacingMs` apart.
 */
export class MediaPositions {
  readonly #positions = new Float64Array(CAPACITY);
  readonly #timesMs = new Float64Array(CAPACITY);
  #count = 0;

  /** Marks that the bytes from `position` on begin at `dtsMs`; both never go back. */
  mark(position: number, dtsMs: number, spacingMs: number): void {
    if (this.#count > 0) {
      const last = (this.#count - 1) % CAPACITY;
      if (dtsMs - (this.#timesMs[last] ?? 0) < spacingMs) return;
    }
    const index = this.#count % CAPACITY;
    this.#positions[index] = position;
    this.#timesMs[index] = dtsMs;
    this.#count++;
  }

  /** The decoding time at `position`: of the last mark not after it, or of the oldest one kept. */
  timeAt(position: number): number {
    let low = Math.max(0, this.#count - CAPACITY);
    let high = this.#count - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#positions[middle % CAPACITY] ?? 0) <= position) low = middle;
      else high = middle - 1;
    }
    return this.#timesMs[low % CAPACITY] ?? 0;
  }
}
