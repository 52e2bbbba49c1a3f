/** Something with bytes that wait to be written to players. */
export interface Flushable {
  flush(): void;
}

/** A flush to come. */
export interface FlushTicket {
  /** Takes it back; idempotent, and without effect once the flush has begun. */
  cancel(): void;
}

/** Carries flushes out at their time; a port so that tests have the time in hand. */
export interface FlushPolicy {
  /** Milliseconds that never go back. */
  now(): number;
  /** Calls `target.flush()` once, after `delayMs`; 0 is the end of this turn of the event loop. */
  schedule(target: Flushable, delayMs: number): FlushTicket;
}

/**
 * With timers. A delay of 0 means one write a player for all frames of the socket reads of one turn, and no latency worth
 * naming.
 */
export class TimerFlush implements FlushPolicy {
  now(): number {
    return performance.now();
  }

  schedule(target: Flushable, delayMs: number): FlushTicket {
    if (delayMs <= 0) {
      const immediate = setImmediate(() => target.flush());
      return { cancel: () => clearImmediate(immediate) };
    }
    // Rounded up: a timer that runs out before its instant would have the rest flushed again at the instant.
    const timer = setTimeout(() => target.flush(), Math.ceil(delayMs));
    timer.unref();
    return { cancel: () => clearTimeout(timer) };
  }
}
