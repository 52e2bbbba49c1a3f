import { totalmem } from 'node:os';
import { constrainedMemory } from 'node:process';

/** A file's bytes, and how many groups name it. */
interface Entry {
  bytes: Buffer;
  groups: number;
  /** What it counts for: nothing where another file's bytes hold it. */
  weight: number;
}

/** The files of one segment, kept and forgotten together; what several segments name is kept as long as one of them. */
export interface FileGroup {
  /** Adds a file. `weight`: what it takes of the memory; 0 where its bytes are part of another file's. */
  add(file: string, bytes: Buffer, weight?: number): void;
  /** Other bytes for a file of this group, of the same content. */
  replace(file: string, bytes: Buffer, weight: number): void;
  /** Keeps a file of another group as well; a file that is not held stays so. */
  share(file: string): void;
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
  readonly now?: () => number;
}

/** The files of a node's packaged streams, in memory, within bounds. */
export class FileStore {
  readonly maxBytes: number;
  readonly maxStreamBytes: number;
  readonly now: () => number;
  bytes = 0;
  /** Groups that were forgotten before their time, or unlisted before theirs, because memory was full. */
  dropped = 0;
  readonly #streams = new Set<StreamFiles>();

  constructor(options: FileStoreOptions = {}) {
    this.maxBytes = options.maxBytes ?? Math.floor(0.4 * Math.min(constrainedMemory() || Infinity, totalmem()));
    this.maxStreamBytes = options.maxStreamBytes ?? Math.floor(this.maxBytes / 2);
    this.now = options.now ?? Date.now;
  }

  open(): StreamFiles {
    const files = new StreamFiles(this, () => this.#streams.delete(files));
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
  readonly #store: FileStore;
  readonly #onClose: () => void;
  readonly #entries = new Map<string, Entry>();
  /** Oldest first. */
  #unlisted: Unlisted[] = [];

  constructor(store: FileStore, onClose: () => void) {
    this.#store = store;
    this.#onClose = onClose;
  }

  /** Milliseconds, by the store's clock. */
  now(): number {
    return this.#store.now();
  }

  /** Milliseconds; Infinity where every group is listed. */
  get oldestUnlistedMs(): number {
    return this.#unlisted[0]?.sinceMs ?? Infinity;
  }

  read(file: string): Buffer | undefined {
    return this.#entries.get(file)?.bytes;
  }

  group(): FileGroup {
    let names: string[] | undefined = [];
    const group: FileGroup = {
      add: (file, bytes, weight = bytes.length) => {
        if (names === undefined) return;
        const known = this.#entries.get(file);
        if (known === undefined) {
          this.#entries.set(file, { bytes, groups: 1, weight });
          this.#count(weight);
        } else {
          this.#count(weight - known.weight);
          known.bytes = bytes;
          known.weight = weight;
          if (names.includes(file)) return;
          known.groups += 1;
        }
        names.push(file);
      },
      replace: (file, bytes, weight) => {
        const known = this.#entries.get(file);
        if (known === undefined) return;
        this.#count(weight - known.weight);
        known.bytes = bytes;
        known.weight = weight;
      },
      share: (file) => {
        const known = this.#entries.get(file);
        if (known === undefined || names === undefined || names.includes(file)) return;
        known.groups += 1;
        names.push(file);
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

  /** Forgets everything; idempotent. */
  close(): void {
    this.#entries.clear();
    this.#unlisted = [];
    this.#count(-this.bytes);
    this.#onClose();
  }

  #release(file: string): void {
    const entry = this.#entries.get(file);
    if (entry === undefined) return;
    entry.groups -= 1;
    if (entry.groups > 0) return;
    this.#entries.delete(file);
    this.#count(-entry.weight);
  }

  #count(bytes: number): void {
    this.bytes += bytes;
    this.#store.bytes += bytes;
  }
}
