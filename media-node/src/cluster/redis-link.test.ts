import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RedisLink } from './redis-link.ts';
import { parseRedisUrl } from './redis-url.ts';
import { TestRedis } from './testing/redis-server.ts';

test('a reply that came while the process was held up is taken, however late that is', async (t) => {
  const redis = await TestRedis.start();
  t.after(() => redis.close());
  const link = new RedisLink({
    address: parseRedisUrl(redis.url),
    name: 'test',
    channel: 'changes',
    commandTimeoutMs: 200,
  });
  t.after(() => link.close());
  await new Promise<void>((resolve) =>
    link.start({
      onConnected: resolve,
      onDisconnected: () => undefined,
      onMessage: () => undefined,
      onSubscribed: () => undefined,
    }),
  );
  const reply = link.call((client) => client.ping());
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 600);
  assert.equal(await reply, 'PONG');
  redis.pause();
  const unanswered = link.call((client) => client.ping());
  await assert.rejects(unanswered, { code: 'away', message: /timed out/ });
  redis.resume();
});
