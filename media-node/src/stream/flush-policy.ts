/** Something with bytes that wait to be written to players. */
export interface Flushable {
  flush(): void;
}

/**
 * Decides when a stream's batch is written. Called once for each batch, when its first bytes come; `flush` must follow
 * exactly once. A window of time, adapting to load, is another implementation of this port.
 */
export interface FlushPolicy {
  request(target: Flushable): void;
}

/**
 * Writes at the end of the event-loop turn in which the bytes came: no latency worth naming, and all frames of one or
 * more socket reads cost one write a player.
 */
export class TurnFlush implements FlushPolicy {
  #targets: Flushable[] = [];

  request(target: Flushable): void {
    if (this.#targets.length === 0) setImmediate(this.#run);
    this.#targets.push(target);
  }

  readonly #run = (): void => {
    const targets = this.#targets;
    this.#targets = [];
    for (const target of targets) target.flush();
  };
}
