import { z } from 'zod';
import { PackagedSegment, PackagedTrack } from '#contract/packaging.ts';

/*
 * What the node that packages a stream leaves in the ledger for the next one.
 */

/** Of segments in a state, in JSON: a ledger takes texts of 64 KiB, and the rest has room beside them. */
export const MAX_SEGMENTS_BYTES = 52 * 1024;

const LedgerSegment = PackagedSegment.extend({ keySeq: z.int().min(0).optional() });

const LedgerState = z.object({
  version: z.literal(1),
  /** Who saved it, and when: milliseconds since 1970. */
  nodeId: z.string().min(1).max(128),
  atMs: z.number(),
  /** Of the last complete segment; -1 before there is one. */
  seq: z.int().min(-1),
  /** Parts of the segment after it may have been listed. */
  isLowLatency: z.boolean(),
  /** What the segments look like: see formatId. */
  format: z.string().max(8_192),
  targetDurationS: z.int().min(1),
  partTargetMs: z.number().min(1).optional(),
  discontinuitySequence: z.int().min(0),
  /** See SegmentKeys. */
  salt: z.string().max(64),
  /** Where the wall clock of the segments has come to. */
  endMs: z.number(),
  tracks: z.array(PackagedTrack).max(2),
  segments: z.array(LedgerSegment).max(4_000),
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

/** `segments`: the JSON texts of LedgerState.segments. */
export function ledgerText(state: Omit<LedgerState, 'segments' | 'version'>, segments: readonly string[]): string {
  return `${JSON.stringify({ version: 1, ...state }).slice(0, -1)},"segments":[${segments.join(',')}]}`;
}
