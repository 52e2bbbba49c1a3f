import { setTimeout as delay } from 'node:timers/promises';

/** What is not there yet. */
type NotYet = undefined | null | false;

/**
 * Waits until `check` gives something other than undefined, null or false, and gives that. It looks again every few
 * milliseconds (`everyMs`), and rejects after 30 s, naming what it waited for.
 */
export async function until<T>(
  what: string,
  check: () => T | NotYet | Promise<T | NotYet>,
  everyMs = 5,
): Promise<Exclude<T, NotYet>> {
  const endMs = performance.now() + 30_000;
  for (;;) {
    const value = await check();
    if (value !== undefined && value !== null && value !== false) return value as Exclude<T, NotYet>;
    if (performance.now() > endMs) throw new Error(`waited 30 s in vain: ${what}`);
    await delay(everyMs);
  }
}
