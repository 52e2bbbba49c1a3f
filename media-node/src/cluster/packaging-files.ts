import { setTimeout as delay } from 'node:timers/promises';
import type { RenditionName } from '#contract/packaging.ts';
import { PackagingError } from '../packaging/packaged-stream.ts';
import { streamKeyId } from '../stream/stream-key.ts';
import type { StreamKey } from '../stream/stream-key.ts';
import { allowance } from './allowance.ts';
import { Limiter } from './limiter.ts';
import type { FileReply, PackagingPeer } from './packaging-client.ts';
import type { ListedFile } from './packaging-snapshots.ts';
import type { AdminAddress } from './peer-client.ts';
import type { PeerLimiter } from './peer-limiter.ts';
import type { RelayCache } from './relay-cache.ts';

/** Counts since the start, for metrics and tests; they grow only. */
export interface RelayCounts {
  /** Long polls sent. */
  polls: number;
  /** Files fetched from the node that packages the stream, and from others that had them still. */
  fetched: number;
  fetchedElsewhere: number;
  /** Segments put together from parts that were here. */
  assembled: number;
  /** Files that could not be had. */
  failed: number;
}

/** What the streams of a node share. */
export interface FileSources {
  readonly peer: PackagingPeer;
  readonly cache: RelayCache;
  /** Admin ports of the other nodes that may have fetched a file, at most a handful, the likeliest first. */
  readonly others: (but: AdminAddress | undefined) => readonly AdminAddress[];
  /** Bounds the questions to each of them, over all streams. */
  readonly asking: PeerLimiter;
  /** Files now being asked for that no snapshot here lists, over all streams. */
  readonly unlisted: { count: number };
  /** Whether others may be asked for such a file, over all streams: a name that is made up costs as much as a real one. */
  readonly mayGuess: () => boolean;
  readonly counts: RelayCounts;
  readonly now: () => number;
}

/** Viewers of a node that is ahead by a segment ask for what is not listed here yet; made-up names look the same. */
const MAX_UNLISTED = 64;
/** How long a file that nobody has is not asked for again. */
const ABSENT_MS = 1_000;
const GONE_MS = 10_000;
const MAX_ABSENT = 256;
/** As many files as a snapshot may list, or nearly: forgotten ones are asked for again with each revision, of every node. */
const MAX_GONE = 10_000;
/** Files of one stream that are not listed, asked for at once, and for long: an edge that lags asks for each part before it is. */
const UNLISTED = 200;
const UNLISTED_A_SECOND = 100;
/** A wrong length, or no answer: this often in all. */
const TRIES = 2;
const RETRY_MS = 30;
/** Other nodes asked at the same time. */
const OTHERS_AT_ONCE = 3;
const ABSENT: FileReply = { kind: 'absent' };
/** Files fetched ahead at once; the rest of a node's connections is for those that viewers wait for. */
const AHEAD_AT_ONCE = 4;

/** What fetching ahead came to. */
export interface AheadResult {
  /** Segments of which a file is nowhere to be had. */
  readonly missing: ReadonlySet<number>;
  /** Somebody did not answer; another try may have it. */
  readonly isBroken: boolean;
}

/** The files of one stream on a node that does not package it: from memory, else fetched, each once however many ask. */
export class PackagingFiles {
  /** The node that packages the stream; `here`: this one; undefined when nobody is known to. */
  owner: AdminAddress | 'here' | undefined;
  readonly #key: StreamKey;
  readonly #id: string;
  readonly #sources: FileSources;
  readonly #inFlight = new Map<string, Promise<FileReply>>();
  /** File → when it may be asked for again. */
  readonly #absent = new Map<string, number>();
  /** The same for files that were listed and that nobody had: they are gaps. */
  readonly #gone = new Map<string, number>();
  #listed: ReadonlyMap<string, ListedFile> = new Map();
  readonly #mayAsk: () => boolean;
  #isClosed = false;

  constructor(key: StreamKey, sources: FileSources) {
    this.#key = key;
    this.#id = streamKeyId(key);
    this.#sources = sources;
    this.#mayAsk = allowance(UNLISTED, UNLISTED_A_SECOND, sources.now);
  }

  listed(file: string): ListedFile | undefined {
    return this.#listed.get(file);
  }

  /** Says which files are listed from now on. */
  list(files: ReadonlyMap<string, ListedFile>): void {
    this.#listed = files;
    for (const file of this.#absent.keys()) if (files.has(file)) this.#absent.delete(file);
    this.#sources.cache.list(this.#id, (file) => files.has(file));
  }

  /** Nothing is listed any more, nor will be; what is in memory stays for a while. */
  close(): void {
    this.#isClosed = true;
    this.list(new Map());
  }

  /** As PackagedStream.read. */
  read(file: string): Buffer | undefined | Promise<Buffer | undefined> {
    return this.#here(file, this.#listed.get(file)) ?? this.#readFar(file);
  }

  async #readFar(file: string): Promise<Buffer | undefined> {
    const { unlisted, now } = this.#sources;
    if ((this.#absent.get(file) ?? 0) > now()) return undefined;
    const listed = this.#listed.get(file);
    const isNew = listed === undefined && !this.#inFlight.has(file);
    if (isNew && (unlisted.count >= MAX_UNLISTED || !this.#mayAsk())) {
      throw new PackagingError('too-many', 'too many files that no playlist here lists are being asked for');
    }
    if (isNew) unlisted.count += 1;
    try {
      const reply = await this.#fetch(file, listed);
      if (reply.kind === 'found') return reply.bytes;
      if (reply.kind === 'absent') return undefined;
      throw new PackagingError(
        'unreachable',
        'the node that packages the stream does not answer, no other has the file',
      );
    } finally {
      if (isNew) unlisted.count -= 1;
    }
  }

  /**
   * Fetches what is not here of the listed files of some renditions, the newest first, until `maxBytes` are reached.
   * `isWanted` leaves out others.
   */
  async fetchAhead(
    files: ReadonlyMap<string, ListedFile>,
    renditions: ReadonlySet<RenditionName>,
    maxBytes: number,
    isWanted: (listed: ListedFile) => boolean = () => true,
  ): Promise<AheadResult> {
    const missing = new Set<number>();
    let isBroken = false;
    let bytes = 0;
    const limiter = new Limiter(AHEAD_AT_ONCE);
    const fetches: Promise<void>[] = [];
    for (const listed of files.values()) {
      // The pieces of a segment come with it.
      if (!renditions.has(listed.rendition) || listed.within !== undefined || !isWanted(listed)) continue;
      bytes += listed.bytes ?? 0;
      if (bytes > maxBytes) break;
      if (this.#here(listed.file, listed) !== undefined) continue;
      if ((this.#gone.get(listed.file) ?? 0) > this.#sources.now()) {
        missing.add(listed.seq);
        continue;
      }
      fetches.push(
        limiter.run(async () => {
          const reply = await this.#fetchWhole(listed, files);
          if (reply.kind === 'absent') {
            missing.add(listed.seq);
            remember(this.#gone, listed.file, this.#sources.now() + GONE_MS, MAX_GONE);
          }
          isBroken ||= reply.kind === 'failed';
        }),
      );
    }
    await Promise.all(fetches);
    return { missing, isBroken };
  }

  /** A segment by those of its parts that are not here, when some are. */
  async #fetchWhole(listed: ListedFile, files: ReadonlyMap<string, ListedFile>): Promise<FileReply> {
    const { cache } = this.#sources;
    const parts = listed.parts ?? [];
    if (parts.some((part) => cache.get(this.#id, part) !== undefined)) {
      await Promise.all(
        parts
          .filter((part) => cache.get(this.#id, part) === undefined)
          .map((part) => this.#fetch(part, files.get(part))),
      );
      const bytes = this.#here(listed.file, listed);
      if (bytes !== undefined) return { kind: 'found', bytes };
    }
    return this.#fetch(listed.file, listed);
  }

  /** From memory: as it is, as a piece of a segment, or a segment of its parts. */
  #here(file: string, listed: ListedFile | undefined): Buffer | undefined {
    const { cache } = this.#sources;
    const bytes = cache.get(this.#id, file);
    if (bytes !== undefined) {
      // Another owner may have given another file the same name.
      if (listed?.bytes === undefined || listed.bytes === bytes.length) return bytes;
      cache.delete(this.#id, file);
    }
    if (listed === undefined) return undefined;
    return this.#piece(listed) ?? this.#assembled(listed);
  }

  #piece({ file, within, bytes }: ListedFile): Buffer | undefined {
    if (within === undefined || bytes === undefined) return undefined;
    const whole = this.#sources.cache.get(this.#id, within.file);
    if (whole?.length !== this.#listed.get(within.file)?.bytes) return undefined;
    const piece = whole?.subarray(within.offset, within.offset + bytes);
    if (piece !== undefined) this.#put(file, piece, true, within.file);
    return piece;
  }

  #assembled({ file, parts, bytes }: ListedFile): Buffer | undefined {
    const { cache, counts } = this.#sources;
    if (parts === undefined || bytes === undefined) return undefined;
    const pieces: Buffer[] = [];
    for (const part of parts) {
      const piece = cache.get(this.#id, part);
      if (piece === undefined) return undefined;
      pieces.push(piece);
    }
    const whole = Buffer.concat(pieces);
    if (whole.length !== bytes) return undefined;
    counts.assembled += 1;
    this.#put(file, whole, true);
    // The parts' own memory is let go: they are pieces of the whole from now on.
    let offset = 0;
    for (const [index, part] of parts.entries()) {
      const { length } = pieces[index] ?? whole;
      this.#put(part, whole.subarray(offset, offset + length), true, file);
      offset += length;
    }
    return whole;
  }

  #fetch(file: string, listed: ListedFile | undefined): Promise<FileReply> {
    const known = this.#inFlight.get(file);
    if (known !== undefined) return known;
    const fetching = this.#fetchNow(file, listed).finally(() => this.#inFlight.delete(file));
    this.#inFlight.set(file, fetching);
    return fetching;
  }

  async #fetchNow(file: string, listed: ListedFile | undefined): Promise<FileReply> {
    const { counts, mayGuess, now } = this.#sources;
    const fits = (bytes: Buffer) => listed?.bytes === undefined || listed.bytes === bytes.length;
    const owner = this.owner === 'here' ? undefined : this.owner;
    let reply: FileReply = { kind: this.owner === 'here' ? 'absent' : 'failed' };
    if (owner !== undefined) reply = await this.#askOwner(owner, file, fits);
    if (reply.kind === 'found') counts.fetched += 1;
    else if (listed !== undefined || mayGuess()) {
      const elsewhere = await this.#askOthers(file, owner, fits);
      if (elsewhere !== undefined) counts.fetchedElsewhere += 1;
      if (elsewhere !== undefined) reply = { kind: 'found', bytes: elsewhere };
    }
    if (reply.kind === 'found') this.#put(file, reply.bytes, listed !== undefined);
    else counts.failed += 1;
    if (reply.kind === 'absent') remember(this.#absent, file, now() + ABSENT_MS, MAX_ABSENT);
    return reply;
  }

  /** `of`: see RelayCache. What comes after the end is not listed: nobody would ever say that it is no more. */
  #put(file: string, bytes: Buffer, isListed: boolean, of?: string): void {
    this.#sources.cache.put(this.#id, file, bytes, isListed && !this.#isClosed, of);
  }

  async #askOwner(owner: AdminAddress, file: string, fits: (bytes: Buffer) => boolean): Promise<FileReply> {
    for (let attempt = 1; ; attempt += 1) {
      const reply = await this.#sources.peer.file(owner, this.#key, file);
      if (reply.kind === 'absent' || (reply.kind === 'found' && fits(reply.bytes))) return reply;
      if (attempt >= TRIES) return { kind: 'failed' };
      await delay(RETRY_MS);
    }
  }

  async #askOthers(
    file: string,
    but: AdminAddress | undefined,
    fits: (bytes: Buffer) => boolean,
  ): Promise<Buffer | undefined> {
    const { peer, others, asking } = this.#sources;
    const waiting = [...others(but)];
    let found: Buffer | undefined;
    const askNext = async (): Promise<void> => {
      for (let next = waiting.shift(); next !== undefined && found === undefined; next = waiting.shift()) {
        const address = next;
        const reply = await asking.run(address, async () => {
          // Those that wait for a node which is silent need not ask it any more.
          return found === undefined ? peer.file(address, this.#key, file) : ABSENT;
        });
        if (reply.kind !== 'found' || !fits(reply.bytes)) continue;
        found = reply.bytes;
        return;
      }
      // Who has it need not wait for those that are silent.
      if (found === undefined) throw new Error('nobody more to ask');
    };
    await Promise.any(Array.from({ length: OTHERS_AT_ONCE }, askNext)).catch(() => undefined);
    return found;
  }
}

function remember(files: Map<string, number>, file: string, untilMs: number, most: number): void {
  files.delete(file);
  files.set(file, untilMs);
  const [oldest] = files.keys();
  if (files.size > most && oldest !== undefined) files.delete(oldest);
}
