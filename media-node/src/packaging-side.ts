import type { Logger } from 'pino';
import type { ConfigStore } from './config/config-store.ts';
import { MemoryLedger } from './packaging/memory-ledger.ts';
import type { PackagedStreams, PackagingLedger, PackagingWitnesses } from './packaging/packaged-stream.ts';
import { Packagings } from './packaging/packagings.ts';
import type { StreamRegistry } from './stream/stream-registry.ts';

/** What a node has of packaged streams: the part of node.ts's wiring between packaging, cluster and protocols. */
export interface PackagingSide {
  /** Packaged by this node: what it answers other nodes with. */
  readonly own: Packagings;
  /** Wherever they are packaged: what HLS and DASH are rendered from. */
  readonly streams: PackagedStreams;
  /** Ends everything; resolves when the disk has what was made for it. Idempotent. */
  close(): Promise<void>;
}

/** The parts of the node that packaging meets. */
export interface PackagingEntry {
  readonly nodeId: string;
  readonly config: ConfigStore;
  readonly registry: StreamRegistry;
  /** Left out: no other node goes on with this one's playlists. */
  readonly ledger?: PackagingLedger | undefined;
  /** Streams that others package too; undefined until the node has entered its cluster. */
  readonly cluster: () => PackagedStreams | undefined;
  /** Whom to ask how to go on with a stream's playlist; undefined until the node has entered its cluster. */
  readonly witnesses: () => PackagingWitnesses | undefined;
  /** The cluster's shared secret. */
  readonly secret: Buffer;
  /** See LIVECLUSTER_HLS_FOLDER in contract/node-env.ts. */
  readonly folder?: string | undefined;
  /** Bytes that the folder may hold; no limit when left out. */
  readonly folderMostBytes?: number | undefined;
  readonly logger: Logger;
}

/** Wires the packagings of this node; to be made before the first encoder comes. */
export function makePackaging(entry: PackagingEntry): PackagingSide {
  const { nodeId, config, registry, cluster, witnesses, secret, folder, folderMostBytes, logger } = entry;
  const ledger = entry.ledger ?? new MemoryLedger();
  const own = new Packagings({
    nodeId,
    config,
    ledger,
    witnesses,
    secret,
    folder,
    folderMostBytes,
    logger: logger.child({ protocol: 'packaging' }),
  });
  registry.addSourceListener(own);
  return {
    own,
    streams: { find: (key) => (cluster() ?? own).find(key) },
    close: () => own.close(),
  };
}
