import { test } from 'node:test';
import { createMemoryDirectory, MemoryDirectoryBackend } from './memory-directory.ts';
import { createRedisDirectory } from './redis-directory.ts';
import { runClusterModel } from './testing/cluster-model.ts';
import { CutProxy } from './testing/cut-proxy.ts';
import { TestRedis } from './testing/redis-server.ts';

test('whatever happens to nodes and store, a stream has one publisher in the end (memory)', async (t) => {
  const backend = new MemoryDirectoryBackend();
  const cut = new Set<string>();
  const figures = await runClusterModel(
    {
      create: async (options) => createMemoryDirectory(backend, options),
      setLink: (nodeId, isUp) => {
        if (isUp) cut.delete(nodeId);
        else cut.add(nodeId);
        backend.setPartitioned(nodeId, !isUp);
      },
      stop: async () => backend.setAway(true),
      restart: async ({ empty }) => {
        if (empty) backend.empty();
        backend.setAway(false);
      },
      reset: async () => {
        for (const nodeId of cut) backend.setPartitioned(nodeId, false);
        cut.clear();
        backend.setAway(false);
        backend.empty();
      },
    },
    { renewMs: 40, leaseMs: 200, settleMs: 120, sweepMs: 50, staleMs: 400 },
    { runs: 30, maxCommands: 40, limitMs: 12_000 },
  );
  t.diagnostic(JSON.stringify(figures));
});

test('whatever happens to nodes and store, a stream has one publisher in the end (Redis)', async (t) => {
  const redis = await TestRedis.start();
  t.after(() => redis.close());
  const proxies = new Map<string, CutProxy>();
  t.after(() => proxies.forEach((proxy) => proxy.close()));
  const figures = await runClusterModel(
    {
      create: async (options) => {
        const proxy = await CutProxy.to(redis.port);
        proxies.set(options.node.nodeId, proxy);
        const url = redis.url.replace(`:${redis.port}`, `:${proxy.port}`);
        return createRedisDirectory({ ...options, url, namespace: 'media', cluster: 'demo' });
      },
      setLink: (nodeId, isUp) => proxies.get(nodeId)?.setUp(isUp),
      stop: () => redis.down(),
      restart: (options) => redis.up(options),
      reset: async () => {
        for (const proxy of proxies.values()) proxy.close();
        proxies.clear();
        if (!redis.isUp) await redis.up();
        await redis.command('FLUSHALL');
      },
    },
    { renewMs: 100, leaseMs: 500, settleMs: 1_200, sweepMs: 100, staleMs: 1_000 },
    { runs: 8, maxCommands: 30, limitMs: 15_000 },
  );
  t.diagnostic(JSON.stringify(figures));
});
