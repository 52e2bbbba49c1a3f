import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { pino } from 'pino';
import { NodeStatus } from '#contract/admin-api.ts';
import type { NodeState } from '#contract/admin-api.ts';
import { VHOST_DEFAULTS, nodeConfigHash } from '#contract/node-config.ts';
import type { NodeConfig } from '#contract/node-config.ts';
import type { PeerPublisher } from '#contract/peer-api.ts';
import { ConfigStore } from '../config/config-store.ts';
import { AdminServer } from './admin-server.ts';

const TOKEN = 'a-token-of-the-cluster';
const AUTH = { authorization: `Bearer ${TOKEN}` };
const CONFIG = {
  version: 1,
  logLevel: 'info',
  maxConnections: 100,
  pullHoldMs: 1_000,
  drainMs: 1_000,
  vhosts: [{ ...VHOST_DEFAULTS, name: '__defaultVhost__', hosts: ['__defaultVhost__'] }],
} as unknown as NodeConfig;

class FakeNode {
  state: NodeState = 'ready';
  reasons: string[] = [];
  calls: string[] = [];
  config = new ConfigStore(CONFIG);
  status(): NodeStatus {
    return {
      nodeId: 'pod-uid.0123456789abcdef',
      role: 'origin',
      state: this.state,
      software: '0.0.0',
      config: { hash: this.config.hash, rejected: null },
      sessions: 3,
      streams: 1,
      viewers: 2,
      pulls: 0,
      notices: [
        {
          vhost: '__defaultVhost__',
          app: 'live',
          stream: 'stream01',
          code: 'KeyFramesTooFar',
          detail: { keyFrameDistanceMs: 10_000, targetDurationMs: 2_000, fragmentMs: 2_000 },
          atMs: 1_000,
        },
      ],
    };
  }
  notReady(): readonly string[] {
    return this.reasons;
  }
  drain(): void {
    this.calls.push('drain');
    this.state = 'draining';
  }
  close(reason: string): void {
    this.calls.push(`close: ${reason}`);
  }
}

const PEER: PeerPublisher = {
  version: 1,
  nodeId: 'pod-uid.0123456789abcdef',
  host: '10.0.0.1',
  rtmpPort: 1935,
  adminPort: 8090,
  published: true,
  epoch: 42,
};

async function serve(t: TestContext) {
  const node = new FakeNode();
  const asked: unknown[] = [];
  const logs: string[] = [];
  const server = new AdminServer({
    node,
    config: node.config,
    peers: {
      settle: () => Promise.resolve(),
      peerPublisher: (key) => (asked.push(key), PEER),
      peerYield: (key, epoch, by) => (asked.push({ key, epoch, by }), { ...PEER, published: false, epoch: null }),
    },
    packaging: { own: { find: () => undefined }, fetched: () => undefined, told: () => undefined },
    metrics: { contentType: 'text/plain; version=0.0.4', render: () => Promise.resolve('livecluster_ready 1\n') },
    token: () => TOKEN,
    logger: pino({ level: 'trace' }, { write: (line: string) => void logs.push(line) }),
  });
  const port = await server.listen({ host: '127.0.0.1', port: 0 });
  t.after(() => server.close());
  return { node, asked, logs, server, port, url: `http://127.0.0.1:${port}` };
}

test('probes and metrics need no token', async (t) => {
  const { node, url } = await serve(t);
  assert.equal((await fetch(`${url}/healthz`)).status, 200);
  const ready = await fetch(`${url}/readyz`);
  assert.deepEqual([ready.status, await ready.text()], [200, 'ready\n']);
  node.reasons = ['draining', 'the directory is being asked for the first time'];
  const notReady = await fetch(`${url}/readyz`);
  assert.deepEqual(
    [notReady.status, await notReady.text()],
    [503, 'draining\nthe directory is being asked for the first time\n'],
  );
  const metrics = await fetch(`${url}/metrics`);
  assert.match(metrics.headers.get('content-type') ?? '', /^text\/plain/);
  assert.equal(await metrics.text(), 'livecluster_ready 1\n');
});

test('everything else is refused without the right token, unknown paths too', async (t) => {
  const { node, url, logs } = await serve(t);
  const wrong = [
    undefined,
    '',
    'Bearer',
    'Bearer ',
    `Bearer ${TOKEN}x`,
    `Bearer ${TOKEN.slice(1)}`,
    `Basic ${TOKEN}`,
    TOKEN,
  ];
  const paths: [string, string][] = [
    ['GET', '/config'],
    ['PUT', '/config'],
    ['GET', '/status'],
    ['POST', '/drain'],
    ['POST', '/close'],
    ['GET', '/cluster/publisher?vhost=a&app=b&stream=c'],
    ['POST', '/cluster/publisher/yield?vhost=a&app=b&stream=c'],
    ['GET', '/nothing-here'],
    ['GET', '/'],
  ];
  for (const authorization of wrong) {
    for (const [method, path] of paths) {
      const response = await fetch(`${url}${path}`, {
        method,
        headers: authorization === undefined ? {} : { authorization },
      });
      assert.equal(response.status, 401, `${method} ${path} with ${authorization}`);
      assert.match(response.headers.get('www-authenticate') ?? '', /^Bearer/);
      assert.match(((await response.json()) as { error: string }).error, /token/);
    }
  }
  assert.deepEqual(node.calls, []);
  assert.equal(logs.join('').includes(TOKEN), false);
  assert.equal((await fetch(`${url}/nothing-here`, { headers: AUTH })).status, 404);
});

test('an empty token opens nothing', async (t) => {
  const node = new FakeNode();
  const server = new AdminServer({
    node,
    config: node.config,
    peers: { settle: () => Promise.resolve(), peerPublisher: () => PEER, peerYield: () => PEER },
    packaging: { own: { find: () => undefined }, fetched: () => undefined, told: () => undefined },
    metrics: { contentType: 'text/plain', render: () => Promise.resolve('') },
    token: () => '',
    logger: pino({ level: 'silent' }),
  });
  const port = await server.listen({ host: '127.0.0.1', port: 0 });
  t.after(() => server.close());
  for (const headers of [{}, { authorization: 'Bearer ' }, { authorization: 'Bearer x' }]) {
    assert.equal((await fetch(`http://127.0.0.1:${port}/status`, { headers })).status, 401);
  }
});

test('a pushed configuration is in force at once and its hash is answered', async (t) => {
  const { node, url } = await serve(t);
  const next = { ...CONFIG, maxConnections: 5 };
  const put = await fetch(`${url}/config`, { method: 'PUT', headers: AUTH, body: JSON.stringify(next) });
  assert.deepEqual([put.status, await put.json()], [200, { hash: nodeConfigHash(next), changed: true }]);
  assert.equal(node.config.config.maxConnections, 5);
  const again = await fetch(`${url}/config`, { method: 'PUT', headers: AUTH, body: JSON.stringify(next) });
  assert.deepEqual(await again.json(), { hash: nodeConfigHash(next), changed: false });
  const state = await fetch(`${url}/config`, { headers: AUTH });
  assert.deepEqual(await state.json(), { hash: nodeConfigHash(next), rejected: null });
});

test('a wrong configuration is answered with 422 and the field, and the one before stays in force', async (t) => {
  const { node, url } = await serve(t);
  for (const [body, message] of [
    ['{"version": 1', /not valid JSON/],
    ['', /empty/],
    [JSON.stringify({ ...CONFIG, drainMs: -1 }), /drainMs/],
    [JSON.stringify({ ...CONFIG, vhosts: [...CONFIG.vhosts, ...CONFIG.vhosts] }), /two vhosts are named/],
  ] as const) {
    const response = await fetch(`${url}/config`, { method: 'PUT', headers: AUTH, body });
    assert.equal(response.status, 422);
    assert.match(((await response.json()) as { error: string }).error, message);
    const state = (await (await fetch(`${url}/config`, { headers: AUTH })).json()) as {
      hash: string;
      rejected: { reason: string };
    };
    assert.equal(state.hash, nodeConfigHash(CONFIG));
    assert.match(state.rejected.reason, message);
  }
  assert.deepEqual(node.config.config, CONFIG);
});

test('a body without end is cut off', async (t) => {
  const { url, node } = await serve(t);
  const body = 'x'.repeat(9 * 1024 * 1024);
  const outcome = await fetch(`${url}/config`, { method: 'PUT', headers: AUTH, body }).then(
    (response) => response.status,
    () => 'reset',
  );
  // The answer may be lost when the rest of the body meets a closed socket.
  assert.ok(outcome === 413 || outcome === 'reset', String(outcome));
  assert.equal(node.config.hash, nodeConfigHash(CONFIG));
  assert.equal((await fetch(`${url}/healthz`)).status, 200);
});

test('a status is read without notices, with those of unknown codes, and with those of another form', () => {
  const { notices, ...older } = new FakeNode().status();
  assert.deepEqual(NodeStatus.parse(older), older);
  const [notice] = notices ?? [];
  const unknown = { ...older, notices: [{ ...notice, code: 'Newer', detail: { other: 1 } }] };
  assert.deepEqual(NodeStatus.parse(unknown), unknown);
  assert.deepEqual(NodeStatus.parse({ ...older, notices: [{ about: 'a node' }] }).notices, undefined);
});

test('status, drain and close reach the node', async (t) => {
  const { node, url } = await serve(t);
  const status = NodeStatus.parse(await (await fetch(`${url}/status`, { headers: AUTH })).json());
  assert.deepEqual(status, node.status());
  const drain = await fetch(`${url}/drain`, { method: 'POST', headers: AUTH });
  assert.equal(drain.status, 202);
  assert.equal(((await drain.json()) as NodeStatus).state, 'draining');
  assert.equal((await fetch(`${url}/close`, { method: 'POST', headers: AUTH })).status, 202);
  while (node.calls.length < 2) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(node.calls, ['drain', 'close: closed by the operator']);
});

test('a wrong method is answered with the right ones', async (t) => {
  const { url, node } = await serve(t);
  for (const [method, path, allow] of [
    ['GET', '/drain', 'POST'],
    ['GET', '/close', 'POST'],
    ['POST', '/config', 'GET, PUT'],
    ['DELETE', '/status', 'GET'],
  ] as const) {
    const response = await fetch(`${url}${path}`, { method, headers: AUTH });
    assert.deepEqual([response.status, response.headers.get('allow')], [405, allow]);
  }
  assert.deepEqual(node.calls, []);
});

test('peers learn who publishes a stream, and can make it yield', async (t) => {
  const { url, asked } = await serve(t);
  const query = `?${new URLSearchParams({ vhost: '__defaultVhost__', app: 'live/eu', stream: '../a b' }).toString()}`;
  const key = { vhost: '__defaultVhost__', app: 'live/eu', stream: '../a b' };
  assert.deepEqual(await (await fetch(`${url}/cluster/publisher${query}`, { headers: AUTH })).json(), PEER);
  const by = 'other.0123456789abcdef';
  const yielded = await fetch(`${url}/cluster/publisher/yield${query}`, {
    method: 'POST',
    headers: AUTH,
    body: JSON.stringify({ version: 1, epoch: 42, by }),
  });
  assert.deepEqual(await yielded.json(), { ...PEER, published: false, epoch: null });
  assert.deepEqual(asked, [key, { key, epoch: 42, by }]);
  for (const [path, body] of [
    ['/cluster/publisher/yield?vhost=a', '{}'],
    [`/cluster/publisher/yield${query}`, '{}'],
    [`/cluster/publisher/yield${query}`, 'nonsense'],
  ] as const) {
    assert.equal((await fetch(`${url}${path}`, { method: 'POST', headers: AUTH, body })).status, 400, path);
  }
  assert.equal((await fetch(`${url}/cluster/publisher?vhost=a`, { headers: AUTH })).status, 400);
});

test('bytes that are no HTTP end their own connection only', async (t) => {
  const { url, port } = await serve(t);
  const answer = await new Promise<string>((resolve, reject) => {
    let text = '';
    const socket = connect(port, '127.0.0.1', () => socket.write('\x16\x03\x01\x02\x00\x01\x00\r\n\r\n'));
    socket.on('data', (data) => (text += data.toString()));
    socket.on('close', () => resolve(text));
    socket.on('error', reject);
  });
  assert.match(answer, /^HTTP\/1\.1 400/);
  assert.equal((await fetch(`${url}/healthz`)).status, 200);
});
