import type { Logger } from 'pino';
import type { VhostConfig } from '#contract/node-config.ts';
import type { Frame, Metadata } from '../media/frame.ts';
import type { Track } from '../media/track.ts';
import type { StreamKey } from '../stream/stream-key.ts';
import type { StreamObserver } from '../stream/stream-observer.ts';
import type { Container } from './container.ts';
import { makeContainer } from './container.ts';
import { asRecordingError, MENDS } from './recording-error.ts';
import { formatOf, recordingPath } from './recording-path.ts';
import type { FinishedFile, OpenRecording, RecordingStore } from './recording-store.ts';

/** Written at once when so much has come, else each second. */
const BATCH_BYTES = 1024 * 1024;
const BATCH_MS = 1_000;
/** Media that waits for a slow disk at most: of one stream, and of all. */
const MOST_QUEUED_BYTES = 16 * 1024 * 1024;
const MOST_QUEUED_OF_ALL = 128 * 1024 * 1024;
/** What an item of the list costs beside its frame's bytes: encoders may send tiny frames without end. */
const ITEM_BYTES = 256;
/** How long a store that failed is left alone, twice as long each time. */
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 60_000;

/** What recorders of a node count together; counts grow only. */
export interface RecordingCounts {
  bytes: number;
  files: number;
  errors: number;
  /** Frames that are in no file, because the store was too slow or failed. */
  droppedFrames: number;
  /** Bytes of frames that wait to be written now. */
  queuedBytes: number;
}

/** A file and what it holds. */
export interface RecordedFile extends FinishedFile {
  /** Wall clock of its first frame, milliseconds since 1970. */
  readonly startedAtMs: number;
  readonly durationMs: number;
}

export interface RecorderOptions {
  readonly key: StreamKey;
  readonly store: RecordingStore;
  /** The Vhost's `dvr` now. */
  readonly settings: () => VhostConfig['dvr'];
  readonly counts: RecordingCounts;
  readonly log: Logger;
  readonly onFile: (file: RecordedFile) => void;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Bytes that are written at once; default 1 MiB. */
  readonly batchBytes?: number;
  /** Bytes that wait for the store at most; default 16 MiB. */
  readonly mostQueuedBytes?: number;
}

type Item = Frame | { readonly tracks: readonly Track[] };

/** The file that is being written. */
interface Current {
  readonly container: Container;
  readonly path: string;
  readonly startedAtMs: number;
  readonly originMs: number;
  /** Made with the first write. */
  stored: OpenRecording | undefined;
}

/**
 * Records one stream. The hot path only appends to a list; a second later, or with a megabyte, the list becomes bytes and is
 * written. When the store can't keep up, frames are left out up to the next key frame; when it fails, the file ends, and
 * another one begins a while later.
 */
export class Recorder implements StreamObserver {
  readonly #options: RecorderOptions;
  readonly #batchBytes: number;
  readonly #mostQueuedBytes: number;
  readonly #timer: NodeJS.Timeout;
  #items: Item[] = [];
  /** Bytes of frames that are in no file yet, and those of them that the container has. */
  #queuedBytes = 0;
  #takenBytes = 0;
  #newestMs = 0;
  #isSkipping = false;
  /** The queue's side and the writing side each know the tracks of their place in the stream. */
  #hasVideo = false;
  #tracks: readonly Track[] = [];
  #metadata: Metadata | undefined;
  #current: Current | undefined;
  #awaitsKey = true;
  #pausedUntilMs = 0;
  #pauseMs = FIRST_PAUSE_MS;
  #writing: Promise<void> | undefined;
  #ending: Promise<void> | undefined;

  constructor(options: RecorderOptions) {
    this.#options = options;
    this.#batchBytes = options.batchBytes ?? BATCH_BYTES;
    this.#mostQueuedBytes = options.mostQueuedBytes ?? MOST_QUEUED_BYTES;
    this.#timer = setInterval(() => this.#write(), BATCH_MS);
    this.#timer.unref();
  }

  onTracks(tracks: readonly Track[]): void {
    this.#hasVideo = tracks.some(({ kind }) => kind === 'video');
    this.#items.push({ tracks });
    this.#keep(costOf(tracks));
  }

  onMetadata(metadata: Metadata): void {
    // Of the next file, whichever that is.
    this.#metadata = metadata;
  }

  onSeam(): void {
    // Times go on, and the next publisher begins with a key frame: the file goes on.
  }

  onFrame(frame: Frame): void {
    const { counts } = this.#options;
    if (this.#isSkipping) {
      const isEntry = frame.isKey && (frame.track.kind === 'video' || !this.#hasVideo);
      if (!isEntry || this.#isOver(0.5)) {
        counts.droppedFrames++;
        return;
      }
      this.#isSkipping = false;
    }
    this.#items.push(frame);
    this.#newestMs = frame.dtsMs;
    this.#keep(frame.data.length + ITEM_BYTES);
    if (this.#isOver(1)) this.#skip();
    else if (this.#queuedBytes >= this.#batchBytes && this.#writing === undefined) this.#write();
  }

  /** Writes what there is and ends the file. Resolves when that is done; never rejects. Idempotent; no call may follow. */
  end(): Promise<void> {
    clearInterval(this.#timer);
    this.#ending ??= (async () => {
      await this.#writing;
      await this.#pump();
      await this.#attempt(this.#finish());
    })();
    return this.#ending;
  }

  #isOver(share: number): boolean {
    return (
      this.#queuedBytes > this.#mostQueuedBytes * share || this.#options.counts.queuedBytes > MOST_QUEUED_OF_ALL * share
    );
  }

  #skip(): void {
    this.#isSkipping = true;
    const { log, key } = this.#options;
    log.warn(
      { ...key, queuedBytes: this.#queuedBytes },
      'the disk is too slow to record this stream: frames up to a later key frame are left out; give origins a faster storage class, or record fewer streams',
    );
  }

  #write(): void {
    if (this.#writing !== undefined || this.#items.length === 0) return;
    this.#writing = this.#pump().finally(() => (this.#writing = undefined));
  }

  async #pump(): Promise<void> {
    do {
      const items = this.#items;
      this.#items = [];
      for (const item of items) {
        let work: Promise<void> | undefined;
        try {
          work = this.#take(item);
        } catch (error) {
          work = Promise.reject(error);
        }
        // Only what ends or fills a file waits for the disk.
        if (work !== undefined) await this.#attempt(work);
      }
      await this.#attempt(this.#flush());
    } while (this.#queuedBytes >= this.#batchBytes && this.#items.length > 0);
  }

  #take(item: Item): Promise<void> | undefined {
    if ('track' in item) return this.#takeFrame(item);
    this.#release(costOf(item.tracks));
    const isSame =
      item.tracks.length === this.#tracks.length && item.tracks.every((each) => this.#tracks.includes(each));
    if (isSame) return undefined;
    this.#tracks = item.tracks;
    this.#awaitsKey = true;
    return this.#finish();
  }

  #takeFrame(frame: Frame): Promise<void> | undefined {
    const current = this.#current;
    if (current !== undefined && this.#isCut(current, frame)) {
      return this.#finish().finally(() => this.#add(frame));
    }
    this.#add(frame);
    return this.#takenBytes >= this.#batchBytes ? this.#flush() : undefined;
  }

  #isCut({ originMs }: Current, frame: Frame): boolean {
    const { plan, durationMs, waitKeyframe } = this.#options.settings();
    if (plan !== 'Segment' || frame.dtsMs - originMs < durationMs) return false;
    return !waitKeyframe || this.#isEntry(frame);
  }

  /** A file may begin with it. */
  #isEntry(frame: Frame): boolean {
    const hasVideo = this.#tracks.some(({ kind }) => kind === 'video');
    return frame.isKey && (frame.track.kind === 'video' || !hasVideo);
  }

  #add(frame: Frame): void {
    const cost = frame.data.length + ITEM_BYTES;
    if (this.#current === undefined && !this.#begin(frame)) {
      this.#release(cost);
      return;
    }
    this.#takenBytes += cost;
    this.#current?.container.frame(frame);
  }

  /** Begins a file with this frame; false where it can't. */
  #begin(frame: Frame): boolean {
    const { settings, key, now, counts } = this.#options;
    if (now() < this.#pausedUntilMs) {
      counts.droppedFrames++;
      return false;
    }
    if (this.#awaitsKey && !this.#isEntry(frame)) {
      if (this.#pausedUntilMs > 0) counts.droppedFrames++;
      return false;
    }
    const startedAtMs = now() - Math.max(0, this.#newestMs - frame.dtsMs);
    const path = recordingPath(settings().path, key, startedAtMs);
    const originMs = frame.dtsMs;
    try {
      const container = makeContainer(formatOf(path), this.#tracks, this.#metadata, originMs);
      this.#current = { container, path, startedAtMs, originMs, stored: undefined };
    } catch (error) {
      this.#fail(error);
      return false;
    }
    this.#awaitsKey = false;
    return true;
  }

  /** Writes what the container can give. */
  async #flush(): Promise<void> {
    const current = this.#current;
    const bytes = this.#takenBytes;
    this.#takenBytes = 0;
    try {
      const units = current?.container.take() ?? [];
      if (current === undefined || units.length === 0) return;
      current.stored ??= await this.#options.store.create(current.path);
      const before = current.stored.bytes;
      await current.stored.append(units);
      this.#options.counts.bytes += current.stored.bytes - before;
      this.#pauseMs = FIRST_PAUSE_MS;
      this.#pausedUntilMs = 0;
    } finally {
      this.#release(bytes);
    }
  }

  async #finish(): Promise<void> {
    const current = this.#current;
    if (current === undefined) return;
    current.container.end();
    await this.#flush();
    this.#current = undefined;
    await this.#store(current);
  }

  async #store({ container, stored, startedAtMs }: Current): Promise<void> {
    if (stored === undefined) return;
    const { bytes, stored: isStored } = await stored.finish(container.patch(stored.bytes));
    if (bytes === 0) return;
    const durationMs = Math.round(container.durationMs);
    // Not awaited: an upload may take longer than the next file.
    void this.#tell(isStored, { startedAtMs, durationMs });
  }

  async #tell(
    stored: Promise<FinishedFile | undefined>,
    times: Pick<RecordedFile, 'startedAtMs' | 'durationMs'>,
  ): Promise<void> {
    const { log, key, counts, onFile } = this.#options;
    const file = await stored;
    if (file === undefined) return;
    counts.files++;
    log.info({ ...key, ...file, durationMs: times.durationMs }, 'a recording is finished');
    onFile({ ...file, ...times });
  }

  /** Waits for a part of the work; a fault of the store ends the file and not the recorder. */
  async #attempt(work: Promise<void>): Promise<void> {
    try {
      await work;
    } catch (error) {
      const current = this.#current;
      this.#fail(error);
      if (current === undefined) return;
      try {
        // What has been written is whole, so it is worth its name.
        await this.#store(current);
      } catch (cause) {
        const { code } = asRecordingError(cause, current.path);
        const { log, key } = this.#options;
        log.error({ ...key, path: current.path, code }, 'a recording is left to be finished at the next start');
      }
    }
  }

  #fail(error: unknown): void {
    const { log, key, now, counts } = this.#options;
    const fault = asRecordingError(error, this.#current?.path ?? '');
    this.#current = undefined;
    this.#awaitsKey = true;
    counts.errors++;
    this.#pausedUntilMs = now() + this.#pauseMs;
    log.error(
      { ...key, code: fault.code, fault: fault.message, mend: MENDS[fault.code], retryInMs: this.#pauseMs },
      'recording failed',
    );
    this.#pauseMs = Math.min(this.#pauseMs * 2, LONGEST_PAUSE_MS);
  }

  #keep(bytes: number): void {
    this.#queuedBytes += bytes;
    this.#options.counts.queuedBytes += bytes;
  }

  #release(bytes: number): void {
    this.#queuedBytes -= bytes;
    this.#options.counts.queuedBytes -= bytes;
  }
}

function costOf(tracks: readonly Track[]): number {
  return tracks.reduce((sum, { config }) => sum + config.length, ITEM_BYTES);
}
