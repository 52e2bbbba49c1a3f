/**
 * Calls once when nothing was heard for a time. `heard` costs one clock reading: the timer is not touched, it looks when
 * it runs out and goes on for the rest.
 */
export class SilenceTimer {
  readonly #onSilence: () => void;
  #limitMs: number;
  #lastMs = performance.now();
  #timer: NodeJS.Timeout | undefined;

  /** A limit of 0 never ends. */
  constructor(limitMs: number, onSilence: () => void) {
    this.#limitMs = limitMs;
    this.#onSilence = onSilence;
    this.#arm(limitMs);
  }

  heard(): void {
    this.#lastMs = performance.now();
  }

  /** From now on another limit. */
  setLimit(limitMs: number): void {
    if (limitMs === this.#limitMs) return;
    this.#limitMs = limitMs;
    this.#arm(limitMs);
  }

  /** Idempotent. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#limitMs = 0;
  }

  #arm(delayMs: number): void {
    clearTimeout(this.#timer);
    if (this.#limitMs === 0) return;
    this.#timer = setTimeout(() => {
      const restMs = this.#lastMs + this.#limitMs - performance.now();
      if (restMs <= 0) this.#onSilence();
      else this.#arm(restMs);
    }, delayMs);
  }
}
