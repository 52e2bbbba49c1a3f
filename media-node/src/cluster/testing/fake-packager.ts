import type { PackagedSegment, PackagingSnapshot } from '#contract/packaging.ts';
import type { PackagedStream, PackagedStreams } from '../../packaging/packaged-stream.ts';
import { streamKeyId } from '../../stream/stream-key.ts';
import type { StreamKey } from '../../stream/stream-key.ts';

/** What a packager leaves for the next one. */
export interface FakeState {
  readonly segments: readonly PackagedSegment[];
  /** The next one does not tell which are not its own, as nodes of before did not. */
  readonly isUntold?: boolean;
}

const WINDOW = 5;

/** A stream of made-up segments, packaged by a test. */
export class FakePackaged implements PackagedStream {
  readonly key: StreamKey;
  readonly #nodeId: string;
  readonly #files = new Map<string, Buffer>();
  readonly #waiters = new Set<() => void>();
  readonly #reads: Map<string, number>;
  #segments: PackagedSegment[];
  #open: PackagedSegment | undefined;
  #parts: { file: string; bytes: Buffer }[] = [];
  #revision = 0;
  #isEnded = false;
  #seam: boolean;
  readonly #ownFrom: number | undefined;
  snapshot: PackagingSnapshot | undefined;

  constructor(nodeId: string, key: StreamKey, reads: Map<string, number>, state?: FakeState) {
    this.key = key;
    this.#nodeId = nodeId;
    this.#reads = reads;
    this.#segments = [...(state?.segments ?? [])];
    this.#seam = this.#segments.length > 0;
    if (this.#seam && state?.isUntold !== true) this.#ownFrom = this.#nextSeq();
    if (this.#seam) this.#tell();
  }

  get state(): FakeState {
    return { segments: this.#segments };
  }

  get waiting(): number {
    return this.#waiters.size;
  }

  changed(seen: PackagingSnapshot | undefined, mostMs: number, signal?: AbortSignal): Promise<void> {
    if (this.snapshot !== seen || signal?.aborted === true) return Promise.resolve();
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#waiters.delete(done);
        resolve();
      };
      const timer = setTimeout(done, mostMs);
      signal?.addEventListener('abort', done, { once: true });
      this.#waiters.add(done);
    });
  }

  read(file: string): Buffer | undefined {
    const bytes = this.#files.get(file);
    if (bytes !== undefined) this.#reads.set(file, (this.#reads.get(file) ?? 0) + 1);
    return bytes;
  }

  /** Makes a complete MPEG-TS segment. */
  segment(bytes = contentOf(this.#nodeId, this.#nextSeq())): number {
    const seq = this.#nextSeq();
    this.#add(this.#made(seq, 'ts', `${nameOf(this.key)}-${seq}.ts`, bytes, []));
    return seq;
  }

  /** Makes a part of the open video segment. */
  part(): void {
    const seq = this.#open?.seq ?? this.#nextSeq();
    const stem = `${nameOf(this.key)}-video-${seq}`;
    const file = `${stem}.p${this.#parts.length}.m4s`;
    const bytes = Buffer.from(`${this.#nodeId} ${file};`);
    this.#files.set(file, bytes);
    this.#parts.push({ file, bytes });
    this.#open = this.#made(
      seq,
      'video',
      `${stem}.m4s`,
      Buffer.concat(this.#parts.map((part) => part.bytes)),
      this.#parts,
    );
    this.#tell();
  }

  /** Closes the open segment. */
  completed(): number {
    const open = this.#open;
    if (open === undefined) throw new Error('no segment is open');
    this.#open = undefined;
    this.#parts = [];
    this.#add(open);
    return open.seq;
  }

  /** Forgets a file, as a new owner lacks it. */
  forget(file: string): void {
    this.#files.delete(file);
  }

  end(): void {
    this.#isEnded = true;
    this.#tell();
  }

  #nextSeq(): number {
    return (this.#segments.at(-1)?.seq ?? 99) + 1;
  }

  #made(
    seq: number,
    rendition: 'ts' | 'video',
    file: string,
    bytes: Buffer,
    parts: readonly { file: string; bytes: Buffer }[],
  ): PackagedSegment {
    this.#files.set(file, bytes);
    const init = `${nameOf(this.key)}-init.mp4`;
    if (rendition === 'video') this.#files.set(init, Buffer.from('init'));
    const isDiscontinuity = this.#seam;
    return {
      seq,
      programDateTimeMs: 1_700_000_000_000 + seq * 2_000,
      isDiscontinuity,
      isGap: false,
      media: {
        [rendition]: {
          file,
          bytes: bytes.length,
          startMs: seq * 2_000,
          durationMs: 2_000,
          parts: parts.map((part) => ({
            file: part.file,
            bytes: part.bytes.length,
            durationMs: 500,
            isIndependent: true,
          })),
          isIndependent: true,
          ...(rendition === 'video' && { init: { file: init, bytes: 4 } }),
        },
      },
    };
  }

  #add(segment: PackagedSegment): void {
    this.#segments = [...this.#segments, segment].slice(-WINDOW);
    this.#seam = false;
    this.#tell();
  }

  #tell(): void {
    this.#revision += 1;
    this.snapshot = {
      version: 1,
      nodeId: this.#nodeId,
      revision: this.#revision,
      isEnded: this.#isEnded,
      targetDurationS: 2,
      isIndependent: true,
      discontinuitySequence: 0,
      tracks: [],
      segments: this.#segments,
      ...(this.#ownFrom !== undefined && (this.#segments[0]?.seq ?? 0) < this.#ownFrom && { ownFrom: this.#ownFrom }),
      ...(this.#open && { open: this.#open, partTargetMs: 500 }),
    };
    this.wake();
  }

  wake(): void {
    for (const done of this.#waiters) done();
  }
}

/** What a segment of a node holds; of another length on another node. */
export function contentOf(nodeId: string, seq: number): Buffer {
  return Buffer.alloc(1_000 + Number.parseInt(nodeId.slice(-3), 16), `${nodeId} ${seq};`);
}

function nameOf(key: StreamKey): string {
  return `${key.app}/${key.stream}`;
}

/** A node's own packaging. */
export class FakePackager implements PackagedStreams {
  readonly nodeId: string;
  /** File → how often other nodes read it. */
  readonly reads = new Map<string, number>();
  readonly #streams = new Map<string, FakePackaged>();

  constructor(nodeId: string) {
    this.nodeId = nodeId;
  }

  find(key: StreamKey): FakePackaged | undefined {
    return this.#streams.get(streamKeyId(key));
  }

  begin(key: StreamKey, state?: FakeState): FakePackaged {
    const made = new FakePackaged(this.nodeId, key, this.reads, state);
    this.#streams.set(streamKeyId(key), made);
    return made;
  }

  drop(key: StreamKey): void {
    const stream = this.find(key);
    this.#streams.delete(streamKeyId(key));
    stream?.wake();
  }
}
