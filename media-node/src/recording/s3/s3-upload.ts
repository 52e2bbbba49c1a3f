import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { formatOf, numbered } from '../recording-path.ts';
import type { FinishedFile } from '../recording-store.ts';
import type { ObjectStore, UploadedPart } from './object-store.ts';
import { OBJECT_STORE_MENDS, ObjectStoreError } from './object-store.ts';
import type { Slots } from './slots.ts';
import type { SpoolFolder, SpoolState } from './spool.ts';
import type { UploadJournal } from './upload-journal.ts';

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 60_000;
const MAX_NUMBER = 10_000;
const CONTENT_TYPES = { flv: 'video/x-flv', mp4: 'video/mp4' } as const;

/** What the uploads of a node share. */
export interface UploadContext {
  readonly store: ObjectStore;
  readonly journal: UploadJournal;
  readonly prefix: string;
  readonly log: Logger;
  /** Parts that are in memory at once. */
  readonly slots: Slots;
  /** Keys that this process uploads to. */
  readonly keys: Set<string>;
  /** Ends every upload where it is; the next process goes on. */
  readonly signal: AbortSignal;
  /** So many bytes wait no more. */
  readonly onUploaded: (bytes: number) => void;
  /** So many bytes of the disk are free again. */
  readonly onFreed: (bytes: number) => void;
}

/**
 * Brings one recording's chunks into the bucket as they become whole: one chunk is an object, several are an upload's parts.
 * Tries for ever; what the store forgot begins anew under another name, with the chunks that are still here.
 */
export class S3Upload {
  /** When the object is there; undefined when it is left to the next process. Never rejects. */
  readonly done: Promise<FinishedFile | undefined>;
  readonly #context: UploadContext;
  readonly #folder: SpoolFolder;
  #state: SpoolState;
  /** Whole chunks that are to be uploaded, rising. */
  #queue: number[] = [];
  #lastChunk = 0;
  readonly #chunkBytes = new Map<number, number>();
  readonly #parts = new Map<number, UploadedPart>();
  #key: string | undefined;
  #hasEnded = false;
  /** The chunk that is on its way. */
  #current: number | undefined;
  #wake: (() => void) | undefined;

  constructor(context: UploadContext, folder: SpoolFolder, state: SpoolState) {
    this.#context = context;
    this.#folder = folder;
    this.#state = state;
    this.done = this.#run();
  }

  /** The next chunk is whole. */
  add(chunk: number, bytes: number): void {
    this.#queue.push(chunk);
    this.#chunkBytes.set(chunk, bytes);
    this.#lastChunk = chunk;
    this.#wake?.();
  }

  /** No chunk will follow. `isPatched`: the first one was changed. */
  end(isPatched: boolean): void {
    this.#hasEnded = true;
    // What is in the bucket, or on its way, has the header of before.
    if (isPatched && (this.#parts.has(1) || this.#current === 1)) this.#queue.push(1);
    this.#wake?.();
  }

  async #run(): Promise<FinishedFile | undefined> {
    try {
      // The constructor's caller first says what there is.
      await Promise.resolve();
      await this.#resume();
      for (;;) {
        try {
          if (await this.#step()) break;
        } catch (error) {
          if (!(error instanceof ObjectStoreError && error.code === 'gone')) throw error;
          await this.#startAnew();
        }
      }
      const bytes = this.#bytes();
      await this.#remove();
      return this.#key === undefined ? undefined : { path: this.#key.slice(this.#context.prefix.length), bytes };
    } catch (error) {
      if (!this.#context.signal.aborted) {
        const { log } = this.#context;
        const { message } = error as Error;
        log.error(
          { path: this.#state.path, fault: message },
          'a recording cannot be uploaded; it is left to the next start',
        );
      }
      return undefined;
    } finally {
      if (this.#key !== undefined) this.#context.keys.delete(this.#key);
    }
  }

  /** Goes on with the upload of a process that is dead. */
  async #resume(): Promise<void> {
    const { upload, lost } = this.#state;
    const { store, journal, keys } = this.#context;
    if (upload === undefined) return;
    this.#key = upload.key;
    keys.add(upload.key);
    try {
      const parts = await this.#try(() => store.listParts(upload.key, upload.id));
      for (const part of parts) this.#parts.set(part.number, part);
      await this.#try(() => journal.add(upload.key, upload.id));
      for (const chunk of this.#queue.filter((each) => this.#parts.has(partOf(each, lost)))) {
        if (chunk > 1) await this.#drop(chunk);
        this.#uploaded(chunk);
      }
      // Its header may have been written anew since.
      this.#queue = this.#queue.filter((chunk) => chunk === 1 || !this.#parts.has(partOf(chunk, lost)));
    } catch (error) {
      if (!(error instanceof ObjectStoreError && error.code === 'gone')) throw error;
      await this.#startAnew();
    }
  }

  /** One chunk, or the end; true when all is done. */
  async #step(): Promise<boolean> {
    const [chunk] = this.#queue;
    if (chunk === undefined) {
      if (this.#hasEnded) {
        await this.#complete();
        return true;
      }
      await this.#next();
      return false;
    }
    if (this.#lastChunk === 1 && this.#state.upload === undefined) {
      // It is all there is: one request does.
      if (this.#hasEnded) {
        await this.#put();
        return true;
      }
    }
    this.#current = chunk;
    await this.#upload(chunk).finally(() => (this.#current = undefined));
    this.#queue.splice(this.#queue.indexOf(chunk), 1);
    return false;
  }

  async #upload(chunk: number): Promise<void> {
    const { store, slots } = this.#context;
    const { key, id } = await this.#begun();
    const part = partOf(chunk, this.#state.lost);
    const uploaded = await this.#try(() =>
      slots.run(async () => store.uploadPart(key, id, part, await this.#folder.readChunk(chunk))),
    );
    this.#parts.set(part, uploaded);
    if (chunk > 1) await this.#drop(chunk);
    this.#uploaded(chunk);
  }

  async #put(): Promise<void> {
    const { store, slots } = this.#context;
    const key = await this.#chooseKey();
    await this.#try(() =>
      slots.run(async () => store.put(key, await this.#folder.readChunk(1), contentType(this.#state.path))),
    );
    this.#uploaded(1);
  }

  /** The upload, which is in the folder and in the journal before it has a part: nobody forgets it. */
  async #begun(): Promise<{ readonly key: string; readonly id: string }> {
    if (this.#state.upload !== undefined) return this.#state.upload;
    const { store, journal } = this.#context;
    const key = await this.#chooseKey();
    const id = await this.#try(() => store.beginUpload(key, contentType(this.#state.path)));
    this.#state = { ...this.#state, upload: { key, id } };
    await this.#folder.write(this.#state);
    await this.#try(() => journal.add(key, id));
    return { key, id };
  }

  async #complete(): Promise<void> {
    const { upload } = this.#state;
    if (upload === undefined) return;
    const { store, journal } = this.#context;
    const parts = [...this.#parts.values()].sort((a, b) => a.number - b.number);
    try {
      await this.#try(() => store.completeUpload(upload.key, upload.id, parts));
    } catch (error) {
      // The answer to a try before this one may have been lost on its way.
      const isGone = error instanceof ObjectStoreError && error.code === 'gone';
      if (!isGone || !(await this.#try(() => store.exists(upload.key)))) throw error;
    }
    await journal.remove(upload.id);
  }

  /** The upload is gone, with what it had. */
  async #startAnew(): Promise<void> {
    const { journal, keys, log } = this.#context;
    const { upload } = this.#state;
    // A store that has nothing of what it is asked for is not asked without end.
    await sleep(FIRST_PAUSE_MS, undefined, { signal: this.#context.signal });
    if (upload !== undefined) await journal.remove(upload.id);
    if (this.#key !== undefined) keys.delete(this.#key);
    this.#key = undefined;
    const rest = this.#queue.filter((chunk) => chunk > 1);
    const lost = (rest[0] ?? this.#lastChunk + 1) - 2;
    log.warn(
      { path: this.#state.path, lostChunks: lost },
      'an upload is gone from the bucket: the rest becomes another object',
    );
    this.#parts.clear();
    this.#queue = [1, ...rest];
    const { upload: _gone, ...state } = this.#state;
    this.#state = { ...state, lost: Math.max(0, lost) };
    await this.#folder.write(this.#state);
  }

  async #chooseKey(): Promise<string> {
    const { store, prefix, keys } = this.#context;
    if (this.#key !== undefined) return this.#key;
    for (let number = 1; number <= MAX_NUMBER; number++) {
      const key = `${prefix}${numbered(this.#state.path, number)}`;
      if (keys.has(key)) continue;
      // Taken before the answer: another recording may ask in the meantime.
      keys.add(key);
      let isTaken = true;
      try {
        isTaken = await this.#try(() => store.exists(key));
      } finally {
        if (isTaken) keys.delete(key);
      }
      if (isTaken) continue;
      this.#key = key;
      return key;
    }
    throw new Error(`${this.#state.path} and ${MAX_NUMBER - 1} names like it are taken`);
  }

  /** Tries until it works, the upload is gone, or the node closes. */
  async #try<T>(work: () => Promise<T>): Promise<T> {
    const { signal, log } = this.#context;
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
      signal.throwIfAborted();
      try {
        return await work();
      } catch (error) {
        if (!(error instanceof ObjectStoreError) || error.code === 'gone') throw error;
        const { code, message } = error;
        log.warn(
          { path: this.#state.path, code, fault: message, mend: OBJECT_STORE_MENDS[code], retryInMs: pauseMs },
          'a recording waits for its upload',
        );
        await sleep(pauseMs, undefined, { signal });
      }
    }
  }

  async #drop(chunk: number): Promise<void> {
    await this.#folder.removeChunk(chunk);
    this.#context.onFreed(this.#chunkBytes.get(chunk) ?? 0);
  }

  readonly #counted = new Set<number>();
  #uploaded(chunk: number): void {
    if (this.#counted.has(chunk)) return;
    this.#counted.add(chunk);
    this.#context.onUploaded(this.#chunkBytes.get(chunk) ?? 0);
  }

  async #remove(): Promise<void> {
    await this.#folder.remove();
    this.#context.onFreed(this.#chunkBytes.get(1) ?? 0);
  }

  /** Of the object. */
  #bytes(): number {
    let bytes = 0;
    for (const part of this.#parts.values()) bytes += part.bytes;
    return bytes > 0 ? bytes : (this.#chunkBytes.get(1) ?? 0);
  }

  async #next(): Promise<void> {
    const { signal } = this.#context;
    signal.throwIfAborted();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    signal.addEventListener('abort', () => resolve(), { once: true });
    await promise;
    this.#wake = undefined;
    signal.throwIfAborted();
  }
}

function partOf(chunk: number, lost: number): number {
  return chunk === 1 ? 1 : chunk - lost;
}

function contentType(path: string): string {
  return CONTENT_TYPES[formatOf(path)];
}
