import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { connect, createServer } from 'node:net';
import { availableParallelism, setPriority } from 'node:os';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';

import { IS_SHARED } from './settings.ts';

const GIVE_UP_MS = 90_000;
/** Of the time that counts; kernel threads take a little of the core on the quietest machine. */
const MOST_WAIT_SHARE = 0.05;
/** How much of a process's stderr its error shows. */
const MOST_SAID = 2_000;

/** sched(7): ahead of every ordinary process; the publisher puts itself ahead of these. */
const ROUND_ROBIN = ['chrt', '-r', '1'];

/**
 * Puts this process and those that it will start ahead of whatever else the machine does, as far as that is allowed: by
 * their priority, and by their session's where the scheduler groups sessions (sched(7), autogroup).
 */
export function goFirst(): void {
  try {
    setPriority(-10);
    writeFileSync('/proc/self/autogroup', '-10');
    process.on('exit', () => writeFileSync('/proc/self/autogroup', '0'));
  } catch {
    // Then others may disturb: `disturbance` tells.
  }
}

/** A port that nobody has now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

export interface ProcessOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Opens a channel for `ask`; the process is a Node that listens to messages. */
  readonly hasChannel?: boolean;
  /** Gets each line of its output, which is kept in part alone. */
  readonly onLine?: (line: string) => void;
}

/** Ends with the benchmark, however that ends. */
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130));

/** A process pinned to one core, or to none where that is `any`. Its output is read line by line. */
export class BenchProcess {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #lines: string[] = [];
  readonly #exited: Promise<unknown>;
  #said = '';
  #isOver = false;
  #wake: (() => void) | undefined;

  constructor(
    name: string,
    core: number | 'any',
    command: string,
    args: readonly string[],
    options: ProcessOptions = {},
  ) {
    this.name = name;
    this.#child = spawn(
      'taskset',
      [
        '-c',
        core === 'any' ? `0-${availableParallelism() - 1}` : String(core),
        ...(IS_SHARED ? ROUND_ROBIN : []),
        command,
        ...args,
      ],
      {
        env: { PATH: process.env['PATH'] ?? '', ...options.env },
        stdio: ['pipe', 'pipe', 'pipe', ...(options.hasChannel ? (['ipc'] as const) : [])],
        ...(options.cwd !== undefined && { cwd: options.cwd }),
      },
    );
    running.add(this.#child);
    // Not `exit`: what it said last may come after that.
    this.#exited = once(this.#child, 'close');
    this.#child.once('close', () => {
      this.#isOver = true;
      running.delete(this.#child);
      this.#wake?.();
    });
    this.#child.stdin?.on('error', () => undefined);
    this.#child.stderr?.on('data', (chunk: Buffer) => (this.#said = (this.#said + chunk).slice(-MOST_SAID)));
    createInterface({ input: this.#child.stdout! }).on('line', (line) => {
      options.onLine?.(line);
      this.#lines.push(line);
      // Servers log; only the last lines are of use.
      if (this.#lines.length > 1_000) this.#lines.shift();
      this.#wake?.();
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get hasExited(): boolean {
    return this.#isOver;
  }

  say(line: string): void {
    this.#child.stdin?.write(`${line}\n`);
  }

  /** The next line that fits. Rejects when the process ends or takes too long. */
  async line(fits: (line: string) => boolean): Promise<string> {
    const endMs = performance.now() + GIVE_UP_MS;
    for (;;) {
      const index = this.#lines.findIndex(fits);
      if (index >= 0) return this.#lines.splice(0, index + 1)[index]!;
      if (this.hasExited || performance.now() > endMs) throw this.error(this.hasExited ? 'ended' : 'takes too long');
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      const timer = setTimeout(resolve, 1_000);
      await promise;
      clearTimeout(timer);
    }
  }

  /** Sends a message over the channel and answers the next one that comes back. */
  async ask(message: string): Promise<unknown> {
    const answer = once(this.#child, 'message');
    this.#child.send(message);
    return (await answer)[0] as unknown;
  }

  /** Waits until a TCP port of it answers. */
  async listening(port: number): Promise<void> {
    await this.until(`listen on port ${port}`, async () => {
      const socket = connect(port, '127.0.0.1');
      try {
        await once(socket, 'connect');
        return true;
      } catch {
        return false;
      } finally {
        socket.destroy();
      }
    });
  }

  /** Waits for a condition. Rejects when the process ends or takes too long. */
  async until(what: string, holds: () => Promise<boolean>): Promise<void> {
    const endMs = performance.now() + GIVE_UP_MS;
    while (!(await holds())) {
      if (this.hasExited || performance.now() > endMs) throw this.error(`did not ${what}`);
      await delay(20);
    }
  }

  error(what: string): Error {
    const { exitCode, signalCode } = this.#child;
    const end = this.#isOver ? ` (${signalCode ?? `exit ${exitCode}`})` : '';
    return new Error(`${this.name} ${what}${end}: ${this.#said.trim() || this.#lines.at(-1) || 'it said nothing'}`);
  }

  /** Ends it; idempotent. */
  async close(): Promise<void> {
    if (!this.hasExited) this.#child.kill('SIGKILL');
    await this.#exited;
  }
}

/** What the scheduler counted of a process and its children since they began, in microseconds. */
export interface SchedulerTimes {
  /** User and system: what /proc/PID/stat shows in ticks of 10 ms. */
  readonly cpuUs: number;
  /** The main thread ready to run, but the core was another's. */
  readonly waitUs: number;
}

export function schedulerTimes(pid: number): SchedulerTimes {
  let cpuUs = 0;
  let waitUs = 0;
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    const folder = `/proc/${pid}/task/${task}`;
    const [cpuNs, waitNs] = readFileSync(`${folder}/schedstat`, 'utf8').split(' ').map(Number);
    cpuUs += (cpuNs ?? NaN) / 1_000;
    // Helper threads wait for the main one, which is no disturbance.
    if (task === String(pid)) waitUs += (waitNs ?? NaN) / 1_000;
    for (const child of readFileSync(`${folder}/children`, 'utf8').split(' ')) {
      if (child.trim() === '') continue;
      const times = schedulerTimes(Number(child));
      cpuUs += times.cpuUs;
      waitUs += times.waitUs;
    }
  }
  return { cpuUs, waitUs };
}

/** CPU and waiting between two readings. */
export class SchedulerSpan {
  readonly #pid: number;
  readonly #startedMs = performance.now();
  readonly #before: SchedulerTimes;

  constructor(pid: number) {
    this.#pid = pid;
    this.#before = schedulerTimes(pid);
  }

  /** Microseconds of CPU a second, and the share of the time that the process waited for its core. */
  end(): { readonly cpuUs: number; readonly waitShare: number } {
    const after = schedulerTimes(this.#pid);
    const us = (performance.now() - this.#startedMs) * 1_000;
    return {
      cpuUs: ((after.cpuUs - this.#before.cpuUs) / us) * 1e6,
      waitShare: (after.waitUs - this.#before.waitUs) / us,
    };
  }
}

/**
 * Why a span does not count because of other work on the machine; undefined where it does. A server that waits for its
 * core merges more into each write, and seems to cost less than it does.
 */
export function disturbance(waitShare: number): string | undefined {
  if (waitShare <= MOST_WAIT_SHARE) return undefined;
  return `other work had the server's core for ${(waitShare * 100).toFixed(0)} % of the time`;
}

/** Resident memory of a process, in bytes. */
export function rssBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? NaN) * 1_024;
}
