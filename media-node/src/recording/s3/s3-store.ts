import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { AppendedFile } from '../appended-file.ts';
import type { Patch } from '../container.ts';
import type { FileSystem } from '../file-system.ts';
import { FolderUsage } from '../folder-usage.ts';
import { asRecordingError, RecordingError } from '../recording-error.ts';
import type { EndedFile, OpenRecording, RecordingStore, StoredFile } from '../recording-store.ts';
import type { ObjectStore } from './object-store.ts';
import type { UploadContext } from './s3-upload.ts';
import { S3Upload } from './s3-upload.ts';
import { Slots } from './slots.ts';
import type { SpoolState } from './spool.ts';
import { chunkBytes, MOST_PARTS, SpoolFolder } from './spool.ts';
import { UploadJournal } from './upload-journal.ts';

/** Parts in memory at once, of all uploads. */
const MOST_IN_MEMORY = 2;

export interface S3StoreOptions {
  readonly store: ObjectStore;
  /** Before each path in the bucket; empty, or ends in `/`. */
  readonly prefix: string;
  /** Names this pod among all that write to the bucket. */
  readonly owner: string;
  /** Where recordings wait. */
  readonly folder: string;
  readonly files: FileSystem;
  /** Bytes that the folder may hold; no limit when left out. */
  readonly mostBytes?: number | undefined;
  readonly log: Logger;
  /** Told of each recording that a dead process had begun. */
  readonly onStored: (file: StoredFile) => void;
}

/** Recordings in a bucket, by way of a folder: they are written there and uploaded while they are made. */
export class S3Store implements RecordingStore {
  readonly #options: S3StoreOptions;
  readonly #usage: FolderUsage;
  readonly #journal: UploadJournal;
  readonly #context: UploadContext;
  readonly #abort = new AbortController();
  /** Names of the folders that this process made or took up. */
  readonly #own = new Set<string>();
  readonly #uploads = new Set<Promise<unknown>>();
  #waitingBytes = 0;

  constructor(options: S3StoreOptions) {
    const { store, prefix, owner, log, folder, files, mostBytes } = options;
    this.#options = options;
    this.#usage = new FolderUsage(files, folder, mostBytes);
    this.#journal = new UploadJournal({ store, prefix, owner, log });
    this.#context = {
      store,
      journal: this.#journal,
      prefix,
      log,
      slots: new Slots(MOST_IN_MEMORY),
      keys: new Set(),
      signal: this.#abort.signal,
      onUploaded: (bytes) => (this.#waitingBytes -= bytes),
      onFreed: (bytes) => this.#usage.give(bytes),
    };
  }

  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  async create(path: string): Promise<OpenRecording> {
    const { folder, files } = this.#options;
    await this.#usage.take(0);
    const name = `${Date.now().toString(36)}-${randomBytes(6).toString('hex')}`;
    this.#own.add(name);
    const spool = new SpoolFolder(files, join(folder, name));
    const state: SpoolState = { version: 1, path, lost: 0 };
    try {
      await files.mkdir(spool.path);
      await spool.write(state);
    } catch (error) {
      throw asRecordingError(error, path);
    }
    const upload = new S3Upload(this.#context, spool, state);
    this.#follow(spool, upload.done);
    return new S3Recording(path, files, spool, this.#usage, upload, (bytes) => (this.#waitingBytes += bytes));
  }

  async recover(): Promise<void> {
    const { folder, files, log } = this.#options;
    this.#journal.start();
    for (const entry of await files.list(folder).catch(() => [])) {
      if (!entry.isDirectory() || this.#own.has(entry.name)) continue;
      const spool = new SpoolFolder(files, join(folder, entry.name));
      try {
        await this.#recover(spool);
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        log.error({ folder: spool.path, code }, 'a recording that was cut short cannot be uploaded');
      }
    }
  }

  async #recover(spool: SpoolFolder): Promise<void> {
    const { onStored, log } = this.#options;
    const state = await spool.read();
    const chunks = await spool.chunks();
    const last = chunks.pop();
    if (state === undefined || last === undefined) {
      await spool.remove();
      return;
    }
    const bytes = await spool.mend(last.chunk, state.path);
    if (bytes > 0) chunks.push({ chunk: last.chunk, bytes });
    if (chunks[0]?.chunk !== 1) {
      await spool.remove();
      return;
    }
    this.#own.add(spool.name);
    const upload = new S3Upload(this.#context, spool, state);
    for (const each of chunks) {
      upload.add(each.chunk, each.bytes);
      this.#waitingBytes += each.bytes;
    }
    upload.end(false);
    this.#follow(spool, upload.done);
    void upload.done.then((file) => {
      if (file === undefined) return undefined;
      log.info({ ...file }, 'a recording that was cut short was uploaded');
      return onStored({ ...file, isRecovered: true });
    });
  }

  async close(mostMs: number): Promise<void> {
    if (this.#uploads.size > 0) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, mostMs);
      await Promise.race([promise, Promise.all(this.#uploads)]);
      clearTimeout(timer);
    }
    this.#abort.abort();
    await Promise.all(this.#uploads);
    await this.#journal.close();
    this.#options.store.close();
  }

  #follow(spool: SpoolFolder, done: Promise<unknown>): void {
    this.#uploads.add(done);
    void done.finally(() => {
      this.#uploads.delete(done);
      this.#own.delete(spool.name);
    });
  }
}

class S3Recording implements OpenRecording {
  readonly path: string;
  readonly #files: FileSystem;
  readonly #spool: SpoolFolder;
  readonly #usage: FolderUsage;
  readonly #upload: S3Upload;
  readonly #onWaiting: (bytes: number) => void;
  #bytes = 0;
  #chunk = 0;
  #file: AppendedFile | undefined;

  constructor(
    path: string,
    files: FileSystem,
    spool: SpoolFolder,
    usage: FolderUsage,
    upload: S3Upload,
    onWaiting: (bytes: number) => void,
  ) {
    this.path = path;
    this.#files = files;
    this.#spool = spool;
    this.#usage = usage;
    this.#upload = upload;
    this.#onWaiting = onWaiting;
  }

  get bytes(): number {
    return this.#bytes;
  }

  async append(units: readonly Buffer[]): Promise<void> {
    try {
      this.#file ??= await this.#beginChunk();
      const size = await this.#file.append(units);
      this.#bytes += size;
      this.#onWaiting(size);
      if (this.#file.bytes >= chunkBytes(this.#chunk)) await this.#endChunk();
    } catch (error) {
      throw asRecordingError(error, this.path);
    }
  }

  async finish(patch: Patch | undefined): Promise<EndedFile> {
    try {
      await this.#endChunk(patch);
    } catch (error) {
      this.#upload.end(false);
      throw asRecordingError(error, this.path);
    }
    this.#upload.end(patch !== undefined);
    return { bytes: this.#bytes, stored: this.#upload.done };
  }

  async #beginChunk(): Promise<AppendedFile> {
    if (this.#chunk >= MOST_PARTS) {
      throw new RecordingError('too-long', `${this.path} has ${MOST_PARTS} parts, the most that a bucket takes`);
    }
    this.#chunk++;
    return new AppendedFile(await this.#files.open(this.#spool.chunkPath(this.#chunk), 'wx'), this.#usage);
  }

  /** Hands the open chunk on, where there is one; after `patch` is in the first one. */
  async #endChunk(patch?: Patch): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
    if (file?.bytes === 0) await this.#spool.removeChunk(this.#chunk);
    if (patch !== undefined && this.#bytes > 0) await this.#spool.patch(patch);
    if (file !== undefined && file.bytes > 0) this.#upload.add(this.#chunk, file.bytes);
  }
}
