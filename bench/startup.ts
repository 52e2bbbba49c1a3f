import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { CONFIG_FILES, DEFAULT_VHOST } from '#contract/names.ts';
import { VHOST_DEFAULTS, VhostConfig } from '#contract/node-config.ts';
import type { NodeConfig } from '#contract/node-config.ts';
import type { Figure } from './lib/figure.ts';
import { median } from './lib/figure.ts';

/*
 * How long a media node takes from its spawn to the first 200 on /readyz, on one CPU, with a real Redis; beside it what
 * Node itself takes to answer its first request.
 */

const RUNS = 5;
const ONE_CPU = ['taskset', '-c', '0'];
const GIVE_UP_MS = 30_000;

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}

/** Milliseconds from the spawn of a command to its first 200. */
async function untilOk(args: readonly string[], env: Record<string, string>, url: string): Promise<number> {
  const started = performance.now();
  const child = spawn(ONE_CPU[0]!, [...ONE_CPU.slice(1), process.execPath, ...args], {
    env: { PATH: process.env.PATH ?? '', ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
  try {
    for (;;) {
      const ok = await fetch(url).then(
        (response) => response.ok,
        () => false,
      );
      const tookMs = performance.now() - started;
      if (ok) return tookMs;
      if (child.exitCode !== null || tookMs > GIVE_UP_MS) throw new Error(`no 200 from ${url}: ${said.trim()}`);
      await delay(5);
    }
  } finally {
    await end(child);
  }
}

export async function startup(): Promise<Figure[]> {
  const folder = mkdtempSync(join(tmpdir(), 'livecluster-bench-'));
  const redisPort = await freePort();
  const redis = spawn(
    'redis-server',
    ['--port', String(redisPort), '--save', '', '--dir', folder, '--bind', '127.0.0.1'],
    {
      stdio: 'ignore',
    },
  );
  try {
    const config: NodeConfig = {
      version: 1,
      logLevel: 'info',
      maxConnections: 1000,
      pullHoldMs: 30_000,
      drainMs: 1_000,
      vhosts: [VhostConfig.parse({ name: DEFAULT_VHOST, hosts: [DEFAULT_VHOST], ...VHOST_DEFAULTS })],
    };
    writeFileSync(join(folder, CONFIG_FILES.config), JSON.stringify(config));
    writeFileSync(join(folder, CONFIG_FILES.adminToken), 'b'.repeat(64));
    writeFileSync(join(folder, CONFIG_FILES.relayKey), 'c'.repeat(64));
    writeFileSync(join(folder, CONFIG_FILES.redisUrl), `redis://127.0.0.1:${redisPort}`);
    const adminPort = await freePort();
    const env = {
      LIVECLUSTER_ROLE: 'edge',
      LIVECLUSTER_NAMESPACE: 'bench',
      LIVECLUSTER_CLUSTER: 'live',
      LIVECLUSTER_POD_NAME: 'live-edge-0',
      LIVECLUSTER_POD_UID: '00000000-0000-4000-8000-000000000000',
      LIVECLUSTER_POD_IP: '127.0.0.1',
      LIVECLUSTER_CONFIG_DIR: folder,
      LIVECLUSTER_ORIGINS_HOST: 'localhost',
      LIVECLUSTER_RTMP_PORT: '0',
      LIVECLUSTER_HTTP_PORT: '0',
      LIVECLUSTER_API_PORT: '0',
      LIVECLUSTER_ADMIN_PORT: String(adminPort),
      NODE_COMPILE_CACHE: join(folder, 'compile-cache'),
    };
    const entry = join(import.meta.dirname, '..', 'media-node', 'src', 'main.ts');
    const barePort = await freePort();
    const bare = `require('node:http').createServer((q, s) => s.end()).listen(${barePort}, '127.0.0.1')`;
    // The image comes with a filled compile cache, so the first start here, which fills it, is not counted.
    await untilOk([entry], env, `http://127.0.0.1:${adminPort}/readyz`);
    const ours: number[] = [];
    const floor: number[] = [];
    for (let run = 0; run < RUNS; run++) {
      ours.push((await untilOk([entry], env, `http://127.0.0.1:${adminPort}/readyz`)) / 1000);
      floor.push((await untilOk(['-e', bare], {}, `http://127.0.0.1:${barePort}/`)) / 1000);
    }
    return [
      {
        what: 'media node, spawn to the first 200 on /readyz, one CPU',
        value: median(ours),
        unit: 's',
        atMost: 1,
        runs: ours,
      },
      { what: 'Node alone, spawn to its first 200', value: median(floor), unit: 's', runs: floor },
    ];
  } finally {
    await end(redis);
    rmSync(folder, { recursive: true, force: true });
  }
}
