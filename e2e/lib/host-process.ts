import { readFileSync, readdirSync } from 'node:fs';

/**
 * Pids, on this machine, of processes whose environment holds `variable` (NAME=value) and whose command line holds
 * `word`. Containers' processes show here with their own environment; that is how a test finds the one to kill.
 */
function processesWith(variable: string, word: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const environment = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
        return environment.includes(variable) && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(word);
      } catch {
        return false; // it ended while we looked
      }
    });
}

/** SIGKILL from outside the container, as a crash or the kernel's OOM killer would end it: no handler runs. */
export function killHard(variable: string, word: string): number {
  const pids = processesWith(variable, word);
  if (pids.length === 0) throw new Error(`no process with ${variable} and "${word}" on this machine`);
  for (const pid of pids) process.kill(pid, 'SIGKILL');
  return pids.length;
}
