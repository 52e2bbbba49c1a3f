import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BenchProcess, freePort } from './processes.ts';
import { SERVER_CORE } from './settings.ts';
import { tools } from './tools.ts';

/*
 * The servers measured beside the product, each in a process of its own, pinned, with what it writes in a temporary
 * folder. The product itself: product.ts.
 */

export interface MediaServer {
  readonly name: string;
  readonly process: BenchProcess;
  readonly rtmpPort: number;
  /** Port of HTTP-FLV; missing where the server has none. */
  readonly httpPort?: number;
  readonly rtmpsPort?: number;
  /** Compiles its code while it runs: see warmUp. */
  readonly warmsUp?: boolean;
  close(): Promise<void>;
}

export type StartServer = () => Promise<MediaServer>;

/** When the floor flushes: at the end of windows, with viewers in groups spread over the window, or at each frame. */
export type FloorFlush = { readonly windowMs: number; readonly group?: number } | 'frame' | 'video';

export function startFloor(flush: FloorFlush): StartServer {
  return async () => {
    const port = await freePort();
    const how =
      typeof flush === 'string'
        ? ['--flush', flush]
        : ['--flush', 'window', '--window-ms', String(flush.windowMs), '--group', String(flush.group ?? 0)];
    const floor = new BenchProcess('the floor', SERVER_CORE, tools().floor, ['--port', String(port), ...how]);
    await floor.listening(port);
    return { name: 'floor', process: floor, rtmpPort: port, httpPort: port, close: () => floor.close() };
  };
}

/** Debian's nginx with libnginx-mod-rtmp, its defaults, one process. */
export const startNginx: StartServer = async () => {
  const port = await freePort();
  const folder = temporary();
  const configuration = join(folder, 'nginx.conf');
  mkdirSync(join(folder, 'logs'));
  writeFileSync(
    configuration,
    `daemon off;
master_process off;
pid ${folder}/nginx.pid;
error_log stderr error;
load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;
worker_rlimit_nofile 20000;
events { worker_connections 19000; }
rtmp {
  server {
    listen 127.0.0.1:${port};
    application live { live on; }
  }
}
`,
  );
  const nginx = new BenchProcess('nginx', SERVER_CORE, '/usr/sbin/nginx', ['-p', folder, '-c', configuration]);
  await nginx.listening(port);
  return { name: 'nginx-rtmp', process: nginx, rtmpPort: port, close: () => ended(nginx, folder) };
};

/** node-media-server from npm, its defaults, on the Node that runs the product. */
export const startNodeMediaServer: StartServer = async () => {
  const rtmpPort = await freePort();
  const httpPort = await freePort();
  const folder = temporary();
  const options = {
    bind: '127.0.0.1',
    rtmp: { port: rtmpPort },
    http: { port: httpPort },
    webadmin: { enable: false },
    store: { path: join(folder, 'data') },
    record: { auto: false, path: join(folder, 'record') },
    auth: { play: false, publish: false },
    notify: { url: '' },
  };
  const entry = join(import.meta.dirname, '..', 'load', 'node-media-server.cjs');
  const server = new BenchProcess(
    'node-media-server',
    SERVER_CORE,
    process.execPath,
    [entry, JSON.stringify(options)],
    { cwd: folder },
  );
  await server.listening(rtmpPort);
  return {
    name: 'node-media-server',
    process: server,
    rtmpPort,
    httpPort,
    warmsUp: true,
    close: () => ended(server, folder),
  };
};

/** A folder for what a server writes. */
export function temporary(): string {
  return mkdtempSync(join(tmpdir(), 'livecluster-bench-'));
}

async function ended(server: BenchProcess, folder: string): Promise<void> {
  await server.close();
  rmSync(folder, { recursive: true, force: true });
}
