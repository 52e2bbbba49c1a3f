import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Role } from '#contract/names.ts';
import { CONFIG_FILES, DEFAULT_VHOST } from '#contract/names.ts';
import type { NodeConfig } from '#contract/node-config.ts';
import { VHOST_DEFAULTS, VhostConfig } from '#contract/node-config.ts';
import { NodeEnv } from '#contract/node-env.ts';
import { BenchProcess, freePort } from './processes.ts';
import type { MediaServer } from './servers.ts';
import { temporary } from './servers.ts';
import { LOAD_CORE, SERVER_CORE } from './settings.ts';

/*
 * The product as it is deployed: media-node/src/main.ts in a process of its own, with a real Redis as directory.
 */

const ROOT = join(import.meta.dirname, '..', '..');
export const ENTRY = join(ROOT, 'media-node', 'src', 'main.ts');
export const PROBE = join(import.meta.dirname, '..', 'load', 'loop-probe.mjs');
const ADMIN_TOKEN = 'b'.repeat(64);

/** When a Vhost's players get their frames: as the node's load allows, each at once, or merged over milliseconds. */
export type MergeWindow = 'auto' | 'realtime' | number;

/**
 * A Vhost for every host as it is by default; or with a merge window, to be measured beside servers that package nothing: then
 * it does not either. Undefined while the product knows no such window.
 */
export function benchVhost(window?: MergeWindow): VhostConfig | undefined {
  const hls = { ...VHOST_DEFAULTS.hls, enabled: window === undefined };
  const plain = { name: DEFAULT_VHOST, hosts: [DEFAULT_VHOST], ...VHOST_DEFAULTS, hls };
  if (window === undefined) return VhostConfig.parse(plain);
  const parsed = VhostConfig.safeParse({ ...plain, play: { ...VHOST_DEFAULTS.play, mwLatency: window } });
  return parsed.success ? parsed.data : undefined;
}

export const NEEDS_WINDOW = "a Vhost's merge window (play.mwLatency: auto, realtime or milliseconds)";

/** Whether the product listens for RTMPS when its environment names a port. */
export const HAS_RTMPS = 'LIVECLUSTER_RTMPS_PORT' in NodeEnv.shape;
export const NEEDS_RTMPS = 'RTMPS (LIVECLUSTER_RTMPS_PORT)';

/** A local Redis that the product's nodes share. */
export async function startRedis(): Promise<{ readonly port: number; close(): Promise<void> }> {
  const port = await freePort();
  const folder = temporary();
  const args = ['--port', String(port), '--save', '', '--dir', folder, '--bind', '127.0.0.1'];
  const redis = new BenchProcess('redis-server', LOAD_CORE, 'redis-server', args);
  await redis.listening(port);
  const close = async (): Promise<void> => {
    await redis.close();
    rmSync(folder, { recursive: true, force: true });
  };
  return { port, close };
}

export interface ProductOptions {
  /** Arguments of Node for the process. */
  readonly nodeArgs?: readonly string[];
  readonly redisPort: number;
  readonly role?: Role;
  readonly vhost?: VhostConfig;
  /** Beside it. */
  readonly moreVhosts?: readonly VhostConfig[];
  /** Number in the pod's name. */
  readonly ordinal?: number;
  readonly core?: number | 'any';
  /** Listens for RTMPS too, with a certificate of its own. */
  readonly hasTls?: boolean;
  /** Measures the event loop's delay: `process.ask` answers it. */
  readonly hasProbe?: boolean;
  /** Another program to load ahead, which `process.ask` talks to. */
  readonly probe?: string;
  /** How long what an edge fetches goes on without a viewer; default 30 s. */
  readonly pullHoldMs?: number;
  /** Variables beside those that every node has. */
  readonly env?: Readonly<Record<string, string>>;
  /** Gets each line of its log. */
  readonly onLog?: (line: string) => void;
}

export interface Product extends MediaServer {
  readonly httpPort: number;
  readonly rtmpsPort?: number;
  /** Value of a metric whose line begins so, from the admin port. */
  metric(series: string): Promise<number>;
  /** All of them, as their lines in Prometheus' text format. */
  metrics(): Promise<readonly string[]>;
}

/** How long the window of `auto` has to stay as it is, and how long that is waited for. */
const STEADY_MS = 6_000;
const MOST_UNSTEADY_MS = 40_000;

/** Waits until the window of `auto` has found its length: a node that has just compiled its code had no CPU to spare. */
export async function windowSettled(server: MediaServer): Promise<void> {
  const product = server as Product;
  let windowS = NaN;
  let sinceMs = performance.now();
  for (const beganMs = sinceMs; performance.now() - beganMs < MOST_UNSTEADY_MS; await delay(500)) {
    const now = await product.metric('livecluster_auto_merge_window_seconds');
    if (now !== windowS) {
      windowS = now;
      sinceMs = performance.now();
    } else if (performance.now() - sinceMs >= STEADY_MS) {
      return;
    }
  }
}

/** What main.ts is told: environment and configuration folder. Close removes the folder. */
export interface ProductSetup {
  readonly env: Record<string, string>;
  readonly folder: string;
  readonly adminPort: number;
  close(): void;
}

export async function setUpProduct(
  options: ProductOptions,
  ports: { readonly rtmp: number; readonly http: number; readonly rtmps?: number },
): Promise<ProductSetup> {
  const {
    redisPort,
    role = 'origin',
    vhost = benchVhost()!,
    moreVhosts = [],
    ordinal = 0,
    pullHoldMs = 30_000,
  } = options;
  const folder = temporary();
  const config: NodeConfig = {
    version: 1,
    logLevel: 'warn',
    maxConnections: 19_000,
    pullHoldMs,
    drainMs: 1_000,
    vhosts: [vhost, ...moreVhosts],
  };
  writeFileSync(join(folder, CONFIG_FILES.config), JSON.stringify(config));
  writeFileSync(join(folder, CONFIG_FILES.adminToken), ADMIN_TOKEN);
  writeFileSync(join(folder, CONFIG_FILES.relayKey), 'c'.repeat(64));
  writeFileSync(join(folder, CONFIG_FILES.redisUrl), `redis://127.0.0.1:${redisPort}`);
  if (ports.rtmps !== undefined) writeCertificate(folder);
  const adminPort = await freePort();
  const env = {
    LIVECLUSTER_ROLE: role,
    LIVECLUSTER_NAMESPACE: 'bench',
    // A name of its own: end-to-end tests find the processes that they kill by their pod's name.
    LIVECLUSTER_CLUSTER: 'bench',
    LIVECLUSTER_POD_NAME: `bench-${role}-${ordinal}`,
    LIVECLUSTER_POD_UID: `00000000-0000-4000-8000-${role === 'origin' ? '0' : '1'}${String(ordinal).padStart(11, '0')}`,
    LIVECLUSTER_POD_IP: '127.0.0.1',
    LIVECLUSTER_CONFIG_DIR: folder,
    LIVECLUSTER_ORIGINS_HOST: 'localhost',
    LIVECLUSTER_RTMP_PORT: String(ports.rtmp),
    LIVECLUSTER_HTTP_PORT: String(ports.http),
    LIVECLUSTER_API_PORT: '0',
    LIVECLUSTER_ADMIN_PORT: String(adminPort),
    NODE_COMPILE_CACHE: join(folder, 'compile-cache'),
    ...(ports.rtmps !== undefined && { LIVECLUSTER_RTMPS_PORT: String(ports.rtmps) }),
    ...options.env,
  };
  return { env, folder, adminPort, close: () => rmSync(folder, { recursive: true, force: true }) };
}

/** ECDSA P-256, as certificates usually are today. */
function writeCertificate(folder: string): void {
  const keyFile = join(folder, 'key.pem');
  const certificateFile = join(folder, 'certificate.pem');
  const kind = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  const files = ['-keyout', keyFile, '-out', certificateFile];
  execFileSync('openssl', ['req', ...kind, ...files, '-subj', '/CN=localhost'], { stdio: 'ignore' });
  const [certificate, key] = [certificateFile, keyFile].map((file) => readFileSync(file, 'utf8'));
  writeFileSync(join(folder, CONFIG_FILES.tls), JSON.stringify({ version: 1, certificates: [{ certificate, key }] }));
}

export async function startProduct(options: ProductOptions): Promise<Product> {
  const rtmpPort = await freePort();
  const httpPort = await freePort();
  const rtmpsPort = options.hasTls ? await freePort() : undefined;
  const ports = { rtmp: rtmpPort, http: httpPort, ...(rtmpsPort !== undefined && { rtmps: rtmpsPort }) };
  const setup = await setUpProduct(options, ports);
  const probe = options.probe ?? (options.hasProbe ? PROBE : undefined);
  const extra = (process.env['BENCH_NODE_ARGS'] ?? '').split(' ').filter((part) => part !== '');
  const args = [...(options.nodeArgs ?? []), ...extra, ...(probe === undefined ? [] : ['--import', probe]), ENTRY];
  const node = new BenchProcess('the media node', options.core ?? SERVER_CORE, process.execPath, args, {
    env: setup.env,
    hasChannel: probe !== undefined,
    ...(options.onLog !== undefined && { onLine: options.onLog }),
  });
  const admin = `http://127.0.0.1:${setup.adminPort}`;
  try {
    await node.until('become ready', () =>
      fetch(`${admin}/readyz`).then(
        ({ ok }) => ok,
        () => false,
      ),
    );
  } catch (error) {
    await node.close();
    throw error;
  }
  const metrics = async (): Promise<readonly string[]> => {
    const response = await fetch(`${admin}/metrics`, { headers: { authorization: `Bearer ${ADMIN_TOKEN}` } });
    return (await response.text()).split('\n');
  };
  return {
    name: 'livecluster',
    warmsUp: true,
    process: node,
    rtmpPort,
    httpPort,
    ...(rtmpsPort !== undefined && { rtmpsPort }),
    metrics,
    async metric(series) {
      const line = (await metrics()).find((candidate) => candidate.startsWith(series));
      return Number(line?.slice(line.lastIndexOf(' ') + 1) ?? NaN);
    },
    async close() {
      await node.close();
      setup.close();
    },
  };
}
