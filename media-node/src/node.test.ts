import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { pino } from 'pino';
import type { NodeStatus } from '#contract/admin-api.ts';
import type { Role } from '#contract/names.ts';
import { nodeConfigHash, VHOST_DEFAULTS } from '#contract/node-config.ts';
import type { NodeConfig } from '#contract/node-config.ts';
import { until } from '#contract/testing/until.ts';
import { createMemoryDirectory, MemoryDirectoryBackend } from './cluster/memory-directory.ts';
import { createNode } from './node.ts';
import type { MediaNode } from './node.ts';
import type { ListenerPorts } from './node-options.ts';
import { RtmpClient } from './protocols/rtmp/client.ts';
import type { SessionEnd } from './protocols/rtmp/session-end.ts';
import { RtmpPeer } from './protocols/testing/rtmp-peer.ts';
import { ADMIN_TOKEN, testNodeOptions } from './testing.ts';

const HOST = '127.0.0.1';
const AUTH = { authorization: `Bearer ${ADMIN_TOKEN}` };
const ANY: ListenerPorts = { rtmp: 0, rtmps: 0, http: 0, api: 0, admin: 0 };
const CONFIG = {
  version: 1,
  logLevel: 'info',
  maxConnections: 100,
  pullHoldMs: 1_000,
  drainMs: 60_000,
  vhosts: [{ ...VHOST_DEFAULTS, name: '__defaultVhost__', hosts: ['__defaultVhost__'] }],
} as unknown as NodeConfig;

interface Made {
  readonly node: MediaNode;
  readonly levels: string[];
}

function make(
  t: TestContext,
  role: Role,
  options: { ports?: ListenerPorts; backend?: MemoryDirectoryBackend } = {},
): Made {
  const { ports = ANY, backend = new MemoryDirectoryBackend() } = options;
  const levels: string[] = [];
  const node = createNode({
    ...testNodeOptions(role, 0, CONFIG),
    ports,
    directory: (request) => createMemoryDirectory(backend, request),
    setLogLevel: (level) => levels.push(level),
  });
  t.after(() => node.close('the test is over'));
  return { node, levels };
}

interface Session {
  readonly client: RtmpClient;
  readonly started: Promise<void>;
  readonly ended: Promise<SessionEnd>;
}

function connect(t: TestContext, port: number, action: 'play' | 'publish', stream = 'a'): Session {
  const started = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<SessionEnd>();
  const client = new RtmpClient(
    { host: HOST, port, app: 'live', tcUrl: `rtmp://${HOST}:${port}/live`, streamName: stream, action },
    {
      onStart: () => started.resolve(),
      onMessage: () => undefined,
      onEnd: (end, refusal) => {
        ended.resolve(end);
        started.reject(new Error(refusal?.description ?? end.message));
      },
    },
    pino({ level: 'silent' }),
  );
  started.promise.catch(() => undefined);
  t.after(() => client.close('the test is over'));
  return { client, started: started.promise, ended: ended.promise };
}

const ready = async ({ admin }: ListenerPorts) => (await fetch(`http://${HOST}:${admin}/readyz`)).status;
const statusOf = async ({ admin }: ListenerPorts) =>
  (await (await fetch(`http://${HOST}:${admin}/status`, { headers: AUTH })).json()) as NodeStatus;

for (const role of ['origin', 'edge'] as const) {
  test(`an ${role} starts, is ready, says who it is, and closes`, { timeout: 300_000 }, async (t) => {
    const { node } = make(t, role);
    assert.equal(node.state, 'starting');
    const ports = await node.start();
    assert.ok(Object.values(ports).every((port) => port > 0));
    assert.equal(await ready(ports), 200);
    assert.deepEqual(await statusOf(ports), {
      nodeId: node.nodeId,
      role,
      state: 'ready',
      software: (await statusOf(ports)).software,
      config: { hash: nodeConfigHash(CONFIG), rejected: null },
      sessions: 0,
      streams: 0,
      viewers: 0,
      pulls: 0,
      notices: [],
    });
    await Promise.all([node.close('once'), node.close('twice')]);
    assert.equal(node.state, 'closed');
    await assert.rejects(ready(ports));
  });
}

test('a node whose port is taken says which, and leaves nothing open', { timeout: 300_000 }, async (t) => {
  const { node: first } = make(t, 'origin');
  const ports = await first.start();
  for (const listener of ['rtmp', 'http', 'api', 'admin'] as const) {
    const { node } = make(t, 'origin', { ports: { ...ANY, [listener]: ports[listener] } });
    await assert.rejects(node.start(), { code: 'port-taken', listener, port: ports[listener] });
    await node.close('it could not start');
  }
  assert.equal(await ready(ports), 200);
});

test('a node starts while the directory is away, and is ready', { timeout: 300_000 }, async (t) => {
  const backend = new MemoryDirectoryBackend();
  backend.setAway(true);
  const { node } = make(t, 'origin', { backend });
  const ports = await node.start();
  assert.equal(await ready(ports), 200);
  const metrics = await (await fetch(`http://${HOST}:${ports.admin}/metrics`)).text();
  assert.match(metrics, /^livecluster_directory_up 0$/m);
});

test(
  'a pushed configuration reaches limits, log level and vhosts without a session noticing',
  { timeout: 300_000 },
  async (t) => {
    const { node, levels } = make(t, 'origin');
    const ports = await node.start();
    const encoder = connect(t, ports.rtmp, 'publish');
    await encoder.started;
    const push = (config: unknown) =>
      fetch(`http://${HOST}:${ports.admin}/config`, { method: 'PUT', headers: AUTH, body: JSON.stringify(config) });
    const off = {
      ...CONFIG,
      logLevel: 'debug',
      vhosts: [...CONFIG.vhosts, { ...CONFIG.vhosts[0], name: 'off', hosts: ['off.example'], enabled: false }],
    };
    assert.equal((await push(off)).status, 200);
    assert.deepEqual(levels, ['info', 'debug']);
    const flv = (query = '') => fetch(`http://${HOST}:${ports.http}/live/a.flv${query}`, { method: 'HEAD' });
    assert.equal((await flv()).status, 200);
    assert.equal((await flv('?vhost=off.example')).status, 404);
    assert.equal((await push({ ...off, drainMs: 'soon' })).status, 422);
    assert.equal((await statusOf(ports)).config.hash, nodeConfigHash(off as NodeConfig));
    assert.match((await statusOf(ports)).config.rejected?.reason ?? '', /drainMs/);
    assert.match(
      await (await fetch(`http://${HOST}:${ports.admin}/metrics`)).text(),
      /^livecluster_config_rejected_total 1$/m,
    );
    // Below what is open already: nobody is cut off, the next one is refused.
    assert.equal((await push({ ...off, maxConnections: 1 })).status, 200);
    await until('the next one is refused', async () => (await flv().catch(() => ({ status: 503 }))).status === 503);
    assert.equal((await statusOf(ports)).streams, 1);
  },
);

test(
  'a drain takes no new session, lets the others end by themselves, and tells the probe',
  { timeout: 300_000 },
  async (t) => {
    const { node } = make(t, 'origin');
    const ports = await node.start();
    const encoder = connect(t, ports.rtmp, 'publish');
    await encoder.started;
    const able = await RtmpPeer.connected(ports.rtmp, 'live', { capsEx: 1 });
    const answer = await fetch(`http://${HOST}:${ports.admin}/drain`, { method: 'POST', headers: AUTH });
    assert.deepEqual([answer.status, ((await answer.json()) as NodeStatus).state], [202, 'draining']);
    assert.equal(await ready(ports), 503);
    assert.match(await (await fetch(`http://${HOST}:${ports.admin}/readyz`)).text(), /drains/);
    assert.equal((await fetch(`http://${HOST}:${ports.admin}/healthz`)).status, 200);
    await assert.rejects(connect(t, ports.rtmp, 'publish', 'b').started, /about to stop/);
    await assert.rejects(connect(t, ports.rtmp, 'play').started, /about to stop/);
    assert.equal((await fetch(`http://${HOST}:${ports.http}/live/a.flv`)).status, 503);
    // E-RTMP's clients are asked to connect anew, and go when it suits them.
    await able.status('NetConnection.Connect.ReconnectRequest');
    assert.equal(able.isClosed, false);
    able.close();
    let isOver = false;
    const drained = node.drain().then(() => (isOver = true));
    await until('only the encoder is left', () => node.status().sessions === 1);
    assert.equal(isOver, false);
    encoder.client.close('the show is over');
    await drained;
    assert.equal(node.state, 'draining', 'it stays up, and not ready, until it is stopped');
    assert.equal(await ready(ports), 503);
  },
);

test('a draining origin still serves the other nodes what it has', { timeout: 300_000 }, async (t) => {
  const backend = new MemoryDirectoryBackend();
  const { node: origin } = make(t, 'origin', { backend });
  const { node: edge } = make(t, 'edge', { backend });
  const [originPorts, edgePorts] = [await origin.start(), await edge.start()];
  await connect(t, originPorts.rtmp, 'publish').started;
  void origin.drain();
  const viewer = connect(t, edgePorts.rtmp, 'play');
  await viewer.started;
  await until('the edge pulls from it', () => edge.status().pulls === 1);
  assert.equal(edge.status().viewers, 1);
});

test('a drain whose time is over ends what is left', { timeout: 300_000 }, async (t) => {
  const { node } = make(t, 'origin');
  const ports = await node.start();
  const encoder = connect(t, ports.rtmp, 'publish');
  const viewer = connect(t, ports.rtmp, 'play', 'nothing');
  await Promise.all([encoder.started, viewer.started]);
  void node.drain(60_000);
  await node.drain(0);
  await Promise.all([encoder.ended, viewer.ended]);
  assert.equal(node.state, 'closed');
});

test('close on the admin port ends every session at once and keeps the port', { timeout: 300_000 }, async (t) => {
  const { node } = make(t, 'origin');
  const ports = await node.start();
  const encoder = connect(t, ports.rtmp, 'publish');
  await encoder.started;
  assert.equal((await fetch(`http://${HOST}:${ports.admin}/close`, { method: 'POST', headers: AUTH })).status, 202);
  await encoder.ended;
  assert.equal(node.state, 'closed');
  assert.equal(await ready(ports), 503);
  await assert.rejects(connect(t, ports.rtmp, 'publish').started);
});

test(
  'the page, the API and media share the HTTP port; bytes that mean nothing hurt nobody',
  { timeout: 300_000 },
  async (t) => {
    const { node } = make(t, 'origin');
    const ports = await node.start();
    for (const base of [`http://${HOST}:${ports.http}`, `http://${HOST}:${ports.api}`]) {
      const versions = (await (await fetch(`${base}/api/v1/versions`)).json()) as { code: number };
      assert.equal(versions.code, 0);
    }
    for (const name of ['streams', 'clients', 'clients/any', 'vhosts', 'summaries']) {
      const { status } = await fetch(`http://${HOST}:${ports.http}/api/v1/${name}`);
      assert.equal(status, 404, `${name} is no business of viewers`);
    }
    assert.match(await (await fetch(`http://${HOST}:${ports.http}/`)).text(), /<title>livecluster player/);
    assert.equal((await fetch(`http://${HOST}:${ports.http}/no/such/thing`)).status, 404);
    assert.equal((await fetch(`http://${HOST}:${ports.http}/metrics`)).status, 404, 'the admin port is another');
    const encoder = connect(t, ports.rtmp, 'publish');
    await encoder.started;
    const { connect: open } = await import('node:net');
    for (const port of Object.values(ports)) {
      const socket = open(port, HOST);
      socket.on('error', () => undefined);
      socket.end(Buffer.alloc(4_000, 0xff));
      await new Promise((resolve) => socket.once('close', resolve).resume());
    }
    assert.equal((await statusOf(ports)).streams, 1);
  },
);
