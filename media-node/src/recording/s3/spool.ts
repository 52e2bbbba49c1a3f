import { basename, join } from 'node:path';
import { z } from 'zod';
import type { Patch } from '../container.ts';
import type { FileSystem, RecordingFile } from '../file-system.ts';
import { writeAll } from '../file-system.ts';
import { formatOf } from '../recording-path.ts';
import { flvLengthPatch, wholePart } from '../whole-part.ts';

/*
 * A recording on its way into a bucket, as a folder: recording.json, and the media in chunks `1`, `2`, …, each whole units and
 * at least as long as a part of an upload must be. A chunk goes when it is uploaded, but the first one stays to the end, when
 * its header is written anew.
 */

const MIB = 1024 * 1024;
/** Least size of a part, S3's own, for so many parts; then it grows, for an upload has 10,000 at most. */
const PART_BYTES = 5 * MIB;
const PARTS_OF_ONE_SIZE = 1_000;
export const MOST_PARTS = 10_000;

/** How long a chunk gets. Together they make 275 GB. */
export function chunkBytes(chunk: number): number {
  return PART_BYTES * (1 + Math.floor((chunk - 1) / PARTS_OF_ONE_SIZE));
}

const SpoolState = z.object({
  version: z.literal(1),
  /** Where the object is to be, without the bucket's prefix. */
  path: z.string().min(1),
  /** The upload, once there is one, and its key. */
  upload: z.object({ key: z.string().min(1), id: z.string().min(1) }).optional(),
  /** Chunks that a lost upload took with it: chunk `n` is part `n - lost`, but the first. */
  lost: z.int().min(0),
});
export type SpoolState = z.infer<typeof SpoolState>;

const STATE_FILE = 'recording.json';

/** The folder of one recording. */
export class SpoolFolder {
  readonly path: string;
  readonly #files: FileSystem;

  constructor(files: FileSystem, path: string) {
    this.#files = files;
    this.path = path;
  }

  get name(): string {
    return basename(this.path);
  }

  chunkPath(chunk: number): string {
    return join(this.path, String(chunk));
  }

  async write(state: SpoolState): Promise<void> {
    const path = join(this.path, STATE_FILE);
    const unfinished = `${path}.new`;
    await this.#files.unlink(unfinished).catch(() => undefined);
    const file = await this.#files.open(unfinished, 'wx');
    try {
      await writeAll(file, [Buffer.from(JSON.stringify(state))], 0);
      await file.datasync();
    } finally {
      await file.close();
    }
    await this.#files.rename(unfinished, path);
  }

  /** Undefined where it was never written whole. */
  async read(): Promise<SpoolState | undefined> {
    try {
      return SpoolState.parse(JSON.parse((await this.#readFile(join(this.path, STATE_FILE))).toString('utf8')));
    } catch {
      return undefined;
    }
  }

  async readChunk(chunk: number): Promise<Buffer> {
    return this.#readFile(this.chunkPath(chunk));
  }

  /** Chunks that are here, rising, with their sizes. */
  async chunks(): Promise<{ readonly chunk: number; readonly bytes: number }[]> {
    const found: { chunk: number; bytes: number }[] = [];
    for (const { name } of await this.#files.list(this.path)) {
      if (/^[1-9][0-9]{0,6}$/.test(name)) {
        found.push({ chunk: Number(name), bytes: await this.#files.size(join(this.path, name)) });
      }
    }
    return found.sort((a, b) => a.chunk - b.chunk);
  }

  async removeChunk(chunk: number): Promise<void> {
    await this.#files.unlink(this.chunkPath(chunk));
  }

  /** Replaces bytes of the first chunk. */
  async patch({ position, bytes }: Patch): Promise<void> {
    const file = await this.#files.open(this.chunkPath(1), 'r+');
    try {
      await writeAll(file, [bytes], position);
      await file.datasync();
    } finally {
      await file.close();
    }
  }

  /** Cuts what a dead process was writing to whole units. Answers the bytes that are left of the chunk, 0 when it is gone. */
  async mend(chunk: number, path: string): Promise<number> {
    const format = formatOf(path);
    const file: RecordingFile = await this.#files.open(this.chunkPath(chunk), 'r+');
    let bytes = 0;
    try {
      const whole = await wholePart(file, format, chunk > 1);
      if (whole.hasMedia || (chunk > 1 && whole.bytes > 0)) {
        bytes = whole.bytes;
        await file.truncate(bytes);
        const patch = chunk === 1 && format === 'flv' ? await flvLengthPatch(file, whole) : undefined;
        if (patch !== undefined) await writeAll(file, [patch.bytes], patch.position);
        await file.datasync();
      }
    } finally {
      await file.close();
    }
    if (bytes === 0) await this.removeChunk(chunk);
    return bytes;
  }

  /** Removes it with what is in it. */
  async remove(): Promise<void> {
    for (const { name } of await this.#files.list(this.path)) await this.#files.unlink(join(this.path, name));
    await this.#files.rmdir(this.path);
  }

  async #readFile(path: string): Promise<Buffer> {
    const file = await this.#files.open(path, 'r');
    try {
      const { size } = await file.stat();
      const bytes = Buffer.allocUnsafe(size);
      let filled = 0;
      while (filled < size) {
        const { bytesRead } = await file.read(bytes, filled, size - filled, filled);
        if (bytesRead === 0) break;
        filled += bytesRead;
      }
      return bytes.subarray(0, filled);
    } finally {
      await file.close();
    }
  }
}
