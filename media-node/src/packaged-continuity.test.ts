import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { after, describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import type { Role } from '#contract/names.ts';
import { DEFAULT_VHOST } from '#contract/names.ts';
import { NodeConfig, VHOST_DEFAULTS } from '#contract/node-config.ts';
import { until } from '#contract/testing/until.ts';
import type { LeasedDirectory } from './cluster/leased-directory.ts';
import { createMemoryDirectory, MemoryDirectoryBackend } from './cluster/memory-directory.ts';
import { MemorySharedBackend, MemorySharedStore } from './cluster/memory-shared-store.ts';
import { createRedisDirectory } from './cluster/redis-directory.ts';
import { createRedisSharedState } from './cluster/redis-shared-store.ts';
import { SharedState } from './cluster/shared-state.ts';
import { CutProxy } from './cluster/testing/cut-proxy.ts';
import { TestRedis } from './cluster/testing/redis-server.ts';
import { RTMP_AUDIO, RTMP_VIDEO } from './formats/rtmp-message.ts';
import { createNode } from './node.ts';
import type { MediaNode } from './node.ts';
import type { DirectoryRequest, ListenerPorts, SharedStateRequest } from './node-options.ts';
import { AAC_FRAME, AVC_FRAME, AVC_KEY, RtmpPeer } from './protocols/testing/rtmp-peer.ts';
import { testNodeOptions } from './testing.ts';

/*
 * HLS while its origin dies: two origins and two edges with real sockets, an encoder that comes to the other origin, viewers
 * whose every request goes to any edge.
 */

const HOST = '127.0.0.1';
const VIEWERS = 8;
const HLS = { ...VHOST_DEFAULTS.hls, fragmentMs: 1_000, windowMs: 6_000 };
const vhost = (name: string, host: string, hls: object) => ({ ...VHOST_DEFAULTS, name, hosts: [host], hls });
const CONFIG = NodeConfig.parse({
  version: 1,
  logLevel: 'info',
  maxConnections: 1_000,
  pullHoldMs: 30_000,
  drainMs: 60_000,
  vhosts: [
    vhost(DEFAULT_VHOST, DEFAULT_VHOST, HLS),
    vhost('low', 'low.example', { ...HLS, container: 'fmp4', lowLatency: { enabled: true, partMs: 200 } }),
  ],
});

interface Kind {
  /** Takes directory and shared state away. */
  stop?(): Promise<void>;
  /** They forget everything. */
  empty?(): Promise<void>;
  directory(request: DirectoryRequest): LeasedDirectory;
  shared(request: SharedStateRequest): SharedState;
}

interface Running {
  readonly node: MediaNode;
  readonly ports: ListenerPorts;
  /** Nodes of a role that it knows of. */
  known(role: Role): number;
  /** As a process that dies: whoever is connected hears it, nothing is said to anybody. */
  crash(): Promise<void>;
}

class Nodes {
  readonly #kind: Kind;
  readonly #closers: (() => unknown)[] = [];

  constructor(kind: Kind) {
    this.#kind = kind;
  }

  async start(role: Role, ordinal: number): Promise<Running> {
    const [rtmp, admin] = [await CutProxy.to(), await CutProxy.to()];
    let [directory, shared]: [LeasedDirectory?, SharedState?] = [];
    const node = createNode({
      ...testNodeOptions(role, ordinal, CONFIG),
      directory: (request) => {
        [rtmp.target, admin.target] = [request.node.rtmpPort, request.node.adminPort];
        const reached = { ...request.node, rtmpPort: rtmp.port, adminPort: admin.port };
        return (directory = this.#kind.directory({ ...request, node: reached }));
      },
      shared: (request) => (shared = this.#kind.shared(request)),
    });
    const cut = () => [rtmp, admin].forEach((proxy) => proxy.close());
    this.#closers.push(cut, () => node.close('the test is over'));
    return {
      node,
      ports: await node.start(),
      known: (of) => directory?.knownNodes(of).length ?? 0,
      crash: async () => {
        cut();
        directory?.abandon();
        await shared?.close();
        await node.close('it is dead already');
      },
    };
  }

  async close(): Promise<void> {
    for (const close of this.#closers.splice(0).toReversed()) await close();
  }
}

/** An encoder whose clock runs ten times as fast: 25 frames and a key frame a second of it. */
class Encoder {
  readonly #peer: RtmpPeer;
  readonly #timer: NodeJS.Timeout;
  #frame = 0;

  private constructor(peer: RtmpPeer) {
    this.#peer = peer;
    peer.sendMedia(0);
    this.#timer = setInterval(() => this.#send(), 4);
  }

  static async to(origin: Running, stream: string, host: string): Promise<Encoder> {
    // As an encoder does: it comes again while another origin still believes that it has the stream.
    let published: RtmpPeer | undefined;
    await until('the encoder is taken', async () => {
      const peer = await RtmpPeer.connected(origin.ports.rtmp, `live?vhost=${host}`);
      await peer.publish(stream).then(
        () => (published = peer),
        () => peer.close(),
      );
      return published !== undefined;
    });
    assert.ok(published);
    return new Encoder(published);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#peer.close();
  }

  #send(): void {
    this.#frame += 1;
    const timeMs = this.#frame * 40;
    this.#peer.send(RTMP_VIDEO, this.#frame % 25 === 0 ? AVC_KEY : AVC_FRAME, timeMs);
    this.#peer.send(RTMP_AUDIO, AAC_FRAME, timeMs);
  }
}

/** What a media playlist says. */
interface Playlist {
  readonly first: number;
  readonly last: number;
  readonly files: readonly string[];
  /** Listed, and before the list. */
  readonly seams: number;
  readonly isEnded: boolean;
}

function playlistOf(text: string): Playlist {
  const first = Number(/#EXT-X-MEDIA-SEQUENCE:(\d+)/.exec(text)?.[1] ?? 0);
  const seamsBefore = Number(/#EXT-X-DISCONTINUITY-SEQUENCE:(\d+)/.exec(text)?.[1] ?? 0);
  const lines = text.split('\n');
  const segments: { file: string; isGap: boolean }[] = [];
  let isGap = false;
  for (const line of lines) {
    if (line === '#EXT-X-GAP') isGap = true;
    if (line === '' || line.startsWith('#')) continue;
    segments.push({ file: line, isGap });
    isGap = false;
  }
  const parts = [...text.matchAll(/#EXT-X-PART:.*URI="([^"]+)"/g)].map((match) => match[1] ?? '');
  const maps = [...text.matchAll(/#EXT-X-MAP:.*URI="([^"]+)"/g)].map((match) => match[1] ?? '');
  return {
    first,
    last: first + segments.length - 1,
    files: [...segments.filter((segment) => !segment.isGap).map(({ file }) => file), ...parts, ...maps],
    seams: seamsBefore + lines.filter((line) => line === '#EXT-X-DISCONTINUITY').length,
    isEnded: text.includes('#EXT-X-ENDLIST'),
  };
}

/** Viewers of one stream, each of whose requests goes to any edge. */
class Audience {
  readonly faults: string[] = [];
  /** The newest playlist that each edge gave. */
  readonly newest = new Map<Running, Playlist>();
  files = 0;
  readonly #edges: readonly Running[];
  readonly #query: string;
  readonly #stream: string;
  readonly #viewers: Promise<void>[];
  #isOver = false;

  constructor(edges: readonly Running[], stream: string, host: string) {
    this.#edges = edges;
    this.#stream = stream;
    this.#query = `vhost=${host}`;
    this.#viewers = Array.from({ length: VIEWERS }, () => this.#watch());
  }

  async end(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#viewers);
  }

  /** Every edge lists a number from `seq` on, after so many seams. */
  goesOn(seq: number, leastSeams: number): boolean {
    return this.#edges.every((edge) => {
      const { last = -1, seams = 0 } = this.newest.get(edge) ?? {};
      return last >= seq && seams >= leastSeams;
    });
  }

  async #watch(): Promise<void> {
    let master: string | undefined;
    // Viewers may be earlier than the first segment.
    while (master === undefined && !this.#isOver) {
      master = await this.#get(this.#any(), `${this.#stream}.m3u8?${this.#query}`, () => undefined);
    }
    if (master === undefined) return;
    const uris = master.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    for (const match of master.matchAll(/URI="([^"]+)"/g)) uris.push(match[1] ?? '');
    assert.ok(uris.length > 0, master);
    // One viewer reads one track, so that numbers are compared with its own.
    const uri = uris[0] ?? '';
    while (!this.#isOver) {
      const edge = this.#any();
      const text = await this.#get(edge, uri);
      if (text === undefined) continue;
      const playlist = playlistOf(text);
      this.#compare(edge, playlist);
      const file = playlist.files[Math.floor(Math.random() * playlist.files.length)];
      if (file !== undefined && (await this.#get(this.#any(), file)) !== undefined) this.files += 1;
      await delay(10);
    }
  }

  #compare(edge: Running, playlist: Playlist): void {
    const before = this.newest.get(edge);
    if (playlist.isEnded) this.faults.push('the playlist says that the stream ended');
    if (before !== undefined && playlist.first < before.first - STALE) {
      this.faults.push(`numbers went back from ${before.first} to ${playlist.first}`);
    }
    if (before === undefined || playlist.last >= before.last) this.newest.set(edge, playlist);
  }

  #any(): Running {
    const edge = this.#edges[Math.floor(Math.random() * this.#edges.length)];
    assert.ok(edge);
    return edge;
  }

  async #get(
    edge: Running,
    path: string,
    onFault = (fault: string): unknown => this.faults.push(fault),
  ): Promise<string | undefined> {
    const response = await fetch(`http://${HOST}:${edge.ports.http}/live/${path}`);
    const body = await response.text();
    if (response.status === 200) return body;
    onFault(`${response.status} for ${path.replace(/hls_ctx=[^&]*/, 'hls_ctx')}: ${body}`);
    return undefined;
  }
}

/** Answers that crossed on their way may be compared in the wrong order. */
const STALE = 1;

/** Segments that come while a test looks elsewhere; numbers of another playlist are far away. */
const FEW = 1_000;

/** How the encoder's first origin goes away. */
type End = 'dies' | 'stops' | 'is left' | 'dies without Redis' | 'dies as Redis loses its data';

async function watch(t: TestContext, kind: Kind, host: string, end: End): Promise<void> {
  const nodes = new Nodes(kind);
  const closers: (() => unknown)[] = [];
  try {
    const [a, b] = [await nodes.start('origin', 0), await nodes.start('origin', 1)];
    const edges = [await nodes.start('edge', 0), await nodes.start('edge', 1)];
    const stream = 'demo';
    const first = await Encoder.to(a, stream, host);
    closers.push(() => first.close());
    const audience = new Audience(edges, stream, host);
    closers.push(() => audience.end());
    await until('every edge has a window', () => edges.every((edge) => (audience.newest.get(edge)?.last ?? 0) >= 6));
    await until('the nodes have met', () => b.known('edge') === edges.length);
    const viewers = () => [a, b, ...edges].reduce((sum, { node }) => sum + node.status().viewers, 0);
    await until('each viewer is counted once', () => viewers() === VIEWERS);
    const shown = Math.max(...edges.map((edge) => audience.newest.get(edge)?.last ?? 0));
    const diedMs = performance.now();
    if (end === 'dies without Redis') await kind.stop?.();
    if (end.startsWith('dies')) await a.crash();
    if (end === 'dies as Redis loses its data') await kind.empty?.();
    if (end === 'stops') {
      // As at SIGTERM; the admin port goes last.
      await a.node.drain(0);
      await a.node.close('stopped');
    }
    first.close();
    const second = await Encoder.to(b, stream, host);
    closers.push(() => second.close());
    const publishedMs = performance.now() - diedMs;
    await until('every edge goes on', () => audience.goesOn(shown + 3, 1));
    const backMs = performance.now() - diedMs;
    const newest = edges.map((edge) => audience.newest.get(edge));
    assert.ok(
      newest.every((playlist) => playlist !== undefined && playlist.first <= shown + FEW),
      `it goes on after ${shown} and does not begin anew: ${newest.map((playlist) => playlist?.first).join(', ')}`,
    );
    await audience.end();
    assert.deepEqual(audience.faults.slice(0, 5), []);
    assert.ok(audience.files > 20, `${audience.files} files`);
    t.diagnostic(
      `${audience.files} files; an encoder again after ${publishedMs.toFixed(0)} ms, three segments more on every edge after ${backMs.toFixed(0)} ms`,
    );
  } finally {
    for (const close of closers) await close();
    await nodes.close();
  }
}

describe('HLS whose encoder comes to another origin', { timeout: 300_000 }, () => {
  let redis: TestRedis | undefined;
  after(() => redis?.close());

  const inMemory = (): Kind => {
    const [directory, shared] = [new MemoryDirectoryBackend(), new MemorySharedBackend()];
    return {
      directory: (request) => createMemoryDirectory(directory, request),
      shared: (request) => new SharedState(new MemorySharedStore(shared), request),
    };
  };
  const inRedis = async (): Promise<Kind> => {
    redis ??= await TestRedis.start();
    if (!redis.isUp) await redis.up();
    const place = { url: redis.url, namespace: 'ns', cluster: randomUUID() };
    return {
      stop: () => redis?.down() ?? Promise.resolve(),
      empty: async () => void (await redis?.command('FLUSHALL')),
      directory: (request) => createRedisDirectory({ ...request, ...place }),
      shared: (request) => createRedisSharedState(request, place),
    };
  };

  test('it dies: MPEG-TS, in memory', async (t) => watch(t, inMemory(), DEFAULT_VHOST, 'dies'));
  test('it dies: low latency, in Redis', async (t) => watch(t, await inRedis(), 'low.example', 'dies'));
  test('it is stopped: MPEG-TS, in Redis', async (t) => watch(t, await inRedis(), DEFAULT_VHOST, 'stops'));
  test('it dies while Redis is away: MPEG-TS', async (t) => {
    await watch(t, await inRedis(), DEFAULT_VHOST, 'dies without Redis');
  });
  test('it dies while Redis is away: low latency', async (t) => {
    await watch(t, await inRedis(), 'low.example', 'dies without Redis');
  });
  test('it dies as Redis loses its data: MPEG-TS', async (t) => {
    await watch(t, await inRedis(), DEFAULT_VHOST, 'dies as Redis loses its data');
  });
  test('the encoder goes to another one: low latency, in memory', async (t) => {
    await watch(t, inMemory(), 'low.example', 'is left');
  });
});
