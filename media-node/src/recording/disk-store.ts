import { basename, dirname, join, relative } from 'node:path';
import type { Logger } from 'pino';
import { AppendedFile } from './appended-file.ts';
import type { Patch } from './container.ts';
import type { FileSystem } from './file-system.ts';
import { writeAll } from './file-system.ts';
import { FolderUsage, filesBelow } from './folder-usage.ts';
import { asRecordingError, RecordingError } from './recording-error.ts';
import { formatOf, numbered } from './recording-path.ts';
import type { EndedFile, FinishedFile, OpenRecording, RecordingStore, StoredFile } from './recording-store.ts';
import { flvLengthPatch, wholePart } from './whole-part.ts';

/** An open recording is hidden beside its place: `live/.a.flv.tmp` becomes `live/a.flv`. */
const OPEN = /^\.(.+\.(?:flv|mp4))\.tmp$/;
const openName = (path: string) => join(dirname(path), `.${basename(path)}.tmp`);

/** Names tried for one path. */
const MAX_NUMBER = 10_000;

export interface DiskStoreOptions {
  readonly folder: string;
  readonly files: FileSystem;
  /** Bytes that the folder may hold; no limit when left out. */
  readonly mostBytes?: number | undefined;
  readonly log: Logger;
  /** Told of each file that was recovered. */
  readonly onStored: (file: StoredFile) => void;
}

/** Recordings in a folder. A file has its name when it is whole; until then a hidden one. */
export class DiskStore implements RecordingStore {
  readonly waitingBytes = 0;
  readonly #options: DiskStoreOptions;
  readonly #usage: FolderUsage;
  /** Absolute hidden names of the files that this process writes. */
  readonly #open = new Set<string>();

  constructor(options: DiskStoreOptions) {
    this.#options = options;
    this.#usage = new FolderUsage(options.files, options.folder, options.mostBytes);
  }

  async create(path: string): Promise<OpenRecording> {
    const { folder, files } = this.#options;
    await this.#usage.take(0);
    try {
      await files.mkdir(dirname(join(folder, path)));
      for (let number = 1; number <= MAX_NUMBER; number++) {
        const tried = numbered(path, number);
        const hidden = openName(join(folder, tried));
        if (this.#open.has(hidden) || (await files.exists(join(folder, tried)))) continue;
        this.#open.add(hidden);
        try {
          const file = await files.open(hidden, 'wx');
          const appended = new AppendedFile(file, this.#usage);
          return new DiskRecording(this.#options, tried, appended, () => this.#open.delete(hidden));
        } catch (error) {
          this.#open.delete(hidden);
          if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
        }
      }
    } catch (error) {
      throw asRecordingError(error, path);
    }
    throw new RecordingError('unwritable', `${path} and ${MAX_NUMBER - 1} names like it are taken`);
  }

  async recover(): Promise<void> {
    const { folder, files, log, onStored } = this.#options;
    const found: string[] = [];
    for await (const path of filesBelow(files, folder)) {
      if (OPEN.test(basename(path)) && !this.#open.has(path)) found.push(path);
    }
    for (const hidden of found) {
      const name = OPEN.exec(basename(hidden))?.[1] ?? '';
      try {
        const file = await this.#recover(hidden, join(dirname(hidden), name));
        if (file !== undefined) {
          log.info({ ...file }, 'a recording that was cut short was finished');
          onStored({ ...file, isRecovered: true });
        }
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        log.error({ path: relative(folder, hidden), code }, 'a recording that was cut short cannot be finished');
      }
    }
  }

  async #recover(hidden: string, wanted: string): Promise<FinishedFile | undefined> {
    const { folder, files } = this.#options;
    const format = formatOf(wanted);
    const file = await files.open(hidden, 'r+');
    let bytes: number;
    try {
      const whole = await wholePart(file, format);
      if (!whole.hasMedia) {
        await files.unlink(hidden);
        return undefined;
      }
      ({ bytes } = whole);
      await file.truncate(bytes);
      const patch = format === 'flv' ? await flvLengthPatch(file, whole) : undefined;
      if (patch !== undefined) await writeAll(file, [patch.bytes], patch.position);
      await file.datasync();
    } finally {
      await file.close();
    }
    let path = relative(folder, wanted);
    for (let number = 2; await files.exists(join(folder, path)); number++) {
      path = numbered(relative(folder, wanted), number);
    }
    await files.rename(hidden, join(folder, path));
    return { path, bytes };
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

class DiskRecording implements OpenRecording {
  readonly path: string;
  readonly #options: DiskStoreOptions;
  readonly #file: AppendedFile;
  readonly #onEnd: () => void;

  constructor(options: DiskStoreOptions, path: string, file: AppendedFile, onEnd: () => void) {
    this.#options = options;
    this.path = path;
    this.#file = file;
    this.#onEnd = onEnd;
  }

  get bytes(): number {
    return this.#file.bytes;
  }

  async append(units: readonly Buffer[]): Promise<void> {
    try {
      await this.#file.append(units);
    } catch (error) {
      throw asRecordingError(error, this.path);
    }
  }

  async finish(patch: Patch | undefined): Promise<EndedFile> {
    const { folder, files } = this.#options;
    const hidden = openName(join(folder, this.path));
    try {
      await this.#file.close(patch);
      if (this.bytes === 0) await files.unlink(hidden);
      else await files.rename(hidden, join(folder, this.path));
    } catch (error) {
      throw asRecordingError(error, this.path);
    } finally {
      this.#onEnd();
    }
    const { path, bytes } = this;
    return { bytes, stored: Promise.resolve(bytes > 0 ? { path, bytes } : undefined) };
  }
}
