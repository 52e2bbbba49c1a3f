import type { Logger } from 'pino';
import type { StreamNotice } from '#contract/admin-api.ts';
import type { ConfigStore } from '../config/config-store.ts';
import type { Stream } from '../stream/stream.ts';
import type { SourceListener } from '../stream/stream-observer.ts';
import type { StreamKey } from '../stream/stream-key.ts';
import { streamKeyId } from '../stream/stream-key.ts';
import type { FileStoreOptions } from './file-store.ts';
import { DiskFolder, OPEN_ENDING } from './disk-folder.ts';
import type { FolderSystem } from './disk-folder.ts';
import { FileStore } from './file-store.ts';
import type { PackagedStream, PackagedStreams, PackagingLedger, PackagingWitnesses } from './packaged-stream.ts';
import type { PackagerSettings } from './packager.ts';
import { Packager } from './packager.ts';
import { formatOf } from './packaging-format.ts';
import { StreamNotices } from './stream-notices.ts';
import { VhostPathTable } from './vhost-paths.ts';

export interface PackagingsOptions {
  readonly nodeId: string;
  readonly config: Pick<ConfigStore, 'config' | 'vhosts' | 'subscribe'>;
  readonly ledger: PackagingLedger;
  /** The other nodes; gives undefined while there are none, as when it is left out. */
  readonly witnesses?: (() => PackagingWitnesses | undefined) | undefined;
  /** What the cluster's nodes alone know: keys of segments are derived from it. */
  readonly secret: Buffer;
  /** Segments are written below it; left out: they are in memory alone. */
  readonly folder?: string | undefined;
  /** Bytes that the folder may hold; no limit when left out. */
  readonly folderMostBytes?: number | undefined;
  /** The file system of that folder; default the machine's. */
  readonly system?: FolderSystem;
  /** Bounds of the memory. */
  readonly memory?: Pick<FileStoreOptions, 'maxBytes' | 'maxStreamBytes'>;
  readonly logger: Logger;
  /** Milliseconds since 1970; default Date.now. */
  readonly now?: () => number;
}

/** Gauges, and counts since the start, for metrics. */
export interface PackagingsStats {
  /** Streams that are packaged, those that have ended and are not disposed of included. */
  readonly packagings: number;
  readonly listedSegments: number;
  readonly bytes: number;
  readonly segments: number;
  readonly forcedCuts: number;
  readonly takeOvers: number;
  readonly droppedFrames: number;
  /** Segments that left the memory before their time. */
  readonly droppedSegments: number;
  /** Files that could not be written to disk. */
  readonly diskErrors: number;
}

/** A while in which a stream may come back that this node packaged before it was started again. */
const LEFTOVERS_MS = 600_000;

/** The streams that this node packages: those of encoders that publish on it, where their Vhost says so. */
export class Packagings implements PackagedStreams, SourceListener {
  readonly #options: PackagingsOptions;
  readonly #store: FileStore;
  readonly #disk: DiskFolder | undefined;
  readonly #startedMs: number;
  #leftovers: NodeJS.Timeout | undefined;
  readonly #paths = new VhostPathTable();
  readonly #packagers = new Map<string, Packager>();
  /** Streams with an encoder here, packaged or not. */
  readonly #sources = new Set<Stream>();
  readonly #notices: StreamNotices;
  readonly #unsubscribe: () => void;
  /** Of packagers that are gone. */
  readonly #past = { segments: 0, forcedCuts: 0, takeOvers: 0, droppedFrames: 0 };
  /** The highest of packagers that are gone: one that comes after them goes on from it. */
  #revision = 0;
  #isClosed = false;

  constructor(options: PackagingsOptions) {
    this.#options = options;
    const { folder, folderMostBytes: mostBytes, system, memory, logger: log, now = Date.now } = options;
    if (folder !== undefined) {
      this.#disk = new DiskFolder({ folder, mostBytes, log, ...(system !== undefined && { system }) });
    }
    this.#store = new FileStore({ ...memory, now, disk: this.#disk });
    this.#startedMs = now();
    this.#notices = new StreamNotices(now);
    if (this.#disk !== undefined) {
      this.#leftovers = setTimeout(() => void this.sweepLeftovers(), LEFTOVERS_MS);
      this.#leftovers.unref();
    }
    this.#unsubscribe = options.config.subscribe(() => this.#configure());
  }

  find(key: StreamKey): PackagedStream | undefined {
    return this.#packagers.get(streamKeyId(key));
  }

  onSource(stream: Stream): void {
    if (this.#isClosed) return;
    this.#sources.add(stream);
    const settings = this.#settingsOf(stream.key);
    if (settings !== undefined) this.#begin(stream, settings);
  }

  onSourceGone(stream: Stream): void {
    if (!this.#sources.delete(stream)) return;
    this.#packagers.get(streamKeyId(stream.key))?.sourceGone();
  }

  stats(): PackagingsStats {
    const sums = { ...this.#past };
    let listedSegments = 0;
    for (const { counts, listed } of this.#packagers.values()) {
      listedSegments += listed;
      add(sums, counts);
    }
    const { bytes, dropped: droppedSegments } = this.#store;
    const diskErrors = this.#disk?.errors ?? 0;
    return { packagings: this.#packagers.size, listedSegments, bytes, droppedSegments, diskErrors, ...sums };
  }

  /** What is wrong with streams that were packaged in the last minutes; bounded, newest last. */
  notices(): StreamNotice[] {
    return this.#notices.list();
  }

  /** Ends every packaging; resolves when the disk has what was made for it. Idempotent. */
  async close(): Promise<void> {
    this.#end();
    await this.#disk?.idle();
  }

  #end(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#unsubscribe();
    this.#sources.clear();
    clearTimeout(this.#leftovers);
    for (const packager of this.#packagers.values()) packager.close(true);
  }

  /** Removes what a life of this node before left on the disk, and nobody went on with; once, a while after the start. */
  async sweepLeftovers(): Promise<void> {
    const disk = this.#disk;
    if (disk === undefined) return;
    for (const vhost of this.#options.config.config.vhosts) {
      if (!vhost.hls.cleanup) continue;
      const paths = this.#paths.of(vhost);
      for await (const file of disk.olderThan(vhost.name, this.#startedMs)) {
        const match = paths.match(file);
        const isOpen = file.endsWith(OPEN_ENDING);
        const packager = match && this.#packagers.get(streamKeyId({ ...match, vhost: vhost.name }));
        if (isOpen || (match !== undefined && packager?.has(file) !== true)) await disk.remove(vhost.name, file);
      }
    }
  }

  #begin(stream: Stream, settings: PackagerSettings): void {
    const { nodeId, ledger, witnesses = () => undefined, secret, logger, now = Date.now } = this.#options;
    const id = streamKeyId(stream.key);
    let packager = this.#packagers.get(id);
    if (packager === undefined) {
      packager = new Packager({
        key: stream.key,
        nodeId,
        settings,
        store: this.#store,
        ledger,
        witnesses,
        secret,
        revision: this.#revision,
        now,
        log: logger,
        onDisposed: (gone) => {
          if (this.#packagers.get(id) === gone) this.#packagers.delete(id);
          add(this.#past, gone.counts);
          this.#revision = Math.max(this.#revision, gone.revision);
        },
        onLongGop: (detail) => this.#notices.tell(stream.key, 'KeyFramesTooFar', detail),
        onLeftOut: (codec, detail) => this.#notices.tell(stream.key, 'CodecLeftOut', detail, codec),
      });
      this.#packagers.set(id, packager);
    } else {
      packager.configure(settings);
    }
    packager.begin(stream);
  }

  #configure(): void {
    for (const packager of this.#packagers.values()) {
      const settings = this.#settingsOf(packager.key);
      if (settings === undefined) packager.close();
      else packager.configure(settings);
    }
    for (const stream of this.#sources) {
      if (this.#packagers.has(streamKeyId(stream.key))) continue;
      const settings = this.#settingsOf(stream.key);
      if (settings !== undefined) this.#begin(stream, settings);
    }
  }

  #settingsOf({ vhost: name }: StreamKey): PackagerSettings | undefined {
    const vhost = this.#options.config.vhosts.named(name);
    const format = vhost === undefined ? undefined : formatOf(vhost);
    if (vhost === undefined || format === undefined) return undefined;
    return { format, paths: this.#paths.of(vhost), hls: vhost.hls, dash: vhost.dash };
  }
}

type Counted = 'segments' | 'forcedCuts' | 'takeOvers' | 'droppedFrames';

function add(sums: Record<Counted, number>, counts: Readonly<Record<Counted, number>>): void {
  for (const name of ['segments', 'forcedCuts', 'takeOvers', 'droppedFrames'] as const) sums[name] += counts[name];
}
