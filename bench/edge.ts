import { setTimeout as delay } from 'node:timers/promises';
import type { Figure } from './lib/figure.ts';
import { median } from './lib/figure.ts';
import { withFault } from './lib/compare.ts';
import { Publisher, Viewers } from './lib/load.ts';
import { schedulerTimes } from './lib/processes.ts';
import type { Product } from './lib/product.ts';
import { benchVhost, startProduct, startRedis } from './lib/product.ts';
import { LOAD_CORE, MEASURE_MS, RUNS, SERVER_CORE, SETTLE_MS } from './lib/settings.ts';

/*
 * An edge pulls a stream once however many watch it: the work of the origin behind an edge with 1,000 viewers against one
 * with one viewer. Sent over received bytes is exact; CPU is of so little work that it swings.
 */

interface Work {
  /** Bytes of media that the origin sent for each that it got. */
  readonly sentShare: number;
  /** CPU of the origin a second. */
  readonly cpuUs: number;
  readonly fault?: string;
}

async function originWork(redisPort: number, viewers: number): Promise<Work> {
  const closing: (() => Promise<void>)[] = [];
  const keep = <T extends { close(): Promise<void> }>(thing: T): T => {
    closing.unshift(() => thing.close());
    return thing;
  };
  try {
    const vhost = benchVhost('auto')!;
    const origin = keep(await startProduct({ redisPort, vhost, role: 'origin', core: LOAD_CORE }));
    const edge = keep(await startProduct({ redisPort, vhost, role: 'edge', core: SERVER_CORE }));
    const publisher = await Publisher.start(origin);
    keep(publisher.process);
    const client = await Viewers.start(edge, { viewers });
    keep(client.process);
    await delay(SETTLE_MS);
    client.begin();
    const before = await read(origin);
    await delay(MEASURE_MS);
    const after = await read(origin);
    const report = await client.end();
    return {
      sentShare: (after.sent - before.sent) / (after.received - before.received),
      cpuUs: ((after.cpuUs - before.cpuUs) / (after.atMs - before.atMs)) * 1_000,
      ...(report.fault !== null && { fault: `${viewers - report.full} of ${viewers} viewers: ${report.fault}` }),
    };
  } finally {
    for (const close of closing) await close();
  }
}

async function read(origin: Product) {
  const { cpuUs } = schedulerTimes(origin.process.pid);
  const atMs = performance.now();
  const received = await origin.metric('livecluster_received_bytes_total');
  const sent = await origin.metric('livecluster_sent_bytes_total');
  return { cpuUs, atMs, received, sent };
}

export async function edge(): Promise<Figure[]> {
  const redis = await startRedis();
  try {
    const one: Work[] = [];
    const many: Work[] = [];
    for (let run = 0; run < RUNS; run++) {
      one.push(await originWork(redis.port, 1));
      many.push(await originWork(redis.port, 1_000));
      console.log(`  one ${JSON.stringify(one.at(-1))}, 1,000 ${JSON.stringify(many.at(-1))}`);
    }
    const ratios = (read: (work: Work) => number): number[] => many.map((work, run) => read(work) / read(one[run]!));
    const bytes = ratios(({ sentShare }) => sentShare);
    const cpu = ratios(({ cpuUs: us }) => us);
    const fault = [...one, ...many].find((work) => work.fault !== undefined)?.fault;
    const what = "an edge with 1,000 viewers against an edge with one: the origin's";
    return [
      withFault({ what: `${what} bytes sent`, value: median(bytes), unit: '', atMost: 1.05, runs: bytes }, fault),
      withFault({ what: `${what} CPU`, value: median(cpu), unit: '', atMost: 1.15, runs: cpu }, fault),
    ];
  } finally {
    await redis.close();
  }
}
