import { randomBytes } from 'node:crypto';
import type { Logger } from 'pino';
import type { Clock, Timer } from '../runtime/clock.ts';
import { microTime, sleep, systemClock } from '../runtime/clock.ts';
import { TokenBucket } from '../runtime/token-bucket.ts';
import type { KubeClient } from './client.ts';
import { isKubeError } from './kube-error.ts';
import type { KubeObject, Manifest } from './object.ts';

/** What to say about an object. */
export interface EventContent {
  readonly type: 'Normal' | 'Warning';
  /** Why, one word in UpperCamelCase: `DriftRepaired`. */
  readonly reason: string;
  /** What was done, one word in UpperCamelCase: `Apply`. */
  readonly action: string;
  /** For people; cut at 1 KiB. */
  readonly note: string;
}

/** Options of an EventRecorder. */
export interface EventRecorderOptions {
  readonly client: KubeClient;
  readonly log: Logger;
  /** Pod name: reportingInstance. */
  readonly instance: string;
  readonly clock?: Clock;
}

/** An event that was said, and how often since. */
interface Series {
  readonly key: string;
  readonly event: Manifest & { readonly metadata: { readonly name: string; readonly namespace: string } };
  count: number;
  /** Count that the server knows; 0: not created yet. */
  sentCount: number;
  lastMs: number;
  lastAt: string;
  timer: Timer | undefined;
  isQueued: boolean;
}

const CONTROLLER = 'livecluster.io/operator';
const MOST_SERIES = 512;
const MOST_QUEUED = 256;
/** A series' count is written at most so often. */
const SERIES_MS = 60_000;
/** Said again after such a silence, it is a new event: client-go ends a series after 6 min. */
const FORGET_MS = 360_000;
const EVENTS_PER_SECOND = 5;
const EVENT_BURST = 50;
const TRIES = 3;
const RETRY_MS = 2000;
const LONGEST_NOTE_BYTES = 1024;

/**
 * Writes events.k8s.io/v1 Events, from a bounded queue, at most 5 a second (burst 50). The same thing said again counts
 * up the series of the event that is there. Recording never throws and never waits; what can't be written is dropped.
 */
export class EventRecorder {
  readonly #client: KubeClient;
  readonly #log: Logger;
  readonly #instance: string;
  readonly #clock: Clock;
  readonly #bucket: TokenBucket;
  /** By what is said; oldest use first. */
  readonly #series = new Map<string, Series>();
  readonly #queue: Series[] = [];
  readonly #stopping = new AbortController();
  #sending: Promise<void> | undefined;
  #dropped = 0;

  constructor(options: EventRecorderOptions) {
    this.#client = options.client;
    this.#log = options.log;
    this.#instance = options.instance;
    this.#clock = options.clock ?? systemClock;
    this.#bucket = new TokenBucket(this.#clock, EVENTS_PER_SECOND, EVENT_BURST);
  }

  /** Events that were dropped, because the queue was full or the server refused them. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Says something about an object that is in the cluster. */
  record(regarding: KubeObject, content: EventContent): void {
    if (this.#isClosed) return;
    const { apiVersion, kind, metadata } = regarding;
    const { type, reason, action } = content;
    const note = cut(content.note, LONGEST_NOTE_BYTES);
    const key = JSON.stringify([metadata.uid ?? metadata.name, kind, type, reason, action, note]);
    const nowMs = this.#clock.nowMs();
    const known = this.#series.get(key);
    this.#series.delete(key);
    if (known && nowMs - known.lastMs < FORGET_MS) {
      known.count += 1;
      known.lastMs = nowMs;
      known.lastAt = microTime(nowMs);
      this.#series.set(key, known);
      this.#planUpdate(known);
      return;
    }
    known?.timer?.cancel();
    const namespace = metadata.namespace ?? 'default';
    const series: Series = {
      key,
      count: 1,
      sentCount: 0,
      lastMs: nowMs,
      lastAt: microTime(nowMs),
      timer: undefined,
      isQueued: false,
      event: {
        apiVersion: 'events.k8s.io/v1',
        kind: 'Event',
        // client-go names events `<object>.<hex of the time>`; two replicas can share a time.
        metadata: { namespace, name: `${metadata.name.slice(0, 230)}.${randomBytes(8).toString('hex')}` },
        eventTime: microTime(nowMs),
        reportingController: CONTROLLER,
        reportingInstance: this.#instance.slice(0, 128),
        type,
        reason: reason.slice(0, 128),
        action: action.slice(0, 128),
        note,
        regarding: {
          apiVersion,
          kind,
          name: metadata.name,
          ...(metadata.namespace ? { namespace: metadata.namespace } : {}),
          ...(metadata.uid ? { uid: metadata.uid } : {}),
          ...(metadata.resourceVersion ? { resourceVersion: metadata.resourceVersion } : {}),
        },
      },
    };
    this.#series.set(key, series);
    this.#forgetOldest();
    this.#enqueue(series);
  }

  /** Resolves when everything recorded so far is written or dropped; counts of series that wait for their turn aside. */
  async flush(): Promise<void> {
    await this.#sending;
  }

  /** Writes nothing more; what is queued is dropped. Idempotent. */
  async close(reason: string): Promise<void> {
    if (!this.#isClosed) {
      this.#log.debug({ reason }, 'event recorder closed');
      this.#stopping.abort();
      for (const series of this.#series.values()) series.timer?.cancel();
      this.#series.clear();
      this.#queue.length = 0;
    }
    await this.#sending;
  }

  get #isClosed(): boolean {
    return this.#stopping.signal.aborted;
  }

  #forgetOldest(): void {
    if (this.#series.size <= MOST_SERIES) return;
    const [oldest] = this.#series.values();
    if (!oldest) return;
    oldest.timer?.cancel();
    this.#series.delete(oldest.key);
  }

  #planUpdate(series: Series): void {
    // Waiting in the queue, or for its turn: it will be written with the count of then.
    if (series.isQueued || series.timer) return;
    series.timer = this.#clock.after(SERIES_MS, () => {
      series.timer = undefined;
      this.#enqueue(series);
    });
  }

  #enqueue(series: Series): void {
    if (this.#queue.length >= MOST_QUEUED) {
      this.#drop(series, undefined);
      return;
    }
    series.isQueued = true;
    this.#queue.push(series);
    this.#sending ??= this.#sendAll().finally(() => {
      this.#sending = undefined;
    });
  }

  async #sendAll(): Promise<void> {
    for (let series = this.#queue.shift(); series; series = this.#queue.shift()) {
      const waitMs = this.#bucket.take();
      if (waitMs > 0) await sleep(this.#clock, waitMs, this.#stopping.signal);
      if (this.#isClosed) return;
      await this.#send(series);
      series.isQueued = false;
      if (series.count > series.sentCount && series.sentCount > 0) this.#planUpdate(series);
    }
  }

  async #send(series: Series): Promise<void> {
    for (let attempt = 1; !this.#isClosed; attempt += 1) {
      try {
        await this.#write(series);
        return;
      } catch (error) {
        if (this.#isClosed) return;
        const isPassing = isKubeError(error, 'unavailable', 'timeout', 'throttled', 'unauthorized');
        if (!isPassing || attempt === TRIES) {
          this.#drop(series, error);
          return;
        }
        const askedMs = error.retryAfterMs ?? 0;
        await sleep(this.#clock, Math.max(RETRY_MS * attempt, askedMs), this.#stopping.signal);
      }
    }
  }

  async #write(series: Series): Promise<void> {
    const { event, count } = series;
    const body = count > 1 ? { series: { count, lastObservedTime: series.lastAt } } : {};
    const signal = this.#stopping.signal;
    if (series.sentCount > 0) {
      const { apiVersion, kind, metadata } = event;
      try {
        await this.#client.patch({ apiVersion, kind, ...metadata }, { type: 'merge', body }, { signal });
        series.sentCount = count;
        return;
      } catch (error) {
        // Events live for an hour; one that is gone is written anew.
        if (!isKubeError(error, 'not-found')) throw error;
      }
    }
    try {
      await this.#client.create({ ...event, ...body }, { signal });
    } catch (error) {
      // Written by a try of which no answer came.
      if (!isKubeError(error, 'already-exists')) throw error;
    }
    series.sentCount = count;
  }

  #drop(series: Series, error: unknown): void {
    this.#dropped += 1;
    // Not counted on: said again, it starts afresh.
    series.timer?.cancel();
    if (this.#series.get(series.key) === series) this.#series.delete(series.key);
    const { regarding, reason, note } = series.event;
    this.#log.warn({ err: error, regarding, reason, note, dropped: this.#dropped }, 'event dropped');
  }
}

/** The beginning of a text, at most so many bytes of UTF-8, no character cut in two. */
function cut(text: string, longestBytes: number): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= longestBytes) return text;
  return new TextDecoder().decode(bytes.subarray(0, longestBytes), { stream: true });
}
