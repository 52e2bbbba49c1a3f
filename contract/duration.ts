import { z } from 'zod';

const UNIT_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 } as const;

/**
 * Kubernetes-style duration: up to four numbers with a unit, largest first (`1h30m`, `2s`, `500ms`), as Gateway API's
 * GEP-2257 defines it. The pattern is RE2, so the API server and zod give the same verdict.
 */
export const DURATION_PATTERN = '^([0-9]{1,5}(h|m|s|ms)){1,4}$';

const NO_DURATION = 'must be a duration such as 30s, 500ms or 1h30m';

/** A duration as users write it in a manifest; see {@link durationMs}. */
export const Duration = z
  .string({ error: NO_DURATION })
  .max(28)
  .regex(new RegExp(DURATION_PATTERN), { error: NO_DURATION });

/** Milliseconds of a duration that {@link Duration} accepts. Throws RangeError on any other string. */
export function durationMs(duration: string): number {
  if (!new RegExp(DURATION_PATTERN).test(duration)) {
    throw new RangeError(`"${duration}" is not a duration; write for example 30s, 500ms or 1h30m`);
  }
  let totalMs = 0;
  for (const [, amount, unit] of duration.matchAll(/([0-9]+)(ms|h|m|s)/g)) {
    totalMs += Number(amount) * UNIT_MS[unit as keyof typeof UNIT_MS];
  }
  return totalMs;
}
