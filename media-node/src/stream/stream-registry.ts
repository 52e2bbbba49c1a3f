import type { SendToAll } from '../lib/send-to-all.ts';
import { DrawClock } from './draw-clock.ts';
import { StreamError } from './errors.ts';
import type { FlushPolicy } from './flush-policy.ts';
import { TimerFlush } from './flush-policy.ts';
import { AutoWindow } from './merge-window.ts';
import type { StreamDemand } from './stream-demand.ts';
import type { StreamKey } from './stream-key.ts';
import type { SourceListener } from './stream-observer.ts';
import { streamKeyId } from './stream-key.ts';
import type { StreamRules } from './stream-rules.ts';
import { REALTIME_RULES } from './stream-rules.ts';
import type { StreamOwner } from './stream-owner.ts';
import { Stream } from './stream.ts';

export interface StreamRegistryOptions {
  /** Streams at most, those that wait for a publisher included. Default 10,000. */
  readonly maxStreams?: number;
  /** A stream without publisher, player and hold is dropped after this time. Default 10 s. */
  readonly idleMs?: number;
  /** Milliseconds; default Date.now. */
  readonly now?: () => number;
  /** The rules of a Vhost, asked again and again, so that a change reaches running streams; default REALTIME_RULES. */
  readonly rules?: (vhost: string) => StreamRules;
  /** The window of `mwLatency: auto`; default by this thread's event loop. */
  readonly autoWindow?: Pick<AutoWindow, 'windowMs'>;
  /** Default TimerFlush. */
  readonly flushPolicy?: FlushPolicy;
  /** Writes to many players in one call; without it each is written to by itself. */
  readonly sendToAll?: SendToAll | undefined;
}

/** This process's streams. */
export class StreamRegistry {
  readonly #maxStreams: number;
  readonly #idleMs: number;
  readonly #streams = new Map<string, Stream>();
  readonly #idle = new Map<Stream, NodeJS.Timeout>();
  readonly #owner: StreamOwner;
  readonly #sourceListeners: SourceListener[] = [];
  #demand: StreamDemand | undefined;
  #isClosed = false;
  #made = 0;

  constructor(options: StreamRegistryOptions = {}) {
    this.#maxStreams = options.maxStreams ?? 10_000;
    this.#idleMs = options.idleMs ?? 10_000;
    const autoWindow = options.autoWindow ?? new AutoWindow();
    const flushPolicy = options.flushPolicy ?? new TimerFlush();
    this.#owner = {
      flushPolicy,
      sendToAll: options.sendToAll,
      drawClock: new DrawClock(flushPolicy),
      rules: options.rules ?? (() => REALTIME_RULES),
      autoWindowMs: () => autoWindow.windowMs(),
      now: options.now ?? Date.now,
      onIdle: (stream) => this.#onIdle(stream),
      onUsed: (stream) => this.#onUsed(stream),
      onWanted: (stream) => this.#demand?.onWanted(stream),
      onUnwanted: (stream) => this.#demand?.onUnwanted(stream),
      onSource: (stream) => {
        for (const listener of this.#sourceListeners) listener.onSource(stream);
      },
      onSourceGone: (stream) => {
        for (const listener of this.#sourceListeners) listener.onSourceGone(stream);
      },
    };
  }

  /** The stream of a key, made when missing. Throws StreamError `too-many`, `closed` after close. */
  open(key: StreamKey): Stream {
    const id = streamKeyId(key);
    const known = this.#streams.get(id);
    if (known !== undefined) {
      // Whoever asked gets the whole idle time to begin using it.
      if (known.isIdle) this.#onIdle(known);
      return known;
    }
    if (this.#isClosed) throw new StreamError('closed', 'the node is closing');
    if (this.#streams.size >= this.#maxStreams) this.#dropOldestIdle();
    const stream = new Stream(key, this.#owner, this.#made++);
    this.#streams.set(id, stream);
    this.#onIdle(stream);
    return stream;
  }

  /** The stream of a key, if there is one. */
  get(key: StreamKey): Stream | undefined {
    return this.#streams.get(streamKeyId(key));
  }

  /** The window of `mwLatency: auto` now, in milliseconds; 0 is realtime. */
  get autoWindowMs(): number {
    return this.#owner.autoWindowMs();
  }

  streams(): IterableIterator<Stream> {
    return this.#streams.values();
  }

  /** Who hears of demand; one listener. Streams that are wanted already are told at once. */
  setDemand(demand: StreamDemand | undefined): void {
    this.#demand = demand;
    if (demand === undefined) return;
    for (const stream of this.#streams.values()) if (stream.isWanted) demand.onWanted(stream);
  }

  /** Who hears of encoders that publish on this node, in this order; to be added before the first one comes. */
  addSourceListener(listener: SourceListener): void {
    this.#sourceListeners.push(listener);
  }

  /** Closes every publisher and player and drops every stream; idempotent. */
  close(reason: string): void {
    this.#isClosed = true;
    for (const stream of this.#streams.values()) this.#drop(stream, reason);
  }

  #onIdle(stream: Stream): void {
    if (this.get(stream.key) !== stream) return;
    clearTimeout(this.#idle.get(stream));
    // Deleted first, so that the map's order is the order in which streams became idle.
    this.#idle.delete(stream);
    const timer = setTimeout(() => this.#drop(stream, 'idle'), this.#idleMs);
    timer.unref();
    this.#idle.set(stream, timer);
  }

  #onUsed(stream: Stream): void {
    clearTimeout(this.#idle.get(stream));
    this.#idle.delete(stream);
  }

  #dropOldestIdle(): void {
    const [oldest] = this.#idle.keys();
    if (oldest === undefined) {
      throw new StreamError('too-many', `all ${this.#maxStreams} streams of this node are in use`);
    }
    this.#drop(oldest, 'idle');
  }

  #drop(stream: Stream, reason: string): void {
    clearTimeout(this.#idle.get(stream));
    this.#idle.delete(stream);
    this.#streams.delete(streamKeyId(stream.key));
    stream.close(reason);
  }
}
