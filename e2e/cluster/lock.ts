/** A lock between processes: a file that names its owner; one whose owner is gone counts for nothing. */
import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { startTimeOf } from './processes.ts';

/**
 * Runs `work` while holding the lock; waits for as long as another live process holds it.
 *
 * @param path the lock's file; its folder is made
 * @param print told once when there is a wait
 */
export async function withLock<T>(path: string, print: (line: string) => void, work: () => Promise<T>): Promise<T> {
  mkdirSync(dirname(path), { recursive: true });
  const mine = `${process.pid} ${startTimeOf(process.pid)}`;
  for (let tries = 0; !tryLock(path, mine); tries++) {
    // The first failure may only have removed a lock whose owner is gone.
    if (tries === 0) continue;
    if (tries === 1) print(`e2e: waiting for another process that holds ${path}`);
    await delay(500);
  }
  try {
    return await work();
  } finally {
    rmSync(path, { force: true });
  }
}

function tryLock(path: string, mine: string): boolean {
  // A link, unlike an exclusive open, makes the name and its content appear in one step.
  const own = `${path}.${process.pid}`;
  writeFileSync(own, mine);
  try {
    linkSync(own, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    rmSync(own, { force: true });
  }
  let owner: string;
  try {
    owner = readFileSync(path, 'utf8');
  } catch {
    return false; // released between the two calls
  }
  const [pid, startTime] = owner.split(' ');
  if (startTimeOf(Number(pid)) !== startTime) rmSync(path, { force: true });
  return false;
}
