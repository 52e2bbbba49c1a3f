import type { Logger } from 'pino';
import { Backoff } from '../runtime/backoff.ts';
import type { Clock, Timer } from '../runtime/clock.ts';
import { sleep, systemClock } from '../runtime/clock.ts';
import type { KubeClient, Selection } from './client.ts';
import { isKubeError } from './kube-error.ts';
import type { KubeObject, ObjectType, WatchEvent } from './object.ts';
import { keyOf } from './object.ts';
import { MutableObjectCache } from './object-cache.ts';
import type { ObjectCache } from './object-cache.ts';

/**
 * Told of every change, in order, after the cache has it. Synchronous and short: put a key on a work queue. One that
 * throws is logged and the others are still told. A same-named object made anew comes as onDelete and then onAdd.
 */
export interface ReflectorHandler<T extends KubeObject> {
  onAdd?(object: T): void;
  onUpdate?(object: T, previous: T): void;
  /** With the last state known, which can be older than the last there was. */
  onDelete?(object: T): void;
}

/** Options of a Reflector. */
export interface ReflectorOptions extends Selection {
  readonly client: KubeClient;
  readonly type: ObjectType;
  readonly log: Logger;
  readonly clock?: Clock;
  /** Source of jitter, in [0, 1). */
  readonly random?: () => number;
}

// Bookmarks come about once a minute, so a watch without a line for this long is a dead connection.
const SILENCE_MS = 90_000;
const SHORTEST_WATCH_SECONDS = 300;
const LONGEST_WATCH_SECONDS = 600;
const BACKOFF = { initialMs: 800, maxMs: 30_000, jitter: 0.5 } as const;

// A watch that lived this long was a working one: what ends it is no failure in a row.
const HEALTHY_WATCH_MS = 10_000;

/**
 * Keeps a cache of one kind true for as long as it lives: list, watch, and again from wherever that broke. Only close()
 * ends it; no error of the server, the network or a handler does.
 */
export class Reflector<T extends KubeObject = KubeObject> {
  /** What is known now; empty until hasSynced. */
  readonly cache: ObjectCache<T>;
  /** True once the first list is in the cache and every handler was told of it; false if closed before. */
  readonly hasSynced: Promise<boolean>;

  readonly #cache = new MutableObjectCache<T>();
  readonly #client: KubeClient;
  readonly #type: ObjectType;
  readonly #selection: Selection;
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #backoff: Backoff;
  readonly #handlers = new Set<ReflectorHandler<T>>();
  readonly #stopping = new AbortController();
  #resolveSynced: (isSynced: boolean) => void = () => {};
  #running: Promise<void> | undefined;
  /** Where the next watch goes on from; undefined: list first. */
  #resourceVersion: string | undefined;

  constructor(options: ReflectorOptions) {
    const { client, type, log, clock = systemClock, random = Math.random, ...selection } = options;
    this.#client = client;
    this.#type = type;
    this.#selection = selection;
    this.#log = log.child({ kind: type.kind });
    this.#clock = clock;
    this.#random = random;
    this.#backoff = new Backoff({ ...BACKOFF, random });
    this.cache = this.#cache;
    this.hasSynced = new Promise((resolve) => {
      this.#resolveSynced = resolve;
    });
  }

  /** Adds a handler; it is told at once, as onAdd, of what the cache already has. Returns what takes it off again. */
  addHandler(handler: ReflectorHandler<T>): () => void {
    this.#handlers.add(handler);
    for (const object of this.#cache.list()) this.#guarded(() => handler.onAdd?.(object));
    return () => this.#handlers.delete(handler);
  }

  /** Begins; a second call, or one after close(), does nothing. */
  start(): void {
    if (this.#running || this.#stopped) return;
    this.#running = this.#run();
  }

  /** Ends the watch for good and resolves when nothing of it runs any more; no handler is told anything after the call. */
  async close(reason: string): Promise<void> {
    if (!this.#stopped) {
      this.#log.debug({ reason }, 'reflector closed');
      this.#stopping.abort();
      this.#resolveSynced(false);
    }
    await this.#running;
  }

  get #stopped(): boolean {
    return this.#stopping.signal.aborted;
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      try {
        if (this.#resourceVersion === undefined) await this.#list();
        if (this.#stopped) return;
        const isHealthy = await this.#watch();
        if (this.#stopped) return;
        // Ended by the server, as asked for; or at once, by one that is going down: then not again without a pause.
        if (!isHealthy) await this.#pause(undefined);
      } catch (error) {
        if (this.#stopped) return;
        await this.#recover(error);
      }
    }
  }

  /** Reads all there is, and tells the handlers the difference to the cache. */
  async #list(): Promise<void> {
    const list = await this.#client.list<T>(this.#type, { ...this.#selection, signal: this.#stopping.signal });
    if (this.#stopped) return;
    const gone = new Set(this.#cache.keys());
    for (const object of list.items) gone.delete(keyOf(object));
    for (const key of gone) this.#remove(key);
    for (const object of list.items) {
      if (this.#stopped) return;
      this.#put(object);
    }
    this.#resourceVersion = list.resourceVersion;
    this.#resolveSynced(true);
  }

  /** Follows one watch to its end; returns whether it lived for a while. */
  async #watch(): Promise<boolean> {
    const startMs = this.#clock.monotonicMs();
    const connection = new AbortController();
    let isSilent = false;
    let silence: Timer | undefined;
    const listen = () => {
      silence?.cancel();
      silence = this.#clock.after(SILENCE_MS, () => {
        isSilent = true;
        connection.abort();
      });
    };
    const onStop = () => connection.abort();
    this.#stopping.signal.addEventListener('abort', onStop, { once: true });
    try {
      listen();
      for await (const event of this.#client.watch<T>(this.#type, {
        ...this.#selection,
        resourceVersion: this.#resourceVersion ?? '',
        timeoutSeconds: this.#watchSeconds(),
        signal: connection.signal,
      })) {
        if (this.#stopped) return false;
        listen();
        this.#take(event);
      }
    } catch (error) {
      if (!isSilent) throw error;
      this.#log.info({ silenceMs: SILENCE_MS }, 'watch was silent, reconnecting');
    } finally {
      if (this.#clock.monotonicMs() - startMs >= HEALTHY_WATCH_MS) this.#backoff.reset();
      silence?.cancel();
      this.#stopping.signal.removeEventListener('abort', onStop);
    }
    return this.#clock.monotonicMs() - startMs >= HEALTHY_WATCH_MS;
  }

  #take(event: WatchEvent<T>): void {
    // A line is a sign of a server that serves: the next failure is the first in a row.
    this.#backoff.reset();
    const { object } = event;
    if (event.type === 'DELETED') {
      const cached = this.#cache.get(keyOf(object));
      this.#cache.remove(keyOf(object));
      // The last state is what the event carries, unless what is cached bears the name but is another object.
      if (cached && cached.metadata.uid !== object.metadata.uid) this.#tell((handler) => handler.onDelete?.(cached));
      else if (cached) this.#tell((handler) => handler.onDelete?.(object));
    } else if (event.type !== 'BOOKMARK') {
      this.#put(object);
    }
    this.#resourceVersion = object.metadata.resourceVersion;
  }

  async #recover(error: unknown): Promise<void> {
    if (isKubeError(error, 'gone')) {
      this.#resourceVersion = undefined;
      this.#log.info({ err: error }, 'watch is too old, listing again');
      // The first time at once; a server that goes on saying so is asked ever more seldom.
      if (this.#backoff.failures === 0) {
        this.#backoff.next();
        return;
      }
    }
    await this.#pause(error);
  }

  async #pause(error: unknown): Promise<void> {
    const askedMs = isKubeError(error) ? (error.retryAfterMs ?? 0) : 0;
    const delayMs = Math.max(this.#backoff.next(), askedMs);
    if (error === undefined) this.#log.info({ delayMs }, 'watch ended at once, trying again');
    else this.#log.warn({ err: error, delayMs }, 'list or watch failed, trying again');
    await sleep(this.#clock, delayMs, this.#stopping.signal);
  }

  #put(object: T): void {
    const change = this.#cache.put(object);
    switch (change.kind) {
      case 'added':
        this.#tell((handler) => handler.onAdd?.(object));
        break;
      case 'updated':
        this.#tell((handler) => handler.onUpdate?.(object, change.previous));
        break;
      case 'recreated':
        this.#tell((handler) => handler.onDelete?.(change.previous));
        this.#tell((handler) => handler.onAdd?.(object));
        break;
      case 'same':
        break;
    }
  }

  #remove(key: string): void {
    const object = this.#cache.remove(key);
    if (object) this.#tell((handler) => handler.onDelete?.(object));
  }

  #tell(call: (handler: ReflectorHandler<T>) => void): void {
    for (const handler of this.#handlers) {
      if (this.#stopped) return;
      this.#guarded(() => call(handler));
    }
  }

  #guarded(call: () => void): void {
    try {
      call();
    } catch (error) {
      this.#log.error({ err: error }, 'a handler of the reflector threw');
    }
  }

  // Spread, so that the watches of a restarted operator do not all end together.
  #watchSeconds(): number {
    return Math.round(SHORTEST_WATCH_SECONDS + this.#random() * (LONGEST_WATCH_SECONDS - SHORTEST_WATCH_SECONDS));
  }
}
