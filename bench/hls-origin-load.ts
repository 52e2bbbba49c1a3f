import { setTimeout as delay } from 'node:timers/promises';
import type { Figure } from './lib/figure.ts';
import { median } from './lib/figure.ts';
import { withFault } from './lib/compare.ts';
import { HlsViewers, hlsVhost } from './lib/hls.ts';
import { Publisher } from './lib/load.ts';
import { schedulerTimes } from './lib/processes.ts';
import type { Product } from './lib/product.ts';
import { startProduct, startRedis } from './lib/product.ts';
import { IS_QUICK, LOAD_CORE, RUNS, SERVER_CORE } from './lib/settings.ts';

/*
 * What viewers of HLS behind two edges cost their origin: the edges' requests for each segment, and the origin's CPU, with
 * two viewers, ten, a thousand. Each edge should ask for each file once, whatever its viewers do.
 */

const EDGES = 2;
/** At least one an edge. */
const VIEWERS: readonly [number, ...number[]] = [2, 10, 1_000];
/** Of the requests; CPU of so little work swings. */
const SPAN_MS = IS_QUICK ? 4_000 : 6_000;
const SETTLE_MS = 2_000;
const WARM_UP_VIEWERS = 100;
const ROUNDS = Math.min(RUNS, 3);

interface Load {
  /** Requests of both edges for each segment that the origin made. */
  readonly requests: number;
  /** Playlist requests of both edges, each. */
  readonly polls: number;
  /** Of the origin a second, in microseconds. */
  readonly cpuUs: number;
  readonly fault?: string;
}

interface Reading {
  readonly cpuUs: number;
  readonly atMs: number;
  readonly segments: number;
  readonly requests: number;
  readonly polls: number;
}

/** Of all sources of a file, those that are requests to other nodes. */
const ASKED = ['owner', 'others', 'nobody'];

async function read(origin: Product, edges: readonly Product[]): Promise<Reading> {
  const sum = async (series: string): Promise<number> => {
    const values = await Promise.all(edges.map((edge) => edge.metric(series)));
    return values.reduce((total, value) => total + (Number.isNaN(value) ? 0 : value), 0);
  };
  const { cpuUs } = schedulerTimes(origin.process.pid);
  const atMs = performance.now();
  const segments = await origin.metric('livecluster_packaged_segments_total');
  let requests = 0;
  for (const source of ASKED) requests += await sum(`livecluster_packaged_fetched_files_total{source="${source}"}`);
  return { cpuUs, atMs, segments, requests, polls: await sum('livecluster_packaged_polls_total') };
}

/** Waits until the origin has just made a segment, and the edges have had the time to fetch it. */
async function afterSegment(origin: Product): Promise<void> {
  const series = 'livecluster_packaged_segments_total';
  const before = await origin.metric(series);
  while ((await origin.metric(series)) === before) await delay(100);
  await delay(500);
}

async function loadOf(origin: Product, edges: readonly Product[], viewers: number): Promise<Load> {
  const clients: HlsViewers[] = [];
  try {
    for (const { httpPort } of edges) {
      const share = Math.ceil(viewers / EDGES);
      clients.push(await HlsViewers.start({ port: httpPort, viewers: share }));
    }
    await delay(SETTLE_MS);
    await afterSegment(origin);
    for (const client of clients) client.begin();
    const before = await read(origin, edges);
    await delay(SPAN_MS);
    const after = await read(origin, edges);
    const reports = await Promise.all(clients.map((client) => client.end()));
    const fault = reports.find((report) => report.fault !== null)?.fault;
    const segments = after.segments - before.segments;
    return {
      requests: (after.requests - before.requests) / segments,
      polls: (after.polls - before.polls) / segments,
      cpuUs: ((after.cpuUs - before.cpuUs) / (after.atMs - before.atMs)) * 1_000,
      ...(typeof fault === 'string' && { fault }),
    };
  } catch (error) {
    const gone = [origin, ...edges].find(({ process }) => process.hasExited);
    const { message } = gone?.process.error('ended') ?? (error as Error);
    return { requests: NaN, polls: NaN, cpuUs: NaN, fault: message };
  } finally {
    for (const client of clients) await client.process.close();
  }
}

export async function hlsOriginLoad(): Promise<Figure[]> {
  const closing: (() => Promise<void>)[] = [];
  const keep = <T extends { close(): Promise<void> }>(thing: T): T => {
    closing.unshift(() => thing.close());
    return thing;
  };
  const loads = new Map<number, Load[]>(VIEWERS.map((viewers) => [viewers, []]));
  try {
    const redis = keep(await startRedis());
    const options = { redisPort: redis.port, vhost: hlsVhost() };
    const origin = keep(await startProduct({ ...options, role: 'origin', core: LOAD_CORE }));
    const edges: Product[] = [];
    for (let ordinal = 0; ordinal < EDGES; ordinal++)
      edges.push(keep(await startProduct({ ...options, role: 'edge', ordinal, core: SERVER_CORE })));
    keep((await Publisher.start(origin)).process);
    // The nodes compile their code meanwhile.
    await loadOf(origin, edges, WARM_UP_VIEWERS);
    for (let round = 0; round < ROUNDS; round++) {
      for (const viewers of VIEWERS) {
        const load = await loadOf(origin, edges, viewers);
        loads.get(viewers)!.push(load);
        console.log(`  ${viewers} viewers: ${JSON.stringify(load)}`);
      }
    }
  } finally {
    for (const close of closing) await close();
  }
  return figures(loads);
}

function figures(loads: ReadonlyMap<number, readonly Load[]>): Figure[] {
  const fault = [...loads.values()].flat().find((load) => load.fault !== undefined)?.fault;
  const made: Figure[] = [];
  for (const [viewers, list] of loads) {
    const runs = list.map(({ requests }) => requests);
    const what = `HLS, requests to the origin for a segment behind ${EDGES} edges: ${viewers} viewers`;
    const figure = { what, value: median(runs), unit: 'a segment', runs, atMost: EDGES, chart: 'HLS, origin requests' };
    made.push(withFault(figure, fault));
    const polls = list.map((load) => load.polls);
    made.push({
      what: `HLS, requests to the origin for playlists, a segment: ${viewers} viewers`,
      value: median(polls),
      unit: 'a segment',
      runs: polls,
    });
  }
  const one = loads.get(VIEWERS[0]) ?? [];
  const most = loads.get(VIEWERS.at(-1)!) ?? [];
  const runs = most.map(({ cpuUs }, round) => cpuUs / one[round]!.cpuUs);
  const what = 'HLS, CPU of the origin behind two edges, 1,000 viewers against two';
  made.push(withFault({ what, value: median(runs), unit: '', atMost: 1.15, runs }, fault));
  return made;
}
