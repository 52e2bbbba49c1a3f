/** True for `most` calls at once and so many a second. */
export function allowance(most: number, aSecond: number, now: () => number): () => boolean {
  let left = most;
  let atMs = now();
  return () => {
    const nowMs = now();
    left = Math.min(most, left + (Math.max(0, nowMs - atMs) / 1_000) * aSecond);
    atMs = nowMs;
    if (left < 1) return false;
    left -= 1;
    return true;
  };
}
