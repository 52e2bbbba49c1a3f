/** How long a source that seems silent is listened to once more: longer than its bytes may wait in its socket. */
const LAST_LOOK_MS = 500;

/**
 * Calls once when nothing was heard for a time. `heard` costs one clock reading: the timer is not touched, it looks when
 * it runs out and goes on for the rest. A process that stood still, stopped or without CPU, finds its timers run out before
 * it has read what came meanwhile; so there is a last look, half a second later at the most.
 */
export class SilenceTimer {
  readonly #onSilence: () => void;
  #limitMs: number;
  #lastMs = performance.now();
  #timer: NodeJS.Timeout | undefined;
  #isLastLook = false;

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
    this.#isLastLook = false;
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
      if (restMs <= 0 && this.#isLastLook) {
        this.#onSilence();
        return;
      }
      this.#isLastLook = restMs <= 0;
      this.#arm(this.#isLastLook ? Math.min(LAST_LOOK_MS, this.#limitMs) : restMs);
    }, delayMs);
  }
}
