import { join } from 'node:path';
import type { FileSystem } from './file-system.ts';
import { RecordingError } from './recording-error.ts';

/** Counted anew at most so often, while the folder is full: somebody may have deleted recordings. */
const RECOUNT_MS = 10_000;

/**
 * Keeps a folder below its limit: a pod whose EmptyDir holds more than its size is evicted, and every stream with it. Without
 * a limit it counts nothing.
 */
export class FolderUsage {
  readonly #files: FileSystem;
  readonly #folder: string;
  readonly #mostBytes: number;
  readonly #now: () => number;
  #bytes = 0;
  #countedAtMs = -Infinity;
  #counting: Promise<void> | undefined;

  constructor(files: FileSystem, folder: string, mostBytes: number | undefined, now: () => number = Date.now) {
    this.#files = files;
    this.#folder = folder;
    this.#mostBytes = mostBytes ?? Infinity;
    this.#now = now;
  }

  /** Says that so many bytes more are to be written. Rejects with RecordingError `full`. */
  async take(bytes: number): Promise<void> {
    if (this.#mostBytes === Infinity) return;
    if (this.#countedAtMs === -Infinity || (this.#isOver(bytes) && this.#now() - this.#countedAtMs >= RECOUNT_MS)) {
      await this.#count();
    }
    if (this.#isOver(bytes)) {
      throw new RecordingError(
        'full',
        `${this.#folder} holds ${this.#bytes} bytes of the ${this.#mostBytes} that it may`,
      );
    }
    this.#bytes += bytes;
  }

  /** Files of so many bytes are gone. */
  give(bytes: number): void {
    this.#bytes = Math.max(0, this.#bytes - bytes);
  }

  #isOver(bytes: number): boolean {
    return this.#bytes + bytes > this.#mostBytes;
  }

  #count(): Promise<void> {
    this.#counting ??= (async () => {
      this.#countedAtMs = this.#now();
      let bytes = 0;
      for await (const path of filesBelow(this.#files, this.#folder)) {
        bytes += await this.#files.size(path).catch(() => 0);
      }
      this.#bytes = bytes;
    })().finally(() => (this.#counting = undefined));
    return this.#counting;
  }
}

/** Paths of the files in a folder and the folders in it; what vanishes meanwhile or cannot be read is passed over. */
export async function* filesBelow(files: FileSystem, folder: string): AsyncGenerator<string, void, undefined> {
  for (const entry of await files.list(folder).catch(() => [])) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* filesBelow(files, path);
    else if (entry.isFile()) yield path;
  }
}
