import type { Logger } from 'pino';
import type { CodecLeftOut, KeyFramesTooFar } from '#contract/admin-api.ts';
import type { VhostConfig } from '#contract/node-config.ts';
import type { PackagingSnapshot } from '#contract/packaging.ts';
import { isWholeFrame } from '../formats/fmp4-fragment.ts';
import { PathError } from '../lib/path-template.ts';
import type { Frame } from '../media/frame.ts';
import type { Track } from '../media/track.ts';
import type { Stream } from '../stream/stream.ts';
import type { StreamKey } from '../stream/stream-key.ts';
import type { StreamObserver } from '../stream/stream-observer.ts';
import { DiskPlaylists } from './disk-playlists.ts';
import type { FileStore, StreamFiles } from './file-store.ts';
import { HeldFrames } from './held-frames.ts';
import { LedgerWriter } from './ledger-writer.ts';
import type { PackagedStream, PackagingLedger, PackagingWitnesses } from './packaged-stream.ts';
import type { PackagingFormat } from './packaging-format.ts';
import { Recollection } from './recollection.ts';
import { renderSnapshot } from './render-snapshot.ts';
import type { WriterSettings } from './segment-writer.ts';
import type { Beginning } from './take-over.ts';
import { beginningOf } from './take-over.ts';
import type { VhostPaths } from './vhost-paths.ts';
import { Waiters } from './waiters.ts';
import { buildWorks } from './works.ts';
import type { Works } from './works.ts';

/** When a source is gone, another node may just be taking the stream: it has said so in the ledger after this time. */
const END_MS = 1_000;
/** How late frames may come in company: each arrival alone costs more than all else. With low latency, this share of a part. */
const DELAY_MS = 250;
const PART_SHARE = 0.25;
const LEAST_DELAY_MS = 25;

/** What a Vhost says, as far as it concerns a packager. */
export interface PackagerSettings {
  readonly format: PackagingFormat;
  readonly paths: VhostPaths;
  readonly hls: VhostConfig['hls'];
  readonly dash: VhostConfig['dash'];
}

export interface PackagerOptions {
  readonly key: StreamKey;
  readonly nodeId: string;
  readonly settings: PackagerSettings;
  readonly store: FileStore;
  readonly ledger: PackagingLedger;
  /** The other nodes; undefined while there are none. */
  readonly witnesses: () => PackagingWitnesses | undefined;
  readonly secret: Buffer;
  /** What its snapshots count their changes on from: other nodes may know the stream's of a packager before it. */
  readonly revision: number;
  readonly now: () => number;
  readonly log: Logger;
  /** Nobody has published for `dispose`: it is to be forgotten. */
  readonly onDisposed: (packager: Packager) => void;
  /** Its key frames are too far from each other. */
  readonly onLongGop: (detail: KeyFramesTooFar) => void;
  /** A track is left out of its segments. */
  readonly onLeftOut: (codec: string, detail: CodecLeftOut) => void;
}

/** Counts of a packager since it was made. */
export interface PackagerCounts {
  segments: number;
  forcedCuts: number;
  droppedFrames: number;
  takeOvers: number;
}

/** One stream on its way into segments. */
export class Packager implements PackagedStream, StreamObserver {
  readonly key: StreamKey;
  readonly counts: PackagerCounts = { segments: 0, forcedCuts: 0, droppedFrames: 0, takeOvers: 0 };
  readonly #options: PackagerOptions;
  readonly #files: StreamFiles;
  readonly #playlists: DiskPlaylists;
  readonly #waiters = new Waiters();
  #settings: PackagerSettings;
  #works: Works | undefined;
  #stream: Stream | undefined;
  #leave: (() => void) | undefined;
  /** Until it is known what was packaged before. */
  #held: HeldFrames | undefined;
  #recollection: Recollection | undefined;
  /** Sources so far. */
  #begun = 0;
  #timer: NodeJS.Timeout | undefined;
  #revision: number;
  #pastDropped = 0;
  readonly #ledger: LedgerWriter;
  #broken = 0;
  #isEnded = false;
  #isClosed = false;
  #snapshot: PackagingSnapshot | undefined;
  #isStale = false;

  constructor(options: PackagerOptions) {
    this.key = options.key;
    this.#ledger = new LedgerWriter(options.key, options.nodeId, options.ledger, options.now);
    this.#options = options;
    this.#settings = options.settings;
    this.#revision = options.revision;
    this.#files = options.store.open(options.key.vhost);
    this.#files.cleanup = options.settings.hls.cleanup;
    this.#playlists = new DiskPlaylists(options.key, this.#files, options.now);
  }

  get mostDelayMs(): number {
    const { partMs } = this.#settings.format;
    return partMs === undefined ? DELAY_MS : Math.min(DELAY_MS, Math.max(LEAST_DELAY_MS, partMs * PART_SHARE));
  }

  /** Bytes of its files in memory. */
  get bytes(): number {
    return this.#files.bytes;
  }

  /** Changes so far. */
  get revision(): number {
    return this.#revision;
  }

  /** Segments listed. */
  get listed(): number {
    return this.#works?.list.length ?? 0;
  }

  get snapshot(): PackagingSnapshot | undefined {
    if (this.#isStale) this.#render();
    return this.#snapshot;
  }

  changed(seen: PackagingSnapshot | undefined, mostMs: number, signal?: AbortSignal): Promise<void> {
    if (this.#isClosed || this.snapshot !== seen) return Promise.resolve();
    return this.#changed(seen, mostMs, signal);
  }

  /** There are things to do without there being another snapshot: nothing may be listed yet, or still what was before. */
  async #changed(seen: PackagingSnapshot | undefined, mostMs: number, signal: AbortSignal | undefined): Promise<void> {
    const endMs = performance.now() + mostMs;
    for (let leftMs = mostMs; leftMs > 0; leftMs = endMs - performance.now()) {
      const isWoken = await this.#waiters.wait(leftMs, signal);
      if (!isWoken || this.#isClosed || this.snapshot !== seen) return;
    }
  }

  /** Whether a file is kept, in memory or on disk. */
  has(file: string): boolean {
    return this.#files.has(file);
  }

  read(file: string): Buffer | undefined | Promise<Buffer | undefined> {
    return this.#files.read(file);
  }

  /** An encoder publishes the stream: it begins, or goes on after a seam. */
  begin(stream: Stream): void {
    if (this.#isClosed) return;
    clearTimeout(this.#timer);
    this.#begun += 1;
    this.#leave?.();
    if (this.#works !== undefined) this.onSeam();
    // Somebody else may have packaged it in the meantime; within END_MS nobody believes it has gone.
    if (this.#works === undefined || this.#isEnded) this.#recall();
    this.#stream = stream;
    this.#leave = stream.observe(this);
  }

  /** The encoder is gone for good: the playlist ends, unless another node goes on with it. */
  sourceGone(): void {
    this.#leave?.();
    this.#leave = undefined;
    clearTimeout(this.#timer);
    if (this.#isClosed) return;
    this.#timer = setTimeout(() => void this.#finish(), END_MS);
    this.#timer.unref();
  }

  /** The Vhost's settings from the next segment on. */
  configure(settings: PackagerSettings): void {
    const { format, hls } = this.#settings;
    const isOther = settings.format.id !== format.id;
    if (!isOther && JSON.stringify(settings.hls) === JSON.stringify(hls)) {
      this.#settings = settings;
      return;
    }
    const delayMs = this.mostDelayMs;
    this.#settings = settings;
    if (this.#leave !== undefined && delayMs !== this.mostDelayMs) {
      const leave = this.#leave;
      this.#leave = this.#stream?.observe(this);
      leave();
    }
    const works = this.#works;
    if (works === undefined) return;
    this.#files.cleanup = settings.hls.cleanup;
    works.list.windowMs = settings.hls.windowMs;
    works.writer.configure(writerSettings(settings));
    // Compared with what is in force: a change may be taken back before its time came.
    const isNew = settings.format.id !== works.writer.settings.format.id;
    works.segmenter.restart(isNew ? settings.format.fragmentMs : undefined);
  }

  onTracks(tracks: readonly Track[]): void {
    if (this.#held !== undefined) this.#held.add({ tracks });
    else this.#works?.segmenter.tracks(tracks);
  }

  onFrame(frame: Frame): void {
    if (!isWholeFrame(frame)) {
      this.#broken += 1;
      if (this.#broken === 1) this.#options.log.warn('a frame is left out of segments: its NAL units are broken');
      return;
    }
    if (this.#held === undefined) this.#frame(frame);
    else {
      this.#held.add({ frame });
      if (this.#held.isFull) this.#recalled(this.#recollection);
    }
  }

  onMetadata(): void {}

  onSeam(): void {
    if (this.#held !== undefined) this.#held.add('seam');
    else this.#works?.segmenter.seam();
  }

  /** Ends the packaging at once and forgets its files; `isRestart`: not those on disk. Idempotent. */
  close(isRestart = false): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#recollection?.end();
    this.#recollection = undefined;
    clearTimeout(this.#timer);
    this.#leave?.();
    this.#leave = undefined;
    this.#held = undefined;
    if (!isRestart) this.#playlists.remove();
    this.#files.close(isRestart);
    this.#waiters.wake();
    this.#options.onDisposed(this);
  }

  #frame(frame: Frame): void {
    const works = this.#works;
    if (works === undefined) return;
    try {
      works.segmenter.frame(frame);
    } catch (error) {
      if (!(error instanceof PathError)) throw error;
      this.#options.log.error(
        { ...this.key, fault: error.message },
        'the stream is not packaged: its files have no names',
      );
      this.close();
    }
  }

  #recall(): void {
    const { ledger, witnesses } = this.#options;
    this.#recollection?.end();
    const recollection = new Recollection(this.key, ledger, witnesses());
    this.#held = new HeldFrames();
    this.#recollection = recollection;
    void recollection.whole.then(() => this.#recalled(recollection));
  }

  #recalled(recollection: Recollection | undefined): void {
    const held = this.#held;
    if (recollection === undefined || recollection !== this.#recollection || held === undefined) return;
    const recalled = recollection.soFar;
    recollection.end();
    this.#recollection = undefined;
    this.#held = undefined;
    this.#isEnded = false;
    const { nodeId, now, log } = this.#options;
    const { format, hls } = this.#settings;
    const { hasDisk } = this.#files;
    const { disposeMs } = hls;
    const beginning = beginningOf(recalled, { nodeId, formatId: format.id, disposeMs, hasDisk, nowMs: now() });
    const { before } = beginning;
    const isElsewhere = before !== undefined && before.nodeId !== nodeId && before.seq > (this.#works?.lastSeq ?? -1);
    if (this.#works === undefined || isElsewhere) {
      this.#works?.list.clear();
      this.#pastDropped += this.#works?.segmenter.dropped ?? 0;
      this.#works = this.#build(beginning);
      if (beginning.isContinued) this.counts.takeOvers += 1;
      const { seq, isContinued } = beginning;
      log.info(
        { ...this.key, seq, recalled: recalled.kind, isContinued, former: before?.nodeId, nodeId },
        'packaging begins',
      );
      // From now on everybody sees that this node packages the stream.
      this.#ledger.save(this.#works);
    }
    this.#touch();
    held.replay({
      frame: (frame) => this.#frame(frame),
      tracks: (tracks) => this.#works?.segmenter.tracks(tracks),
      seam: () => this.#works?.segmenter.seam(),
    });
  }

  #build(beginning: Beginning): Works {
    const { secret, now, log, onLongGop, onLeftOut } = this.#options;
    const { format, hls } = this.#settings;
    return buildWorks(beginning, {
      stream: this.key,
      settings: writerSettings(this.#settings),
      fragmentMs: format.fragmentMs,
      windowMs: hls.windowMs,
      files: this.#files,
      secret,
      now,
      log: log.child({ ...this.key }),
      onPart: () => this.#onPart(),
      onSegment: (isForced) => this.#onSegment(isForced),
      onLongGop,
      onLeftOut,
    });
  }

  #onPart(): void {
    if (this.#works !== undefined) this.#ledger.savePart(this.#works);
    this.#touch();
  }

  #onSegment(isForced: boolean): void {
    const works = this.#works;
    if (works === undefined) return;
    works.lastSeq = works.list.last?.seq ?? works.lastSeq;
    this.counts.segments += 1;
    if (isForced) this.counts.forcedCuts += 1;
    this.counts.droppedFrames = this.#pastDropped + works.segmenter.dropped + works.writer.broken + this.#broken;
    this.#ledger.save(works);
    this.#touch();
    // It is shown with the list that it ends until there is another one.
    if (works.writer.isBeforeOtherFormat) this.#render();
    this.#writePlaylists();
  }

  #writePlaylists(): void {
    const snapshot = this.#files.hasDisk ? this.snapshot : undefined;
    if (snapshot !== undefined) this.#playlists.write(snapshot, this.#settings);
  }

  #dispose(): void {
    const works = this.#works;
    this.close();
    if (works !== undefined) void this.#ledger.dispose(works);
  }

  async #finish(): Promise<void> {
    const begun = this.#begun;
    const { nodeId, ledger, witnesses } = this.#options;
    const recollection = new Recollection(this.key, ledger, witnesses());
    await recollection.whole;
    if (this.#isClosed || this.#begun !== begun) return;
    this.#recalled(this.#recollection);
    const isTaken = recollection.isTakenFrom(nodeId, this.#works?.lastSeq ?? -1);
    // What was being written is the other node's number by now.
    if (!isTaken) this.#endSegment();
    this.#isEnded = true;
    this.#options.log.info({ ...this.key, isTaken }, 'packaging ended');
    this.#touch();
    this.#writePlaylists();
    this.#timer = setTimeout(() => this.#dispose(), this.#settings.hls.disposeMs);
    this.#timer.unref();
  }

  #endSegment(): void {
    try {
      this.#works?.segmenter.end();
    } catch (error) {
      if (!(error instanceof PathError)) throw error;
    }
  }

  /** The snapshot is another one from now on. */
  #touch(): void {
    this.#isStale = true;
    this.#revision += 1;
    this.#waiters.wake();
  }

  #render(): void {
    this.#isStale = false;
    if (this.#works === undefined) return;
    const { nodeId } = this.#options;
    const present = { nodeId, revision: this.#revision, isEnded: this.#isEnded };
    this.#snapshot = renderSnapshot(this.#works, present, this.#snapshot);
  }
}

function writerSettings({ format, paths, hls }: PackagerSettings): WriterSettings {
  return { format, paths, keys: hls.keys };
}
