import { RENDITIONS } from '#contract/packaging.ts';
import type { PackagedMedia, PackagedSegment, PackagingSnapshot, RenditionName } from '#contract/packaging.ts';

/*
 * Rules for snapshots of a packaged stream as a node sees them that does not package it; all pure.
 */

/** A file that a snapshot names. */
export interface ListedFile {
  readonly file: string;
  /** Undefined where the snapshot does not say: keys. */
  readonly bytes: number | undefined;
  /** Renditions that need it. */
  readonly rendition: RenditionName;
  /** Of the segment that it belongs to. */
  readonly seq: number;
  /** The file that it is a piece of, and where in it: a part of a segment. */
  readonly within?: { readonly file: string; readonly offset: number };
  /** The files that it is made of: a segment's parts, when all of them are listed. */
  readonly parts?: readonly string[];
}

/** The highest number that is listed, the open segment's included; -1 for none. */
export function lastSeq({ segments, open }: PackagingSnapshot): number {
  return open?.seq ?? segments.at(-1)?.seq ?? -1;
}

/** The number that the playlist begins with; -1 when it is empty. */
export function firstSeq({ segments, open }: PackagingSnapshot): number {
  return segments[0]?.seq ?? open?.seq ?? -1;
}

/** Every file that a snapshot names and that can be had now, those of the newest segment first. */
export function listedFiles(snapshot: PackagingSnapshot): Map<string, ListedFile> {
  const files = new Map<string, ListedFile>();
  const { segments, open } = snapshot;
  if (open !== undefined) addSegment(files, open, true);
  for (const segment of segments.toReversed()) addSegment(files, segment, false);
  return files;
}

/** Of those, the files of segments whose node may have died with them. */
export function inheritedFiles(snapshot: PackagingSnapshot): Map<string, ListedFile> {
  const { ownFrom = 0, segments } = snapshot;
  return listedFiles({ ...snapshot, segments: segments.filter(({ seq }) => seq < ownFrom), open: undefined });
}

function addSegment(files: Map<string, ListedFile>, segment: PackagedSegment, isOpen: boolean): void {
  if (segment.isGap) return;
  const { seq, key, media } = segment;
  for (const rendition of RENDITIONS) {
    const of = media[rendition];
    if (of === undefined) continue;
    if (of.init !== undefined) add(files, { file: of.init.file, bytes: of.init.bytes, rendition, seq });
    if (key !== undefined) add(files, { file: key.file, bytes: undefined, rendition, seq });
    addMedia(files, of, rendition, seq, isOpen);
  }
}

function addMedia(
  files: Map<string, ListedFile>,
  media: PackagedMedia,
  rendition: RenditionName,
  seq: number,
  isOpen: boolean,
): void {
  const { file, bytes, parts } = media;
  const isWhole = !isOpen && parts.length > 0 && parts.reduce((sum, part) => sum + part.bytes, 0) === bytes;
  let offset = 0;
  for (const part of parts) {
    const within = { file, offset };
    add(files, { file: part.file, bytes: part.bytes, rendition, seq, ...(isWhole && { within }) });
    offset += part.bytes;
  }
  if (isOpen) return;
  add(files, { file, bytes, rendition, seq, ...(isWhole && { parts: parts.map((part) => part.file) }) });
}

function add(files: Map<string, ListedFile>, listed: ListedFile): void {
  // Shared by segments (initialization, keys): it stays with the newest.
  if (!files.has(listed.file)) files.set(listed.file, listed);
}

/** The snapshot without the segments before `seq`, so that a playlist's beginning never goes back. */
export function trimmedTo(snapshot: PackagingSnapshot, seq: number): PackagingSnapshot {
  const { segments, discontinuitySequence } = snapshot;
  const from = segments.findIndex((segment) => segment.seq >= seq);
  const kept = from === -1 ? [] : segments.slice(from);
  if (kept.length === segments.length) return snapshot;
  const left = segments.slice(0, segments.length - kept.length);
  const seams = left.filter(({ isDiscontinuity }) => isDiscontinuity).length;
  return { ...snapshot, segments: kept, discontinuitySequence: discontinuitySequence + seams };
}

/** The snapshot with those complete segments as gaps of which a file is nowhere to be had. */
export function withGaps(snapshot: PackagingSnapshot, gaps: ReadonlySet<number>): PackagingSnapshot {
  if (gaps.size === 0) return snapshot;
  const segments = snapshot.segments.map((segment) =>
    gaps.has(segment.seq) && !segment.isGap ? { ...segment, isGap: true } : segment,
  );
  return { ...snapshot, segments };
}
