import type { Sample } from './lib/compare.ts';
import { measureQuietly, ofViewers } from './lib/compare.ts';
import type { Figure } from './lib/figure.ts';
import { benchVhost, startProduct, startRedis } from './lib/product.ts';
import { RUNS } from './lib/settings.ts';

/* 1,000 viewers beside 50 that never read: what the others notice. */

const WINDOW_MS = 350;
const ALLOWED_MS = 100;

export async function neverRead(): Promise<Figure[]> {
  const redis = await startRedis();
  const windowed = benchVhost(WINDOW_MS);
  const windowMs = windowed === undefined ? 0 : WINDOW_MS;
  const vhost = windowed ?? benchVhost()!;
  try {
    const samples: Sample[] = [];
    for (let run = 0; run < RUNS; run++) {
      const sample = await measureQuietly(() => startProduct({ redisPort: redis.port, vhost }), {
        viewers: 1_000,
        neverRead: 50,
      });
      console.log(
        `  ${sample.viewers?.worstGapMs} ms, still there ${sample.viewers?.neverReadAlive} ${sample.fault ?? ''}`,
      );
      samples.push(sample);
    }
    const what = `1,000 RTMP viewers and 50 that never read, window ${windowMs} ms: the others' longest gap between frames`;
    return [ofViewers(what, 'ms', samples, ({ worstGapMs }) => worstGapMs, windowMs + ALLOWED_MS)];
  } finally {
    await redis.close();
  }
}
