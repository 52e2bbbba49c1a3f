import type { Logger } from 'pino';
import type { ConfigStore } from '../config/config-store.ts';
import type { Stream } from '../stream/stream.ts';
import type { SourceListener } from '../stream/stream-observer.ts';
import type { StreamKey } from '../stream/stream-key.ts';
import { streamKeyId } from '../stream/stream-key.ts';
import type { FileStoreOptions } from './file-store.ts';
import { FileStore } from './file-store.ts';
import type { PackagedStream, PackagedStreams, PackagingLedger } from './packaged-stream.ts';
import type { PackagerSettings } from './packager.ts';
import { Packager } from './packager.ts';
import { formatOf } from './packaging-format.ts';
import { VhostPathTable } from './vhost-paths.ts';

export interface PackagingsOptions {
  readonly nodeId: string;
  readonly config: Pick<ConfigStore, 'vhosts' | 'subscribe'>;
  readonly ledger: PackagingLedger;
  /** What the cluster's nodes alone know: keys of segments are derived from it. */
  readonly secret: Buffer;
  /** Segments are written below it; left out: they are in memory alone. */
  readonly folder?: string | undefined;
  /** Bounds of the memory. */
  readonly memory?: Omit<FileStoreOptions, 'now'>;
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
}

/** The streams that this node packages: those of encoders that publish on it, where their Vhost says so. */
export class Packagings implements PackagedStreams, SourceListener {
  readonly #options: PackagingsOptions;
  readonly #store: FileStore;
  readonly #paths = new VhostPathTable();
  readonly #packagers = new Map<string, Packager>();
  /** Streams with an encoder here, packaged or not. */
  readonly #sources = new Set<Stream>();
  readonly #unsubscribe: () => void;
  /** Of packagers that are gone. */
  readonly #past = { segments: 0, forcedCuts: 0, takeOvers: 0, droppedFrames: 0 };
  #isClosed = false;

  constructor(options: PackagingsOptions) {
    this.#options = options;
    this.#store = new FileStore({ ...options.memory, now: options.now ?? Date.now });
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
    const { bytes, dropped } = this.#store;
    return { packagings: this.#packagers.size, listedSegments, bytes, droppedSegments: dropped, ...sums };
  }

  /** Ends every packaging; idempotent. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#unsubscribe();
    this.#sources.clear();
    for (const packager of this.#packagers.values()) packager.close();
  }

  #begin(stream: Stream, settings: PackagerSettings): void {
    const { nodeId, ledger, secret, logger, now = Date.now } = this.#options;
    const id = streamKeyId(stream.key);
    let packager = this.#packagers.get(id);
    if (packager === undefined) {
      packager = new Packager({
        key: stream.key,
        nodeId,
        settings,
        store: this.#store,
        ledger,
        secret,
        now,
        log: logger,
        onDisposed: (gone) => {
          if (this.#packagers.get(id) === gone) this.#packagers.delete(id);
          add(this.#past, gone.counts);
        },
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
    return { format, paths: this.#paths.of(vhost), hls: vhost.hls };
  }
}

type Counted = 'segments' | 'forcedCuts' | 'takeOvers' | 'droppedFrames';

function add(sums: Record<Counted, number>, counts: Readonly<Record<Counted, number>>): void {
  for (const name of ['segments', 'forcedCuts', 'takeOvers', 'droppedFrames'] as const) sums[name] += counts[name];
}
