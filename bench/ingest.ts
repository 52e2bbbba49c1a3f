import { setTimeout as delay } from 'node:timers/promises';
import type { Figure } from './lib/figure.ts';
import { median } from './lib/figure.ts';
import { warmUp, withFault } from './lib/compare.ts';
import { Publisher } from './lib/load.ts';
import { disturbance, SchedulerSpan } from './lib/processes.ts';
import { benchVhost, startProduct, startRedis } from './lib/product.ts';
import type { StartServer } from './lib/servers.ts';
import { startNginx, startNodeMediaServer } from './lib/servers.ts';
import { MEASURE_MS, RUNS, SETTLE_MS } from './lib/settings.ts';

/* 50 publishers of 2.7 Mb/s and no viewer: CPU an ingested stream and second. */

const STREAMS = 50;
/** A server that takes in real time never leaves more of a stream than this in the publisher's hands. */
const MOST_BACKLOG_BYTES = 400_000;

interface Ingested {
  readonly us: number;
  readonly fault?: string;
}

async function ingest(start: StartServer): Promise<Ingested> {
  const server = await start();
  let publisher: Publisher | undefined;
  try {
    if (server.warmsUp) await warmUp(server);
    publisher = await Publisher.start(server, STREAMS);
    await delay(SETTLE_MS);
    const span = new SchedulerSpan(server.process.pid);
    await delay(MEASURE_MS);
    const { cpuUs, waitShare } = span.end();
    const us = cpuUs / STREAMS;
    const { mostBacklogBytes, unsentBytes } = await publisher.end();
    const isBehind = Math.max(mostBacklogBytes, unsentBytes / STREAMS) > MOST_BACKLOG_BYTES;
    const fault = disturbance(waitShare) ?? (isBehind ? 'the server fell behind real time' : undefined);
    return fault === undefined ? { us } : { us, fault };
  } catch (error) {
    return { us: NaN, fault: (error as Error).message };
  } finally {
    await publisher?.process.close();
    await server.close();
  }
}

export async function publishers(): Promise<Figure[]> {
  const redis = await startRedis();
  try {
    const vhost = benchVhost('auto')!;
    const servers: Readonly<Record<string, StartServer>> = {
      livecluster: () => startProduct({ redisPort: redis.port, vhost }),
      'nginx-rtmp': startNginx,
      'node-media-server': startNodeMediaServer,
    };
    const samples = new Map<string, Ingested[]>(Object.keys(servers).map((name) => [name, []]));
    for (let run = 0; run < RUNS; run++) {
      for (const [name, start] of Object.entries(servers)) {
        const sample = await ingest(start);
        samples.get(name)!.push(sample);
        console.log(`  ${name}: ${sample.us.toFixed(0)} µs a stream-second ${sample.fault ?? ''}`);
      }
    }
    const of = (name: string): readonly Ingested[] => samples.get(name) ?? [];
    const fault = (...lists: (readonly Ingested[])[]): string | undefined =>
      lists.flat().find((sample) => sample.fault !== undefined)?.fault;
    const runs = of('livecluster').map(({ us }, run) => us / (of('nginx-rtmp')[run]?.us ?? NaN));
    return [
      ...[...samples].map(([name, list]) =>
        withFault(
          {
            what: `${STREAMS} publishers: ${name}`,
            value: median(list.map(({ us }) => us)),
            unit: 'µs of CPU a stream-second',
            runs: list.map(({ us }) => us),
            chart: `${STREAMS} publishers`,
          },
          fault(list),
        ),
      ),
      withFault(
        { what: `${STREAMS} publishers, against nginx-rtmp`, value: median(runs), unit: '', atMost: 1.6, runs },
        fault(of('livecluster'), of('nginx-rtmp')),
      ),
    ];
  } finally {
    await redis.close();
  }
}
