import { setTimeout as delay } from 'node:timers/promises';
import { RENDITIONS } from '#contract/packaging.ts';
import type { PackagingSnapshot } from '#contract/packaging.ts';
import type { PackagedStream, PackagedStreams } from '../packaging/packaged-stream.ts';
import type { StreamKey } from '../stream/stream-key.ts';
import { PackagingFiles } from './packaging-files.ts';
import { firstSeq, inheritedFiles, lastSeq, listedFiles, withGaps } from './packaging-snapshots.ts';
import type { RemotePackagings } from './remote-packagings.ts';

/** Every packaged stream of the cluster: those of this node, else those of the others. */
export class ClusterPackagings implements PackagedStreams {
  readonly #local: PackagedStreams;
  readonly #remote: RemotePackagings;
  readonly #inherited = new WeakMap<PackagedStream, InheritedStream>();

  constructor(local: PackagedStreams, remote: RemotePackagings) {
    this.#local = local;
    this.#remote = remote;
  }

  find(key: StreamKey): PackagedStream | undefined | Promise<PackagedStream | undefined> {
    const local = this.#local.find(key);
    return local instanceof Promise ? local.then((found) => this.#choose(key, found)) : this.#choose(key, local);
  }

  #choose(
    key: StreamKey,
    local: PackagedStream | undefined,
  ): PackagedStream | undefined | Promise<PackagedStream | undefined> {
    if (local === undefined) return this.#remote.find(key);
    const { snapshot } = local;
    if (snapshot === undefined) return this.#remote.shown(key) ?? this.#inherit(local);
    return snapshot.isEnded ? this.#inherit(local).whereItGoesOn() : this.#inherit(local).whole();
  }

  #inherit(local: PackagedStream): InheritedStream {
    const known = this.#inherited.get(local);
    if (known !== undefined) return known;
    const isHere = (): boolean => {
      const now = this.#local.find(local.key);
      return now instanceof Promise || now === local;
    };
    const made = new InheritedStream(local, this.#remote, isHere);
    this.#inherited.set(local, made);
    return made;
  }
}

/** A stream that has just been claimed elsewhere has something to play soon. */
const ELSEWHERE_MS = 2_000;
/** Whoever asks first is kept waiting for so long, until it is known what has died with the node before. */
const WHOLE_MS = 1_000;
/** Of what it left, at most: more is looked for when somebody asks. */
const MAX_INHERITED_BYTES = 64 * 1024 * 1024;

/**
 * A stream that this node packages. It may have come here from another node: then its playlist lists files that only those
 * have that fetched them in time. And it may have gone to another one: then it ended here, and goes on there.
 */
class InheritedStream implements PackagedStream {
  readonly #local: PackagedStream;
  readonly #remote: RemotePackagings;
  readonly #isHere: () => boolean;
  readonly #files: PackagingFiles;
  #listed: PackagingSnapshot | undefined;
  /** Numbers of segments that it lists and nobody has any more. */
  readonly #gaps = new Set<number>();
  /** What is shown of a snapshot. */
  #shown: { readonly of: PackagingSnapshot; readonly gaps: number; readonly snapshot: PackagingSnapshot } | undefined;
  #elsewhere: PackagedStream | undefined;
  /** The playlist that was gone on with, by PackagingSnapshot.ownFrom, whose old segments are being looked for or were. */
  #looked: { readonly ownFrom: number; looking: Promise<InheritedStream> | undefined } | undefined;

  /** `isHere`: this node has not forgotten it. */
  constructor(local: PackagedStream, remote: RemotePackagings, isHere: () => boolean) {
    this.#local = local;
    this.#remote = remote;
    this.#isHere = isHere;
    this.#files = new PackagingFiles(local.key, remote.sources);
    this.#files.owner = 'here';
  }

  get key(): StreamKey {
    return this.#local.key;
  }

  get snapshot(): PackagingSnapshot | undefined {
    return this.#followed()?.snapshot ?? this.#own();
  }

  async changed(seen: PackagingSnapshot | undefined, mostMs: number, signal?: AbortSignal): Promise<void> {
    const followed = this.#followed();
    if (followed !== undefined) return followed.changed(seen, mostMs, signal);
    if (seen === this.#own()) await this.#local.changed(this.#local.snapshot, mostMs, signal);
    if (this.#local.snapshot?.isEnded === true && seen?.isEnded !== true) await this.whereItGoesOn();
  }

  read(file: string): Buffer | undefined | Promise<Buffer | undefined> {
    const bytes = this.#local.read(file);
    if (bytes instanceof Promise) return bytes.then((found) => found ?? this.#left(file));
    return bytes ?? this.#left(file);
  }

  /** Itself, once it is known which of the segments of the node before are nowhere: they are gaps. Never rejects. */
  whole(): this | Promise<InheritedStream> {
    const { snapshot } = this.#local;
    if (snapshot?.ownFrom === undefined) return this;
    if (this.#looked?.ownFrom !== snapshot.ownFrom) {
      this.#looked = { ownFrom: snapshot.ownFrom, looking: this.#look(snapshot) };
    }
    return this.#looked.looking ?? this;
  }

  async #look(snapshot: PackagingSnapshot): Promise<InheritedStream> {
    this.#list(snapshot);
    await Promise.race([this.#findGaps(snapshot), delay(WHOLE_MS, undefined, { ref: false })]);
    if (this.#looked !== undefined) this.#looked.looking = undefined;
    return this;
  }

  async #findGaps(snapshot: PackagingSnapshot): Promise<void> {
    const files = inheritedFiles(snapshot);
    const { missing } = await this.#files.fetchAhead(files, new Set(RENDITIONS), MAX_INHERITED_BYTES);
    for (const seq of missing) this.#gaps.add(seq);
  }

  /** Itself, once it is known whether the stream goes on elsewhere. Never rejects. */
  async whereItGoesOn(): Promise<this> {
    // Also where it is followed already: so that it is followed on.
    const found = await Promise.resolve(this.#remote.find(this.key)).catch(() => undefined);
    if (found !== undefined && found === this.#followed()) return this;
    if (found !== undefined && found.snapshot === undefined) await found.changed(undefined, ELSEWHERE_MS);
    const [there, here] = [found?.snapshot, this.#local.snapshot];
    const goesBack = there !== undefined && here !== undefined && lastSeq(there) < lastSeq(here);
    this.#elsewhere = there === undefined || goesBack ? undefined : found;
    return this;
  }

  #own(): PackagingSnapshot | undefined {
    const { snapshot } = this.#local;
    if (snapshot === undefined || this.#gaps.size === 0) return snapshot;
    if (this.#shown?.of !== snapshot || this.#shown.gaps !== this.#gaps.size) {
      for (const seq of this.#gaps) if (seq < firstSeq(snapshot)) this.#gaps.delete(seq);
      this.#shown = { of: snapshot, gaps: this.#gaps.size, snapshot: withGaps(snapshot, this.#gaps) };
    }
    return this.#shown.snapshot;
  }

  #followed(): PackagedStream | undefined {
    if (this.#local.snapshot?.isEnded !== true) this.#elsewhere = undefined;
    if (this.#elsewhere?.snapshot === undefined) this.#elsewhere = undefined;
    return this.#elsewhere;
  }

  #left(file: string): Buffer | undefined | Promise<Buffer | undefined> {
    const followed = this.#followed();
    if (followed !== undefined) return followed.read(file);
    const { snapshot } = this.#local;
    if (snapshot === undefined) return undefined;
    this.#list(snapshot);
    const listed = this.#files.listed(file);
    return listed === undefined ? undefined : this.#inherited(file, listed.seq);
  }

  /** What was fetched stays in memory as long as it is listed; from now on that is looked after. */
  #list(snapshot: PackagingSnapshot): void {
    this.#remote.addLister(this.#listAnew);
    if (this.#listed === snapshot) return;
    this.#listed = snapshot;
    this.#files.list(listedFiles(snapshot));
  }

  /** Lists what the playlist says now. False: nothing of another node is left in it, or all of it is gone. */
  readonly #listAnew = (): boolean => {
    const { snapshot } = this.#local;
    const isInherited = snapshot?.ownFrom !== undefined && firstSeq(snapshot) < snapshot.ownFrom && this.#isHere();
    if (isInherited) {
      this.#list(snapshot);
    } else {
      this.#listed = undefined;
      this.#files.list(new Map());
    }
    return isInherited;
  };

  /** From another node; where none has it, its segment is a gap from now on. */
  async #inherited(file: string, seq: number): Promise<Buffer | undefined> {
    const bytes = await this.#files.read(file);
    if (bytes === undefined) this.#gaps.add(seq);
    return bytes;
  }
}
