/** A timer that can be called off. Calling it off twice, or after it fired, does nothing. */
export interface Timer {
  cancel(): void;
}

/** Time as the operator sees it; passed in, so that tests move it by hand (FakeClock). */
export interface Clock {
  /** Unix time in ms: for stamps that others read, never for measuring. */
  nowMs(): number;
  /** Milliseconds since an arbitrary start that never go back: for every duration and deadline. */
  monotonicMs(): number;
  /** Calls back once, after at least `delayMs`. */
  after(delayMs: number, callback: () => void): Timer;
}

// setTimeout fires at once, with a warning, for anything above 2^31 - 1 ms.
const LONGEST_TIMEOUT_MS = 2_147_483_647;

/** The machine's own time. */
export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs, callback) {
    const handle = setTimeout(callback, Math.min(Math.max(0, delayMs), LONGEST_TIMEOUT_MS));
    return { cancel: () => clearTimeout(handle) };
  },
};

/** Waits. Resolves to true when the time is over, to false as soon as `signal` aborts; never rejects. */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    if (signal?.aborted) {
      resolve(false);
      return;
    }
    const onAbort = () => {
      timer.cancel();
      resolve(false);
    };
    const timer = clock.after(delayMs, () => {
      signal?.removeEventListener('abort', onAbort);
      resolve(true);
    });
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

/** RFC 3339 with exactly six fractional digits: the API server refuses a MicroTime with the three of toISOString(). */
export function microTime(epochMs: number): string {
  return new Date(epochMs).toISOString().replace('Z', '000Z');
}
