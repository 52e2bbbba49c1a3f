import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { after, afterEach, before, describe, test } from 'node:test';
import { pino } from 'pino';
import { directoryKeys, encodeStreamField } from '#contract/directory-keys.ts';
import { until } from '#contract/testing/until.ts';
import type { LeasedDirectory } from './leased-directory.ts';
import { createRedisDirectory } from './redis-directory.ts';
import { RedisStore } from './redis-store.ts';
import { parseRedisUrl } from './redis-url.ts';
import { nodeInfo, QUICK } from './testing/directory.conformance.ts';
import { TestRedis } from './testing/redis-server.ts';

const key = { vhost: 'v', app: 'live', stream: 'demo' };
const field = encodeStreamField(key) ?? '';
const keys = directoryKeys('media', 'demo');

describe('directory on a Redis with faults', () => {
  let redis: TestRedis;
  let lines: string[] = [];
  const open: LeasedDirectory[] = [];

  before(async () => {
    redis = await TestRedis.start({ password: 'tr0ub4dor&3' });
  });
  after(() => redis.close());
  afterEach(async () => {
    await Promise.all(open.splice(0).map((directory) => directory.close('test over')));
    lines = [];
    redis.resume();
    await redis.command('FLUSHALL');
  });

  function create(url = redis.url): LeasedDirectory {
    const logger = pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) });
    const directory = createRedisDirectory({
      url,
      namespace: 'media',
      cluster: 'demo',
      node: nodeInfo(),
      logger,
      ...QUICK,
    });
    open.push(directory);
    return directory;
  }

  async function up(): Promise<LeasedDirectory> {
    const directory = create();
    await directory.start();
    await until('the directory is up', () => directory.state === 'up');
    return directory;
  }

  test('records that make no sense count as absent, are removed and are reported', async () => {
    const directory = await up();
    const owner = { version: 1, nodeId: nodeInfo().nodeId, host: 'h', rtmpPort: 1, adminPort: 2, epoch: 5 };
    const records = [
      '',
      'nonsense',
      '[]',
      '{}',
      'null',
      JSON.stringify({ ...owner, epoch: 1e300 }),
      JSON.stringify({ ...owner, epoch: '5' }),
      JSON.stringify({ ...owner, nodeId: 'somebody' }),
      JSON.stringify({ ...owner, host: undefined }),
      JSON.stringify({ ...owner, rtmpPort: -1 }),
      JSON.stringify({ ...owner, version: 2 }),
      '['.repeat(5_000),
    ];
    for (const record of records) {
      await redis.command('HSET', keys.streams, field, record);
      assert.equal(await directory.lookup(key), undefined, record);
      await redis.command('HSET', keys.streams, field, record);
      const claimed = await directory.claim(key, { askedOrigins: true });
      assert.equal(claimed.kind, 'ok', record);
      await directory.release(key, claimed.kind === 'ok' ? claimed.epoch : 0);
    }
    assert.ok(directory.counts.malformed >= records.length);
    assert.equal(lines.filter((line) => line.includes('makes no sense')).length, 1, 'one line for many');
  });

  test('a broken record in the place of an own one is replaced', async () => {
    const directory = await up();
    const claimed = await directory.claim(key, { askedOrigins: true });
    await redis.command('HSET', keys.streams, field, '{"nodeId":"zzz","epoch":80000000000000}');
    await until('the record is right again', async () => {
      const raw = await redis.command('HGET', keys.streams, field);
      return claimed.kind === 'ok' && String(raw).includes(String(claimed.epoch));
    });
    assert.equal(directory.owned, 1);
  });

  test('leases, messages and epochs that make no sense are ignored', async () => {
    const directory = await up();
    const stranger = nodeInfo().nodeId;
    await redis.command('SET', `${keys.nodePrefix}${stranger}`, '{"version":1}');
    await redis.command('ZADD', keys.nodes, '9999999999999', stranger, '9999999999999', 'no id');
    assert.equal((await directory.nodes('origin')).length, 1);
    await redis.command('SET', keys.epoch, 'minus one');
    await redis.command('SET', keys.born, 'yesterday');
    assert.equal((await directory.claim(key, { askedOrigins: true })).kind, 'ok');
    const other = { ...key, stream: 'other' };
    const change = { version: 1, kind: 'claimed', field: 'no/field', nodeId: stranger, epoch: 9e13 };
    await redis.command('PUBLISH', keys.changes, JSON.stringify({ ...change, field: encodeStreamField(other) }));
    for (const message of ['', '{', '{}', JSON.stringify(change), JSON.stringify({ ...change, epoch: -1 })]) {
      await redis.command('PUBLISH', keys.changes, message);
    }
    await until('all were counted', () => directory.counts.malformed >= 6);
    await redis.command('SET', keys.epoch, '90000000000000');
    const claimed = await directory.claim(other, { askedOrigins: true });
    assert.ok(claimed.kind === 'ok' && claimed.epoch < 9e13, 'a broken epoch is no floor');
    assert.equal(directory.state, 'up');
    assert.equal(directory.owned, 2);
  });

  test('a key of another type: calls fail, and work again when it is gone', async () => {
    const directory = await up();
    await redis.command('SET', keys.streams, 'a string');
    await assert.rejects(directory.claim(key, { askedOrigins: true }), { code: 'away', message: /WRONGTYPE/ });
    await redis.command('DEL', keys.streams);
    assert.equal((await directory.claim(key, { askedOrigins: true })).kind, 'ok');
  });

  test('scripts that Redis has forgotten are loaded again', async () => {
    const directory = await up();
    await redis.command('SCRIPT', 'FLUSH');
    assert.equal((await directory.claim(key, { askedOrigins: true })).kind, 'ok');
  });

  test('calls take effect in the order they were made, whichever scripts Redis has forgotten', async () => {
    const { nodeId, host, rtmpPort, adminPort } = nodeInfo();
    const entry = { field, record: { version: 1 as const, nodeId, host, rtmpPort, adminPort, epoch: Date.now() } };
    const store = new RedisStore({ address: parseRedisUrl(redis.url), namespace: 'media', cluster: 'demo' });
    try {
      await new Promise<void>((resolve) => {
        const ignore = () => {};
        store.start({
          onConnected: resolve,
          onDisconnected: ignore,
          onChange: ignore,
          onGap: ignore,
          onMalformed: ignore,
        });
      });
      await redis.command('SCRIPT', 'FLUSH');
      await store.release(nodeId, [{ field, epoch: 1 }]);
      await Promise.all([store.assertRecords([entry]), store.release(nodeId, [{ field, epoch: entry.record.epoch }])]);
      assert.equal(await store.lookup(field), undefined);
    } finally {
      store.close();
    }
  });

  test('a Redis that hangs: calls are given up, a late claim is void, and all is well afterwards', async () => {
    const directory = await up();
    redis.pause();
    await assert.rejects(directory.claim(key, { askedOrigins: true }), { code: 'away' });
    await until('the directory counts as away', () => directory.state === 'down');
    const other = { ...key, stream: 'meanwhile' };
    assert.equal((await directory.claimAway(other)).kind, 'ok');
    redis.resume();
    await until('it is up again', () => directory.state === 'up');
    await until('only the stream that was granted is registered', async () => {
      const [late, granted] = await Promise.all([directory.lookup(key), directory.lookup(other)]);
      return late === undefined && granted?.owner.nodeId === directory.nodeId;
    });
  });

  test('no password in a log or error, whatever goes wrong', async () => {
    const wrong = create(redis.url.replace(encodeURIComponent('tr0ub4dor&3'), 'wr0ng-s3cret'));
    await wrong.start();
    assert.equal(wrong.state, 'down');
    const error = await wrong.claim(key).catch((thrown: unknown) => thrown);
    const right = await up();
    await redis.down();
    await until('it is down', () => right.state === 'down');
    const failed = await right.claim(key).catch((thrown: unknown) => thrown);
    await redis.up();
    await until('it is up', () => right.state === 'up');
    const everything = [...lines, ...[error, failed].map((each) => JSON.stringify(each) + String(each))].join('\n');
    assert.match(everything, /directory is away/);
    for (const secret of ['wr0ng-s3cret', 'tr0ub4dor', encodeURIComponent('tr0ub4dor&3')]) {
      assert.ok(!everything.includes(secret));
    }
  });

  for (const [what, answer] of [
    ['speaks another protocol', 'HTTP/1.1 400 Bad Request\r\n\r\n'],
    ['answers with nonsense', '*999999999\r\n$-5\r\n\0\0'],
    ['never answers', ''],
  ] as const) {
    test(`a server that ${what} is a directory that is away`, async () => {
      const sockets = new Set<Socket>();
      const server = createServer((socket) => {
        sockets.add(socket);
        socket.on('error', () => {});
        socket.on('data', () => socket.write(answer));
      });
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const { port } = server.address() as AddressInfo;
      for (const scheme of ['redis', 'redis+cluster']) {
        const directory = create(`${scheme}://127.0.0.1:${port}`);
        await directory.start();
        assert.equal(directory.state, 'down');
        await assert.rejects(directory.claim(key), { code: 'away' });
        await directory.close('test over');
      }
      for (const socket of sockets) socket.destroy();
      server.close();
    });
  }
});
