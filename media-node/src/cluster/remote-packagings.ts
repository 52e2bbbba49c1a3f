import { totalmem } from 'node:os';
import { constrainedMemory } from 'node:process';
import type { Logger } from 'pino';
import type { PackagingSnapshot } from '#contract/packaging.ts';
import type { ConfigStore } from '../config/config-store.ts';
import { PackagingError } from '../packaging/packaged-stream.ts';
import { parseLedgerState } from '../packaging/ledger-state.ts';
import type { PackagedStream, PackagedStreams, PackagingLedger } from '../packaging/packaged-stream.ts';
import { streamKeyId } from '../stream/stream-key.ts';
import type { StreamKey } from '../stream/stream-key.ts';
import { allowance } from './allowance.ts';
import type { Change, Directory, OwnerRecord } from './directory.ts';
import { OwnerLocator } from './owner-locator.ts';
import type { PackagingPeer } from './packaging-client.ts';
import type { FileSources, RelayCounts } from './packaging-files.ts';
import { PackagingFollower } from './packaging-follower.ts';
import type { FollowBegin, FollowerContext } from './packaging-follower.ts';
import { addressId } from './peer-client.ts';
import type { AdminAddress } from './peer-client.ts';
import { PeerLimiter } from './peer-limiter.ts';
import type { OriginFinder } from './ports.ts';
import { RelayCache } from './relay-cache.ts';

export interface RemotePackagingsOptions {
  readonly nodeId: string;
  readonly directory: Directory;
  readonly finder: OriginFinder;
  readonly peer: PackagingPeer;
  /** `pullHoldMs`: how long a stream is followed after somebody asked for it; Vhosts: what is packaged at all. */
  readonly config: Pick<ConfigStore, 'config' | 'vhosts'>;
  /** Nodes that DNS told of, beside those of the directory; asks nobody. */
  readonly named?: () => readonly AdminAddress[];
  /** Where this node's admin port is, as DNS says it. */
  readonly own?: AdminAddress;
  /** Where a stream's last packager left its state: it has the playlist for a while after the stream has left the directory. */
  readonly ledger?: PackagingLedger | undefined;
  readonly logger: Logger;
  /** Streams followed at most. Default 1,000. */
  readonly maxStreams?: number;
  /** Bytes in memory at most, of all streams. Default: 30 % of the memory that the process may have. */
  readonly maxBytes?: number;
  /** The same of one stream. Default: half of that. */
  readonly maxStreamBytes?: number;
  /** How long a file stays in memory after it was listed last. Default 30 s. */
  readonly keepMs?: number;
  /** How long it is remembered that nobody publishes a stream. Default 1 s. */
  readonly noneMs?: number;
  /** Most that one long poll waits; a hung owner is noticed a little later. Default 3 s. */
  readonly waitMs?: number;
  /** How long somebody else may take a stream that its owner says has ended. Default 3 s. */
  readonly endMs?: number;
  readonly now?: () => number;
}

/** Names that nobody publishes remembered at most. */
const MAX_NONE = 1_000;
/** Other nodes asked for a file, and questions to each of them at once. */
const MAX_OTHERS = 12;
const ASKING_AT_ONCE = 6;
const SWEEP_MS = 1_000;
/** Fetched of one stream when somebody begins to ask for it: a minute of 30 Mbit/s. Of a longer window, what viewers ask for. */
const MAX_AHEAD_BYTES = 256 * 1024 * 1024;
/** Files that are not listed, asked of others: at once, and for long. Viewers that change nodes ask for some. */
const GUESSES = 100;
const GUESSES_A_SECOND = 20;

/** Streams that other nodes package, followed while viewers here ask for them: once, however many those are. */
export class RemotePackagings implements PackagedStreams {
  readonly counts: RelayCounts = { polls: 0, fetched: 0, fetchedElsewhere: 0, assembled: 0, failed: 0 };
  readonly sources: FileSources;
  readonly #options: RemotePackagingsOptions;
  readonly #context: FollowerContext;
  readonly #cache: RelayCache;
  readonly #followers = new Map<string, PackagingFollower>();
  /** Stream id → when to look for it again. */
  readonly #none = new Map<string, number>();
  readonly #listers = new Set<() => boolean>();
  readonly #now: () => number;
  readonly #unsubscribe: () => void;
  readonly #sweep: NodeJS.Timeout;
  #isClosed = false;

  constructor(options: RemotePackagingsOptions) {
    const { nodeId, directory, finder, config, peer, now = Date.now } = options;
    const memory = Math.min(constrainedMemory() || Infinity, totalmem());
    const { maxBytes = Math.floor(0.3 * memory), keepMs = 30_000, waitMs = 3_000, endMs = 3_000 } = options;
    const { maxStreamBytes = Math.floor(maxBytes / 2) } = options;
    this.#options = options;
    this.#now = now;
    this.#cache = new RelayCache({ maxBytes, maxStreamBytes, keepMs, now });
    this.sources = {
      peer,
      cache: this.#cache,
      others: (but) => this.#others(but),
      asking: new PeerLimiter(ASKING_AT_ONCE),
      unlisted: { count: 0 },
      mayGuess: allowance(GUESSES, GUESSES_A_SECOND, now),
      counts: this.counts,
      now,
    };
    const locator = new OwnerLocator(directory, finder);
    this.#context = {
      nodeId,
      sources: this.sources,
      logger: options.logger.child({ component: 'packaging-relay', nodeId }),
      locate: async (key) => (await locator.locate(key)) ?? this.#former(key),
      disposeMs: ({ vhost }) => config.vhosts.named(vhost)?.hls.disposeMs ?? 0,
      holdMs: () => config.config.pullHoldMs,
      maxAheadBytes: Math.min(maxStreamBytes / 2, MAX_AHEAD_BYTES),
      waitMs,
      endMs,
    };
    this.#unsubscribe = directory.onChange((change) => this.#changed(change));
    this.#sweep = setInterval(() => this.#sweepNow(), SWEEP_MS);
    this.#sweep.unref();
  }

  /** Streams followed, and bytes of their files in memory. */
  get stats(): { readonly followed: number; readonly bytes: number } {
    return { followed: this.#followers.size, bytes: this.#cache.bytes };
  }

  find(key: StreamKey): PackagedStream | undefined | Promise<PackagedStream | undefined> {
    const id = streamKeyId(key);
    const known = this.#followers.get(id);
    if (known !== undefined && !known.isClosed) {
      known.touch();
      return known.isFound ? known : this.#begun(id, known);
    }
    if (this.#isClosed || !this.#isPackaged(key) || (this.#none.get(id) ?? 0) > this.#now()) return undefined;
    const { maxStreams = 1_000 } = this.#options;
    if (this.#followers.size >= maxStreams) {
      return Promise.reject(
        new PackagingError('too-many', `this node follows ${maxStreams} packaged streams, as many as it may`),
      );
    }
    const follower = new PackagingFollower(key, this.#context);
    this.#followers.set(id, follower);
    void follower.begun.then((begin) => this.#decided(id, follower, begin));
    return this.#begun(id, follower);
  }

  /** A stream that is followed and has something to play; asks nobody. */
  shown(key: StreamKey): PackagedStream | undefined {
    const known = this.#followers.get(streamKeyId(key));
    return known?.snapshot === undefined ? undefined : known;
  }

  /** What was told of a stream that is followed; asks nobody. */
  told(key: StreamKey): PackagingSnapshot | undefined {
    return this.#followers.get(streamKeyId(key))?.told;
  }

  /** A file that is in memory; asks nobody. */
  inMemory(key: StreamKey, file: string): Buffer | undefined {
    return this.#cache.get(streamKeyId(key), file);
  }

  /** Calls a lister each second until it answers false: it says what is listed of files that are in memory here. */
  addLister(lister: () => boolean): void {
    if (!this.#isClosed) this.#listers.add(lister);
  }

  /** Ends every follow; idempotent. */
  close(reason: string): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearInterval(this.#sweep);
    this.#unsubscribe();
    for (const follower of this.#followers.values()) follower.close(reason);
    this.#followers.clear();
    this.#none.clear();
    this.#listers.clear();
    this.#cache.clear();
  }

  async #begun(id: string, follower: PackagingFollower): Promise<PackagedStream | undefined> {
    const begin = await follower.begun;
    if (begin === 'found') return follower;
    if (begin === 'none') return undefined;
    throw new PackagingError('unreachable', `the node that packages ${id} does not answer`);
  }

  #decided(id: string, follower: PackagingFollower, begin: FollowBegin): void {
    if (begin === 'found') return;
    if (this.#followers.get(id) === follower) this.#followers.delete(id);
    if (begin !== 'none') return;
    this.#none.delete(id);
    this.#none.set(id, this.#now() + (this.#options.noneMs ?? 1_000));
    const [oldest] = this.#none.keys();
    if (this.#none.size > MAX_NONE && oldest !== undefined) this.#none.delete(oldest);
  }

  #isPackaged({ vhost }: StreamKey): boolean {
    const named = this.#options.config.vhosts.named(vhost);
    return named !== undefined && (named.hls.enabled || named.dash.enabled);
  }

  #changed(change: Change): void {
    if (change.kind === 'resync') {
      this.#none.clear();
      for (const follower of this.#followers.values()) follower.look();
    } else if (change.kind === 'claimed') {
      const id = streamKeyId(change.key);
      this.#none.delete(id);
      this.#followers.get(id)?.claimed(change);
    }
  }

  /** Who packaged a stream that nobody publishes now, as a record that every claim outranks. */
  async #former(key: StreamKey): Promise<OwnerRecord | undefined> {
    const { ledger, directory } = this.#options;
    // The ledger is away with it, and waiting for both would let made-up names take the places of streams.
    if (directory.state === 'down') return undefined;
    const saved = await ledger?.load(key);
    const nodeId = saved?.kind === 'found' ? parseLedgerState(saved.state)?.nodeId : undefined;
    const node =
      nodeId === undefined ? undefined : directory.knownNodes('origin').find((each) => each.nodeId === nodeId);
    return (
      node && { nodeId: node.nodeId, host: node.host, rtmpPort: node.rtmpPort, adminPort: node.adminPort, epoch: 0 }
    );
  }

  #others(but: AdminAddress | undefined): readonly AdminAddress[] {
    const { directory, nodeId, named = () => [], own } = this.#options;
    const known = [...directory.knownNodes('edge'), ...directory.knownNodes('origin')];
    const distinct = new Map<string, AdminAddress>();
    for (const node of known) if (node.nodeId !== nodeId) distinct.set(addressId(node), node);
    for (const node of named())
      if (own === undefined || addressId(node) !== addressId(own)) distinct.set(addressId(node), node);
    if (but !== undefined) distinct.delete(addressId(but));
    const others = [...distinct.values()];
    // Not every node asks the same few.
    const from = Math.floor(Math.random() * others.length);
    return [...others.slice(from), ...others.slice(0, from)].slice(0, MAX_OTHERS);
  }

  #sweepNow(): void {
    for (const [id, follower] of this.#followers) {
      if (follower.isIdle) follower.close('nobody asks for it any more');
      if (follower.isClosed) this.#followers.delete(id);
    }
    const nowMs = this.#now();
    for (const [id, untilMs] of this.#none) if (untilMs <= nowMs) this.#none.delete(id);
    for (const lister of this.#listers) if (!lister()) this.#listers.delete(lister);
    this.#cache.sweep();
  }
}
