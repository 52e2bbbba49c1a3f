import { costs, interleave, ratio } from './lib/compare.ts';
import type { Figure } from './lib/figure.ts';
import { benchVhost, HAS_RTMPS, NEEDS_RTMPS, startProduct, startRedis } from './lib/product.ts';

/* What TLS costs: 300 viewers by RTMPS against as many by plain RTMP. TLS encrypts for each viewer apart. */

export async function rtmps(): Promise<Figure[]> {
  const what = 'RTMPS, 300 viewers, against plain RTMP';
  if (!HAS_RTMPS) return [{ what, value: NaN, unit: '', needs: NEEDS_RTMPS }];
  const redis = await startRedis();
  const vhost = benchVhost(350) ?? benchVhost()!;
  const start = () => startProduct({ redisPort: redis.port, vhost, hasTls: true });
  try {
    const samples = await interleave(
      { livecluster: { start }, 'livecluster TLS': { start, tls: true } },
      { viewers: 300 },
    );
    return [
      ...costs('RTMP and RTMPS, 300 viewers', 'RTMP and RTMPS, 300 viewers', samples),
      ratio(what, samples['livecluster TLS'], samples.livecluster),
    ];
  } finally {
    await redis.close();
  }
}
