import { performance } from 'node:perf_hooks';

/** A Vhost's `play.mwLatency`: `auto`, each video frame at once, or a window in milliseconds. */
export type MergeWindow = 'auto' | 'realtime' | number;

/** The windows of `auto`, and what a viewer costs with each beside realtime (25 frames a second, docs/adr/0004). */
const STEPS: readonly { readonly windowMs: number; readonly cost: number }[] = [
  { windowMs: 0, cost: 1 },
  { windowMs: 100, cost: 0.5 },
  { windowMs: 200, cost: 0.4 },
  { windowMs: 350, cost: 0.33 },
];
const SAMPLE_MS = 500;
/** Above this the window grows, below that it may shrink; what a shorter window would cost is reckoned with. */
const GROW_ABOVE = 0.5;
const SHRINK_BELOW = 0.2;
/** At this utilisation the true load can't be told any more: the longest window at once. */
const SATURATED = 0.9;
/** How long the load must stay low before the window shrinks; doubled each time it had to grow again soon after. */
const SHRINK_AFTER_MS = 2_000;
const MOST_SHRINK_AFTER_MS = 160_000;

/**
 * The window of `mwLatency: auto`, for all streams of a process: none while the event loop is mostly idle, in steps up to
 * 350 ms as it gets busy. It looks when it is asked, at most twice a second, and needs no timer.
 */
export class AutoWindow {
  readonly #utilization: () => number;
  readonly #now: () => number;
  #step = 0;
  #sampledAtMs: number;
  /** Since when the load would have allowed a shorter window; undefined while it does not. */
  #lowSinceMs: number | undefined;
  #shrankAtMs = -Infinity;
  #shrinkAfterMs = SHRINK_AFTER_MS;

  /**
   * `utilization` answers the share of time, 0 to 1, that the event loop was busy since it was asked last; `now` is in
   * milliseconds and never goes back.
   */
  constructor(utilization: () => number = utilizationMeter(), now: () => number = () => performance.now()) {
    this.#utilization = utilization;
    this.#now = now;
    this.#sampledAtMs = now();
  }

  /** The window now, in milliseconds; 0 is realtime. */
  windowMs(): number {
    const nowMs = this.#now();
    if (nowMs - this.#sampledAtMs >= SAMPLE_MS) {
      this.#sampledAtMs = nowMs;
      this.#sample(this.#utilization(), nowMs);
    }
    return STEPS[this.#step]!.windowMs;
  }

  #sample(load: number, nowMs: number): void {
    if (load > GROW_ABOVE) {
      this.#lowSinceMs = undefined;
      if (this.#step === STEPS.length - 1) return;
      // It was wrong to shrink: be slower to try again.
      const isRelapse = nowMs - this.#shrankAtMs < 4 * this.#shrinkAfterMs;
      this.#shrinkAfterMs = isRelapse ? Math.min(this.#shrinkAfterMs * 2, MOST_SHRINK_AFTER_MS) : SHRINK_AFTER_MS;
      this.#shrankAtMs = -Infinity;
      this.#step = load >= SATURATED ? STEPS.length - 1 : this.#step + 1;
      return;
    }
    const target = this.#shortest(load);
    if (target === this.#step) {
      this.#lowSinceMs = undefined;
      return;
    }
    this.#lowSinceMs ??= nowMs;
    if (nowMs - this.#lowSinceMs < this.#shrinkAfterMs) return;
    this.#lowSinceMs = undefined;
    this.#shrankAtMs = nowMs;
    this.#step = target;
  }

  /** The first step, not after the present one, under which the load would still be low. */
  #shortest(load: number): number {
    const perCost = load / STEPS[this.#step]!.cost;
    const index = STEPS.findIndex(({ cost }) => perCost * cost < SHRINK_BELOW);
    return index < 0 ? this.#step : Math.min(index, this.#step);
  }
}

/** Event-loop utilisation between two calls. */
function utilizationMeter(): () => number {
  let last = performance.eventLoopUtilization();
  return () => {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, last);
    last = now;
    return utilization;
  };
}

/**
 * Milliseconds to the next of the instants that lie `windowMs` apart; `phase`, 0 to 1, tells where in the window they are.
 * Whoever has the same phase and window flushes at the same instant, whenever its bytes came. An instant less than a
 * millisecond away counts as reached, for timers run out that much early: it is a whole window to the next one.
 */
export function msToFlush(nowMs: number, windowMs: number, phase: number): number {
  const sinceMs = (nowMs - phase * windowMs) % windowMs;
  const restMs = sinceMs < 0 ? -sinceMs : windowMs - sinceMs;
  return restMs >= 1 ? restMs : restMs + windowMs;
}
