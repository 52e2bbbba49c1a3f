import { setTimeout as delay } from 'node:timers/promises';
import type { Figure } from './lib/figure.ts';
import { median } from './lib/figure.ts';
import { Viewers } from './lib/load.ts';
import { rssBytes } from './lib/processes.ts';
import { startProduct, startRedis } from './lib/product.ts';
import type { StartServer } from './lib/servers.ts';
import { startNginx, startNodeMediaServer } from './lib/servers.ts';
import { IS_QUICK, RUNS } from './lib/settings.ts';

/* Memory of 10,000 RTMP viewers that wait for a stream which nobody publishes. */

const VIEWERS = 10_000;
const REST_MS = IS_QUICK ? 2_000 : 6_000;

async function kibEach(start: StartServer): Promise<number> {
  const server = await start();
  let viewers: Viewers | undefined;
  try {
    await delay(REST_MS);
    const before = rssBytes(server.process.pid);
    viewers = await Viewers.start(server, { viewers: VIEWERS, waitOnly: true });
    await delay(REST_MS);
    return (rssBytes(server.process.pid) - before) / VIEWERS / 1_024;
  } finally {
    await viewers?.process.close();
    await server.close();
  }
}

export async function waiting(): Promise<Figure[]> {
  const redis = await startRedis();
  const servers: readonly (readonly [name: string, start: StartServer, atMost?: number])[] = [
    ['livecluster', () => startProduct({ redisPort: redis.port }), 20],
    ['nginx-rtmp', startNginx],
    ['node-media-server', startNodeMediaServer],
  ];
  try {
    const figures: Figure[] = [];
    for (const [name, start, atMost] of servers) {
      const what = `10,000 RTMP viewers that wait, RSS over none: ${name}`;
      const unit = 'KiB each';
      const chart = '10,000 waiting RTMP viewers';
      const target = atMost === undefined ? {} : { atMost };
      try {
        const runs: number[] = [];
        // The peers are there for comparison: once is enough.
        for (let run = 0; run < (atMost === undefined ? 1 : RUNS); run++) runs.push(await kibEach(start));
        figures.push({ what, value: median(runs), unit, runs, chart, ...target });
      } catch (error) {
        figures.push({ what, value: NaN, unit, fault: (error as Error).message, ...target });
      }
    }
    return figures;
  } finally {
    await redis.close();
  }
}
