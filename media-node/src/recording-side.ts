import type { Logger } from 'pino';
import type { ConfigStore } from './config/config-store.ts';
import { DiskStore } from './recording/disk-store.ts';
import { NODE_FILES } from './recording/file-system.ts';
import type { RecordingNotice, RecordingStats } from './recording/recordings.ts';
import { Recordings } from './recording/recordings.ts';
import type { RecordingStore } from './recording/recording-store.ts';
import type { S3Place } from './recording/s3/s3-object-store.ts';
import { S3ObjectStore } from './recording/s3/s3-object-store.ts';
import { S3Store } from './recording/s3/s3-store.ts';
import type { StreamRegistry } from './stream/stream-registry.ts';

/** Where a node puts recordings. */
export interface RecordingPlace {
  readonly folder: string;
  /** Bytes that the folder may hold; no limit when left out. */
  readonly mostBytes?: number | undefined;
  /** The folder is this node's alone: what it finds there half-written, dead processes left. Default true. */
  readonly recovers?: boolean;
  /** The bucket that they go to by way of the folder; left out: they stay there. */
  readonly s3?: S3Place & {
    /** Before each path; empty, or ends in `/`. */
    readonly prefix: string;
    /** Names this pod among all that write to the bucket. */
    readonly owner: string;
  };
}

/** What a node has of recordings. */
export interface RecordingSide {
  /** Finishes what dead processes left, in the background. */
  start(): void;
  stats(): RecordingStats;
  /** Files are being finished or uploaded. */
  isBusy(): boolean;
  /** Ends every file, within a while; idempotent. */
  close(): Promise<void>;
}

/** The parts of the node that recording meets. */
export interface RecordingEntry {
  readonly config: ConfigStore;
  readonly registry: StreamRegistry;
  /** Left out: nothing is recorded. */
  readonly place?: RecordingPlace | undefined;
  /** Told of each file when it is whole. */
  readonly onFile?: ((notice: RecordingNotice) => void) | undefined;
  readonly logger: Logger;
}

/** What a disk or a bucket may take at the end of a node; a drain's time is over then. */
const CLOSE_MS = 20_000;

/** Wires the recordings of this node; to be made before the first encoder comes. */
export function makeRecording(entry: RecordingEntry): RecordingSide {
  const { config, registry, place } = entry;
  const log = entry.logger.child({ protocol: 'dvr' });
  const store = place === undefined ? undefined : storeOf(place, log);
  const recordings = new Recordings({
    store,
    dvrOf: (vhost) => config.vhosts.named(vhost)?.dvr,
    log,
    onFile: (notice) => entry.onFile?.(notice),
  });
  registry.addSourceListener(recordings);
  const unsubscribe = config.subscribe(() => recordings.configure());
  return {
    start: () => {
      if (place?.recovers !== false) recordings.start();
    },
    stats: () => recordings.stats(),
    isBusy: () => recordings.isBusy,
    close: () => {
      unsubscribe();
      return recordings.close(CLOSE_MS);
    },
  };
}

function storeOf({ folder, mostBytes, s3 }: RecordingPlace, log: Logger): RecordingStore {
  const common = { folder, mostBytes, files: NODE_FILES, log, onStored: () => undefined };
  if (s3 === undefined) return new DiskStore(common);
  const { prefix, owner, ...place } = s3;
  return new S3Store({ ...common, prefix, owner, store: new S3ObjectStore(place) });
}
