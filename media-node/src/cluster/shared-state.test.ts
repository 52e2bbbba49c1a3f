import { parseRedisUrl } from './redis-url.ts';
import { MemorySharedBackend, MemorySharedStore } from './memory-shared-store.ts';
import { RedisSharedStore } from './redis-shared-store.ts';
import { TestRedis } from './testing/redis-server.ts';
import { sharedStateConformance } from './testing/shared-state.conformance.ts';

sharedStateConformance('memory', async () => {
  const backend = new MemorySharedBackend();
  return {
    create: () => new MemorySharedStore(backend),
    goAway: async () => backend.setAway(true),
    comeBack: async () => backend.setAway(false),
    reset: async () => {
      backend.setAway(false);
      backend.states.clear();
      backend.holders.clear();
      backend.ended.clear();
    },
    close: async () => undefined,
  };
});

for (const cluster of [false, true]) {
  const open = async () => {
    const redis = await TestRedis.start({ cluster });
    const address = parseRedisUrl(redis.url);
    return {
      create: () => new RedisSharedStore({ address, namespace: 'media', cluster: 'demo', maxReconnectMs: 100 }),
      goAway: () => redis.down(),
      comeBack: () => redis.up(),
      reset: async () => {
        if (!redis.isUp) await redis.up();
        await redis.command('FLUSHALL');
      },
      close: () => redis.close(),
    };
  };
  // A Redis Cluster takes seconds to come back.
  sharedStateConformance(cluster ? 'Redis Cluster' : 'Redis', open, cluster);
}
