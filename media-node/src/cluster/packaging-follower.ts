import type { Logger } from 'pino';
import { RENDITIONS } from '#contract/packaging.ts';
import type { PackagingSnapshot, RenditionName } from '#contract/packaging.ts';
import type { PackagedStream } from '../packaging/packaged-stream.ts';
import { Waiters } from '../packaging/waiters.ts';
import type { StreamKey } from '../stream/stream-key.ts';
import { outranks } from './directory.ts';
import type { OwnerRecord } from './directory.ts';
import { PackagingFiles } from './packaging-files.ts';
import type { AheadResult, FileSources } from './packaging-files.ts';
import type { SnapshotVersion } from './packaging-client.ts';
import { firstSeq, inheritedFiles, lastSeq, listedFiles, trimmedTo, withGaps } from './packaging-snapshots.ts';
import type { ListedFile } from './packaging-snapshots.ts';

export interface FollowerContext {
  readonly nodeId: string;
  readonly sources: FileSources;
  readonly logger: Logger;
  /** Who has the stream, or had it last (epoch 0); undefined: nobody that could be found. Never rejects. */
  locate(key: StreamKey): Promise<OwnerRecord | undefined>;
  /** How long a playlist is shown after its stream has ended or was lost. */
  disposeMs(key: StreamKey): number;
  /** How long a stream is followed, and a rendition's files are fetched ahead, after somebody asked for it. */
  holdMs(): number;
  /** Bytes that are fetched ahead of one stream when somebody begins to ask for a rendition. */
  readonly maxAheadBytes: number;
  /** Most that one long poll waits. */
  readonly waitMs: number;
  /**
   * An end is believed when nobody else has taken the stream for so long: a node that stops says it of streams whose
   * encoders are on their way to another one.
   */
  readonly endMs: number;
}

/** What came of looking for a stream: `none`: nobody packages it; `unreachable`: who does doesn't answer. */
export type FollowBegin = 'found' | 'none' | 'unreachable';

/** After a poll that broke: at once, then doubling. A new owner is announced and not waited for here. */
const MIN_RETRY_MS = 25;
const MAX_RETRY_MS = 1_000;
/** An owner that packages nothing yet: its encoder has only just come. */
const BEGIN_MS = 1_500;
/** Somebody waits for the first answer. */
const FIRST_WAIT_MS = 500;
/** Between polls that bring nothing. */
const MIN_UNCHANGED_MS = 250;
/** A lost stream is shown for this long at least: its encoder comes back to another node. */
const MIN_LOST_MS = 30_000;
/** An end that was told by a node that is gone is believed then. */
const END_LOST_MS = 10_000;
/** A new owner whose numbers are lower than what was shown is waited for: it may lack the last word of the one before. */
const MAX_BEHIND_MS = 30_000;
/** A stream is followed for so long after the last request, at least. */
const MIN_HOLD_MS = 5_000;
const HOLD_TARGETS = 3;
/** Whoever asks first waits for so long, until it is known what has died with a node: one that is silent is not waited for. */
const INHERITED_MS = 1_000;
/** Snapshots in a row whose files could not be fetched, after which one is shown without them. */
const MAX_BROKEN = 3;

/**
 * Follows a stream that another node packages: one long poll at a time, and what a playlist lists is fetched before the
 * playlist is shown, so that all of it can be served when its origin dies.
 */
export class PackagingFollower implements PackagedStream {
  readonly key: StreamKey;
  /** What came of it; 'found' as soon as a node answered that it packages the stream. Never rejects. */
  readonly begun: Promise<FollowBegin>;
  readonly files: PackagingFiles;
  readonly #context: FollowerContext;
  readonly #log: Logger;
  readonly #waiters = new Waiters();
  /** Rendition → when it was asked for last. */
  readonly #asked = new Map<RenditionName, number>();
  readonly #resolveBegun: (begin: FollowBegin) => void;
  readonly #beganMs: number;
  #hasBegun = false;
  #snapshot: PackagingSnapshot | undefined;
  /** The version that the owner told last, shown or not. */
  #seen: SnapshotVersion | undefined;
  /** The furthest that was told, shown or not yet. */
  #told: PackagingSnapshot | undefined;
  #owner: OwnerRecord | undefined;
  /** Ends the poll or the pause that is under way. */
  #turn = new AbortController();
  #touchedMs: number;
  #lostSinceMs: number | undefined;
  #behindSinceMs: number | undefined;
  #broken = 0;
  /** An end that was told and is not yet believed. */
  #end: { readonly snapshot: PackagingSnapshot; readonly atMs: number } | undefined;
  #isClosed = false;

  constructor(key: StreamKey, context: FollowerContext) {
    this.key = key;
    this.#context = context;
    this.#log = context.logger.child({ ...key });
    this.files = new PackagingFiles(key, context.sources);
    this.#beganMs = this.#now();
    this.#touchedMs = this.#beganMs;
    const { promise, resolve } = Promise.withResolvers<FollowBegin>();
    this.begun = promise;
    this.#resolveBegun = resolve;
    void this.#run();
  }

  get snapshot(): PackagingSnapshot | undefined {
    return this.#snapshot;
  }

  /** What was told last, before its files are here too; what lags behind is left out. */
  get told(): PackagingSnapshot | undefined {
    return this.#told;
  }

  /** A node has said that it packages the stream. */
  get isFound(): boolean {
    return this.#hasBegun;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Nobody waits, and nobody has asked for a while. */
  get isIdle(): boolean {
    return this.#waiters.size === 0 && this.#now() - this.#touchedMs > this.#holdMs();
  }

  touch(): void {
    this.#touchedMs = this.#now();
  }

  async changed(seen: PackagingSnapshot | undefined, mostMs: number, signal?: AbortSignal): Promise<void> {
    this.touch();
    if (this.#isClosed || this.#snapshot !== seen) return;
    await this.#waiters.wait(mostMs, signal);
  }

  read(file: string): Buffer | undefined | Promise<Buffer | undefined> {
    this.touch();
    const listed = this.files.listed(file);
    if (listed !== undefined) this.#ask(listed.rendition);
    else if (this.#isNextPart(file)) return this.#readNext(file);
    return this.files.read(file);
  }

  /** A claim of this stream was announced. */
  claimed(by: { readonly nodeId: string; readonly epoch: number }): void {
    const isFollowed = this.#lostSinceMs === undefined && this.#owner !== undefined;
    if (isFollowed && this.#owner !== undefined && !outranks(by, this.#owner)) return;
    this.look();
  }

  /** Looks who has the stream, at once; an open poll is begun anew. */
  look(): void {
    this.#turn.abort();
  }

  /** Ends the following; what is in memory stays for a while. Idempotent. */
  close(reason: string): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#log.debug({ reason }, 'packaged stream no longer followed');
    this.#begin('none');
    this.#turn.abort();
    this.#snapshot = undefined;
    this.#told = undefined;
    this.files.close();
    this.#waiters.wake();
  }

  #now(): number {
    return this.#context.sources.now();
  }

  /** Viewers come again within a target duration or so, whatever the configuration says. */
  #holdMs(): number {
    const againMs = HOLD_TARGETS * 1_000 * (this.#snapshot?.targetDurationS ?? 0);
    return Math.max(this.#context.holdMs(), MIN_HOLD_MS, againMs);
  }

  #begin(begin: FollowBegin): void {
    if (begin === 'found') this.#hasBegun = true;
    this.#resolveBegun(begin);
  }

  async #run(): Promise<void> {
    let failures = 0;
    while (!this.#isClosed) {
      this.#turn = new AbortController();
      const found = await this.#context.locate(this.key);
      if (this.#isClosed) return;
      const owner = this.#target(found);
      const end = owner === undefined ? 'absent' : await this.#follow(owner);
      if (this.#isClosed) return;
      if (end === 'moved') {
        failures = 0;
        continue;
      }
      if (this.#lostSinceMs === undefined) failures = 0;
      this.#lose(end, owner);
      if (this.#isClosed) return;
      await this.#pause(Math.min(MAX_RETRY_MS, MIN_RETRY_MS * 2 ** Math.min(failures, 10)));
      failures += 1;
    }
  }

  /** Whom to follow. A record goes with its stream's end, while who packaged it has the playlist for a while. */
  #target(found: OwnerRecord | undefined): OwnerRecord | undefined {
    if (found === undefined) return this.#snapshot === undefined ? undefined : this.#owner;
    return found.nodeId === this.#context.nodeId ? undefined : found;
  }

  /** Follows an owner until it ends: `moved`: look again at once. */
  async #follow(owner: OwnerRecord): Promise<'moved' | 'absent' | 'failed'> {
    const { sources, waitMs } = this.#context;
    this.#owner = owner;
    this.files.owner = owner;
    for (;;) {
      const { signal } = this.#turn;
      if (signal.aborted) return 'moved';
      sources.counts.polls += 1;
      const askedMs = this.#now();
      const mostMs = this.#hasBegun ? waitMs : Math.min(waitMs, FIRST_WAIT_MS);
      const reply = await sources.peer.snapshot(owner, this.key, this.#seen, mostMs, signal);
      if (this.#isClosed || signal.aborted) return 'moved';
      if (reply.kind === 'absent' || reply.kind === 'failed') return reply.kind;
      this.#lostSinceMs = undefined;
      this.#begin('found');
      if (reply.kind === 'unchanged') await this.#atLeast(MIN_UNCHANGED_MS, askedMs);
      if (reply.kind === 'snapshot') {
        const taken = await this.#take(reply.snapshot);
        if (this.#isClosed || signal.aborted) return 'moved';
        if (!taken) return 'failed';
      }
      if (await this.#hasEnded()) return 'moved';
    }
  }

  /** Shows a snapshot when it may be shown and its files are here. False: they can't be had. */
  async #take(snapshot: PackagingSnapshot): Promise<boolean> {
    const shown = this.#snapshot;
    const former = this.#seen;
    this.#seen = { nodeId: snapshot.nodeId, revision: snapshot.revision };
    if (shown?.nodeId === snapshot.nodeId && snapshot.revision <= shown.revision) return true;
    if (shown !== undefined && this.#isBehind(shown, snapshot)) return true;
    this.#told = snapshot;
    const from = shown === undefined ? -1 : firstSeq(shown);
    const next = firstSeq(snapshot) < from ? trimmedTo(snapshot, from) : snapshot;
    const files = listedFiles(next);
    const { missing, isBroken } = await (shown === undefined ? this.#fetchInherited(next) : this.#fetchNew(files));
    const isBrokenOff = this.#isClosed || this.#turn.signal.aborted;
    if (isBrokenOff || (isBroken && this.#broken < MAX_BROKEN)) {
      if (!isBrokenOff) this.#broken += 1;
      // To be told again.
      this.#seen = former;
      return false;
    }
    this.#broken = 0;
    const whole = withGaps(next, missing);
    const isNews = whole.isEnded && shown !== undefined && !shown.isEnded;
    this.#end = isNews ? { snapshot: whole, atMs: this.#now() } : undefined;
    this.#show(isNews ? { ...whole, isEnded: false } : whole, whole === next ? files : listedFiles(whole));
    return true;
  }

  /** Fetches the files that were not listed before, or were others, of the renditions that somebody asks for. */
  #fetchNew(files: ReadonlyMap<string, ListedFile>) {
    return this.files.fetchAhead(files, this.#wanted(), this.#context.maxAheadBytes, ({ file, bytes }) => {
      const before = this.files.listed(file);
      return before === undefined || before.bytes !== bytes;
    });
  }

  /** Of whatever rendition: what nobody has any more is a gap before anybody here was told of it. */
  async #fetchInherited(snapshot: PackagingSnapshot): Promise<AheadResult> {
    const files = inheritedFiles(snapshot);
    const looking = this.files.fetchAhead(files, new Set(RENDITIONS), this.#context.maxAheadBytes);
    const found = await Promise.race([looking, this.#pause(INHERITED_MS)]);
    if (found !== undefined) return found;
    void this.#showGaps(looking);
    return { missing: new Set(), isBroken: false };
  }

  #isBehind(shown: PackagingSnapshot, snapshot: PackagingSnapshot): boolean {
    if (lastSeq(snapshot) >= lastSeq(shown)) {
      this.#behindSinceMs = undefined;
      return false;
    }
    const nowMs = this.#now();
    if (this.#behindSinceMs === undefined) {
      this.#log.warn({ shown: lastSeq(shown), told: lastSeq(snapshot) }, 'packaged stream goes on with lower numbers');
    }
    this.#behindSinceMs ??= nowMs;
    return nowMs - this.#behindSinceMs < MAX_BEHIND_MS;
  }

  #show(snapshot: PackagingSnapshot, files: ReadonlyMap<string, ListedFile> = listedFiles(snapshot)): void {
    this.#snapshot = snapshot;
    this.files.list(files);
    this.#waiters.wake();
  }

  /** Shows an end that nobody has taken back; true when somebody else has the stream. */
  async #hasEnded(): Promise<boolean> {
    const end = this.#end;
    if (end === undefined || this.#now() - end.atMs < this.#context.endMs) return false;
    const owner = await this.#context.locate(this.key);
    if (this.#isClosed || this.#end !== end) return false;
    if (owner !== undefined && owner.nodeId !== end.snapshot.nodeId) return true;
    this.#end = undefined;
    this.#show(end.snapshot);
    return false;
  }

  /** Nobody answers for the stream; what was last known is shown for a while. */
  #lose(how: 'absent' | 'failed', owner: OwnerRecord | undefined): void {
    const nowMs = this.#now();
    this.files.owner = owner;
    this.#lostSinceMs ??= nowMs;
    const shown = this.#snapshot;
    if (shown === undefined) {
      if (owner === undefined || owner.epoch === 0) this.close('nobody publishes it');
      else if (nowMs - this.#beganMs >= BEGIN_MS) {
        this.#begin(how === 'failed' ? 'unreachable' : 'none');
        this.close('its owner does not package it');
      }
      return;
    }
    const lostMs = nowMs - this.#lostSinceMs;
    if (this.#end !== undefined && lostMs >= END_LOST_MS) {
      this.#show(this.#end.snapshot);
      this.#end = undefined;
    }
    const disposeMs = this.#context.disposeMs(this.key);
    const isDisposed = how === 'absent' && shown.isEnded && owner?.nodeId === shown.nodeId;
    if (isDisposed || lostMs >= (shown.isEnded ? disposeMs : Math.max(disposeMs, MIN_LOST_MS))) {
      this.close('the stream is over');
    }
  }

  /** A node with more polls than it takes answers at once. */
  async #atLeast(ms: number, sinceMs: number): Promise<void> {
    const leftMs = ms - (this.#now() - sinceMs);
    if (leftMs > 0) await this.#pause(leftMs);
  }

  async #pause(ms: number): Promise<void> {
    const { signal } = this.#turn;
    if (signal.aborted) return;
    await new Promise<void>((resolve) => {
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      signal.addEventListener('abort', done, { once: true });
    });
  }

  #wanted(): ReadonlySet<RenditionName> {
    const sinceMs = this.#now() - this.#holdMs();
    return new Set([...this.#asked].filter(([, atMs]) => atMs >= sinceMs).map(([rendition]) => rendition));
  }

  #ask(rendition: RenditionName): void {
    const nowMs = this.#now();
    const isNew = (this.#asked.get(rendition) ?? -Infinity) < nowMs - this.#holdMs();
    this.#asked.set(rendition, nowMs);
    const snapshot = this.#snapshot;
    if (!isNew || snapshot === undefined) return;
    void this.#fetchListed(snapshot, rendition);
  }

  /**
   * Fetches what is listed already, so that this node has it when the origin dies; whoever waits for a file asks for it itself.
   * What nobody has, since it is of an origin that died when nobody watched, is a gap from now on.
   */
  async #fetchListed(snapshot: PackagingSnapshot, rendition: RenditionName): Promise<void> {
    const files = listedFiles(snapshot);
    await this.#showGaps(this.files.fetchAhead(files, new Set([rendition]), this.#context.maxAheadBytes));
  }

  async #showGaps(looking: Promise<AheadResult>): Promise<void> {
    const { missing } = await looking;
    if (missing.size === 0 || this.#snapshot === undefined) return;
    this.#show(withGaps(this.#snapshot, missing));
  }

  #isNextPart(file: string): boolean {
    return Object.values(this.#snapshot?.nextPart ?? {}).includes(file);
  }

  /** A part that is announced: there with one of the next snapshots, or never. */
  async #readNext(file: string): Promise<Buffer | undefined> {
    const deadlineMs = this.#now() + 3 * (this.#snapshot?.partTargetMs ?? 0) + 1_000;
    while (this.#isNextPart(file) && this.#now() < deadlineMs) {
      await this.changed(this.#snapshot, deadlineMs - this.#now());
    }
    return this.files.listed(file) === undefined ? undefined : this.read(file);
  }
}
