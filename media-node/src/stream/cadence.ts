/** Frame intervals that can be followed: shorter ones are hardly worth it, and what comes rarely costs little. */
const LEAST_INTERVAL_MS = 10;
const MOST_INTERVAL_MS = 100;
/** By how much an interval may differ from the mean: times in whole milliseconds do by one. */
const INTERVAL_SLACK_MS = 3;
/** Frames that were listened for until they can be foreseen; means are over about so many. */
const LEARNED = 8;
/** Every so many frames one is listened for again. */
const LISTEN_EVERY = 16;
/** A frame that comes so much earlier or later than others, beside their deviation, is the first of another time. */
const FAR_MS = 5;
/** Frames that come less evenly than that, by their mean deviation, are listened for: to wait for the last of them would take too long. */
const MOST_DEVIATION_MS = 1.5;
/** A look comes so long after the frame is expected, and as many deviations: little waits, little is missed. */
const GUARD_MS = 0.5;
const GUARD_DEVIATIONS = 2;
/** A look that comes too soon after the present one finds nothing. */
const LEAST_AHEAD_MS = 5;

/**
 * Foresees when a source's next video frame comes, by the frames before: what comes at 25 frames a second need not be waited
 * for 72 times a second. When a frame came is known of those that were listened for, at first all, then some; of these it keeps
 * the mean and its deviation, as TCP does for its timeout (RFC 6298 §2).
 */
export class Cadence {
  #lastDtsMs = NaN;
  #intervalMs = NaN;
  #steady = 0;
  #learned = 0;
  /** From decoding times to the clock's times at which frames came; by how much one differs. */
  #meanMs = 0;
  #deviationMs = 0;
  #sinceListened = 0;

  /** A video frame has come, at `nowMs`; `wasDrawn`: then or before. */
  frame(dtsMs: number, nowMs: number, wasDrawn: boolean): void {
    this.#interval(dtsMs - this.#lastDtsMs);
    this.#lastDtsMs = dtsMs;
    if (wasDrawn) {
      this.#sinceListened++;
      return;
    }
    this.#sinceListened = 0;
    const error = nowMs - dtsMs - this.#meanMs;
    const isFar = Math.abs(error) > FAR_MS + GUARD_DEVIATIONS * this.#deviationMs;
    if (this.#learned === 0 || (isFar && this.#learned >= LEARNED)) {
      this.#meanMs = nowMs - dtsMs;
      this.#deviationMs = 0;
      this.#learned = 1;
      return;
    }
    this.#learned++;
    const weight = 1 / Math.min(this.#learned, LEARNED);
    this.#meanMs += error * weight;
    this.#deviationMs += (Math.abs(error) - this.#deviationMs) * weight;
  }

  /**
   * When to look for the next frame, by the clock of `nowMs`; undefined where it has to be listened for. `mostMs`: what comes
   * meanwhile may wait no longer.
   */
  nextMs(nowMs: number, mostMs: number): number | undefined {
    const intervalMs = this.#intervalMs;
    if (this.#steady < LEARNED || this.#learned < LEARNED || this.#sinceListened >= LISTEN_EVERY) return undefined;
    if (this.#deviationMs > MOST_DEVIATION_MS) return undefined;
    if (intervalMs < LEAST_INTERVAL_MS || intervalMs > Math.min(mostMs, MOST_INTERVAL_MS)) return undefined;
    const guardMs = GUARD_MS + GUARD_DEVIATIONS * this.#deviationMs;
    const nextMs = this.#lastDtsMs + intervalMs + this.#meanMs + guardMs;
    return nextMs >= nowMs + LEAST_AHEAD_MS && nextMs <= nowMs + 2 * intervalMs ? nextMs : undefined;
  }

  #interval(intervalMs: number): void {
    if (Math.abs(intervalMs - this.#intervalMs) <= INTERVAL_SLACK_MS) {
      this.#steady++;
      this.#intervalMs += (intervalMs - this.#intervalMs) / LEARNED;
    } else {
      this.#steady = this.#learned = 0;
      this.#intervalMs = intervalMs;
    }
  }
}
