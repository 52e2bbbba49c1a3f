import * as fs from 'node:fs/promises';
import { dirname, join, resolve, sep } from 'node:path';
import type { Logger } from 'pino';

/** The file system as far as segments need one; tests have one that is full. Rejects as Node's does. */
export interface FolderSystem {
  mkdir(path: string): Promise<void>;
  /** The whole file; its folder exists. */
  write(path: string, bytes: Buffer): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  read(path: string): Promise<Buffer>;
  size(path: string): Promise<number>;
  unlink(path: string): Promise<void>;
  /** Fails where it is not empty. */
  rmdir(path: string): Promise<void>;
  /** Paths of the files below a folder, relative to it, with the time of their last change in milliseconds. */
  files(path: string): AsyncIterable<{ readonly path: string; readonly changedMs: number }>;
}

export const NODE_FOLDER_SYSTEM: FolderSystem = {
  mkdir: async (path) => void (await fs.mkdir(path, { recursive: true })),
  write: (path, bytes) => fs.writeFile(path, bytes),
  rename: (from, to) => fs.rename(from, to),
  read: (path) => fs.readFile(path),
  size: async (path) => (await fs.stat(path)).size,
  unlink: (path) => fs.unlink(path),
  rmdir: (path) => fs.rmdir(path),
  async *files(path) {
    for await (const entry of await fs.opendir(path, { recursive: true })) {
      if (!entry.isFile()) continue;
      const file = join(entry.parentPath, entry.name);
      const changed = await fs.stat(file).catch(() => undefined);
      if (changed !== undefined) yield { path: file.slice(path.length + 1), changedMs: changed.mtimeMs };
    }
  },
};

export interface DiskFolderOptions {
  readonly folder: string;
  readonly log: Logger;
  readonly system?: FolderSystem;
  /** Bytes that wait to be written at most; past it files stay in memory alone. Default 64 MiB. */
  readonly maxWaitingBytes?: number;
  /** Bytes that the folder may hold: a pod whose EmptyDir grows over its size is evicted. No limit when left out. */
  readonly mostBytes?: number | undefined;
  /** Milliseconds; default Date.now. */
  readonly now?: () => number;
}

/** Hidden beside its place until it is whole: no reader ever sees half a file. */
export const OPEN_ENDING = '.writing';
/** Files written at once. */
const AT_ONCE = 4;

/** How long a node that closes waits for its disk. */
const MOST_IDLE_MS = 5_000;

/** A folder that seems full is counted at most so often: much of what was written is gone again. */
const RECOUNT_MS = 5_000;

/** Of a file's name or place, not of the disk: too long for it, or a folder where the file should be. */
const NAME_FAULTS: ReadonlySet<unknown> = new Set(['ENAMETOOLONG', 'EISDIR', 'ENOTDIR', 'ENOTEMPTY', 'EEXIST']);

interface Job {
  readonly path: string;
  bytes: Buffer;
  readonly done: (isWritten: boolean) => void;
}

/**
 * Segments, keys and playlists as files below a folder, each Vhost's in one of its own. A disk that is full, slow or gone
 * stops nothing: what cannot be written stays in memory.
 */
export class DiskFolder {
  readonly #options: DiskFolderOptions;
  readonly #root: string;
  readonly #system: FolderSystem;
  readonly #jobs: Job[] = [];
  #waitingBytes = 0;
  #running = 0;
  #numbers = 0;
  readonly #pending = new Set<Promise<unknown>>();
  #isFailing = false;
  #isMisnamed = false;
  /** What was in the folder when it was last counted, and all that was written since. */
  #usedBytes = Infinity;
  #countedAtMs = -Infinity;
  #counting: Promise<void> | undefined;
  /** Files that could not be written. */
  errors = 0;

  constructor(options: DiskFolderOptions) {
    this.#options = options;
    this.#root = resolve(options.folder);
    this.#system = options.system ?? NODE_FOLDER_SYSTEM;
  }

  /** Where a Vhost's file lies; undefined where that would be outside the folder. */
  pathOf(vhost: string, file: string): string | undefined {
    const root = join(this.#root, vhost);
    const path = resolve(root, file);
    const isInside = !vhost.includes('/') && vhost !== '..' && path.startsWith(root + sep) && !path.includes('\0');
    return isInside && root.startsWith(this.#root + sep) ? path : undefined;
  }

  /** Writes a file whole or not at all; answers whether it is there now. Never rejects. */
  write(vhost: string, file: string, bytes: Buffer): Promise<boolean> {
    const path = this.pathOf(vhost, file);
    const { maxWaitingBytes = 64 * 1024 * 1024 } = this.#options;
    if (path === undefined || this.#waitingBytes + bytes.length > maxWaitingBytes) {
      this.#failed(path === undefined ? 'the path leads outside the folder' : 'the disk is too slow');
      return Promise.resolve(false);
    }
    this.#waitingBytes += bytes.length;
    const { promise, resolve: done } = Promise.withResolvers<boolean>();
    this.#jobs.push({ path, bytes, done });
    void this.#work();
    return this.#track(promise);
  }

  /** Resolves when nothing waits to be written or removed any more, or after a while: a disk may hang. Never rejects. */
  async idle(): Promise<void> {
    const { promise: isOver, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, MOST_IDLE_MS);
    const done = async () => {
      do {
        await Promise.all(this.#pending);
        // What comes after another file is asked for a moment later.
        await new Promise((next) => setImmediate(next));
      } while (this.#pending.size > 0);
    };
    await Promise.race([done(), isOver]);
    clearTimeout(timer);
  }

  /** Undefined where it is not there, or cannot be read. Never rejects. */
  async read(vhost: string, file: string): Promise<Buffer | undefined> {
    const path = this.pathOf(vhost, file);
    if (path === undefined) return undefined;
    try {
      return await this.#system.read(path);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'ENOENT') this.#failed(code ?? 'unknown');
      return undefined;
    }
  }

  /** Whether a file of that size is there. Never rejects. */
  async has(vhost: string, file: string, bytes: number): Promise<boolean> {
    const path = this.pathOf(vhost, file);
    return path !== undefined && (await this.#system.size(path).catch(() => -1)) === bytes;
  }

  /** Removes a file, and folders that are empty then. Never rejects. */
  remove(vhost: string, file: string): Promise<void> {
    const path = this.pathOf(vhost, file);
    return path === undefined ? Promise.resolve() : this.#track(this.#remove(path));
  }

  async #remove(path: string): Promise<void> {
    try {
      await this.#system.unlink(path);
      for (let folder = dirname(path); folder.startsWith(this.#root + sep); folder = dirname(folder)) {
        await this.#system.rmdir(folder);
      }
    } catch {
      // It is gone already, or its folder has other files.
    }
  }

  /** A Vhost's files that were changed last before a time. */
  async *olderThan(vhost: string, beforeMs: number): AsyncIterable<string> {
    try {
      for await (const { path, changedMs } of this.#system.files(join(this.#root, vhost))) {
        if (changedMs < beforeMs) yield path;
      }
    } catch {
      // There is no such folder.
    }
  }

  #track<T>(work: Promise<T>): Promise<T> {
    const tracked = work.finally(() => this.#pending.delete(tracked));
    this.#pending.add(tracked);
    return tracked;
  }

  async #work(): Promise<void> {
    if (this.#running >= AT_ONCE) return;
    this.#running += 1;
    for (let job = this.#jobs.shift(); job !== undefined; job = this.#jobs.shift()) {
      const isWritten = await this.#write(job);
      this.#waitingBytes -= job.bytes.length;
      job.done(isWritten);
    }
    this.#running -= 1;
  }

  async #write({ path, bytes }: Job): Promise<boolean> {
    this.#numbers += 1;
    const open = `${path}.${process.pid}-${this.#numbers}${OPEN_ENDING}`;
    if (!(await this.#takeRoom(bytes.length))) {
      this.#failed('the folder holds as much as it may');
      return false;
    }
    try {
      await this.#system.mkdir(dirname(path));
      await this.#system.write(open, bytes);
      await this.#system.rename(open, path);
    } catch (error) {
      await this.#system.unlink(open).catch(() => undefined);
      this.#failed((error as NodeJS.ErrnoException).code ?? 'unknown');
      return false;
    }
    if (this.#isFailing) this.#options.log.info('segments are written to disk again');
    this.#isFailing = false;
    return true;
  }

  async #takeRoom(bytes: number): Promise<boolean> {
    const { mostBytes, now = Date.now } = this.#options;
    if (mostBytes === undefined) return true;
    if (this.#usedBytes + bytes > mostBytes && now() - this.#countedAtMs >= RECOUNT_MS) {
      this.#counting ??= this.#count(now()).finally(() => (this.#counting = undefined));
    }
    await this.#counting;
    if (this.#usedBytes + bytes > mostBytes) return false;
    this.#usedBytes += bytes;
    return true;
  }

  async #count(nowMs: number): Promise<void> {
    this.#countedAtMs = nowMs;
    let bytes = 0;
    try {
      for await (const { path } of this.#system.files(this.#root)) {
        bytes += await this.#system.size(join(this.#root, path)).catch(() => 0);
      }
    } catch {
      // There is no such folder yet.
    }
    this.#usedBytes = bytes;
  }

  #failed(fault: string): void {
    this.errors += 1;
    if (NAME_FAULTS.has(fault)) {
      this.#misnamed(fault);
      return;
    }
    if (this.#isFailing) return;
    this.#isFailing = true;
    const { folder } = this.#options;
    this.#options.log.error(
      { folder, fault },
      'segments cannot be written to disk and stay in memory: free or mend the disk, or raise origin.storage.hls.size of the LiveCluster',
    );
  }

  /** Whoever publishes chooses names: said once, and others are written meanwhile. */
  #misnamed(fault: string): void {
    if (this.#isMisnamed) return;
    this.#isMisnamed = true;
    const { folder } = this.#options;
    this.#options.log.warn(
      { folder, fault },
      'a stream has a name that the disk does not take, its segments stay in memory: shorten app and stream; said once',
    );
  }
}
