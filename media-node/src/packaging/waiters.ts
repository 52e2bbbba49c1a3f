/** Those who wait for the next change of something, each for its own time. */
export class Waiters {
  readonly #waiting = new Set<(isWoken: boolean) => void>();

  /** How many wait now. */
  get size(): number {
    return this.#waiting.size;
  }

  /** Resolves at the next `wake`: true; when `mostMs` are over, or when `signal` is aborted: false. Never rejects. */
  wait(mostMs: number, signal?: AbortSignal): Promise<boolean> {
    if (mostMs <= 0 || signal?.aborted === true) return Promise.resolve(false);
    return new Promise((resolve) => {
      const done = (isWoken: boolean) => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', inVain);
        this.#waiting.delete(done);
        resolve(isWoken);
      };
      const inVain = () => done(false);
      const timer = setTimeout(inVain, mostMs);
      signal?.addEventListener('abort', inVain);
      this.#waiting.add(done);
    });
  }

  wake(): void {
    for (const done of this.#waiting) done(true);
  }
}
