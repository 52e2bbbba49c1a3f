import { FormatError } from '../../lib/format-error.ts';

/**
 * Told of a frame, or a configuration, that a format cannot carry: the frame is left out, the stream goes on, for what one
 * format cannot carry is no reason to end a publisher.
 */
export type OnLeftOut = (error: FormatError) => void;

/** Passes the first error on: one broken frame a stream is worth a line in the log, each one is not. */
export class LeftOut {
  readonly #told: OnLeftOut;
  #hasTold = false;

  constructor(told: OnLeftOut) {
    this.#told = told;
  }

  /** Throws what is no FormatError. */
  add(error: unknown): void {
    if (!(error instanceof FormatError)) throw error;
    if (this.#hasTold) return;
    this.#hasTold = true;
    this.#told(error);
  }
}
