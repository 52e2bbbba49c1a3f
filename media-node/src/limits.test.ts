import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import type { Role } from '#contract/names.ts';
import { NodeConfig, VHOST_DEFAULTS } from '#contract/node-config.ts';
import type { VhostConfig } from '#contract/node-config.ts';
import { until } from '#contract/testing/until.ts';
import { createMemoryDirectory, MemoryDirectoryBackend } from './cluster/memory-directory.ts';
import { RTMP_VIDEO } from './formats/rtmp-message.ts';
import { createNode } from './node.ts';
import type { MediaNode } from './node.ts';
import type { ListenerPorts } from './node-options.ts';
import { AVC_FRAME, AVC_HEADER, AVC_KEY, RtmpPeer } from './protocols/testing/rtmp-peer.ts';
import { testNodeOptions } from './testing.ts';

/* Limits as a client meets them on whole nodes, and how they change while those run. */

const HOST = '127.0.0.1';
type Limits = VhostConfig['limits'];

const configOf = (limits: Limits, maxConnections = 100) =>
  NodeConfig.parse({
    version: 1,
    logLevel: 'info',
    maxConnections,
    pullHoldMs: 1_000,
    drainMs: 1_000,
    vhosts: [{ ...VHOST_DEFAULTS, name: 'v', hosts: ['__defaultVhost__'], limits }],
  });

interface Running {
  readonly node: MediaNode;
  readonly ports: ListenerPorts;
}

async function start(
  t: TestContext,
  limits: Limits,
  options: { role?: Role; backend?: MemoryDirectoryBackend; maxConnections?: number } = {},
): Promise<Running> {
  const { role = 'origin', backend = new MemoryDirectoryBackend(), maxConnections = 100 } = options;
  const node = createNode({
    ...testNodeOptions(role, 0, configOf(limits, maxConnections)),
    directory: (request) => createMemoryDirectory(backend, request),
  });
  t.after(() => node.close('the test is over'));
  return { node, ports: await node.start() };
}

async function connected(t: TestContext, { ports }: Running): Promise<RtmpPeer> {
  const peer = await RtmpPeer.connected(ports.rtmp);
  t.after(() => peer.close());
  return peer;
}
const metrics = async ({ ports }: Running) => (await fetch(`http://${HOST}:${ports.admin}/metrics`)).text();
const reached = async (running: Running, limit: string) =>
  Number(
    new RegExp(`^livecluster_limits_reached_total\\{limit="${limit}"\\} (\\d+)$`, 'm').exec(
      await metrics(running),
    )?.[1],
  );
const publishing = async (t: TestContext, running: Running, stream: string) => {
  const encoder = await connected(t, running);
  await encoder.publish(stream);
  encoder.sendMedia();
  return encoder;
};
/** What a player over HTTP-FLV gets; one that is served goes on until `leave`. */
async function flv(t: TestContext, { ports }: Running, stream: string) {
  const abort = new AbortController();
  t.after(() => abort.abort());
  const response = await fetch(`http://${HOST}:${ports.http}/live/${stream}.flv`, { signal: abort.signal });
  return { response, leave: () => abort.abort() };
}

test('viewers over the limit get Play.Failed or 503, whatever they play by, until one leaves or it is raised', async (t) => {
  const origin = await start(t, { maxViewersPerStream: 2 });
  await publishing(t, origin, 'a');
  const viewer = await connected(t, origin);
  await viewer.play('a');
  const page = await flv(t, origin, 'a');
  assert.equal(page.response.status, 200);

  const late = await connected(t, origin);
  late.call('play', null, 'a', -2_000);
  const failed = await late.status('NetStream.Play.Failed');
  assert.match(
    String(failed['description']),
    /viewers of the stream on this node: 2, and limits\.maxViewersPerStream is 2/,
  );
  await late.closed();
  const { response } = await flv(t, origin, 'a');
  assert.equal(response.status, 503);
  assert.equal(response.headers.get('retry-after'), '1');
  assert.match(await response.text(), /limits\.maxViewersPerStream is 2: try another node or later/);
  assert.equal(await reached(origin, 'maxViewersPerStream'), 2);

  page.leave();
  await until('the place of the page', () => origin.node.status().viewers === 1);
  await (await connected(t, origin)).play('a');
  origin.node.config.swap(configOf({ maxViewersPerStream: 3 }));
  assert.equal((await flv(t, origin, 'a')).response.status, 200);
  origin.node.config.swap(configOf({ maxViewers: 1 }));
  assert.equal((await flv(t, origin, 'b')).response.status, 503);
  assert.equal(origin.node.status().viewers, 3, 'nobody who is there is ended');
  assert.equal(await reached(origin, 'maxViewers'), 1);
});

test('publishers over the limit are denied, on an edge by the origin that would take them', async (t) => {
  const backend = new MemoryDirectoryBackend();
  const origin = await start(t, { maxPublishers: 1 }, { backend });
  const edge = await start(t, { maxPublishers: 1 }, { backend, role: 'edge' });
  const first = await publishing(t, origin, 'a');
  for (const running of [origin, edge]) {
    const late = await connected(t, running);
    late.call('publish', null, 'b', 'live');
    const denied = await late.status('NetStream.Publish.Denied');
    assert.match(String(denied['description']), /limits\.maxPublishers is 1/);
    await late.closed();
  }
  assert.ok((await reached(origin, 'maxPublishers')) >= 2);
  const again = await connected(t, origin);
  again.call('publish', null, 'a', 'live');
  await again.status('NetStream.Publish.BadName');
  first.call('deleteStream', null, 1);
  await until('the place of the first', () => origin.node.status().streams === 0);
  await publishing(t, edge, 'c');
});

test('an encoder far above maxIngestKbps is ended, one within it goes on', { timeout: 300_000 }, async (t) => {
  const origin = await start(t, { maxIngestKbps: 400 });
  const [fast, slow] = [await publishing(t, origin, 'fast'), await publishing(t, origin, 'slow')];
  fast.send(RTMP_VIDEO, AVC_HEADER);
  let timeMs = 0;
  const large = Buffer.concat([AVC_KEY, Buffer.alloc(20_000)]);
  large.writeUInt32BE(large.length - 9, 5);
  const timer = setInterval(() => {
    timeMs += 40;
    fast.send(RTMP_VIDEO, large, timeMs);
    slow.send(RTMP_VIDEO, AVC_FRAME, timeMs);
  }, 40);
  t.after(() => clearInterval(timer));
  await fast.closed();
  assert.equal(slow.isClosed, false);
  assert.equal(await reached(origin, 'maxIngestKbps'), 1);
});

test('connections over maxConnections are refused by both protocols and counted, and a raised one lets them in', async (t) => {
  const origin = await start(t, {}, { maxConnections: 1 });
  const first = await connected(t, origin);
  const late = await RtmpPeer.open(origin.ports.rtmp);
  late.call('connect', { app: 'live', tcUrl: 'rtmp://a/live' });
  await late.status('NetConnection.Connect.Rejected');
  await late.closed();
  const { response } = await flv(t, origin, 'a');
  assert.equal(response.status, 503);
  assert.match(await metrics(origin), /^livecluster_connections_refused_total 2$/m);
  origin.node.config.swap(configOf({}, 2));
  assert.equal((await flv(t, origin, 'a')).response.status, 200);
  assert.equal(first.isClosed, false);
});
