import type { Figure } from './lib/figure.ts';
import { faultOf, measureQuietly, withFault } from './lib/compare.ts';
import type { Sample } from './lib/compare.ts';
import { median } from './lib/figure.ts';
import { benchVhost, NEEDS_WINDOW, startProduct, startRedis } from './lib/product.ts';
import { RUNS } from './lib/settings.ts';

/* How long the product's event loop is late with 3,000 RTMP viewers. */

interface LoopDelay {
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

export async function loopDelay(): Promise<Figure[]> {
  const what = 'event-loop delay, p99.9, 3,000 RTMP viewers, 350 ms';
  const vhost = benchVhost(350);
  if (vhost === undefined) return [{ what, value: NaN, unit: 'ms', atMost: 35, needs: NEEDS_WINDOW }];
  const redis = await startRedis();
  try {
    const samples: Sample[] = [];
    for (let run = 0; run < RUNS; run++) {
      const sample = await measureQuietly(() => startProduct({ redisPort: redis.port, vhost, hasProbe: true }), {
        viewers: 3_000,
        inspect: (server) => server.process.ask('delay'),
      });
      console.log(`  ${JSON.stringify(sample.inspected)} ${sample.fault ?? ''}`);
      samples.push(sample);
    }
    const of = (key: keyof LoopDelay): number[] =>
      samples.map(({ inspected }) => (inspected as LoopDelay | undefined)?.[key] ?? NaN);
    return [
      withFault({ what, value: median(of('p999')), unit: 'ms', atMost: 35, runs: of('p999') }, faultOf(samples)),
      { what: 'event-loop delay, longest, the same', value: median(of('max')), unit: 'ms', runs: of('max') },
    ];
  } finally {
    await redis.close();
  }
}
