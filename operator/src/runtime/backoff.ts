/** How a Backoff grows. */
export interface BackoffOptions {
  /** First delay. */
  readonly initialMs: number;
  /** No delay is longer than this, jitter included. */
  readonly maxMs: number;
  /** Growth from one failure to the next; 2 unless told. */
  readonly factor?: number;
  /** Share of the delay that is drawn by lot: 0.5 gives 75 % to 125 %. 0 unless told. */
  readonly jitter?: number;
  /** Source of the lot, in [0, 1); Math.random unless told. */
  readonly random?: () => number;
}

/** Delays that grow with each failure in a row: `next()` after a failure, `reset()` after a success. */
export class Backoff {
  readonly #initialMs: number;
  readonly #maxMs: number;
  readonly #factor: number;
  readonly #jitter: number;
  readonly #random: () => number;
  #failures = 0;

  constructor(options: BackoffOptions) {
    this.#initialMs = options.initialMs;
    this.#maxMs = options.maxMs;
    this.#factor = options.factor ?? 2;
    this.#jitter = options.jitter ?? 0;
    this.#random = options.random ?? Math.random;
  }

  /** Failures since the last reset. */
  get failures(): number {
    return this.#failures;
  }

  /** The delay in ms to wait now; the following one is longer. */
  next(): number {
    const plainMs = exponential(this.#initialMs, this.#maxMs, this.#failures, this.#factor);
    this.#failures += 1;
    return Math.min(this.#maxMs, jittered(plainMs, this.#jitter, this.#random));
  }

  /** Starts again from the first delay. */
  reset(): void {
    this.#failures = 0;
  }
}

/** initialMs · factor^failures, at most maxMs; any number of failures is safe. */
export function exponential(initialMs: number, maxMs: number, failures: number, factor = 2): number {
  return Math.min(maxMs, initialMs * factor ** failures);
}

/** `ms` changed by lot, evenly, by at most ± share / 2 of itself. */
export function jittered(ms: number, share: number, random: () => number = Math.random): number {
  return ms * (1 + share * (random() - 0.5));
}
