import type { Logger } from 'pino';
import type { VhostConfig } from '#contract/node-config.ts';
import type { Stream } from '../stream/stream.ts';
import type { StreamKey } from '../stream/stream-key.ts';
import type { SourceListener } from '../stream/stream-observer.ts';
import type { RecordedFile, RecordingCounts } from './recorder.ts';
import { Recorder } from './recorder.ts';
import type { RecordingStore } from './recording-store.ts';
import { appliesTo } from './stream-patterns.ts';

/** A recording that is whole, for whoever is to hear of it. */
export type RecordingNotice = StreamKey & RecordedFile;

export interface RecordingsOptions {
  /** Undefined: this node has nowhere to put recordings. */
  readonly store: RecordingStore | undefined;
  /** The `dvr` of a Vhost that is enabled, now. */
  readonly dvrOf: (vhost: string) => VhostConfig['dvr'] | undefined;
  readonly log: Logger;
  readonly onFile: (notice: RecordingNotice) => void;
  /** Milliseconds since 1970; default Date.now. */
  readonly now?: () => number;
}

/** Counts of a node's recordings; grow only, but for those that are of now. */
export interface RecordingStats extends RecordingCounts {
  /** Streams that are recorded now. */
  readonly recordings: number;
  /** Bytes that wait for their upload now. */
  readonly waitingBytes: number;
}

interface Session {
  readonly recorder: Recorder;
  readonly leave: () => void;
}

/** Which of a node's streams are recorded: those with an encoder here whose Vhost says so, as the configuration now is. */
export class Recordings implements SourceListener {
  readonly #options: RecordingsOptions;
  readonly #counts: RecordingCounts = { bytes: 0, files: 0, errors: 0, droppedFrames: 0, queuedBytes: 0 };
  readonly #sources = new Map<Stream, Session | undefined>();
  /** Files of streams that are gone, until they are written. */
  readonly #ending = new Set<Promise<void>>();
  readonly #toldOf = new Set<string>();
  #isClosed = false;

  constructor(options: RecordingsOptions) {
    this.#options = options;
  }

  /** Finishes what dead processes left, in the background. */
  start(): void {
    void this.#options.store?.recover();
  }

  onSource(stream: Stream): void {
    if (this.#isClosed) return;
    this.#sources.set(stream, undefined);
    this.#update(stream);
  }

  onSourceGone(stream: Stream): void {
    this.#end(stream);
    this.#sources.delete(stream);
  }

  /** The configuration changed: recordings begin and end with it. */
  configure(): void {
    this.#toldOf.clear();
    for (const stream of this.#sources.keys()) this.#update(stream);
  }

  stats(): RecordingStats {
    let recordings = 0;
    for (const session of this.#sources.values()) if (session !== undefined) recordings++;
    return { ...this.#counts, recordings, waitingBytes: this.#options.store?.waitingBytes ?? 0 };
  }

  /** Files of streams that are gone are not written yet, or recordings wait for their upload. */
  get isBusy(): boolean {
    return this.#ending.size > 0 || (this.#options.store?.waitingBytes ?? 0) > 0;
  }

  /** Resolves when no file of a stream that is gone is open any more, or after `mostMs`. */
  async settled(mostMs: number): Promise<void> {
    if (this.#ending.size === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, mostMs);
    await Promise.race([promise, Promise.all(this.#ending)]);
    clearTimeout(timer);
  }

  /** Ends every file and the store, within `mostMs`; idempotent. */
  async close(mostMs: number): Promise<void> {
    const endMs = Date.now() + mostMs;
    this.#isClosed = true;
    for (const stream of this.#sources.keys()) this.#end(stream);
    this.#sources.clear();
    await this.settled(mostMs);
    await this.#options.store?.close(Math.max(0, endMs - Date.now()));
  }

  #update(stream: Stream): void {
    const { store, dvrOf, log } = this.#options;
    const { key } = stream;
    const dvr = dvrOf(key.vhost);
    const isWanted = dvr?.enabled === true && appliesTo(dvr.applyTo, key);
    const session = this.#sources.get(stream);
    if (!isWanted) {
      if (session !== undefined) this.#end(stream);
    } else if (store === undefined) {
      if (this.#toldOf.has(key.vhost)) return;
      this.#toldOf.add(key.vhost);
      log.warn(
        { vhost: key.vhost },
        'this Vhost is to be recorded, but there is nowhere to put recordings: set origin.storage.dvr of the LiveCluster',
      );
    } else if (session === undefined && !this.#isClosed) {
      this.#sources.set(stream, this.#begin(stream, store, dvr));
    }
  }

  #begin(stream: Stream, store: RecordingStore, first: VhostConfig['dvr']): Session {
    const { dvrOf, log, onFile, now = Date.now } = this.#options;
    const { key } = stream;
    // A Vhost that is deleted ends its publishers; until then its last word stands.
    let settings = first;
    const recorder = new Recorder({
      key,
      store,
      settings: () => (settings = dvrOf(key.vhost) ?? settings),
      counts: this.#counts,
      log,
      onFile: (file) => onFile({ ...key, ...file }),
      now,
    });
    return { recorder, leave: stream.observe(recorder) };
  }

  #end(stream: Stream): void {
    const session = this.#sources.get(stream);
    if (session === undefined) return;
    this.#sources.set(stream, undefined);
    session.leave();
    const ending = session.recorder.end();
    this.#ending.add(ending);
    void ending.finally(() => this.#ending.delete(ending));
  }
}
