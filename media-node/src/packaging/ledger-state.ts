import { z } from 'zod';
import { FormerTracks, MOST_FORMER_TRACKS, PackagedSegment, PackagedTrack } from '#contract/packaging.ts';
import type { PackagedMedia, PackagingSnapshot } from '#contract/packaging.ts';

/*
 * What the node that packages a stream leaves for the next one: in the ledger, and in the snapshots that other nodes keep.
 */

/** Of segments in a state, in JSON: MAX_PACKAGING_STATE_BYTES in all, and the rest has room beside them. */
export const MAX_SEGMENTS_BYTES = 52 * 1024;

const LedgerHead = z.object({
  version: z.literal(1),
  /** Who packaged, and when it was so: milliseconds since 1970. */
  nodeId: z.string().min(1).max(128),
  atMs: z.number(),
  /** Of the last complete segment; -1 before there is one. */
  seq: z.int().min(-1),
  /** Parts of the segment after it may have been listed. */
  isLowLatency: z.boolean(),
});
/** The beginning of a state: where a playlist has come to. */
export type LedgerHead = z.infer<typeof LedgerHead>;

const LedgerState = LedgerHead.extend({
  /** What the segments look like: see PackagingFormat; empty where that is not known. */
  format: z.string().max(8_192),
  targetDurationS: z.int().min(1),
  partTargetMs: z.number().min(1).optional(),
  discontinuitySequence: z.int().min(0),
  /** See SegmentKeys; empty where that is not known. */
  salt: z.string().max(64),
  /** Where the wall clock of the segments has come to. */
  endMs: z.number(),
  tracks: z.array(PackagedTrack).max(2),
  formerTracks: z.array(FormerTracks).max(MOST_FORMER_TRACKS).optional(),
  segments: z.array(PackagedSegment).max(4_000),
});
export type LedgerState = z.infer<typeof LedgerState>;

/** Undefined for a text that makes no sense: an other version's, or a broken one. */
export function parseLedgerState(text: string): LedgerState | undefined {
  try {
    const parsed = LedgerState.safeParse(JSON.parse(text));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}

/** Of a text that ledgerText made, without a look at its segments: many nodes may tell of one stream. */
export function parseLedgerHead(text: string): LedgerHead | undefined {
  const end = text.indexOf(SEGMENTS);
  if (end === -1) return undefined;
  try {
    const parsed = LedgerHead.safeParse(JSON.parse(`${text.slice(0, end)}}`));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}

/** In front of the segments; within strings of JSON its quotes are escaped. */
const SEGMENTS = ',"segments":[';

/** `segments`: the JSON texts of LedgerState.segments. */
export function ledgerText(state: Omit<LedgerState, 'segments' | 'version'>, segments: readonly string[]): string {
  return `${JSON.stringify({ version: 1, ...state }).slice(0, -1)}${SEGMENTS}${segments.join(',')}]}`;
}

/** The same of a stream of which a snapshot is known; `atMs`: when it was shown last, milliseconds since 1970. */
export function ledgerTextOf(snapshot: PackagingSnapshot, atMs: number): string {
  const { nodeId, targetDurationS, partTargetMs, tracks, formerTracks, segments, open, lineage } = snapshot;
  const texts: string[] = [];
  let bytes = 0;
  for (const segment of segments.toReversed()) {
    const text = segmentText(segment);
    bytes += Buffer.byteLength(text) + 1;
    if (bytes > MAX_SEGMENTS_BYTES) break;
    texts.unshift(text);
  }
  const left = segments
    .slice(0, segments.length - texts.length)
    .filter(({ isDiscontinuity }) => isDiscontinuity).length;
  const last = segments.at(-1);
  const state = {
    nodeId,
    atMs,
    seq: last?.seq ?? (open === undefined ? -1 : open.seq - 1),
    isLowLatency: partTargetMs !== undefined || open !== undefined,
    format: lineage?.format ?? '',
    targetDurationS,
    ...(partTargetMs !== undefined && { partTargetMs }),
    discontinuitySequence: snapshot.discontinuitySequence + left,
    salt: lineage?.salt ?? '',
    endMs: last === undefined ? (open?.programDateTimeMs ?? 0) : last.programDateTimeMs + (durationOf(last) ?? 0),
    tracks,
    ...(formerTracks !== undefined && { formerTracks }),
  };
  return ledgerText(state, texts);
}

/** A segment as a state has it: without parts, which nobody asks for any more when another node goes on. */
export function segmentText(segment: PackagedSegment): string {
  return JSON.stringify({ ...segment, media: withoutParts(segment) });
}

export function withoutParts({ media }: PackagedSegment): PackagedSegment['media'] {
  const entries = Object.entries(media).map(([name, each]: [string, PackagedMedia]) => [name, { ...each, parts: [] }]);
  return Object.fromEntries(entries) as PackagedSegment['media'];
}

/** Of the picture, or of whatever there is; undefined for a gap that nobody has anything of. */
export function durationOf({ media }: PackagedSegment): number | undefined {
  return (media.ts ?? media.video ?? media.audio)?.durationMs;
}

/** The number that whoever goes on begins with. An open segment's is passed over: parts of it may have been listed. */
export function nextSeq({ seq, isLowLatency }: Pick<LedgerHead, 'seq' | 'isLowLatency'>): number {
  return seq + (isLowLatency ? 2 : 1);
}
