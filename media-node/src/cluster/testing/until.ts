import { setTimeout as delay } from 'node:timers/promises';

/** Waits until the condition holds, for 30 s at most; then fails with what was waited for. */
export async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 30_000;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`waited 30 s in vain until ${what}`);
    await delay(10);
  }
}
