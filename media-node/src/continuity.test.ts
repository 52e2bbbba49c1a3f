import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, afterEach, before, describe, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { DEFAULT_VHOST } from '#contract/names.ts';
import type { Role } from '#contract/names.ts';
import { NodeConfig, VHOST_DEFAULTS } from '#contract/node-config.ts';
import { until } from '#contract/testing/until.ts';
import { createMemoryDirectory, MemoryDirectoryBackend } from './cluster/memory-directory.ts';
import { createRedisDirectory } from './cluster/redis-directory.ts';
import { CutProxy } from './cluster/testing/cut-proxy.ts';
import { TestRedis } from './cluster/testing/redis-server.ts';
import { RTMP_VIDEO } from './formats/rtmp-message.ts';
import { createNode } from './node.ts';
import type { MediaNode } from './node.ts';
import type { DirectoryRequest, ListenerPorts } from './node-options.ts';
import { AVC_FRAME, RtmpPeer } from './protocols/testing/rtmp-peer.ts';
import { testNodeOptions } from './testing.ts';

/*
 * What viewers see of publishers that are lost, come back, move and are replaced: nothing but the same connection and
 * times that go on. Two origins and an edge with real sockets, on either directory.
 */

const HOST = '127.0.0.1';
const CONFIG = NodeConfig.parse({
  version: 1,
  logLevel: 'info',
  maxConnections: 100,
  pullHoldMs: 1_000,
  drainMs: 60_000,
  vhosts: [
    { ...VHOST_DEFAULTS, name: DEFAULT_VHOST, hosts: [DEFAULT_VHOST] },
    {
      ...VHOST_DEFAULTS,
      name: 'replace',
      hosts: ['replace.example'],
      publish: { ...VHOST_DEFAULTS.publish, takeover: 'Replace' },
    },
  ],
});

interface Running {
  readonly node: MediaNode;
  readonly ports: ListenerPorts;
}

/** Where the nodes of a test keep their records. */
interface Kind {
  readonly name: string;
  open(): Promise<(request: DirectoryRequest) => ReturnType<typeof createMemoryDirectory>>;
  close(): Promise<void>;
}

let redis: TestRedis | undefined;
const KINDS: readonly Kind[] = [
  {
    name: 'memory',
    open: async () => {
      const backend = new MemoryDirectoryBackend();
      return (request) => createMemoryDirectory(backend, request);
    },
    close: async () => {},
  },
  {
    name: 'Redis',
    open: async () => {
      redis ??= await TestRedis.start();
      const { url } = redis;
      const cluster = randomUUID();
      return (request) => createRedisDirectory({ ...request, url, namespace: 'ns', cluster });
    },
    close: async () => redis?.close(),
  },
];

for (const kind of KINDS) {
  describe(`on the directory in ${kind.name}`, { timeout: 300_000 }, () => {
    let [a, b, edge]: Running[] = [];
    const closers: (() => unknown)[] = [];
    /** What the other nodes reach the first origin's RTMP port by. */
    let link: CutProxy | undefined;

    before(async () => {
      const directory = await kind.open();
      const proxy = await CutProxy.to();
      link = proxy;
      const linked = (request: DirectoryRequest): ReturnType<typeof directory> => {
        proxy.target = request.node.rtmpPort;
        return directory({ ...request, node: { ...request.node, rtmpPort: proxy.port } });
      };
      const start = async (role: Role, ordinal: number): Promise<Running> => {
        const node = createNode({
          ...testNodeOptions(role, ordinal, CONFIG),
          ports: { rtmp: 0, rtmps: 0, http: 0, api: 0, admin: 0 },
          directory: role === 'origin' && ordinal === 0 ? linked : directory,
        });
        return { node, ports: await node.start() };
      };
      [a, b, edge] = await Promise.all([start('origin', 0), start('origin', 1), start('edge', 0)]);
    });
    after(async () => {
      for (const running of [a, b, edge]) await running?.node.close('the test is over');
      link?.close();
      await kind.close();
    });
    afterEach(() => {
      for (const close of closers.splice(0)) close();
    });

    async function peer(to: Running | undefined, vhost?: string): Promise<RtmpPeer> {
      const app = vhost === undefined ? 'live' : `live?vhost=${vhost}`;
      const connected = await RtmpPeer.connected(to?.ports.rtmp ?? 0, app);
      closers.push(() => connected.close());
      return connected;
    }

    /** An encoder that sends a key frame and then frames, 40 ms apart by its own clock. */
    async function encoder(to: Running | undefined, stream: string, startMs: number, vhost?: string): Promise<Encoder> {
      const connected = await peer(to, vhost);
      await connected.publish(stream);
      return new Encoder(connected, startMs);
    }

    async function viewer(at: Running | undefined, stream: string, vhost?: string): Promise<Viewer> {
      const connected = await peer(at, vhost);
      await connected.play(stream);
      return new Viewer(connected);
    }

    async function metric(of: Running | undefined, name: string): Promise<number> {
      const text = await (await fetch(`http://${HOST}:${of?.ports.admin}/metrics`)).text();
      return Number(new RegExp(`^${name} (.+)$`, 'm').exec(text)?.[1]);
    }

    test('an encoder that reconnects to its origin costs the edge nothing, and viewers go on', async () => {
      const stream = `back-${kind.name}`;
      const first = await encoder(a, stream, 5_000);
      const viewers = [await viewer(edge, stream), await viewer(a, stream)];
      first.send(5);
      for (const each of viewers) await each.has(5);
      const pulls = await metric(edge, 'livecluster_pulls_started_total');
      const claims = await metric(a, 'livecluster_claims_total');
      first.peer.close();
      await until('the origin to notice', () => a?.node.status().streams === 0);
      const second = await encoder(a, stream, 900_000);
      second.send(5);
      for (const each of viewers) await each.has(10);
      for (const each of viewers) each.assertGoesOn();
      assert.equal(await metric(edge, 'livecluster_pulls_started_total'), pulls);
      assert.equal(await metric(a, 'livecluster_claims_total'), claims);
      assert.equal(await metric(a, 'livecluster_publishers_awaited'), 0);
    });

    test('an encoder that dies and comes to the other origin at once gets its stream', async () => {
      for (const end of ['end', 'resetAndDestroy'] as const) {
        const stream = `moves-${end}-${kind.name}`;
        const first = await encoder(a, stream, 5_000);
        const feed = setInterval(() => first.send(1), 40);
        closers.push(() => clearInterval(feed));
        // With nobody who waits for its bytes its socket is read a few times a second.
        const framesIn = () => metric(a, 'livecluster_received_frames_total');
        for (const least = (await framesIn()) + 30; (await framesIn()) < least;) await nextTurn();
        clearInterval(feed);
        first.peer.socket[end]();
        const second = await encoder(b, stream, 900_000);
        const seen = await viewer(edge, stream);
        second.send(5);
        await seen.has(5);
        second.peer.close();
      }
    });

    test('an encoder that reconnects to the edge is handed on to the origin that waits for it', async () => {
      const stream = `edge-${kind.name}`;
      const first = await encoder(edge, stream, 5_000);
      const viewers = [await viewer(edge, stream), await viewer(a, stream), await viewer(b, stream)];
      first.send(5);
      for (const each of viewers) await each.has(5);
      const pulls = await metric(edge, 'livecluster_pulls_started_total');
      first.peer.close();
      await until('the origins to notice', () => [a, b].every((origin) => origin?.node.status().streams === 0));
      const second = await encoder(edge, stream, 900_000);
      second.send(5);
      for (const each of viewers) await each.has(10);
      for (const each of viewers) each.assertGoesOn();
      assert.equal(await metric(edge, 'livecluster_pulls_started_total'), pulls);
    });

    test('a pull that stalls begins again, and viewers get every frame once', async () => {
      const stream = `stalled-${kind.name}`;
      const source = await encoder(a, stream, 5_000);
      const seen = await viewer(edge, stream);
      source.send(5);
      await seen.has(5);
      link?.freeze();
      source.send(5);
      const pulls = await metric(edge, 'livecluster_pulls_started_total');
      await seen.has(10);
      source.send(5);
      await seen.has(15);
      seen.assertGoesOn();
      assert.equal(seen.timesMs().length, 15);
      assert.equal(await metric(edge, 'livecluster_pulls_started_total'), pulls + 1);
    });

    test('an encoder on an edge that is cut off from its origin notices nothing, nor do viewers', async () => {
      const stream = `pushed-${kind.name}`;
      const source = await encoder(edge, stream, 5_000);
      const viewers = [await viewer(edge, stream), await viewer(a, stream), await viewer(b, stream)];
      const feed = setInterval(() => source.send(1), 50);
      closers.push(() => clearInterval(feed));
      for (const each of viewers) await each.has(5);
      link?.freeze();
      const stalled = Math.max(...viewers.map((each) => each.timesMs().length));
      // More than was sent when the origin gave the cut connection up.
      for (const each of viewers) await each.has(stalled + 150);
      for (const each of viewers) each.assertGoesOn();
      assert.equal(source.peer.isClosed, false);
    });

    test('one that comes back on another origin has the stream at once, and viewers everywhere go on', async () => {
      const stream = `moved-${kind.name}`;
      const first = await encoder(a, stream, 5_000);
      const viewers = [await viewer(edge, stream), await viewer(a, stream), await viewer(b, stream)];
      first.send(5);
      for (const each of viewers) await each.has(5);
      first.peer.close();
      await until('the origin to notice', () => a?.node.status().streams === 0);
      const second = await encoder(b, stream, 0);
      second.send(5);
      for (const each of viewers) await each.has(10);
      for (const each of viewers) each.assertGoesOn();
      second.send(1);
      for (const each of viewers) await each.has(11);
    });

    test('a second one is refused while one is live, on the same origin, on another, through the edge', async () => {
      const stream = `busy-${kind.name}`;
      const first = await encoder(a, stream, 0);
      const seen = await viewer(edge, stream);
      first.send(2);
      await seen.has(2);
      for (const node of [a, b, edge]) {
        const second = await peer(node);
        second.call('publish', null, stream, 'live');
        await second.status('NetStream.Publish.BadName');
        await second.closed();
      }
      first.send(2);
      await seen.has(4);
      seen.assertGoesOn();
    });

    test('with Replace the second one has the stream, wherever it comes, and viewers go on', async () => {
      const stream = `replaced-${kind.name}`;
      let last = await encoder(a, stream, 0, 'replace.example');
      const viewers = [await viewer(edge, stream, 'replace.example'), await viewer(b, stream, 'replace.example')];
      last.send(3);
      let expected = 3;
      for (const each of viewers) await each.has(expected);
      for (const [index, node] of [a, b, edge, a].entries()) {
        const next = await encoder(node, stream, index * 77_000, 'replace.example');
        await last.peer.closed();
        next.send(3);
        expected += 3;
        for (const each of viewers) await each.has(expected);
        last = next;
      }
      for (const each of viewers) each.assertGoesOn();
    });
  });
}

class Encoder {
  readonly peer: RtmpPeer;
  #nextMs: number;
  #hasBegun = false;

  constructor(peer: RtmpPeer, startMs: number) {
    this.peer = peer;
    this.#nextMs = startMs;
  }

  send(frames: number): void {
    for (let frame = 0; frame < frames; frame++) {
      if (this.#hasBegun) this.peer.send(RTMP_VIDEO, AVC_FRAME, this.#nextMs);
      else this.peer.sendMedia(this.#nextMs);
      this.#hasBegun = true;
      this.#nextMs += 40;
    }
  }
}

class Viewer {
  readonly #peer: RtmpPeer;

  constructor(peer: RtmpPeer) {
    this.#peer = peer;
  }

  /** Times of the frames, without configurations. */
  timesMs(): number[] {
    return this.#peer
      .media()
      .filter(({ type, payload }) => type === RTMP_VIDEO && payload[1] === 1)
      .map(({ timestampMs }) => timestampMs);
  }

  async has(frames: number): Promise<void> {
    await until(`${frames} frames`, () => this.timesMs().length >= frames);
  }

  /** Every step is that of one frame: nothing twice, nothing missing, no jump. */
  assertGoesOn(): void {
    const times = this.timesMs();
    const steps = times.slice(1).map((timeMs, index) => timeMs - (times[index] ?? 0));
    assert.ok(
      steps.every((stepMs) => stepMs === 40),
      times.join(' '),
    );
    assert.equal(this.#peer.isClosed, false);
  }
}
