import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { temporary } from './servers.ts';

/** One call that wrote to a socket. */
export interface Send {
  readonly atS: number;
  readonly socket: string;
  readonly asked: number;
  readonly sent: number;
}

const CALLS = 'sendto,sendmsg,write,writev';
const LINE = /^(?:\d+ +)?(\d+\.\d+) (?:sendto|sendmsg|write|writev)\(\d+<(?:socket|TCP):\[([^\]]+)\]>.* = (\d+)$/;
const ATTACH_MS = 15_000;

/** Every write to a socket that a process does within a time, seen by strace. It slows the process: never while CPU counts. */
export async function traceSends(pid: number, ms: number): Promise<Send[]> {
  const folder = temporary();
  const file = join(folder, 'trace');
  try {
    const strace = spawn(
      'strace',
      ['-f', '-y', '-ttt', '-s', '0', '-e', `trace=${CALLS}`, '-o', file, '-p', String(pid)],
      {
        stdio: ['ignore', 'ignore', 'pipe'],
      },
    );
    let said = '';
    strace.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
    for (let waitedMs = 0; !said.includes('attached'); waitedMs += 20) {
      if (strace.exitCode !== null || waitedMs > ATTACH_MS) throw new Error(`strace cannot attach: ${said.trim()}`);
      await delay(20);
    }
    await delay(ms);
    const exited = once(strace, 'exit');
    strace.kill('SIGINT');
    await exited;
    const sends: Send[] = [];
    for (const line of readFileSync(file, 'utf8').split('\n')) {
      const match = LINE.exec(line);
      if (match === null) continue;
      const asked = /, (\d+), [^,]*, NULL, 0\) = /.exec(line)?.[1] ?? match[3];
      sends.push({ atS: Number(match[1]), socket: match[2]!, asked: Number(asked), sent: Number(match[3]) });
    }
    return sends;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
