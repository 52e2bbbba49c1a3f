import { setTimeout as delay } from 'node:timers/promises';

const LIMIT_MS = 30_000;

/** Waits until `check` gives something other than undefined, null or false, and gives that. Rejects after 30 s. */
export async function until<T>(what: string, check: () => T | undefined | null | false): Promise<T> {
  const untilMs = Date.now() + LIMIT_MS;
  for (;;) {
    const value = check();
    if (value !== undefined && value !== null && value !== false) return value;
    if (Date.now() > untilMs) throw new Error(`waited in vain for: ${what}`);
    await delay(5);
  }
}
