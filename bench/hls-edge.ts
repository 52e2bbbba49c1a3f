import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Figure } from './lib/figure.ts';
import { median } from './lib/figure.ts';
import { withFault } from './lib/compare.ts';
import type { HlsReport, ListedSegments } from './lib/hls.ts';
import { HlsViewers, hlsVhost, readPlaylist } from './lib/hls.ts';
import { Publisher } from './lib/load.ts';
import { BenchProcess, freePort, SchedulerSpan } from './lib/processes.ts';
import { startProduct, startRedis } from './lib/product.ts';
import { IS_QUICK, LOAD_CORE, RUNS, SERVER_CORE } from './lib/settings.ts';

/*
 * An edge that serves a live stream's segments, with a real origin behind it, against nginx that serves copies of the same
 * segments from memory: bytes and requests a second of the server's CPU.
 */

const CONNECTIONS = 50;
const CPU_SPANS_MS = IS_QUICK ? 2_000 : 4_000;
/** The edge compiles what serves segments while it runs. */
const WARM_UP_MS = 2_000;
/** Listed before the copies are made. */
const SEGMENTS = 4;
/** Where files are memory. */
const MEMORY = '/dev/shm';

/** A server of the same segments, which runs until the end. */
interface Contender {
  readonly name: string;
  readonly process: BenchProcess;
  readonly port: number;
  readonly path?: string;
}

interface Served {
  /** Of bodies, a second of the server's CPU. */
  readonly gigabytes: number;
  readonly requests: number;
  readonly cpuShare: number;
  readonly report?: HlsReport;
  readonly fault?: string;
}

/** Segments of a stream once enough are listed, with what is in them. */
async function listed(port: number): Promise<ListedSegments> {
  for (;;) {
    const found = await readPlaylist(port);
    if (found.segments.length >= SEGMENTS) return found;
    await delay(500);
  }
}

/** The playlist and its segments as files at the same paths. Answers the mean length of a segment in bytes. */
async function copySegments(folder: string, { playlist, segments }: ListedSegments): Promise<number> {
  let bytes = 0;
  mkdirSync(join(folder, 'live'), { recursive: true });
  writeFileSync(join(folder, 'live/stream.m3u8'), playlist);
  for (const { url, path } of segments) {
    const body = Buffer.from(await (await fetch(url)).arrayBuffer());
    if (body[0] !== 0x47 || body.length % 188 !== 0) throw new Error(`${path} is no MPEG-TS`);
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), body);
    bytes += body.length;
  }
  return bytes / segments.length;
}

/**
 * Debian's nginx, one process, at its best for files: no log, a connection for as many requests as come, without sendfile
 * a whole segment at once (with its own buffers of 32 KB it takes twice as much).
 */
async function startFileServer(root: string, folder: string, hasSendfile: boolean): Promise<Contender> {
  const name = `nginx, sendfile ${hasSendfile ? 'on' : 'off'}`;
  const port = await freePort();
  const prefix = join(folder, hasSendfile ? 'on' : 'off');
  mkdirSync(join(prefix, 'logs'), { recursive: true });
  const configuration = join(prefix, 'nginx.conf');
  writeFileSync(
    configuration,
    `daemon off;
master_process off;
pid ${prefix}/nginx.pid;
error_log stderr error;
events { worker_connections 1000; }
http {
  types { video/mp2t ts; application/vnd.apple.mpegurl m3u8; }
  access_log off;
  sendfile ${hasSendfile ? 'on' : 'off'};
  output_buffers 1 1m;
  tcp_nopush on;
  keepalive_requests 1000000000;
  server {
    listen 127.0.0.1:${port};
    root ${root};
  }
}
`,
  );
  const nginx = new BenchProcess(name, SERVER_CORE, '/usr/sbin/nginx', ['-p', prefix, '-c', configuration]);
  await nginx.listening(port);
  return { name, process: nginx, port };
}

async function serve({ process, port }: Contender, ms: number): Promise<Served> {
  const viewers = await HlsViewers.start({ port, viewers: CONNECTIONS, isAgain: true });
  try {
    await delay(IS_QUICK ? 500 : 1_000);
    viewers.begin();
    const span = new SchedulerSpan(process.pid);
    await delay(ms);
    const { cpuUs } = span.end();
    const report = await viewers.end();
    const cpuSeconds = (cpuUs / 1e6) * report.seconds;
    const served: Served = {
      gigabytes: report.bytes / 1e9 / cpuSeconds,
      requests: (report.segments + report.playlists) / cpuSeconds,
      cpuShare: cpuUs / 1e6,
      report,
    };
    return report.fault === null ? served : { ...served, fault: `${report.viewers - report.full}: ${report.fault}` };
  } catch (error) {
    return { gigabytes: NaN, requests: NaN, cpuShare: NaN, fault: (error as Error).message };
  } finally {
    await viewers.process.close();
  }
}

export async function hlsEdge(): Promise<Figure[]> {
  const closing: (() => unknown)[] = [];
  const keep = <T extends { close(): unknown }>(thing: T): T => {
    closing.unshift(() => thing.close());
    return thing;
  };
  const folder = mkdtempSync(join(MEMORY, 'livecluster-bench-'));
  closing.unshift(() => rmSync(folder, { recursive: true, force: true }));
  try {
    const redis = keep(await startRedis());
    const options = { redisPort: redis.port, vhost: hlsVhost() };
    const origin = keep(await startProduct({ ...options, role: 'origin', core: LOAD_CORE }));
    const edge = keep(await startProduct({ ...options, role: 'edge', core: SERVER_CORE }));
    keep((await Publisher.start(origin)).process);
    const meanBytes = await copySegments(join(folder, 'files'), await listed(edge.httpPort));
    const contenders: Contender[] = [{ name: 'livecluster', process: edge.process, port: edge.httpPort }];
    for (const hasSendfile of [true, false]) {
      const nginx = await startFileServer(join(folder, 'files'), folder, hasSendfile);
      keep(nginx.process);
      contenders.push(nginx);
    }
    await serve(contenders[0]!, WARM_UP_MS);
    const samples = new Map<string, Served[]>(contenders.map(({ name }) => [name, []]));
    for (let run = 0; run < RUNS; run++) {
      for (const contender of contenders) {
        const served = await serve(contender, CPU_SPANS_MS);
        samples.get(contender.name)!.push(served);
        const { gigabytes, requests, cpuShare, report, fault = '' } = served;
        const client = report?.cpuShare.toFixed(2);
        console.log(
          `  ${contender.name}: ${gigabytes.toFixed(2)} GB, ${requests.toFixed(0)} requests, core ${cpuShare.toFixed(2)}, client ${client} ${fault}`,
        );
      }
    }
    return figures(samples, meanBytes);
  } finally {
    for (const close of closing) await close();
  }
}

function figures(samples: ReadonlyMap<string, readonly Served[]>, meanBytes: number): Figure[] {
  const title = `HLS, ${CONNECTIONS} connections, segments of ${Math.round(meanBytes / 1_000)} KB`;
  const made: Figure[] = [];
  const fault = [...samples.values()].flat().find((served) => served.fault !== undefined)?.fault;
  for (const [unit, read] of [
    ['GB a CPU second', (served: Served) => served.gigabytes],
    ['requests a CPU second', (served: Served) => served.requests],
  ] as const) {
    for (const [name, list] of samples) {
      const runs = list.map(read);
      made.push({ what: `${title}: ${name}`, value: median(runs), unit, runs, chart: `${title}, ${unit}` });
    }
  }
  const [ours = [], ...theirs] = [...samples.values()];
  for (const [what, read] of [
    ['bytes', (served: Served) => served.gigabytes],
    ['requests', (served: Served) => served.requests],
  ] as const) {
    // The better nginx is the one against which the median is worse.
    const [runs = []] = theirs
      .map((list) => ours.map((served, run) => read(served) / read(list[run]!)))
      .toSorted((one, other) => median(one) - median(other));
    const figure = { what: `HLS edge against the better nginx, ${what} a CPU second`, unit: '', runs };
    made.push(withFault({ ...figure, value: median(runs), atLeast: 0.95 }, fault));
  }
  return made;
}
