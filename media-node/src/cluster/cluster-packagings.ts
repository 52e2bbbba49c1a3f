import type { PackagingSnapshot } from '#contract/packaging.ts';
import type { PackagedStream, PackagedStreams } from '../packaging/packaged-stream.ts';
import type { StreamKey } from '../stream/stream-key.ts';
import { PackagingFiles } from './packaging-files.ts';
import { lastSeq, listedFiles } from './packaging-snapshots.ts';
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
    return snapshot.isEnded ? this.#continued(key, local, snapshot) : this.#inherit(local);
  }

  /** A stream that ended here may go on elsewhere. */
  async #continued(key: StreamKey, local: PackagedStream, ended: PackagingSnapshot): Promise<PackagedStream> {
    const elsewhere = await Promise.resolve(this.#remote.find(key)).catch(() => undefined);
    if (elsewhere === undefined) return this.#inherit(local);
    const { snapshot } = elsewhere;
    const goesBack = snapshot !== undefined && lastSeq(snapshot) < lastSeq(ended);
    return goesBack ? this.#inherit(local) : elsewhere;
  }

  #inherit(local: PackagedStream): PackagedStream {
    const known = this.#inherited.get(local);
    if (known !== undefined) return known;
    const made = new InheritedStream(local, this.#remote);
    this.#inherited.set(local, made);
    return made;
  }
}

/**
 * A stream that this node packages. It may have come here from another node: then its playlist lists files that only those
 * have that fetched them in time.
 */
class InheritedStream implements PackagedStream {
  readonly #local: PackagedStream;
  readonly #files: PackagingFiles;
  #listed: PackagingSnapshot | undefined;

  constructor(local: PackagedStream, remote: RemotePackagings) {
    this.#local = local;
    this.#files = new PackagingFiles(local.key, remote.sources);
    this.#files.owner = 'here';
  }

  get key(): StreamKey {
    return this.#local.key;
  }

  get snapshot(): PackagingSnapshot | undefined {
    return this.#local.snapshot;
  }

  changed(seen: PackagingSnapshot | undefined, mostMs: number, signal?: AbortSignal): Promise<void> {
    return this.#local.changed(seen, mostMs, signal);
  }

  read(file: string): Buffer | undefined | Promise<Buffer | undefined> {
    const bytes = this.#local.read(file);
    if (bytes instanceof Promise) return bytes.then((found) => found ?? this.#left(file));
    return bytes ?? this.#left(file);
  }

  #left(file: string): Buffer | undefined | Promise<Buffer | undefined> {
    const { snapshot } = this.#local;
    if (snapshot === undefined) return undefined;
    if (this.#listed !== snapshot) {
      this.#listed = snapshot;
      this.#files.list(listedFiles(snapshot));
    }
    return this.#files.listed(file) === undefined ? undefined : this.#files.read(file);
  }
}
