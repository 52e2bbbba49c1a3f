import { setTimeout as delay } from 'node:timers/promises';

/** What takes a second takes this with half of one processor, and nobody waits so long for what works. */
export const LIMIT_MS = 90_000;

/** What is not there yet. */
type NotYet = undefined | null | false;

/**
 * Waits until `check` gives something other than undefined, null or false, and gives that. It looks again every few
 * milliseconds (`everyMs`), and rejects after LIMIT_MS, naming what it waited for.
 */
export async function until<T>(
  what: string,
  check: () => T | NotYet | Promise<T | NotYet>,
  everyMs = 5,
): Promise<Exclude<T, NotYet>> {
  const endMs = performance.now() + LIMIT_MS;
  for (;;) {
    const value = await check();
    if (value !== undefined && value !== null && value !== false) return value as Exclude<T, NotYet>;
    if (performance.now() > endMs) throw new Error(`waited ${LIMIT_MS / 1_000} s in vain: ${what}`);
    await delay(everyMs);
  }
}
