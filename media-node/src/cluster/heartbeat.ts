/** Sooner than usual while the store is away. */
const AWAY_MS = 500;

export interface HeartbeatOptions {
  readonly everyMs: number;
  /** One beat; may reject. */
  readonly beat: () => Promise<void>;
  readonly onFailed: (error: unknown) => void;
  readonly isUp: () => boolean;
}

/** Beats now and then, one at a time. */
export class Heartbeat {
  readonly #options: HeartbeatOptions;
  #timer: NodeJS.Timeout | undefined;
  #isBeating = false;
  #again = false;
  #isStopped = false;

  constructor(options: HeartbeatOptions) {
    this.#options = options;
  }

  start(): void {
    this.#schedule(this.#options.everyMs);
  }

  /** Asked for while one is under way, another follows. Never rejects. */
  async now(): Promise<void> {
    if (this.#isStopped) return;
    if (this.#isBeating) {
      this.#again = true;
      return;
    }
    const { everyMs, beat, onFailed, isUp } = this.#options;
    this.#isBeating = true;
    clearTimeout(this.#timer);
    try {
      await beat();
    } catch (error) {
      onFailed(error);
    } finally {
      this.#isBeating = false;
      const again = this.#again && isUp();
      this.#again = false;
      this.#schedule(again ? 0 : isUp() ? everyMs : Math.min(everyMs, AWAY_MS));
    }
  }

  /** The store has just gone away: it is tried again soon. */
  soon(): void {
    this.#schedule(Math.min(this.#options.everyMs, AWAY_MS));
  }

  /** Idempotent. */
  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  #schedule(afterMs: number): void {
    clearTimeout(this.#timer);
    if (this.#isStopped) return;
    this.#timer = setTimeout(() => void this.now(), afterMs);
  }
}
