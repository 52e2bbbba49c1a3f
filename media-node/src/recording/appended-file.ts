import type { Patch } from './container.ts';
import type { RecordingFile } from './file-system.ts';
import { writeAll } from './file-system.ts';
import type { FolderUsage } from './folder-usage.ts';

/** A file that grows by whole units and counts into its folder: an append that fails leaves what was there before. */
export class AppendedFile {
  readonly #file: RecordingFile;
  readonly #usage: FolderUsage;
  #bytes = 0;
  /** An append failed: what lies behind `#bytes` is no whole unit. */
  #isTorn = false;

  /** Owns `file`, which is new. */
  constructor(file: RecordingFile, usage: FolderUsage) {
    this.#file = file;
    this.#usage = usage;
  }

  /** Of whole units. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Appends units; answers their size. Rejects as the folder or the file system does. */
  async append(units: readonly Buffer[]): Promise<number> {
    const size = units.reduce((sum, unit) => sum + unit.length, 0);
    await this.#usage.take(size);
    try {
      await writeAll(this.#file, units, this.#bytes);
    } catch (error) {
      this.#isTorn = true;
      this.#usage.give(size);
      throw error;
    }
    this.#bytes += size;
    return size;
  }

  /** Ends it at its last whole unit, on the disk; `patch` replaces some of its bytes. */
  async close(patch?: Patch): Promise<void> {
    try {
      if (this.#isTorn) await this.#file.truncate(this.#bytes);
      if (patch !== undefined && this.#bytes > 0) await writeAll(this.#file, [patch.bytes], patch.position);
      await this.#file.datasync();
    } finally {
      await this.#file.close();
    }
  }
}
