import { totalmem } from 'node:os';
import { constrainedMemory } from 'node:process';
import { EMPTY } from '../lib/bytes.ts';
import type { DiskFolder } from './disk-folder.ts';

/** A file, in memory, on disk or in both, and how many groups name it. */
interface Entry {
  bytes: Buffer | undefined;
  /** Whose bytes it is made of when somebody asks: a segment that is there in parts. */
  parts?: readonly Entry[] | undefined;
  isOnDisk: boolean;
  groups: number;
  /** What it counts for of the memory: nothing where another file's bytes hold it. */
  weight: number;
}

/** `part`: in memory alone. `segment`: on disk instead, where there is one. `small`: in both. */
export type FileKind = 'part' | 'segment' | 'small';

/** The files of one segment, kept and forgotten together; what several segments name is kept as long as one of them. */
export interface FileGroup {
  add(file: string, bytes: Buffer, kind: FileKind): void;
  /** A file that is others of this group one behind the other; those hold its bytes. It is on disk besides, they are not. */
  addJoined(file: string, parts: readonly string[]): void;
  /** Keeps a file of another group as well; a file that is not held stays so. */
  share(file: string): void;
  /** A file of so many bytes that may lie on the disk from before. */
  adopt(file: string, bytes: number): void;
  /** No playlist names it any more; it is kept until a time, in milliseconds by the store's clock. */
  unlist(untilMs: number): void;
  /** Idempotent. */
  forget(): void;
}

export interface FileStoreOptions {
  /** Bytes of all streams at most. Default: 40 % of the memory that the process may have. */
  readonly maxBytes?: number;
  /** Bytes of one stream at most. Default: half of that. */
  readonly maxStreamBytes?: number;
  readonly disk?: DiskFolder | undefined;
  readonly now?: () => number;
}

/** The files of a node's packaged streams, in memory, within bounds. */
export class FileStore {
  readonly maxBytes: number;
  readonly maxStreamBytes: number;
  readonly now: () => number;
  readonly disk: DiskFolder | undefined;
  bytes = 0;
  /** Segments that were forgotten before their time because memory was full. */
  dropped = 0;
  readonly #streams = new Set<StreamFiles>();

  constructor(options: FileStoreOptions = {}) {
    this.maxBytes = options.maxBytes ?? Math.floor(0.4 * Math.min(constrainedMemory() || Infinity, totalmem()));
    this.maxStreamBytes = options.maxStreamBytes ?? Math.floor(this.maxBytes / 2);
    this.disk = options.disk;
    this.now = options.now ?? Date.now;
  }

  /** The files of a Vhost's stream. */
  open(vhost: string): StreamFiles {
    const files = new StreamFiles(this, vhost, () => this.#streams.delete(files));
    this.#streams.add(files);
    return files;
  }

  /** Makes room by forgetting unlisted groups, the oldest first; answers whether there is enough. */
  makeRoom(): boolean {
    while (this.bytes > this.maxBytes) {
      let oldest: StreamFiles | undefined;
      for (const files of this.#streams) {
        if (files.oldestUnlistedMs < (oldest?.oldestUnlistedMs ?? Infinity)) oldest = files;
      }
      if (oldest === undefined) return false;
      oldest.forgetOldest();
    }
    return true;
  }
}

interface Unlisted {
  readonly group: FileGroup;
  readonly sinceMs: number;
  readonly untilMs: number;
}

/** The files of one stream. */
export class StreamFiles {
  bytes = 0;
  /** Files leave the disk when they are forgotten. */
  cleanup = true;
  readonly #store: FileStore;
  readonly #vhost: string;
  readonly #onClose: () => void;
  readonly #entries = new Map<string, Entry>();
  /** Oldest first. */
  #unlisted: Unlisted[] = [];
  /** What is being written of this stream. */
  #writes: Promise<unknown> = Promise.resolve();

  constructor(store: FileStore, vhost: string, onClose: () => void) {
    this.#store = store;
    this.#vhost = vhost;
    this.#onClose = onClose;
  }

  get hasDisk(): boolean {
    return this.#store.disk !== undefined;
  }

  /** Milliseconds, by the store's clock. */
  now(): number {
    return this.#store.now();
  }

  /** Milliseconds; Infinity where every group is listed. */
  get oldestUnlistedMs(): number {
    return this.#unlisted[0]?.sinceMs ?? Infinity;
  }

  has(file: string): boolean {
    return this.#entries.has(file);
  }

  read(file: string): Buffer | undefined | Promise<Buffer | undefined> {
    const entry = this.#entries.get(file);
    if (entry?.parts !== undefined) return this.#join(entry, entry.parts);
    if (entry === undefined || entry.bytes !== undefined || !entry.isOnDisk) return entry?.bytes;
    return this.#store.disk?.read(this.#vhost, file);
  }

  /** Writes what is no file of a segment, such as a playlist, where there is a disk: after the files that it names. */
  writeBeside(file: string, text: string): void {
    const { disk } = this.#store;
    if (disk === undefined) return;
    const before = this.#writes;
    const write = async () => {
      await before;
      await disk.write(this.#vhost, file, Buffer.from(text));
    };
    this.#writes = write();
  }

  /** Removes such a file. */
  removeBeside(file: string): void {
    const { disk } = this.#store;
    if (disk === undefined || !this.cleanup) return;
    const before = this.#writes;
    const remove = async () => {
      await before;
      await disk.remove(this.#vhost, file);
    };
    this.#writes = remove();
  }

  group(): FileGroup {
    let names: string[] | undefined = [];
    const group: FileGroup = {
      add: (file, bytes, kind) => {
        if (names === undefined || this.#entries.has(file)) return;
        const entry = { bytes, isOnDisk: false, groups: 1, weight: bytes.length };
        this.#entries.set(file, entry);
        this.#count(bytes.length);
        names.push(file);
        if (kind !== 'part') void this.#toDisk(file, entry, bytes, kind);
      },
      addJoined: (file, of) => {
        const parts = of.map((name) => this.#entries.get(name)).filter((entry) => entry !== undefined);
        if (names === undefined || this.#entries.has(file)) return;
        const entry: Entry = { bytes: undefined, parts, isOnDisk: false, groups: 1, weight: 0 };
        this.#entries.set(file, entry);
        names.push(file);
        if (this.#store.disk !== undefined) void this.#toDisk(file, entry, this.#join(entry, parts), 'small');
      },
      share: (file) => {
        const entry = this.#entries.get(file);
        if (entry === undefined || names === undefined || names.includes(file)) return;
        entry.groups += 1;
        names.push(file);
      },
      adopt: (file, bytes) => {
        const look = async () => {
          const isThere = await this.#store.disk?.has(this.#vhost, file, bytes);
          if (isThere !== true || names === undefined) return;
          const known = this.#entries.get(file);
          if (known === undefined) {
            this.#entries.set(file, { bytes: undefined, isOnDisk: true, groups: 1, weight: 0 });
            names.push(file);
          } else {
            group.share(file);
          }
        };
        if (this.#store.disk !== undefined) void look();
      },
      unlist: (untilMs) => {
        this.#unlisted.push({ group, sinceMs: this.#store.now(), untilMs });
      },
      forget: () => {
        for (const file of names ?? []) this.#release(file);
        names = undefined;
      },
    };
    return group;
  }

  /** Forgets what was kept long enough. */
  sweep(): void {
    const nowMs = this.#store.now();
    const over = this.#unlisted.filter(({ untilMs }) => untilMs <= nowMs);
    if (over.length === 0) return;
    this.#unlisted = this.#unlisted.filter(({ untilMs }) => untilMs > nowMs);
    for (const { group } of over) group.forget();
  }

  /** Makes room within the bounds of the stream and of the node; answers whether there is enough. */
  makeRoom(): boolean {
    while (this.bytes > this.#store.maxStreamBytes && this.forgetOldest());
    return this.#store.makeRoom() && this.bytes <= this.#store.maxStreamBytes;
  }

  /** Forgets the group that was unlisted first; answers whether there was one. */
  forgetOldest(): boolean {
    const oldest = this.#unlisted.shift();
    if (oldest === undefined) return false;
    oldest.group.forget();
    this.#store.dropped += 1;
    return true;
  }

  /** A listed segment had to go. */
  countDrop(): void {
    this.#store.dropped += 1;
  }

  /** Forgets everything; `isRestart`: what is on the disk stays for the node's next life. Idempotent. */
  close(isRestart = false): void {
    for (const [file, { isOnDisk }] of this.#entries) if (isOnDisk && !isRestart) this.#unlink(file);
    this.#entries.clear();
    this.#unlisted = [];
    this.#count(-this.bytes);
    this.#onClose();
  }

  /** Most segments with parts are never asked for as a whole: whoever has their parts has them. Not twice in memory. */
  #join(entry: Entry, parts: readonly Entry[]): Buffer {
    const bytes = Buffer.concat(parts.map((part) => part.bytes ?? EMPTY));
    entry.bytes = bytes;
    entry.parts = undefined;
    entry.weight = bytes.length;
    this.#count(bytes.length);
    let at = 0;
    for (const part of parts) {
      const length = part.bytes?.length ?? 0;
      part.bytes = bytes.subarray(at, at + length);
      at += length;
      this.#count(-part.weight);
      part.weight = 0;
    }
    return bytes;
  }

  async #toDisk(file: string, entry: Entry, bytes: Buffer, kind: FileKind): Promise<void> {
    if (this.#store.disk === undefined) return;
    const writing = this.#store.disk.write(this.#vhost, file, bytes);
    this.#writes = Promise.all([this.#writes, writing]);
    if (!(await writing)) return;
    entry.isOnDisk = true;
    if (this.#entries.get(file) !== entry) {
      // It was forgotten while it was being written.
      this.#unlink(file);
    } else if (kind === 'segment') {
      this.#count(-entry.weight);
      entry.weight = 0;
      entry.bytes = undefined;
    }
  }

  #release(file: string): void {
    const entry = this.#entries.get(file);
    if (entry === undefined) return;
    entry.groups -= 1;
    if (entry.groups > 0) return;
    this.#entries.delete(file);
    this.#count(-entry.weight);
    if (entry.isOnDisk) this.#unlink(file);
  }

  #unlink(file: string): void {
    if (this.cleanup) void this.#store.disk?.remove(this.#vhost, file);
  }

  #count(bytes: number): void {
    this.bytes += bytes;
    this.#store.bytes += bytes;
  }
}
