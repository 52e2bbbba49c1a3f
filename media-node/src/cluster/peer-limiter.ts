import { Limiter } from './limiter.ts';
import { addressId } from './peer-client.ts';
import type { AdminAddress } from './peer-client.ts';

/** Lets at most so many questions to one node run at once: one that is silent holds up nobody but those who ask it. */
export class PeerLimiter {
  readonly #max: number;
  /** Of nodes that are asked now. */
  readonly #asked = new Map<string, Limiter>();

  constructor(max: number) {
    this.#max = max;
  }

  async run<T>(address: AdminAddress, work: () => Promise<T>): Promise<T> {
    const id = addressId(address);
    const limiter = this.#asked.get(id) ?? new Limiter(this.#max);
    this.#asked.set(id, limiter);
    try {
      return await limiter.run(work);
    } finally {
      if (limiter.isIdle && this.#asked.get(id) === limiter) this.#asked.delete(id);
    }
  }
}
