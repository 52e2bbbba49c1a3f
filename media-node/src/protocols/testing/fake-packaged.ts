import type { PackagingSnapshot } from '#contract/packaging.ts';
import type { PackagedStream, PackagedStreams } from '../../packaging/packaged-stream.ts';
import type { StreamKey } from '../../stream/stream-key.ts';
import { streamKeyId } from '../../stream/stream-key.ts';

/** A packaged stream whose snapshots and files a test sets. */
export class FakePackagedStream implements PackagedStream {
  readonly key: StreamKey;
  readonly files = new Map<string, Buffer>();
  /** Files that are not in memory: read with a promise. */
  readonly slowFiles = new Map<string, () => Promise<Buffer | undefined>>();
  snapshot: PackagingSnapshot | undefined;
  /** Who waits for a change now. */
  readonly waiting = new Set<() => void>();

  constructor(key: StreamKey, snapshot?: PackagingSnapshot) {
    this.key = key;
    if (snapshot !== undefined) this.show(snapshot);
  }

  /** The snapshot from now on; files that it lists and that are not there get bytes that tell their name. */
  show(snapshot: PackagingSnapshot): void {
    this.snapshot = snapshot;
    for (const { key, media } of [...snapshot.segments, ...(snapshot.open === undefined ? [] : [snapshot.open])]) {
      if (key !== undefined) this.#fill(key.file);
      for (const { file, init, parts } of Object.values(media)) {
        this.#fill(file);
        if (init !== undefined) this.#fill(init.file);
        for (const part of parts) this.#fill(part.file);
      }
    }
    for (const wake of this.waiting) wake();
  }

  #fill(file: string): void {
    if (!this.files.has(file) && !this.slowFiles.has(file)) this.files.set(file, Buffer.from(`bytes of ${file}`));
  }

  changed(seen: PackagingSnapshot | undefined, mostMs: number, signal?: AbortSignal): Promise<void> {
    if (this.snapshot !== seen || signal?.aborted === true) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      this.waiting.delete(done);
      resolve();
    };
    const timer = setTimeout(done, mostMs);
    signal?.addEventListener('abort', done);
    this.waiting.add(done);
    return promise;
  }

  read(file: string): Buffer | undefined | Promise<Buffer | undefined> {
    return this.files.get(file) ?? this.slowFiles.get(file)?.();
  }
}

/** The packaged streams of a test. */
export class FakePackagedStreams implements PackagedStreams {
  readonly all = new Map<string, PackagedStream>();
  /** What `find` rejects with, while it is set. */
  failure: Error | undefined;
  /** Has `find` answer with promises. */
  isSlow = false;

  add(key: StreamKey, snapshot?: PackagingSnapshot): FakePackagedStream {
    const stream = new FakePackagedStream(key, snapshot);
    this.all.set(streamKeyId(key), stream);
    return stream;
  }

  find(key: StreamKey): PackagedStream | undefined | Promise<PackagedStream | undefined> {
    const found = this.all.get(streamKeyId(key));
    if (this.failure !== undefined) return Promise.reject(this.failure);
    return this.isSlow ? Promise.resolve(found) : found;
  }
}
