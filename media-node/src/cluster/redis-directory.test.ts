import { pino } from 'pino';
import { createRedisDirectory } from './redis-directory.ts';
import { directoryConformance } from './testing/directory.conformance.ts';
import { TestRedis } from './testing/redis-server.ts';

const logger = pino({ level: 'silent' });

for (const cluster of [false, true]) {
  directoryConformance(cluster ? 'a Redis Cluster' : 'Redis', async () => {
    const redis = await TestRedis.start({ cluster });
    return {
      create: (options) =>
        createRedisDirectory({ url: redis.url, namespace: 'media', cluster: 'demo', logger, ...options }),
      goAway: () => redis.down(),
      comeBack: (options) => redis.up(options),
      empty: async () => void (await redis.command('FLUSHALL')),
      reset: async () => {
        if (!redis.isUp) await redis.up();
        await redis.command('FLUSHALL');
      },
      close: () => redis.close(),
    };
  });
}
