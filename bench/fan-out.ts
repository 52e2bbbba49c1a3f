import { GROUP_PLAYERS } from '../media-node/src/stream/player-group.ts';
import type { Samples } from './lib/compare.ts';
import { costs, faultOf, interleave, ofViewers, ratio, withFault } from './lib/compare.ts';
import type { Figure } from './lib/figure.ts';
import { median } from './lib/figure.ts';
import type { MergeWindow } from './lib/product.ts';
import { benchVhost, NEEDS_WINDOW, startProduct, startRedis, windowSettled } from './lib/product.ts';
import type { FloorFlush, StartServer } from './lib/servers.ts';
import { startFloor, startNginx, startNodeMediaServer } from './lib/servers.ts';

/*
 * One 2.7 Mb/s stream to many viewers: the product's CPU a viewer-second against the floor that flushes at the same
 * instants, and against its peers.
 */

/** The floor has viewers in groups as the product does. */
const floorOf = (windowMs: number): FloorFlush => ({ windowMs, group: GROUP_PLAYERS });

async function withRedis<T>(work: (redisPort: number) => Promise<T>): Promise<T> {
  const redis = await startRedis();
  try {
    return await work(redis.port);
  } finally {
    await redis.close();
  }
}

/** The product with a window; where it has no such setting, as it stands. */
function product(redisPort: number, window: MergeWindow): StartServer {
  const vhost = benchVhost(window) ?? benchVhost()!;
  return () => startProduct({ redisPort, vhost });
}

const needsWindow = (window: MergeWindow) => (benchVhost(window) === undefined ? { needs: NEEDS_WINDOW } : {});

/** RTMP, 1,000 viewers: the floor, nginx-rtmp and node-media-server in one go. */
export function rtmp1000(): Promise<Figure[]> {
  return withRedis(async (redisPort) => {
    const samples = await interleave(
      {
        livecluster: { start: product(redisPort, 350) },
        floor: { start: startFloor(floorOf(350)) },
        'nginx-rtmp': { start: startNginx },
        'node-media-server': { start: startNodeMediaServer },
      },
      { viewers: 1_000 },
    );
    const { livecluster, floor } = samples;
    return [
      ...costs('RTMP, 1,000 viewers, 350 ms', 'RTMP, 1,000 viewers', samples),
      { ...ratio('RTMP, 1,000 viewers, 350 ms, against the floor', livecluster, floor, 1.15), ...needsWindow(350) },
      ratio('RTMP, 1,000 viewers, against nginx-rtmp', livecluster, samples['nginx-rtmp'], 0.2),
      ratio('RTMP, 1,000 viewers, against node-media-server', livecluster, samples['node-media-server'], 0.15),
      ofViewers('RTMP, 1,000 viewers, 350 ms, latency p95', 'ms', livecluster, ({ latencyMs }) => latencyMs.p95),
    ];
  });
}

/** HTTP-FLV, 1,000 viewers, through the product's HTTP server. */
export function flv1000(): Promise<Figure[]> {
  return withRedis(async (redisPort) => {
    const samples = await interleave(
      {
        livecluster: { start: product(redisPort, 350) },
        floor: { start: startFloor(floorOf(350)) },
        'node-media-server': { start: startNodeMediaServer },
      },
      { viewers: 1_000, protocol: 'flv' },
    );
    const { livecluster, floor } = samples;
    return [
      ...costs('HTTP-FLV, 1,000 viewers, 350 ms', 'HTTP-FLV, 1,000 viewers', samples),
      { ...ratio('HTTP-FLV, 1,000 viewers, 350 ms, against the floor', livecluster, floor, 1.25), ...needsWindow(350) },
      ratio('HTTP-FLV, 1,000 viewers, against node-media-server', livecluster, samples['node-media-server']),
    ];
  });
}

/** RTMP, 3,000 viewers: a window of 350 ms, and what `auto` makes of it. */
export function rtmp3000(): Promise<Figure[]> {
  const what = 'RTMP, 3,000 viewers, 350 ms, against the floor';
  const whatAuto = 'RTMP, 3,000 viewers, auto, against the floor of 350 ms';
  if (benchVhost(350) === undefined) {
    const lacking = { value: NaN, unit: '', needs: NEEDS_WINDOW };
    return Promise.resolve([
      { what, atMost: 1.35, ...lacking },
      { what: whatAuto, atMost: 1.3, ...lacking },
    ]);
  }
  return withRedis(async (redisPort) => {
    const samples = await interleave(
      {
        livecluster: { start: product(redisPort, 350) },
        'livecluster auto': { start: product(redisPort, 'auto'), settled: windowSettled },
        floor: { start: startFloor(floorOf(350)) },
      },
      { viewers: 3_000 },
    );
    return [
      ...costs('RTMP, 3,000 viewers', 'RTMP, 3,000 viewers', samples),
      ratio(what, samples.livecluster, samples.floor, 1.35),
      ratio(whatAuto, samples['livecluster auto'], samples.floor, 1.3),
    ];
  });
}

/** HTTP-FLV with a window of 100 ms, 300 viewers. */
export function flvWindow100(): Promise<Figure[]> {
  const what = 'HTTP-FLV, 300 viewers, 100 ms, against the floor';
  if (benchVhost(100) === undefined) {
    return Promise.resolve([{ what, value: NaN, unit: '', atMost: 1.2, needs: NEEDS_WINDOW }]);
  }
  return withRedis(async (redisPort) => {
    const samples = await interleave(
      { livecluster: { start: product(redisPort, 100) }, floor: { start: startFloor(floorOf(100)) } },
      { viewers: 300, protocol: 'flv' },
    );
    return [
      ...costs('HTTP-FLV, 300 viewers, 100 ms', 'HTTP-FLV, 300 viewers, 100 ms', samples),
      ratio(what, samples.livecluster, samples.floor, 1.2),
    ];
  });
}

/** When the product flushes in real time: at each video frame; without the setting at the end of each turn with a frame. */
const REALTIME: FloorFlush = benchVhost('realtime') === undefined ? 'frame' : 'video';

/** Each video frame at once, 300 viewers, RTMP and HTTP-FLV. */
export function realtime(): Promise<Figure[]> {
  return withRedis(async (redisPort) => {
    const figures: Figure[] = [];
    for (const protocol of ['rtmp', 'flv'] as const) {
      const word = protocol === 'rtmp' ? 'RTMP' : 'HTTP-FLV';
      const samples = await interleave(
        { livecluster: { start: product(redisPort, 'realtime') }, floor: { start: startFloor(REALTIME) } },
        { viewers: 300, protocol },
      );
      const { livecluster, floor } = samples;
      figures.push(
        ...costs(`${word}, 300 viewers, realtime`, `${word}, 300 viewers, realtime`, samples),
        ratio(`${word}, 300 viewers, realtime, against the floor`, livecluster, floor, 1.25),
        addedLatency(`${word}, 300 viewers, realtime, p95 latency added`, samples),
      );
    }
    return figures;
  });
}

/** `auto` with CPU to spare: 50 viewers. With 3,000 see rtmp3000. */
export function auto(): Promise<Figure[]> {
  const what = 'RTMP, 50 viewers, auto, p95 latency added';
  if (benchVhost('auto') === undefined) {
    return Promise.resolve([{ what, value: NaN, unit: 'ms', atMost: 5, needs: NEEDS_WINDOW }]);
  }
  return withRedis(async (redisPort) => {
    const samples = await interleave(
      {
        livecluster: { start: product(redisPort, 'auto'), settled: windowSettled },
        floor: { start: startFloor(REALTIME) },
      },
      { viewers: 50 },
    );
    return [...costs('RTMP, 50 viewers, auto', 'RTMP, 50 viewers, auto', samples), addedLatency(what, samples)];
  });
}

/** What the product adds to the latency that the load client sees of the floor, which flushes at the same instants. */
function addedLatency(what: string, { livecluster, floor }: Samples<'livecluster' | 'floor'>): Figure {
  const p95 = ({ viewers }: { viewers?: { latencyMs: { p95: number } } }): number => viewers?.latencyMs.p95 ?? NaN;
  const runs = livecluster.map((sample, run) => p95(sample) - p95(floor[run] ?? {}));
  return withFault({ what, value: median(runs), unit: 'ms', atMost: 5, runs }, faultOf(livecluster, floor));
}
