import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { freePort } from '#contract/testing/free-port.ts';

/** A real redis-server of a test's own: free port, own folder, faults at will. */
export class TestRedis {
  readonly port: number;
  readonly password: string;
  readonly isCluster: boolean;
  readonly #folder: string;
  readonly #busPort: number;
  #process: ChildProcess | undefined;

  private constructor(folder: string, port: number, busPort: number, password: string, isCluster: boolean) {
    this.#folder = folder;
    this.port = port;
    this.#busPort = busPort;
    this.password = password;
    this.isCluster = isCluster;
  }

  static async start(options: { readonly cluster?: boolean; readonly password?: string } = {}): Promise<TestRedis> {
    const folder = await mkdtemp(join(tmpdir(), 'livecluster-redis-'));
    const [port, busPort] = [await freePort(), await freePort()];
    const redis = new TestRedis(folder, port, busPort, options.password ?? 'open sesame', options.cluster ?? false);
    await redis.up();
    if (redis.isCluster) {
      await redis.command('CLUSTER', 'ADDSLOTSRANGE', '0', '16383');
      await redis.#clusterOk();
    }
    return redis;
  }

  get url(): string {
    return `redis${this.isCluster ? '+cluster' : ''}://:${encodeURIComponent(this.password)}@127.0.0.1:${this.port}`;
  }

  /** Starts the process; resolves when it answers. `empty` drops the data first, but not a cluster's slots. */
  async up(options: { readonly empty?: boolean } = {}): Promise<void> {
    const child = spawn('redis-server', this.#args(), { cwd: this.#folder, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#process = child;
    let output = '';
    child.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.stderr?.on('data', (chunk: Buffer) => (output += chunk.toString()));
    const failed = new Promise<never>((_, reject) => {
      child.once('error', (error) =>
        reject(new Error('redis-server does not start; install Debian’s package redis-server', { cause: error })),
      );
      child.once('exit', (code) => reject(new Error(`redis-server ended with ${code}: ${output.slice(-2_000)}`)));
    });
    failed.catch(() => {});
    await Promise.race([failed, this.#answers()]);
    // Data is emptied before a client can have seen it: they need a password that the server gets only now.
    if (options.empty === true) await this.command('FLUSHALL');
    await this.command('CONFIG', 'SET', 'requirepass', this.password);
    if (this.isCluster && output.includes('Node configuration loaded')) await this.#clusterOk();
  }

  get isUp(): boolean {
    const child = this.#process;
    return child !== undefined && child.exitCode === null && child.signalCode === null;
  }

  /** SIGKILL. */
  async down(): Promise<void> {
    const child = this.#process;
    if (child === undefined || !this.isUp) return;
    const exited = once(child, 'exit');
    child.kill('SIGCONT');
    child.kill('SIGKILL');
    await exited;
  }

  pause(): void {
    this.#process?.kill('SIGSTOP');
  }

  resume(): void {
    this.#process?.kill('SIGCONT');
  }

  /** One command on a connection of its own. */
  async command(...args: readonly [string, ...string[]]): Promise<unknown> {
    const client = await this.#client();
    try {
      const [name, ...rest] = args;
      return await client.call(name, ...rest);
    } finally {
      client.disconnect();
    }
  }

  async close(): Promise<void> {
    await this.down();
    await rm(this.#folder, { recursive: true, force: true });
  }

  #args(): string[] {
    const args = ['--port', String(this.port), '--bind', '127.0.0.1', '--dir', this.#folder, '--save', ''];
    args.push('--appendonly', 'yes', '--appendfsync', 'no', '--daemonize', 'no', '--logfile', '');
    // Nobody but this class knows the first password.
    args.push('--requirepass', STARTING_PASSWORD);
    if (this.isCluster) {
      args.push('--cluster-enabled', 'yes', '--cluster-port', String(this.#busPort));
      args.push('--cluster-announce-ip', '127.0.0.1', '--cluster-node-timeout', '2000');
    }
    return args;
  }

  async #client(): Promise<Redis> {
    for (const password of [this.password, STARTING_PASSWORD]) {
      const client = new Redis({
        host: '127.0.0.1',
        port: this.port,
        password,
        lazyConnect: true,
        retryStrategy: null,
        maxRetriesPerRequest: 0,
        enableReadyCheck: false,
      });
      client.on('error', () => {});
      try {
        await client.connect();
        await client.ping();
        return client;
      } catch {
        client.disconnect();
      }
    }
    throw new Error('redis-server does not answer');
  }

  async #answers(): Promise<void> {
    for (;;) {
      try {
        const client = await this.#client();
        client.disconnect();
        return;
      } catch {
        await delay(20);
      }
    }
  }

  async #clusterOk(): Promise<void> {
    while (!String(await this.command('CLUSTER', 'INFO')).includes('cluster_state:ok')) await delay(50);
  }
}

const STARTING_PASSWORD = 'not yet';
