import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { pino } from 'pino';
import { readLoop } from './demo-loop.ts';
import { DemoPublisher } from './demo-publisher.ts';
import { LocalCluster } from './local-cluster.ts';
import type { RunningNode } from './local-cluster.ts';
import { planFrom } from './plan.ts';
import { metric, probe, until } from './testing.ts';

/* HLS from the nodes of a cluster, with sockets between them: other people's player, and a viewer that goes from node to node. */

const HOST = '127.0.0.1';
const vhost = (name: string, hls: string): string => `
---
apiVersion: livecluster.io/v1alpha1
kind: Vhost
metadata: {name: ${name}}
spec: {clusterRef: {name: live}, hosts: [${name}.example], hls: ${hls}}`;
const PLAN = `
apiVersion: livecluster.io/v1alpha1
kind: LiveCluster
metadata: {name: live}
spec: {origin: {replicas: 1}, edge: {replicas: 2}}
${vhost('ts', '{fragment: 500ms}')}
${vhost('fmp4', '{fragment: 500ms, container: fmp4}')}
${vhost('low', '{fragment: 1s, lowLatency: {enabled: true, part: 400ms}}')}
${vhost('keys', '{fragment: 500ms, keys: {enabled: true, fragmentsPerKey: 2}}')}
`;

const logger = pino({ level: 'silent' });
const any = { rtmp: 0, rtmps: 0, http: 0, api: 0, admin: 0 };
const cluster = new LocalCluster({ host: HOST, firstOrigin: any, anyPorts: true, logger, note: () => undefined });
const publishers: DemoPublisher[] = [];

before(async () => {
  await cluster.apply(planFrom(PLAN));
  const port = (): number => node('origin-0').ports.rtmp;
  for (const name of ['ts', 'fmp4', 'low', 'keys']) {
    const app = `live?vhost=${name}.example`;
    publishers.push(new DemoPublisher({ loop: readLoop(), host: HOST, port, app, stream: 'demo', log: logger }));
  }
});
after(async () => {
  for (const publisher of publishers) publisher.close('the test is over');
  await cluster.close('the test is over', 0);
});

function node(name: string): RunningNode {
  const found = cluster.nodes.find((each) => each.name === name);
  assert.ok(found, name);
  return found;
}

const addressOf = (name: string, file: string): string => `http://${HOST}:${node(name).ports.http}/live/${file}`;

test('ffmpeg plays MPEG-TS, fragmented MP4, low latency and encrypted segments, from an edge and from the origin', async () => {
  const plays = ['ts', 'fmp4', 'low', 'keys'].map(async (name, index) => {
    const from = index % 2 === 0 ? 'edge-0' : 'origin-0';
    const url = addressOf(from, `demo.m3u8?vhost=${name}.example`);
    await until(`${name} begins`, async () => (await fetch(url)).ok);
    const packets = await probe(url, 2);
    for (const track of ['video', 'audio'] as const) {
      const times = packets.filter(({ codec }) => codec === track).map(({ dtsMs }) => dtsMs);
      assert.ok(times.length > 20, `${name}: ${times.length} packets of ${track}`);
      const back = times.findIndex((dtsMs, at) => at > 0 && dtsMs <= times[at - 1]!);
      assert.equal(back, -1, `${name}: times of ${track} rise`);
    }
    assert.ok(packets.find(({ codec }) => codec === 'video')?.isKey, `${name}: a key frame first`);
  });
  await Promise.all(plays);
});

interface ListedClient {
  readonly id: string;
  readonly type: string;
  readonly send_bytes: number;
}

async function clientsOf(name: string): Promise<ListedClient[]> {
  const answer = await fetch(`http://${HOST}:${node(name).ports.api}/api/v1/clients/?count=100`);
  return ((await answer.json()) as { clients: ListedClient[] }).clients.filter(({ type }) => type === 'hls-play');
}

/** What a node says of the tracks of the Vhost ts's stream. */
async function tracksOf(name: string): Promise<{ video: { codec: string } | null; audio: object | null } | undefined> {
  const answer = await fetch(`http://${HOST}:${node(name).ports.api}/api/v1/streams/?count=100`);
  const { streams } = (await answer.json()) as {
    streams: { url: string; video: { codec: string } | null; audio: object | null }[];
  };
  const found = streams.find(({ url }) => url === 'ts/live/demo');
  return found && { video: found.video, audio: found.audio };
}

test('a viewer that goes from edge to edge is one viewer of the cluster, and is ended on all of them at once', async () => {
  const url = addressOf('edge-0', 'demo.m3u8?vhost=ts.example');
  const multivariant = await until('a playlist', async () => {
    const answer = await fetch(url, { headers: { Connection: 'close' } });
    return answer.ok && answer.text();
  });
  const media = multivariant.split('\n').find((line) => line.includes('hls_ctx='));
  assert.ok(media !== undefined);
  const others = new Set([...(await clientsOf('edge-0')), ...(await clientsOf('edge-1'))].map(({ id }) => id));
  const edges = ['edge-0', 'edge-1'];
  for (const name of [...edges, ...edges]) {
    const playlist = await fetch(addressOf(name, media));
    assert.equal(playlist.status, 200, await playlist.clone().text());
    const segment = (await playlist.text()).split('\n').find((line) => line.startsWith('demo-'));
    assert.equal((await fetch(addressOf(name, segment!))).status, 200);
  }
  const mine = async (name: string): Promise<ListedClient[]> =>
    (await clientsOf(name)).filter(({ id }) => !others.has(id));
  const listed = [...(await mine('edge-0')), ...(await mine('edge-1'))];
  assert.equal(listed.length, 1, 'the first node that was asked counts it');
  const [client] = await mine('edge-0');
  assert.ok(client !== undefined && client.send_bytes > 10_000, 'what it was sent is known');
  assert.ok((await metric(node('edge-0').ports.admin, 'livecluster_players{protocol="hls"}')) >= 1);

  const [edge, origin] = [await tracksOf('edge-0'), await tracksOf('origin-0')];
  assert.equal(edge?.video?.codec, 'H264', 'though no frame of it comes there');
  assert.deepEqual(edge, origin);

  const answer = await fetch(`http://${HOST}:${node('edge-0').ports.api}/api/v1/clients/${client.id}`, {
    method: 'DELETE',
  });
  assert.equal(((await answer.json()) as { code: number }).code, 0);
  assert.equal((await fetch(addressOf('edge-0', media))).status, 403);
  await until('the other edge refuses it too', async () => (await fetch(addressOf('edge-1', media))).status === 403);
  assert.equal((await mine('edge-0')).length + (await mine('edge-1')).length, 0);
  assert.equal((await fetch(url)).status, 200, 'it may begin anew');
});
