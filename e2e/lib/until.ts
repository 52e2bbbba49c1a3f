import { setTimeout as delay } from 'node:timers/promises';

/** What takes seconds takes this on a machine that is busy with other things. */
export const LIMIT_MS = 120_000;

/**
 * Calls `probe` until it returns something other than undefined or false, and returns that. An error thrown by the
 * probe counts as "not yet"; the last one is the cause when the time is up.
 */
export async function until<T>(
  what: string,
  probe: () => Promise<T | undefined | false> | T | undefined | false,
  { withinMs = LIMIT_MS, everyMs = 100 } = {},
): Promise<T> {
  const deadline = performance.now() + withinMs;
  let last: unknown;
  for (;;) {
    try {
      const value = await probe();
      if (value !== undefined && value !== false) return value;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (performance.now() > deadline) {
      const why = last instanceof Error ? `: ${last.message}` : '';
      throw new Error(`${what}: not within ${withinMs / 1000} s${why}`, { cause: last });
    }
    await delay(everyMs);
  }
}
