/**
 * Counts the sockets that all protocols of a node hold together, against one bound that may change while it runs:
 * lowering it ends nobody, it only refuses the next ones.
 */
export class ConnectionLimit {
  /** Sockets at most. */
  max: number;
  #used = 0;
  #refused = 0;

  constructor(max: number) {
    this.max = max;
  }

  /** Sockets held now. */
  get used(): number {
    return this.#used;
  }

  /** Sockets refused so far. */
  get refused(): number {
    return this.#refused;
  }

  /** Takes a place; false, and counted, when there is none. Whoever got one must call `leave` once. */
  enter(): boolean {
    if (this.#used >= this.max) {
      this.#refused++;
      return false;
    }
    this.#used++;
    return true;
  }

  leave(): void {
    this.#used--;
  }
}
