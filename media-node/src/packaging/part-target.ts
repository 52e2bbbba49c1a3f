/** A part's duration is told in whole milliseconds of its frames' times: they may be off by so much. */
const ROUNDING_MS = 2;
/** RFC 8216bis §4.4.4.9: every part but the last of a segment has at least this share of the part target. A bit more. */
const LEAST_SHARE = 0.86;
/** More jitter than this share of a part is none: parts then are as they are. */
const MOST_JITTER = 0.2;

/** How a track's frames come. */
export interface FramePace {
  /** How long a frame is, in the mean. */
  readonly frameMs: number;
  /** How far times are off an even pace: encoders that stamp on arrival. */
  readonly jitterMs: number;
}

/**
 * The part target nearest above the wished one that whole frames can fill: never exceeded, and filled to the share that every
 * part must have. `mostMs`: the target duration of segments.
 */
export function partTargetOf(wishedMs: number, paces: readonly FramePace[], mostMs: number): number {
  const leastMs = Math.ceil(Math.max(wishedMs, ...paces.map((pace) => pace.frameMs + marginMs(pace, wishedMs))));
  let best = leastMs;
  let bestShare = 0;
  for (let targetMs = leastMs; targetMs <= 2 * leastMs; targetMs++) {
    const share = Math.min(1, ...paces.map((pace) => filled(targetMs, pace, wishedMs)));
    if (share > bestShare) {
      best = targetMs;
      bestShare = share;
    }
    if (share >= LEAST_SHARE) break;
  }
  return Math.min(best, mostMs);
}

/** What whole frames need beside their length to go in: a first one that is early, a last one that is late, a guess of its length. */
function marginMs(pace: FramePace, wishedMs: number): number {
  return ROUNDING_MS + 3 * jitterOf(pace, wishedMs);
}

function jitterOf({ jitterMs }: FramePace, wishedMs: number): number {
  return Math.min(jitterMs, MOST_JITTER * wishedMs);
}

/** Share of a part that as many frames as go in fill at least: its first one may be late, and the one after it early. */
function filled(targetMs: number, pace: FramePace, wishedMs: number): number {
  // A number of frames that fits exactly must not be one fewer by a float's rounding.
  const frames = Math.floor((targetMs - marginMs(pace, wishedMs)) / pace.frameMs + 1e-6);
  return (frames * pace.frameMs - 2 * jitterOf(pace, wishedMs)) / targetMs;
}

/** Whether a part that begins at `startMs` has to be closed before a frame which usually lasts `usualMs`. */
export function isPartFull(startMs: number, dtsMs: number, usualMs: number, partTargetMs: number): boolean {
  return dtsMs + usualMs + 1 - startMs > partTargetMs + 1e-6;
}
