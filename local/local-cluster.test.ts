import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { pino } from 'pino';
import { nodeConfigHash } from '#contract/node-config.ts';
import { readLoop } from './demo-loop.ts';
import { DemoPublisher } from './demo-publisher.ts';
import { LocalCluster, LocalClusterError } from './local-cluster.ts';
import type { RunningNode } from './local-cluster.ts';
import { planFrom } from './plan.ts';
import { portsOf } from './port-plan.ts';
import type { NodePorts } from './port-plan.ts';
import { metric, probe, until } from './testing.ts';
import type { ProbedPacket } from './testing.ts';

const HOST = '127.0.0.1';
const ANY: NodePorts = { rtmp: 0, rtmps: 0, http: 0, api: 0, admin: 0 };

const yaml = (spec: string, vhost = '') => `
apiVersion: livecluster.io/v1alpha1
kind: LiveCluster
metadata: {name: live}
spec: ${spec}
${vhost}
`;

async function run(t: TestContext, text: string, folders: { readonly segments?: string } = {}) {
  const notes: string[] = [];
  const logger = pino({ level: 'silent' });
  const cluster = new LocalCluster({
    host: HOST,
    firstOrigin: ANY,
    anyPorts: true,
    logger,
    ...folders,
    note: (line) => notes.push(line),
  });
  t.after(() => cluster.close('the test is over', 0));
  await cluster.apply(planFrom(text));
  const node = (name: string): RunningNode => {
    const found = cluster.nodes.find((each) => each.name === name);
    assert.ok(found, name);
    return found;
  };
  const publish = (to: string, stream = 'demo') => {
    const options = { loop: readLoop(), host: HOST, port: () => node(to).ports.rtmp, app: 'live', stream, log: logger };
    const publisher = new DemoPublisher(options);
    t.after(() => publisher.close('the test is over'));
    return publisher;
  };
  return { cluster, node, notes, publish };
}

const rtmp = ({ ports }: RunningNode, stream = 'demo') => `rtmp://${HOST}:${ports.rtmp}/live/${stream}`;
const flv = ({ ports }: RunningNode, stream = 'demo') => `http://${HOST}:${ports.http}/live/${stream}.flv`;

/** Key frame first, and the decoding times of each track rise strictly. */
function assertPlayable(packets: readonly ProbedPacket[], what: string): void {
  const video = packets.filter(({ codec }) => codec === 'video');
  const audio = packets.filter(({ codec }) => codec === 'audio');
  assert.ok(video.length > 20 && audio.length > 20, `${what}: ${video.length} video and ${audio.length} audio packets`);
  assert.ok(video[0]?.isKey, `${what}: key frame first`);
  for (const track of [video, audio]) {
    for (const [index, { dtsMs }] of track.entries()) {
      const before = track[index - 1]?.dtsMs ?? -1;
      assert.ok(dtsMs > before, `${what}: ${track[0]?.codec} dts ${dtsMs} after ${before}`);
    }
  }
}

test(
  'every node plays the stream over RTMP and HTTP-FLV, and an edge has it by one pull, whatever its viewers',
  { timeout: 300_000 },
  async (t) => {
    const { node, publish } = await run(t, yaml('{origin: {replicas: 2}, edge: {replicas: 2, pull: {hold: 1s}}}'));
    publish('origin-0');
    const origin = node('origin-0');
    await until(
      'the origin has the stream',
      async () => (await metric(origin.ports.admin, 'livecluster_streams')) === 1,
    );
    const accepted = 'livecluster_connections_accepted_total{protocol="rtmp"}';
    assert.equal(await metric(origin.ports.admin, accepted), 1, 'the encoder alone is connected: nothing was pulled');

    const edge = node('edge-0');
    assert.equal(
      await metric(edge.ports.admin, 'livecluster_pulls_started_total'),
      0,
      'no pull before the first viewer',
    );
    const [first, second] = [probe(rtmp(edge), 4), probe(flv(edge), 4)];
    await until('the edge has both viewers', async () => {
      const viewers = ['rtmp', 'flv'].map((protocol) =>
        metric(edge.ports.admin, `livecluster_players{protocol="${protocol}"}`),
      );
      return (await Promise.all(viewers)).every((count) => count === 1);
    });
    assert.equal(await metric(edge.ports.admin, 'livecluster_pulls'), 1);
    assert.equal(await metric(edge.ports.admin, 'livecluster_pulls_started_total'), 1, 'one pull with two viewers');
    assert.equal(await metric(origin.ports.admin, 'livecluster_relay_players'), 1);
    assert.equal(await metric(origin.ports.admin, accepted), 2, 'the frames came by one TCP connection to the origin');
    assertPlayable(await first, 'edge-0 RTMP');
    assertPlayable(await second, 'edge-0 HTTP-FLV');
    await until(
      'the pull ends after the hold time',
      async () => (await metric(edge.ports.admin, 'livecluster_pulls')) === 0,
    );
    await until(
      'the origin is rid of it',
      async () => (await metric(origin.ports.admin, 'livecluster_relay_players')) === 0,
    );

    for (const name of ['origin-0', 'origin-1', 'edge-1'])
      assertPlayable(await probe(rtmp(node(name)), 2), `${name} RTMP`);
    assert.equal(
      await metric(origin.ports.admin, accepted),
      5,
      'a probe at the origin, a pull each by origin-1 and edge-1',
    );
  },
);

test('the loop of the test picture has no seam for who watches across it', { timeout: 300_000 }, async (t) => {
  const { node, publish } = await run(t, yaml('{origin: {replicas: 1}, edge: {replicas: 1}}'));
  publish('origin-0');
  const packets = await probe(flv(node('edge-0')), 6);
  assertPlayable(packets, 'edge-0');
  const video = packets.filter(({ codec }) => codec === 'video').map(({ dtsMs }) => dtsMs);
  for (const [index, dtsMs] of video.entries()) {
    const step = dtsMs - (video[index - 1] ?? dtsMs - 40);
    assert.ok(Math.abs(step - 40) <= 1, `a step of ${step} ms at ${dtsMs} ms`);
  }
});

test('a stream published to an edge is played from every other node', { timeout: 300_000 }, async (t) => {
  const { node, publish } = await run(t, yaml('{origin: {replicas: 2}, edge: {replicas: 2}}'));
  publish('edge-0', 'handed-on');
  for (const name of ['edge-1', 'origin-0', 'origin-1', 'edge-0']) {
    assertPlayable(await probe(flv(node(name), 'handed-on'), 1.5), name);
  }
});

test(
  'an edit changes what runs: vhosts are pushed, nodes come and go, viewers of a staying node stay',
  { timeout: 300_000 },
  async (t) => {
    const { cluster, node, notes, publish } = await run(t, yaml('{origin: {replicas: 1}, edge: {replicas: 1}}'));
    publish('origin-0');
    const edge = node('edge-0');
    const before = edge.media.config.hash;
    const watching = probe(rtmp(edge), 5);
    await until(
      'the viewer is there',
      async () => (await metric(edge.ports.admin, 'livecluster_players{protocol="rtmp"}')) === 1,
    );

    const vhost = `---
apiVersion: livecluster.io/v1alpha1
kind: Vhost
metadata: {name: shop}
spec: {clusterRef: {name: live}, hosts: [shop.example]}
`;
    const plan = planFrom(yaml('{origin: {replicas: 1}, edge: {replicas: 2}}', vhost));
    await cluster.apply(plan);
    assert.deepEqual(
      cluster.nodes.map(({ name }) => name),
      ['origin-0', 'edge-0', 'edge-1'],
    );
    assert.equal(node('edge-0').media, edge.media, 'the same node, not a new one');
    assert.notEqual(edge.media.config.hash, before);
    const planned = plan.nodes.find(({ name }) => name === 'edge-0');
    assert.ok(planned !== undefined && edge.media.config.hash === nodeConfigHash(planned.config));
    assert.equal(edge.media.config.vhosts.find('shop.example')?.name, 'shop');

    const gone = node('edge-1').ports;
    await cluster.apply(planFrom(yaml('{origin: {replicas: 1}, edge: {replicas: 1}}')), 0);
    assert.deepEqual(
      cluster.nodes.map(({ name }) => name),
      ['origin-0', 'edge-0'],
    );
    assert.deepEqual(notes, ['edge-1 is gone']);
    await assert.rejects(fetch(`http://${HOST}:${gone.http}/`));
    assertPlayable(await watching, 'the viewer through all this');
  },
);

test(
  'a port of the first origin that is taken ends the start with the mend; another node moves',
  { timeout: 300_000 },
  async (t) => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, HOST, resolve));
    t.after(() => taken.close());
    const { port } = taken.address() as AddressInfo;
    const cluster = new LocalCluster({
      host: HOST,
      firstOrigin: { ...ANY, rtmp: port },
      anyPorts: true,
      logger: pino({ level: 'silent' }),
      note: () => undefined,
    });
    t.after(() => cluster.close('the test is over', 0));
    await assert.rejects(
      cluster.apply(planFrom(yaml('{origin: {replicas: 1}, edge: {replicas: 1}}'))),
      (error) =>
        error instanceof LocalClusterError &&
        error.message.includes(`Port ${port} is taken`) &&
        error.message.includes(`make run RTMP_PORT=${port + 1}`),
    );
    assert.deepEqual(cluster.nodes, []);
  },
);

test('an edge whose port is taken moves and says so', { timeout: 300_000 }, async (t) => {
  const { rtmp: port } = portsOf('edge', 0, ANY);
  const taken = createServer();
  // Whoever has it already serves the test as well.
  await new Promise<void>((resolve) => taken.once('error', () => resolve()).listen(port, HOST, resolve));
  t.after(() => taken.close());
  const notes: string[] = [];
  const logger = pino({ level: 'silent' });
  const cluster = new LocalCluster({ host: HOST, firstOrigin: ANY, logger, note: (line) => notes.push(line) });
  t.after(() => cluster.close('the test is over', 0));
  await cluster.apply(planFrom(yaml('{origin: {replicas: 1}, edge: {replicas: 1}}')));
  const used = cluster.nodes.find(({ name }) => name === 'edge-0')?.ports.rtmp;
  assert.notEqual(used, port);
  const said = notes.join('\n');
  assert.match(said, new RegExp(`edge-0: port ${port} \\(RTMP\\) is taken by another program, \\d+ is used`));
  // Others may have the first spare ports as well.
  assert.match(said, new RegExp(`^edge-0: port \\d+ \\(RTMP\\) is taken by another program, ${used} is used$`, 'm'));
});

test('the nodes of one process are apart: state, sockets and metrics', { timeout: 300_000 }, async (t) => {
  const { cluster } = await run(t, yaml('{origin: {replicas: 2}, edge: {replicas: 2}}'));
  const ports = cluster.nodes.flatMap((each) => Object.values(each.ports));
  assert.equal(new Set(ports).size, 16);
  assert.equal(new Set(cluster.nodes.map(({ media }) => media.nodeId)).size, 4);
  for (const {
    role,
    ports: { admin },
  } of cluster.nodes) {
    assert.equal(await metric(admin, `livecluster_node_info{role="${role}",version="0.1.0"}`), 1);
    assert.equal(await metric(admin, 'livecluster_directory_up'), 1);
  }
});

test('segments go to a folder of their origin where the file has storage for them', { timeout: 300_000 }, async (t) => {
  const segments = await mkdtemp(join(tmpdir(), 'livecluster-segments-'));
  const { cluster, notes, publish } = await run(
    t,
    yaml('{origin: {replicas: 1, storage: {hls: {type: PVC}}}, edge: {replicas: 1}}'),
    { segments },
  );
  t.after(() => rm(segments, { recursive: true, force: true }));
  publish('origin-0');
  const ofOrigin = join(segments, 'origin-0');
  await until('there is a playlist and a segment', async () => {
    const files = await readdir(ofOrigin, { recursive: true }).catch(() => []);
    return files.some((file) => file.endsWith('demo.m3u8')) && files.some((file) => file.endsWith('.ts'));
  });
  assert.deepEqual(await readdir(segments), ['origin-0'], 'edges keep none');
  await cluster.apply(planFrom(yaml('{origin: {replicas: 1}, edge: {replicas: 1}}')));
  assert.match(notes.join(), /origin\.storage\.hls changed; origins take it up at the next start/);
});
