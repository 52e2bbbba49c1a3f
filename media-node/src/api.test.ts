import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { DEFAULT_VHOST } from '#contract/names.ts';
import type { Role } from '#contract/names.ts';
import { NodeConfig, VHOST_DEFAULTS } from '#contract/node-config.ts';
import { until } from '#contract/testing/until.ts';
import { createMemoryDirectory, MemoryDirectoryBackend } from './cluster/memory-directory.ts';
import { createNode } from './node.ts';
import type { ListenerPorts } from './node-options.ts';
import { RtmpPeer } from './protocols/testing/rtmp-peer.ts';
import { testNodeOptions } from './testing.ts';

/* SRS's HTTP API of an origin and an edge that carry a stream. */

const HOST = '127.0.0.1';

async function start(t: TestContext, role: Role, backend: MemoryDirectoryBackend): Promise<ListenerPorts> {
  const node = createNode({
    ...testNodeOptions(
      role,
      0,
      NodeConfig.parse({
        version: 1,
        logLevel: 'info',
        maxConnections: 100,
        pullHoldMs: 1_000,
        drainMs: 60_000,
        vhosts: [{ ...VHOST_DEFAULTS, name: DEFAULT_VHOST, hosts: [DEFAULT_VHOST] }],
      }),
    ),
    directory: (request) => createMemoryDirectory(backend, request),
  });
  t.after(() => node.close('the test is over'));
  return node.start();
}

type Item = Record<string, unknown>;

test(
  'origin and edge tell of a stream and its clients, and end whom they are told to',
  { timeout: 300_000 },
  async (t) => {
    const backend = new MemoryDirectoryBackend();
    const [origin, edge] = [await start(t, 'origin', backend), await start(t, 'edge', backend)];
    const list = async ({ api }: ListenerPorts, name: 'streams' | 'clients'): Promise<Item[]> => {
      const body = (await (await fetch(`http://${HOST}:${api}/api/v1/${name}/?count=100`)).json()) as Item;
      assert.equal(body['code'], 0);
      return body[name] as Item[];
    };

    const encoder = await RtmpPeer.connected(origin.rtmp);
    t.after(() => encoder.close());
    await encoder.publish('show?token=secret');
    encoder.sendMedia();
    const viewer = await RtmpPeer.connected(edge.rtmp);
    t.after(() => viewer.close());
    await viewer.play('show');
    const flv = await fetch(`http://${HOST}:${edge.http}/live/show.flv`, {
      headers: { referer: 'https://a.example/' },
    });
    const reader = flv.body?.getReader();
    await reader?.read();
    await until('media at the viewer', () => viewer.media().length > 0);

    const [atOrigin] = await list(origin, 'streams');
    const [atEdge] = await list(edge, 'streams');
    assert.equal(atOrigin?.['id'], atEdge?.['id'], 'one stream has one id in the cluster');
    assert.deepEqual(
      [atOrigin, atEdge].map((stream) => [
        stream?.['name'],
        stream?.['source'],
        stream?.['clients'],
        stream?.['viewers'],
      ]),
      [
        ['show', 'encoder', 2, 0],
        ['show', 'relay', 2, 2],
      ],
    );
    assert.deepEqual(
      (await list(origin, 'clients')).map(({ type, relay }) => [type, relay]),
      [
        ['fmle-publish', false],
        ['rtmp-play', true],
      ],
    );
    const viewers = await list(edge, 'clients');
    assert.deepEqual(
      viewers.map(({ type, pageUrl, url }) => [type, pageUrl, url]),
      [
        ['rtmp-play', '', '/live/show'],
        ['flv-play', 'https://a.example/', '/live/show'],
      ],
    );
    assert.doesNotMatch(JSON.stringify([atOrigin, viewers]), /secret/);

    for (const { id } of viewers) {
      const answer = await fetch(`http://${HOST}:${edge.api}/api/v1/clients/${id as string}`, { method: 'DELETE' });
      assert.equal(((await answer.json()) as Item)['code'], 0);
    }
    await viewer.closed();
    for (let isDone = false; !isDone;) isDone = (await reader?.read())?.done ?? true;
    while ((await list(edge, 'clients')).length > 0) await delay(10);

    const summaries = await (await fetch(`http://${HOST}:${origin.api}/api/v1/summaries`)).json();
    const { data } = summaries as { data: { self: Item; system: Record<string, number> } };
    assert.equal(data.self['pid'], process.pid);
    assert.ok((data.system['srs_recv_bytes'] ?? 0) > 0 && (data.system['conn_srs'] ?? 0) >= 2);
  },
);
