import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, test } from 'node:test';
import { newNodeId } from '#contract/directory-keys.ts';
import { PEER_PATHS, PeerPublisher, PeerYield } from '#contract/peer-api.ts';
import { originAddresses, PeerClient, PeerOriginFinder } from './peer-client.ts';

const key = { vhost: 'v', app: '../a?b', stream: 'é&=' };
const me = newNodeId('me');
const closers: (() => void)[] = [];

afterEach(() => {
  for (const close of closers.splice(0)) close();
});

async function listen(handler: RequestListener): Promise<number> {
  const server = createServer(handler);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closers.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

const owner = (adminPort: number, over = {}) => ({
  nodeId: newNodeId('owner'),
  host: '127.0.0.1',
  rtmpPort: 1935,
  adminPort,
  epoch: 7,
  ...over,
});

function answerOf(record: ReturnType<typeof owner>, over: Partial<PeerPublisher> = {}): string {
  const { nodeId, host, rtmpPort, adminPort, epoch } = record;
  return JSON.stringify({ version: 1, nodeId, host, rtmpPort, adminPort, published: true, epoch, ...over });
}

test('asks with the token and the stream’s name in the query, whatever it holds', async () => {
  const seen: unknown[] = [];
  let body = '';
  const port = await listen(async (request, response) => {
    const url = new URL(request.url ?? '', 'http://x');
    seen.push([request.method, url.pathname, Object.fromEntries(url.searchParams), request.headers.authorization]);
    for await (const chunk of request) body += String(chunk);
    response.end(answerOf(record));
  });
  const record = owner(port);
  const client = new PeerClient({ nodeId: me, token: () => 'secret' });
  assert.deepEqual(await client.ask(record, key, 5_000), { kind: 'yes', owner: record });
  await client.yield(record, key, 5_000);
  assert.deepEqual(seen, [
    ['GET', PEER_PATHS.publisher, key, 'Bearer secret'],
    ['POST', PEER_PATHS.yield, key, 'Bearer secret'],
  ]);
  assert.deepEqual(PeerYield.parse(JSON.parse(body)), { version: 1, epoch: 7, by: me });
});

test('tells a node that is gone from one that is silent', async () => {
  const client = new PeerClient({ nodeId: me, token: () => 't' });
  const kinds: string[] = [];
  const cases: [string, RequestListener][] = [
    ['no', (_, response) => response.end(answerOf(owner(1), { published: false, epoch: null }))],
    ['no', (_, response) => response.end(answerOf(owner(1)))], // another node at that address
    ['silent', (_, response) => response.writeHead(401).end()],
    ['silent', (_, response) => response.end('<html>')],
    ['silent', (_, response) => response.end('x'.repeat(100_000))],
    ['silent', (_, response) => response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end()],
    ['silent', () => {}],
    ['silent', (request) => request.socket.destroy()],
  ];
  for (const [, handler] of cases) {
    kinds.push((await client.ask(owner(await listen(handler)), key, 300)).kind);
  }
  assert.deepEqual(
    kinds,
    cases.map(([kind]) => kind),
  );
  const port = await listen(() => {});
  closers.splice(0).forEach((close) => close());
  assert.deepEqual(await client.ask(owner(port), key, 5_000), { kind: 'no' }, 'connection refused');
  assert.deepEqual(await client.ask(owner(1, { host: 'not a host' }), key, 300), { kind: 'silent' });
});

test('the finder asks each origin, keeps answers for a while, and leaves itself out', async () => {
  let asked = 0;
  const reply = (text: () => string) => listen((_, response) => void ((asked += 1), response.end(text())));
  const [low, high] = [owner(0, { epoch: 3 }), owner(0, { epoch: 9 })];
  const idle = owner(0);
  const ports = await Promise.all([
    reply(() => answerOf(low)),
    reply(() => answerOf(high)),
    reply(() => answerOf(idle, { published: false, epoch: null })),
    reply(() => answerOf({ ...owner(0), nodeId: me, epoch: 99 })),
    listen((_, response) => response.writeHead(500).end()),
  ]);
  let nowMs = 0;
  const finder = new PeerOriginFinder({
    nodeId: me,
    client: new PeerClient({ nodeId: me, token: () => 't' }),
    addresses: async () => ports.map((adminPort) => ({ host: '127.0.0.1', adminPort })),
    maxAtOnce: 2,
    timeoutMs: 5_000,
    now: () => nowMs,
  });
  const answer = await finder.find(key);
  assert.equal(answer.owner?.nodeId, high.nodeId);
  assert.equal(answer.isClaiming, false);
  assert.deepEqual(
    answer.reachable.map(({ nodeId }) => nodeId).toSorted(),
    [low.nodeId, high.nodeId, idle.nodeId].toSorted(),
  );
  assert.equal(asked, 4);
  await finder.find(key);
  assert.equal(asked, 4, 'kept');
  await finder.find(key, { fresh: true });
  assert.equal(asked, 8);
  nowMs = 1_001;
  await finder.find(key);
  assert.equal(asked, 12);
});

test('the finder tells that an origin is claiming, and survives a DNS that fails', async () => {
  const port = await listen((_, response) => response.end(answerOf(owner(0), { epoch: null })));
  const finder = new PeerOriginFinder({
    nodeId: me,
    client: new PeerClient({ nodeId: me, token: () => 't' }),
    addresses: originAddresses({
      known: () => [],
      dns: { host: '127.0.0.1', adminPort: port },
    }),
  });
  const answer = await finder.find(key);
  assert.deepEqual([answer.owner, answer.isClaiming], [undefined, true]);
  const none = new PeerOriginFinder({
    nodeId: me,
    client: new PeerClient({ nodeId: me, token: () => 't' }),
    addresses: () => Promise.reject(new Error('SERVFAIL')),
  });
  assert.deepEqual(await none.find(key), { owner: undefined, isClaiming: false, reachable: [] });
});
