import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { VhostConfig } from '#contract/node-config.ts';
import { VHOST_DEFAULTS } from '#contract/node-config.ts';
import type { Figure } from './lib/figure.ts';
import { median } from './lib/figure.ts';
import { withFault } from './lib/compare.ts';
import { hlsVhost } from './lib/hls.ts';
import { Publisher } from './lib/load.ts';
import { BenchProcess, disturbance, freePort, SchedulerSpan } from './lib/processes.ts';
import type { Product } from './lib/product.ts';
import { startProduct, startRedis } from './lib/product.ts';
import { ATTEMPTS, IS_QUICK, RUNS, SERVER_CORE } from './lib/settings.ts';

/*
 * What a stream costs the node that takes it in by RTMP and packages it, against one ffmpeg a stream that does the same for
 * MPEG-TS alone. No Vhost makes MPEG-TS and parts at once, so each of the node's streams is published twice: to a Vhost that
 * makes MPEG-TS and CMAF, and to one that makes CMAF in parts. The node does more than is asked: it takes everything in twice.
 */

const STREAMS = 10;
/** Two segments of every stream end within. */
const SPAN_MS = IS_QUICK ? 2_000 : 4_000;
const SETTLE_MS = IS_QUICK ? 3_000 : 4_000;
const FFMPEG_SETTLE_MS = 3_000;
/** A node in service has run long: its code is compiled. */
const WARM_UP_STREAMS = 40;
const WARM_UP_MS = 5_000;
const PARTS_HOST = 'parts';
const MEMORY = '/dev/shm';
const TITLE = 'taking in and packaging';
const UNIT = 'µs of CPU a stream-second';

interface Packaged {
  readonly us: number;
  /** What each further stream adds. */
  readonly marginalUs?: number;
  readonly fault?: string;
}

function vhosts(): { readonly vhost: VhostConfig; readonly moreVhosts: readonly VhostConfig[] } {
  const { dash, publish } = VHOST_DEFAULTS;
  // What the warm-up published is gone soon.
  const hls = { ...VHOST_DEFAULTS.hls, disposeMs: 500 };
  const own = { hls, publish: { ...publish, graceMs: 0 } };
  const lowLatency = { ...hls.lowLatency, enabled: true };
  const parts = { ...hls, container: 'fmp4', lowLatency } as const;
  return {
    vhost: hlsVhost({ ...own, dash: { ...dash, enabled: true } }),
    moreVhosts: [hlsVhost({ ...own, name: PARTS_HOST, hosts: [PARTS_HOST], hls: parts })],
  };
}

async function get(product: Product, path: string): Promise<string> {
  const response = await fetch(new URL(path, `http://127.0.0.1:${product.httpPort}`));
  const text = await response.text();
  if (!response.ok) throw new Error(`${path} was answered ${response.status}: ${text.trim()}`);
  const media = text.includes('#EXT-X-STREAM-INF')
    ? text.split('\n').findLast((line) => /^[^#]/.test(line))
    : undefined;
  return media === undefined ? text : get(product, `/live/${media}`);
}

/** What of all that is to be made is missing. */
async function missing(product: Product, stream: string): Promise<string | undefined> {
  const ts = await get(product, `/live/${stream}.m3u8`);
  const mpd = await get(product, `/live/${stream}.mpd`);
  const parts = await get(product, `/live/${stream}.m3u8?vhost=${PARTS_HOST}`);
  if (!ts.includes('.ts')) return 'no segments in MPEG-TS';
  if (!mpd.includes('mimeType="video/mp4"')) return 'no DASH';
  return parts.includes('#EXT-X-PART:') ? undefined : 'no parts';
}

async function packagedByProduct(redisPort: number): Promise<Packaged> {
  const product = await startProduct({ redisPort, ...vhosts() });
  const publishers: Publisher[] = [];
  const publish = async (streams: number, name: string): Promise<void> => {
    for (const app of ['live', `live?vhost=${PARTS_HOST}`])
      publishers.push(await Publisher.start(product, streams, { app, name }));
    await delay(SETTLE_MS);
  };
  const spend = async () => {
    const span = new SchedulerSpan(product.process.pid);
    await delay(SPAN_MS);
    return span.end();
  };
  try {
    await publish(WARM_UP_STREAMS, 'warm-up');
    await delay(WARM_UP_MS - SETTLE_MS);
    for (const publisher of publishers.splice(0)) await publisher.process.close();
    await publish(1, 'one');
    const one = await spend();
    await publish(STREAMS - 1, 'more');
    const all = await spend();
    const fault = (await missing(product, 'more-0')) ?? disturbance(all.waitShare);
    const packaged = { us: all.cpuUs / STREAMS, marginalUs: (all.cpuUs - one.cpuUs) / (STREAMS - 1) };
    return fault === undefined ? packaged : { ...packaged, fault };
  } catch (error) {
    return { us: NaN, fault: (error as Error).message };
  } finally {
    for (const publisher of publishers) await publisher.process.close();
    await product.close();
  }
}

async function packagedByFfmpeg(): Promise<Packaged> {
  const folder = mkdtempSync(join(MEMORY, 'livecluster-bench-'));
  const closing: (() => Promise<void>)[] = [];
  try {
    const ffmpegs: BenchProcess[] = [];
    for (let index = 0; index < STREAMS; index++) {
      const own = join(folder, String(index));
      mkdirSync(own);
      const rtmpPort = await freePort();
      // Broken slices, which the publisher's are, would be logged one by one.
      const input = ['-loglevel', 'quiet', '-listen', '1', '-i', `rtmp://127.0.0.1:${rtmpPort}/live/stream`];
      const { fragmentMs, windowMs } = VHOST_DEFAULTS.hls;
      const lengths = ['-hls_time', String(fragmentMs / 1_000), '-hls_list_size', String(windowMs / fragmentMs)];
      const output = ['-c', 'copy', '-f', 'hls', ...lengths, '-hls_flags', 'delete_segments', 'stream.m3u8'];
      const ffmpeg = new BenchProcess('ffmpeg', SERVER_CORE, 'ffmpeg', [...input, ...output], { cwd: own });
      ffmpegs.push(ffmpeg);
      closing.push(() => ffmpeg.close());
      const publisher = await publishTo(ffmpeg, rtmpPort);
      closing.push(() => publisher.process.close());
    }
    await delay(FFMPEG_SETTLE_MS);
    const spans = ffmpegs.map(({ pid }) => new SchedulerSpan(pid));
    await delay(SPAN_MS);
    const us = spans.map((span) => span.end().cpuUs).reduce((sum, each) => sum + each, 0) / STREAMS;
    for (const index of ffmpegs.keys()) {
      const playlist = readFileSync(join(folder, String(index), 'stream.m3u8'), 'utf8');
      if (!playlist.includes('.ts')) throw new Error('an ffmpeg listed no segment');
    }
    return { us };
  } catch (error) {
    return { us: NaN, fault: (error as Error).message };
  } finally {
    for (const close of closing) await close();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Again where something came in between. */
async function quietly(measure: () => Promise<Packaged>): Promise<Packaged> {
  for (let attempt = 1; ; attempt++) {
    const packaged = await measure();
    if (packaged.fault === undefined || attempt === ATTEMPTS) return packaged;
    console.log(`  again: ${packaged.fault}`);
  }
}

/** An ffmpeg that listens takes one connection ever: no look whether it listens already, but tries. */
async function publishTo(ffmpeg: BenchProcess, rtmpPort: number): Promise<Publisher> {
  for (;;) {
    try {
      return await Publisher.start({ rtmpPort });
    } catch (error) {
      if (ffmpeg.hasExited) throw error;
      await delay(50);
    }
  }
}

export async function hlsPackaging(): Promise<Figure[]> {
  const redis = await startRedis();
  const ours: Packaged[] = [];
  const theirs: Packaged[] = [];
  try {
    for (let run = 0; run < RUNS; run++) {
      ours.push(await quietly(() => packagedByProduct(redis.port)));
      theirs.push(await packagedByFfmpeg());
      console.log(`  livecluster ${JSON.stringify(ours.at(-1))}, ffmpeg ${JSON.stringify(theirs.at(-1))}`);
    }
  } finally {
    await redis.close();
  }
  const fault = [...ours, ...theirs].find((packaged) => packaged.fault !== undefined)?.fault;
  const cost = (name: string, runs: readonly number[]): Figure => ({
    ...{ what: `${TITLE}, ${STREAMS} streams: ${name}`, value: median(runs), unit: UNIT, runs },
    chart: `${TITLE}, ${STREAMS} streams`,
  });
  const runs = ours.map(({ us }, run) => us / theirs[run]!.us);
  const marginal = ours.map(({ marginalUs = NaN }, run) => marginalUs / theirs[run]!.us);
  const against = 'MPEG-TS, CMAF and parts, against ffmpeg doing MPEG-TS alone';
  return [
    cost(
      'livecluster',
      ours.map(({ us }) => us),
    ),
    cost(
      'ffmpeg',
      theirs.map(({ us }) => us),
    ),
    { what: `${TITLE}, each further stream: ${against}`, value: median(marginal), unit: '', runs: marginal },
    withFault({ what: `${TITLE}: ${against}`, value: median(runs), unit: '', runs, atMost: 0.8 }, fault),
  ];
}
