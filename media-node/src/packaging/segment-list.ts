import type { PackagedSegment, PackagingSnapshot } from '#contract/packaging.ts';
import type { FileGroup, StreamFiles } from './file-store.ts';
import { durationOf, segmentText, withoutParts } from './ledger-state.ts';

/** Segments listed at least, however short the window: RFC 8216bis §6.2.2 wants three target durations. */
const LEAST_SEGMENTS = 3;
/** As many as a snapshot may have. */
const MOST_SEGMENTS = 4_000;
/** Parts are listed for so many target durations from the end (RFC 8216bis §4.4.4.9). */
const PART_TARGETS = 3;

interface Listed {
  segment: PackagedSegment;
  readonly durationMs: number;
  readonly group: FileGroup | undefined;
  /** As the ledger keeps it, without parts. */
  readonly json: string;
  readonly jsonBytes: number;
}

/** What a playlist lists: a window of complete segments, oldest first. */
export class SegmentList {
  readonly #files: StreamFiles;
  #listed: Listed[] = [];
  #totalMs = 0;
  /** The longest the playlist was while a segment that left it was listed. */
  #longestMs = 0;
  #notIndependent = 0;
  /** Segments from the beginning whose parts are left out. */
  #withoutParts = 0;
  discontinuitySequence = 0;
  targetDurationS = 1;
  /** Media that is listed. */
  windowMs: number;

  constructor(files: StreamFiles, windowMs: number) {
    this.#files = files;
    this.windowMs = windowMs;
  }

  get length(): number {
    return this.#listed.length;
  }

  get first(): PackagedSegment | undefined {
    return this.#listed[0]?.segment;
  }

  get last(): PackagedSegment | undefined {
    return this.#listed.at(-1)?.segment;
  }

  /** Every segment begins with a key frame. */
  get isIndependent(): boolean {
    return this.#notIndependent === 0;
  }

  segments(): PackagingSnapshot['segments'] {
    return this.#listed.map(({ segment }) => segment);
  }

  /** `group`: its files; undefined where this node does not hold them. */
  push(segment: PackagedSegment, group: FileGroup | undefined): void {
    const durationMs = durationOf(segment) ?? this.targetDurationS * 1_000;
    const json = segmentText(segment);
    this.#listed.push({ segment, durationMs, group, json, jsonBytes: Buffer.byteLength(json) });
    this.#totalMs += durationMs;
    if (!isIndependent(segment)) this.#notIndependent += 1;
    this.#longestMs = Math.max(this.#longestMs, this.#totalMs);
    this.#trim();
    this.#dropOldParts();
    this.#files.sweep();
    while (!this.#files.makeRoom() && this.#listed.length > 1) {
      // The list gets shorter than the window: the memory has no room for it.
      this.#shift()?.group?.forget();
      this.#files.countDrop();
    }
  }

  /** Lists nothing any more: another playlist begins. */
  clear(): void {
    while (this.#listed.length > 0) this.#unlistFirst();
    this.#longestMs = 0;
  }

  /** The newest segments, as JSON texts of PackagedSegment; as many as fit into so many bytes. */
  texts(mostBytes: number): { readonly texts: readonly string[]; readonly discontinuitySequence: number } {
    let bytes = 0;
    let from = this.#listed.length;
    while (from > 0 && bytes + this.#listed[from - 1]!.jsonBytes + 1 <= mostBytes) {
      from -= 1;
      bytes += this.#listed[from]!.jsonBytes + 1;
    }
    const left = this.#listed.slice(0, from).filter(({ segment }) => segment.isDiscontinuity).length;
    const texts = this.#listed.slice(from).map(({ json }) => json);
    return { texts, discontinuitySequence: this.discontinuitySequence + left };
  }

  #trim(): void {
    const leastMs = Math.max(this.windowMs, LEAST_SEGMENTS * this.targetDurationS * 1_000);
    for (;;) {
      const [first] = this.#listed;
      if (first === undefined) return;
      const isNeeded = this.#totalMs - first.durationMs < leastMs || this.#listed.length <= LEAST_SEGMENTS;
      if (isNeeded && this.#listed.length <= MOST_SEGMENTS) return;
      this.#unlistFirst();
    }
  }

  /** RFC 8216bis §6.2.2: a segment stays as long as itself and the longest playlist that had it. */
  #unlistFirst(): void {
    const first = this.#shift();
    first?.group?.unlist(this.#files.now() + first.durationMs + this.#longestMs);
  }

  #shift(): Listed | undefined {
    const first = this.#listed.shift();
    if (first === undefined) return undefined;
    this.#totalMs -= first.durationMs;
    if (first.segment.isDiscontinuity) this.discontinuitySequence += 1;
    if (!isIndependent(first.segment)) this.#notIndependent -= 1;
    this.#withoutParts = Math.max(0, this.#withoutParts - 1);
    return first;
  }

  #dropOldParts(): void {
    let fromEndMs = 0;
    let index = this.#listed.length;
    while (index > 0 && fromEndMs < PART_TARGETS * this.targetDurationS * 1_000) {
      index -= 1;
      fromEndMs += this.#listed[index]!.durationMs;
    }
    for (; this.#withoutParts < index; this.#withoutParts++) {
      const old = this.#listed[this.#withoutParts]!;
      old.segment = { ...old.segment, media: withoutParts(old.segment) };
    }
  }
}

function isIndependent({ media }: PackagedSegment): boolean {
  return [media.ts, media.video, media.audio].every((each) => each?.isIndependent ?? true);
}
