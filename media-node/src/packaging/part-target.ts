/** A part's duration is told in whole milliseconds of its frames' times: they may be off by so much. */
const ROUNDING_MS = 2;
/** RFC 8216bis §4.4.4.9: every part but the last of a segment has at least this share of the part target. A bit more. */
const LEAST_SHARE = 0.86;

/**
 * The part target nearest above the wished one that whole frames can fill: never exceeded, and filled to the share that every
 * part must have. `frameMs`: how long the frames of each track are. `mostMs`: the target duration of segments.
 */
export function partTargetOf(wishedMs: number, frameMs: readonly number[], mostMs: number): number {
  const leastMs = Math.ceil(Math.max(wishedMs, ...frameMs.map((ms) => ms + ROUNDING_MS)));
  let best = leastMs;
  let bestShare = 0;
  for (let targetMs = leastMs; targetMs <= 2 * leastMs; targetMs++) {
    const share = Math.min(1, ...frameMs.map((ms) => filled(targetMs, ms)));
    if (share > bestShare) {
      best = targetMs;
      bestShare = share;
    }
    if (share >= LEAST_SHARE) break;
  }
  return Math.min(best, mostMs);
}

/** Share of a part that as many frames as go in fill. */
function filled(targetMs: number, frameMs: number): number {
  // A number of frames that fits exactly must not be one fewer by a float's rounding.
  return (Math.floor((targetMs - ROUNDING_MS) / frameMs + 1e-6) * frameMs) / targetMs;
}

/** Whether a part that begins at `startMs` has to be closed before a frame which usually lasts `usualMs`. */
export function isPartFull(startMs: number, dtsMs: number, usualMs: number, partTargetMs: number): boolean {
  return dtsMs + usualMs + 1 - startMs > partTargetMs + 1e-6;
}
