/** Those who wait for the next change of something, each for its own time. */
export class Waiters {
  readonly #waiting = new Set<() => void>();

  /** How many wait now. */
  get size(): number {
    return this.#waiting.size;
  }

  /** Resolves at the next `wake`, when `mostMs` are over, or when `signal` is aborted. Never rejects. */
  wait(mostMs: number, signal?: AbortSignal): Promise<void> {
    if (mostMs <= 0 || signal?.aborted === true) return Promise.resolve();
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', done);
        this.#waiting.delete(done);
        resolve();
      };
      const timer = setTimeout(done, mostMs);
      signal?.addEventListener('abort', done);
      this.#waiting.add(done);
    });
  }

  wake(): void {
    for (const done of this.#waiting) done();
  }
}
