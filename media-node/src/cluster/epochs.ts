/** A broken epoch must not become the floor of every later one: further ahead than ten years is none. */
const MAX_AHEAD_MS = 10 * 365 * 86_400_000;

/** The store's clock as this node knows it, and the highest epoch that it saw: every claim's is above both. */
export class Epochs {
  readonly #now: () => number;
  /** Store's clock minus ours. */
  #offsetMs = 0;
  #highest = 0;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Milliseconds since 1970, by the store's clock. */
  get storeMs(): number {
    return this.#now() + this.#offsetMs;
  }

  get highest(): number {
    return this.#highest;
  }

  /** The store told its time just now. */
  told(storeMs: number): void {
    this.#offsetMs = storeMs - this.#now();
  }

  saw(epoch: number): void {
    if (epoch > this.storeMs + MAX_AHEAD_MS) return;
    this.#highest = Math.max(this.#highest, epoch);
  }

  /** One for a claim that the store does not hear of yet. */
  next(): number {
    const epoch = Math.max(this.#highest, this.storeMs) + 1;
    this.saw(epoch);
    return epoch;
  }
}
