import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { connect, createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';

const GIVE_UP_MS = 90_000;
/** How much of a process's stderr its error shows. */
const MOST_SAID = 2_000;

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
}

/** Ends with the benchmark, however that ends. */
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130));

/** A process pinned to one core. Its output is read line by line. */
export class BenchProcess {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #lines: string[] = [];
  readonly #exited: Promise<unknown>;
  #said = '';
  #wake: (() => void) | undefined;

  constructor(name: string, core: number, command: string, args: readonly string[], options: ProcessOptions = {}) {
    this.name = name;
    this.#child = spawn('taskset', ['-c', String(core), command, ...args], {
      env: { PATH: process.env['PATH'] ?? '', ...options.env },
      stdio: ['pipe', 'pipe', 'pipe', ...(options.hasChannel ? (['ipc'] as const) : [])],
      ...(options.cwd !== undefined && { cwd: options.cwd }),
    });
    running.add(this.#child);
    this.#exited = once(this.#child, 'exit');
    this.#child.once('exit', () => {
      running.delete(this.#child);
      this.#wake?.();
    });
    this.#child.stdin?.on('error', () => undefined);
    this.#child.stderr?.on('data', (chunk: Buffer) => (this.#said = (this.#said + chunk).slice(-MOST_SAID)));
    createInterface({ input: this.#child.stdout! }).on('line', (line) => {
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
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
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
    return new Error(`${this.name} ${what}: ${this.#said.trim() || 'it said nothing'}`);
  }

  /** Ends it; idempotent. */
  async close(): Promise<void> {
    if (!this.hasExited) this.#child.kill('SIGKILL');
    await this.#exited;
  }
}

/**
 * CPU time, user and system, of a process and its children, in microseconds. The scheduler's own sum: what
 * /proc/PID/stat shows in ticks of 10 ms, in nanoseconds.
 */
export function cpuUs(pid: number): number {
  let ns = 0;
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    const folder = `/proc/${pid}/task/${task}`;
    ns += Number(readFileSync(`${folder}/schedstat`, 'utf8').split(' ')[0]);
    for (const child of readFileSync(`${folder}/children`, 'utf8').split(' ')) {
      if (child.trim() !== '') ns += cpuUs(Number(child)) * 1_000;
    }
  }
  return ns / 1_000;
}

/** Resident memory of a process, in bytes. */
export function rssBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? NaN) * 1_024;
}
