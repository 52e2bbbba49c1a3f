import type { Logger } from 'pino';
import { jittered } from './backoff.ts';
import type { Clock, Timer } from './clock.ts';
import { systemClock } from './clock.ts';
import type { ControllerMetrics } from './controller-metrics.ts';
import { WorkQueue } from './work-queue.ts';

/** What a reconcile wants next. */
export interface ReconcileOutcome {
  /** Come again after so long, even if nothing changes. */
  readonly requeueAfterMs?: number;
}

/** What a reconcile is given beside its key. */
export interface ReconcileContext {
  /** Aborts when the controller stops: give up waiting, write nothing more. */
  readonly signal: AbortSignal;
  /** With the controller's name and the key. */
  readonly log: Logger;
}

/**
 * Brings the object of a key (`namespace/name`) to what it should be, from its current state alone: which event led here
 * is not said. Throwing brings the key back later, rate-limited; an error's `retryAfterMs`, if it has one, is kept to.
 */
export type Reconcile = (key: string, context: ReconcileContext) => Promise<ReconcileOutcome | void>;

/** Options of a Controller. */
export interface ControllerOptions {
  /** Its name in metrics and logs, lower case: `livecluster`. */
  readonly name: string;
  readonly reconcile: Reconcile;
  readonly log: Logger;
  readonly metrics?: ControllerMetrics;
  /** All keys there are, for the resync: `() => reflector.cache.keys()`. Without it: no resync. */
  readonly resyncKeys?: () => Iterable<string>;
  /** Time from one resync to the next, ± 10 %; 10 min unless told. */
  readonly resyncMs?: number;
  /** Keys worked on at once; 4 unless told. */
  readonly workers?: number;
  readonly clock?: Clock;
  readonly random?: () => number;
}

const WORKERS = 4;
const RESYNC_MS = 600_000;
/** ± 10 % */
const RESYNC_JITTER = 0.2;

/** Works off keys: several at once, never one key twice at a time. */
export class Controller {
  readonly #options: ControllerOptions;
  readonly #queue: WorkQueue;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #stopping = new AbortController();
  #workers: Promise<void>[] | undefined;
  #resync: Timer | undefined;

  constructor(options: ControllerOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#log = options.log.child({ controller: options.name });
    const observer = options.metrics?.queueObserver(options.name);
    this.#queue = new WorkQueue({ clock: this.#clock, ...(observer ? { observer } : {}) });
    options.metrics?.declare(options.name);
  }

  /** Asks for a reconcile of the key; also before start(), and harmless after stop(). */
  enqueue(key: string): void {
    this.#queue.add(key);
  }

  /** Asks for a reconcile after a while. */
  enqueueAfter(key: string, delayMs: number): void {
    this.#queue.addAfter(key, delayMs);
  }

  /** Begins to work; a second call, or one after stop(), does nothing. */
  start(): void {
    if (this.#workers || this.#stopping.signal.aborted) return;
    const { workers = WORKERS } = this.#options;
    this.#workers = Array.from({ length: workers }, () => this.#work());
    this.#planResync();
  }

  /** Takes no further key, aborts the signal of those under way, and resolves when they have ended. Idempotent. */
  async stop(reason: string): Promise<void> {
    if (!this.#stopping.signal.aborted) {
      this.#log.debug({ reason }, 'controller stopping');
      this.#stopping.abort();
      this.#resync?.cancel();
      this.#queue.close();
    }
    await Promise.all(this.#workers ?? []);
  }

  async #work(): Promise<void> {
    for (let key = await this.#queue.take(); key !== undefined; key = await this.#queue.take()) {
      await this.#reconcile(key);
      this.#queue.done(key);
    }
  }

  async #reconcile(key: string): Promise<void> {
    const { name, reconcile, metrics } = this.#options;
    const startMs = this.#clock.monotonicMs();
    const log = this.#log.child({ key });
    try {
      const outcome = await reconcile(key, { signal: this.#stopping.signal, log });
      const againMs = outcome?.requeueAfterMs;
      const result = againMs === undefined ? 'success' : 'requeue_after';
      metrics?.reconciled(name, result, this.#clock.monotonicMs() - startMs);
      this.#queue.forget(key);
      if (againMs !== undefined) this.#queue.addAfter(key, Math.max(1, againMs));
    } catch (error) {
      if (this.#stopping.signal.aborted) {
        log.info({ err: error }, 'reconcile ended by the stop');
        return;
      }
      metrics?.reconciled(name, 'error', this.#clock.monotonicMs() - startMs);
      this.#queue.addRateLimited(key, retryAfterMsOf(error));
      log.error({ err: error, failures: this.#queue.failuresOf(key) }, 'reconcile failed, will be tried again');
    }
  }

  #planResync(): void {
    const { resyncKeys, resyncMs = RESYNC_MS, random = Math.random } = this.#options;
    if (!resyncKeys) return;
    this.#resync = this.#clock.after(jittered(resyncMs, RESYNC_JITTER, random), () => {
      for (const key of resyncKeys()) this.#queue.add(key);
      this.#planResync();
    });
  }
}

function retryAfterMsOf(error: unknown): number {
  const asked = error instanceof Error && 'retryAfterMs' in error ? error.retryAfterMs : undefined;
  return typeof asked === 'number' && asked > 0 ? asked : 0;
}
