import type { FormerTracks, PackagedSegment, PackagedTrack } from '#contract/packaging.ts';
import type { LedgerState } from './ledger-state.ts';
import { nextSeq } from './ledger-state.ts';
import type { Recalled } from './recollection.ts';

/** An encoder that lost its origin may take so long to come to another one, whatever `dispose` says. */
const LEAST_PAUSE_MS = 30_000;

/** How a node begins to package a stream. */
export interface Beginning {
  /** Who packaged it last, and its last segment; undefined where nobody knows. */
  readonly before: Pick<LedgerState, 'nodeId' | 'seq'> | undefined;
  /** Number of its first segment. */
  readonly seq: number;
  /** Whether it goes on in the playlist of somebody before it; `segments`, a gap among them, are then listed. */
  readonly isContinued: boolean;
  readonly segments: readonly PackagedSegment[];
  readonly discontinuitySequence: number;
  readonly targetDurationS: number | undefined;
  readonly partTargetMs: number | undefined;
  readonly salt: string | undefined;
  readonly endMs: number;
  readonly tracks: readonly PackagedTrack[];
  readonly formerTracks: readonly FormerTracks[];
}

export interface BeginningContext {
  readonly nodeId: string;
  /** See PackagingFormat. */
  readonly formatId: string;
  readonly disposeMs: number;
  /** Whether this node keeps files on a disk, through its restarts. */
  readonly hasDisk: boolean;
  /** Milliseconds since 1970. */
  readonly nowMs: number;
}

/**
 * What is remembered of a stream makes of one that an encoder publishes here. The numbers of its segments always go on, so that no
 * file's name means two contents; the playlist goes on when the one before it has not been disposed of, and is cut in the same
 * way. A node's own list that it has closed is not gone on with, nor what no node knows any more: their files are gone. Where somebody who might know did not answer,
 * the number is the time in seconds: no playlist comes that far by counting.
 */
export function beginningOf(
  recalled: Recalled,
  { nodeId, formatId, disposeMs, hasDisk, nowMs }: BeginningContext,
): Beginning {
  if (recalled.kind !== 'found') return { ...NEW, seq: recalled.kind === 'none' ? 0 : Math.floor(nowMs / 1_000) };
  const { state } = recalled;
  const pauseMs = Math.max(disposeMs, LEAST_PAUSE_MS) + 2_000 * state.targetDurationS;
  const isDisposed = nowMs - state.atMs > pauseMs;
  const seq = nextSeq(state);
  const { endMs } = state;
  const salt = state.salt === '' ? undefined : state.salt;
  const isOther = state.format !== formatId || state.segments.length === 0 || state.nodeId === nodeId;
  const isGone = isDisposed || (recalled.isForgotten && !hasDisk);
  if (isGone || isOther) {
    const gone = state.segments.filter(({ isDiscontinuity }) => isDiscontinuity).length;
    const discontinuitySequence = state.discontinuitySequence + gone + 1;
    return { ...NEW, before: state, seq, discontinuitySequence, salt, endMs: Math.min(endMs, nowMs) };
  }
  const { targetDurationS, partTargetMs, discontinuitySequence, tracks, formerTracks = [] } = state;
  const segments = state.isLowLatency ? [...state.segments, gapAfter(state)] : state.segments;
  return {
    before: state,
    seq,
    isContinued: true,
    segments,
    discontinuitySequence,
    targetDurationS,
    partTargetMs,
    salt,
    endMs,
    tracks,
    formerTracks,
  };
}

const NEW: Beginning = {
  before: undefined,
  seq: 0,
  isContinued: false,
  segments: [],
  discontinuitySequence: 0,
  targetDurationS: undefined,
  partTargetMs: undefined,
  salt: undefined,
  endMs: 0,
  tracks: [],
  formerTracks: [],
};

/** The segment that was open when its origin went away. */
function gapAfter({ seq, endMs, segments }: LedgerState): PackagedSegment {
  const run = segments.at(-1)?.run;
  return {
    seq: seq + 1,
    programDateTimeMs: endMs,
    isDiscontinuity: false,
    isGap: true,
    ...(run !== undefined && { run }),
    media: {},
  };
}
