interface Entry {
  readonly stream: CachedStream;
  readonly file: string;
  readonly bytes: Buffer;
  /** Bytes it holds; 0 for a piece of another one. */
  readonly cost: number;
  /** Entries that are pieces of this one. */
  readonly pieces: string[];
  isListed: boolean;
  /** An unlisted one is dropped then. */
  untilMs: number;
}

interface CachedStream {
  readonly id: string;
  readonly files: Map<string, Entry>;
  bytes: number;
}

export interface RelayCacheOptions {
  /** All streams together. */
  readonly maxBytes: number;
  /** One stream. */
  readonly maxStreamBytes: number;
  /** How long a file stays after it was listed last. */
  readonly keepMs: number;
  readonly now?: () => number;
}

/**
 * Files of packaged streams that this node fetched, in memory. Listed ones stay; others go after a while, and first when
 * there is too much: those that were not read for longest.
 */
export class RelayCache {
  readonly #options: Required<RelayCacheOptions>;
  readonly #streams = new Map<string, CachedStream>();
  /** Each in the order of use, the oldest first. */
  readonly #listed = new Set<Entry>();
  readonly #unlisted = new Set<Entry>();
  #bytes = 0;

  constructor(options: RelayCacheOptions) {
    this.#options = { now: Date.now, ...options };
  }

  get bytes(): number {
    return this.#bytes;
  }

  get(id: string, file: string): Buffer | undefined {
    const entry = this.#streams.get(id)?.files.get(file);
    if (entry === undefined) return undefined;
    const set = entry.isListed ? this.#listed : this.#unlisted;
    set.delete(entry);
    set.add(entry);
    return entry.bytes;
  }

  /** `of`: it is a piece of that file, which is here, and has its bytes. */
  put(id: string, file: string, bytes: Buffer, isListed: boolean, of?: string): void {
    // First: a stream without files is forgotten.
    this.delete(id, file);
    const stream = this.#stream(id);
    const whole = of === undefined ? undefined : stream.files.get(of);
    const cost = whole === undefined ? bytes.length : 0;
    const untilMs = this.#options.now() + this.#options.keepMs;
    const entry: Entry = { stream, file, bytes, cost, pieces: [], isListed, untilMs };
    whole?.pieces.push(file);
    stream.files.set(file, entry);
    (isListed ? this.#listed : this.#unlisted).add(entry);
    stream.bytes += cost;
    this.#bytes += cost;
    this.#shrink(entry);
  }

  delete(id: string, file: string): void {
    const entry = this.#streams.get(id)?.files.get(file);
    if (entry !== undefined) this.#remove(entry);
  }

  /** Says which of a stream's files are listed now. */
  list(id: string, isListed: (file: string) => boolean): void {
    for (const entry of this.#streams.get(id)?.files.values() ?? []) {
      const now = isListed(entry.file);
      if (now === entry.isListed) continue;
      entry.isListed = now;
      entry.untilMs = this.#options.now() + this.#options.keepMs;
      (now ? this.#unlisted : this.#listed).delete(entry);
      (now ? this.#listed : this.#unlisted).add(entry);
    }
  }

  /** Drops what has been unlisted long enough. */
  sweep(): void {
    const nowMs = this.#options.now();
    for (const entry of this.#unlisted) if (entry.untilMs <= nowMs) this.#remove(entry);
  }

  clear(): void {
    this.#streams.clear();
    this.#listed.clear();
    this.#unlisted.clear();
    this.#bytes = 0;
  }

  #stream(id: string): CachedStream {
    const known = this.#streams.get(id);
    if (known !== undefined) return known;
    const made: CachedStream = { id, files: new Map(), bytes: 0 };
    this.#streams.set(id, made);
    return made;
  }

  /** The newest one stays: whoever fetched it is about to send it. */
  #shrink(newest: Entry): void {
    const { maxBytes, maxStreamBytes } = this.#options;
    const { stream } = newest;
    while (stream.bytes > maxStreamBytes) {
      const own = ({ stream: of, cost }: Entry) => of === stream && cost > 0;
      const victim = first(this.#unlisted, newest, own) ?? first(this.#listed, newest, own);
      if (victim === undefined) break;
      this.#remove(victim);
    }
    while (this.#bytes > maxBytes) {
      const hasCost = ({ cost }: Entry) => cost > 0;
      const victim = first(this.#unlisted, newest, hasCost) ?? first(this.#listed, newest, hasCost);
      if (victim === undefined) break;
      this.#remove(victim);
    }
  }

  #remove(entry: Entry): void {
    const { stream, file, cost, pieces } = entry;
    if (stream.files.get(file) !== entry) return;
    stream.files.delete(file);
    this.#listed.delete(entry);
    this.#unlisted.delete(entry);
    stream.bytes -= cost;
    this.#bytes -= cost;
    for (const piece of pieces) {
      const known = stream.files.get(piece);
      if (known?.cost === 0) this.#remove(known);
    }
    if (stream.files.size === 0) this.#streams.delete(stream.id);
  }
}

function first(entries: Iterable<Entry>, but: Entry, wanted: (entry: Entry) => boolean): Entry | undefined {
  for (const entry of entries) if (entry !== but && wanted(entry)) return entry;
  return undefined;
}
