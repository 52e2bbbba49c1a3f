import type { ServerResponse } from 'node:http';

/** One reason for all: making one for each costs more than the rest. */
const GONE = new Error('the client has gone');

/** Tells who waits for a client's sake that the client has gone. Costs nothing where nobody asks for the signal. */
export class Departure {
  readonly #response: ServerResponse;
  #controller: AbortController | undefined;

  constructor(response: ServerResponse) {
    this.#response = response;
  }

  /** Nobody reads the answer any more, or it was given. */
  get isOver(): boolean {
    return this.#response.destroyed || this.#response.closed;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      const controller = new AbortController();
      this.#controller = controller;
      if (this.isOver) controller.abort(GONE);
      else this.#response.once('close', () => controller.abort(GONE));
    }
    return this.#controller.signal;
  }
}
