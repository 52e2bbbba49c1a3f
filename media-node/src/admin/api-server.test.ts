import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import { pino } from 'pino';
import { VHOST_DEFAULTS, VhostConfig } from '#contract/node-config.ts';
import type { PackagedTrack } from '#contract/packaging.ts';
import type { Visitor } from '../packaging/viewer-sessions.ts';
import type { SessionInfo } from '../stream/gate.ts';
import { StreamRegistry } from '../stream/stream-registry.ts';
import { AUDIO, audio, FakePlayer, FakePublisher, ManualFlush, VIDEO, video } from '../stream/testing.ts';
import { ApiMedia, streamId, vhostId } from './api-media.ts';
import { ApiHandler, ApiServer, newApiIdentity } from './api-server.ts';
import { Traffic } from './traffic.ts';

const IDENTITY = { server: 'vid-0a1b2c3', service: '4d5e6f7g', pid: '42', version: '1.2.3' };
const IDENTITY_ENVELOPE = { server: 'vid-0a1b2c3', service: '4d5e6f7g', pid: '42' };

class Named extends FakePlayer {
  override readonly id: string;
  constructor(id: string, options: ConstructorParameters<typeof FakePlayer>[0] = {}) {
    super(options);
    this.id = id;
  }
}

/** An API over a registry of its own, on a clock moved by hand; sessions are known whose id is in `sessions`. */
function apiOf() {
  const clock = { ms: 1_000_000 };
  const now = (): number => clock.ms;
  const flush = new ManualFlush();
  const registry = new StreamRegistry({ now, flushPolicy: flush });
  const sessions = new Map<string, SessionInfo>();
  const visitors: Visitor[] = [];
  const packaged: PackagedTrack[] = [];
  const sampled: string[] = [];
  const traffic = new Traffic({
    streams: () => registry.streams(),
    visitors: () => visitors,
    onSessions: (present) => sampled.splice(0, sampled.length, ...present),
    now,
  });
  const vhost = (name: string, enabled = true): VhostConfig =>
    VhostConfig.parse({ ...VHOST_DEFAULTS, name, hosts: [name], enabled });
  const media = new ApiMedia({
    streams: () => registry.streams(),
    visitors: () => visitors,
    packaged: () => packaged,
    vhosts: () => [vhost('__defaultVhost__'), vhost('tv', false)],
    traffic,
    session: (id) => sessions.get(id),
    now,
  });
  const summaries = async () => ({ ok: true, now_ms: clock.ms });
  const logger = pino({ level: 'silent' });
  const server = new ApiServer(new ApiHandler(IDENTITY, { media, summaries }, logger), logger);
  const known = (id: string, over: Partial<SessionInfo> = {}): void => {
    const tcUrl = 'rtmp://tv.example/live?token=secret';
    sessions.set(id, { id, protocol: 'rtmp', ip: '192.0.2.9', tcUrl, pageUrl: '', param: '', ...over });
  };
  return { clock, flush, registry, sessions, visitors, packaged, sampled, traffic, server, known };
}

type Answer = Record<string, unknown> & { code: number };

test('the API answers as SRS does', async (t) => {
  const { server } = apiOf();
  const port = await server.listen({ host: '127.0.0.1', port: 0 });
  t.after(() => server.close());
  const url = `http://127.0.0.1:${port}`;
  const head = '{"code":0,"server":"vid-0a1b2c3","service":"4d5e6f7g","pid":"42"';
  const versions = `${head},"data":{"major":1,"minor":2,"revision":3,"version":"1.2.3"}}`;

  for (const path of ['/api/v1/versions', '/api/v1/versions/', '/api/v1/versions?x=1', '/api/v1/versions/?x=1']) {
    const response = await fetch(url + path);
    assert.deepEqual([response.status, await response.text()], [200, versions], path);
    assert.equal(response.headers.get('content-type'), 'application/json');
    assert.equal(response.headers.get('access-control-allow-origin'), null, 'no Origin, no CORS headers');
  }
  for (const method of ['POST', 'PUT', 'DELETE']) {
    const response = await fetch(`${url}/api/v1/versions`, { method, ...(method === 'DELETE' ? {} : { body: 'x' }) });
    assert.equal(await response.text(), versions, `${method} answers as GET does`);
  }
  const urls = await fetch(`${url}/api/v1/`);
  assert.deepEqual(Object.keys(((await urls.json()) as { urls: object }).urls), [
    'versions',
    'summaries',
    'vhosts',
    'streams',
    'clients',
  ]);

  const cors = await fetch(`${url}/api/v1/versions`, { headers: { origin: 'https://a.example' } });
  assert.equal(cors.headers.get('access-control-allow-origin'), '*');
  assert.match(cors.headers.get('access-control-expose-headers') ?? '', /Location, ETag, Link/);
  const preflight = await fetch(`${url}/api/v1/versions`, {
    method: 'OPTIONS',
    headers: { origin: 'https://a.example' },
  });
  assert.deepEqual([preflight.status, preflight.headers.get('access-control-allow-methods')], [200, '*']);

  for (const path of ['/', '/api/v2', '/api/v1/versionsx', '/api/v1//versions', '/%00', '/api/v1/../../etc/passwd']) {
    const response = await fetch(url + path);
    assert.equal(response.status, 404, path);
    assert.equal(((await response.json()) as { code: number }).code, 404);
  }
});

describe('streams, clients and vhosts', () => {
  const KEY = { vhost: '__defaultVhost__', app: 'live', stream: 'stream01' };

  /** A published stream with a viewer, 40 s old, at 200 kb/s in and twice that out. */
  async function running(t: TestContext) {
    const api = apiOf();
    const port = await api.server.listen({ host: '127.0.0.1', port: 0 });
    t.after(() => api.server.close());
    t.after(() => api.traffic.close());
    const ask = async (path: string, method = 'GET'): Promise<Answer> => {
      const response = await fetch(`http://127.0.0.1:${port}/api/v1/${path}`, { method });
      assert.equal(response.status, 200);
      return (await response.json()) as Answer;
    };
    const stream = api.registry.open(KEY);
    const publisher = new FakePublisher();
    api.known('publisher');
    api.known('viewer', { ip: '192.0.2.7', pageUrl: 'https://a.example/watch?jwt=secret' });
    const ingest = stream.attach(publisher);
    ingest.track(VIDEO);
    ingest.track(AUDIO);
    const viewer = new Named('viewer');
    stream.play(viewer);
    for (let second = 0; second <= 40; second++) {
      for (let frame = 0; frame < 25; frame++) {
        const dtsMs = 1_000 + second * 1_000 + frame * 40;
        const isKey = frame === 0 && second % 2 === 0;
        ingest.frame({ ...video(dtsMs, isKey), data: Buffer.alloc(1_000) });
        ingest.frame({ ...audio(dtsMs + 120), data: Buffer.alloc(0) });
      }
      api.flush.run();
      api.clock.ms += 1_000;
      if (second % 5 === 4) api.traffic.sample();
    }
    return { ...api, ask, port, stream, publisher, viewer };
  }

  test("a stream has SRS's keys and values, and ours", async (t) => {
    const { ask } = await running(t);
    const { streams } = (await ask('streams')) as unknown as { streams: Record<string, unknown>[] };
    assert.equal(streams.length, 1);
    const { kbps, send_bytes: sent, ...stream } = streams[0]!;
    assert.deepEqual(stream, {
      id: streamId(KEY),
      name: 'stream01',
      vhost: vhostId('__defaultVhost__'),
      app: 'live',
      tcUrl: 'rtmp://tv.example/live',
      url: '/live/stream01',
      live_ms: 41_000,
      clients: 2,
      frames: 1_025,
      recv_bytes: 1_025_000,
      publish: { active: true, cid: 'publisher' },
      video: { codec: 'H264', profile: 'High', level: '3.1', width: 640, height: 360 },
      audio: { codec: 'AAC', sample_rate: 48_000, channel: 2, profile: 'LC' },
      source: 'encoder',
      viewers: 1,
      relays: 0,
      audio_frames: 1_025,
      dropped_frames: 0,
      skipped_frames: 0,
      skips: 0,
      seams: 0,
      discontinuities: 0,
      queue_ms: { p50: 0, max: 0 },
      gop: { frames: 50, ms: 2_000 },
      av_skew_ms: 100,
    });
    assert.match(streamId(KEY), /^vid-[0-9a-z]{7}$/);
    assert.ok((sent as number) > 1_000_000);
    assert.equal((kbps as { recv_30s: number }).recv_30s, 200);
    assert.deepEqual((await ask(`streams/${streamId(KEY)}`))['stream'], streams[0]);
    assert.deepEqual((await ask(`streams/${streamId(KEY)}/`))['stream'], streams[0]);
  });

  test('further tracks of an encoder that sends several of a kind are beside the others', async (t) => {
    const { ask, registry } = await running(t);
    const key = { ...KEY, stream: 'several' };
    const ingest = registry.open(key).attach(new FakePublisher());
    for (const track of [VIDEO, AUDIO]) {
      ingest.track(track);
      ingest.track({ ...track, index: 3 });
    }
    const { video: first, further_tracks: further } = (await ask(`streams/${streamId(key)}`))['stream'] as {
      video: object | null;
      further_tracks: object[];
    };
    assert.equal(first, null, 'nothing is known before the first frame');
    assert.deepEqual(further, [
      { kind: 'video', track_id: 3, codec: 'H264', profile: 'High', level: '3.1', width: 640, height: 360 },
      { kind: 'audio', track_id: 3, codec: 'AAC', sample_rate: 48_000, channel: 2, profile: 'LC' },
    ]);
  });

  test('a stream that is here in segments alone has the codecs of those', async (t) => {
    const { ask, registry, packaged } = await running(t);
    const key = { ...KEY, stream: 'segments' };
    const attendance = registry.open(key).attend('hls');
    t.after(() => attendance.leave());
    const shown = async () => {
      const { video, audio } = (await ask(`streams/${streamId(key)}`))['stream'] as Record<string, unknown>;
      return { video, audio };
    };
    assert.deepEqual(await shown(), { video: null, audio: null });
    const rates = { peakBitrate: 1, averageBitrate: 1 };
    packaged.push({
      kind: 'audio',
      codecs: 'opus',
      ...rates,
      codec: 'opus',
      profile: '',
      sampleRate: 48_000,
      channels: 2,
    });
    assert.deepEqual(await shown(), {
      video: null,
      audio: { codec: 'Opus', sample_rate: 48_000, channel: 2, profile: '' },
    });
    // As a node of before tells it.
    packaged.push({ kind: 'video', codecs: 'avc1.64001f', ...rates, width: 640, height: 360 });
    assert.deepEqual((await shown()).video, { codec: '', profile: '', level: '', width: 640, height: 360 });
    const { video } = (await ask(`streams/${streamId(KEY)}`))['stream'] as { video: { codec: string } };
    assert.equal(video.codec, 'H264', 'frames tell more than segments');
  });

  test('the size of a picture whose configuration has none is the one that the encoder says', async (t) => {
    const { ask, registry } = await running(t);
    const key = { ...KEY, stream: 'vp9' };
    const ingest = registry.open(key).attach(new FakePublisher());
    const track = { ...VIDEO, codec: 'vp9', width: 0, height: 0 } as const;
    const shown = async (metadata: object) => {
      ingest.metadata({ videocodecid: 1, ...metadata });
      ingest.track(track);
      ingest.frame(video(0, true, track));
      const { video: said } = (await ask(`streams/${streamId(key)}`))['stream'] as { video: object };
      return said;
    };
    const about = { codec: 'VP9', profile: 'High', level: '3.1' };
    assert.deepEqual(await shown({ width: 1_280, height: 720 }), { ...about, width: 1_280, height: 720 });
    assert.deepEqual(await shown({ width: 'wide', height: -1 }), { ...about, width: 0, height: 0 });
  });

  test('a player that lags shows in its queue and in that of the stream', async (t) => {
    const { ask, viewer, known, stream } = await running(t);
    known('other');
    stream.play(new Named('other'));
    viewer.writableLength = 50_000;
    const { queue_ms: queueMs } = (await ask(`streams/${streamId(KEY)}`))['stream'] as {
      queue_ms: { p50: number; max: number };
    };
    assert.equal(queueMs.p50, 0);
    assert.ok(queueMs.max >= 1_000 && queueMs.max <= 6_000, `${queueMs.max}`);
    const { queue_ms: own } = (await ask('clients/viewer'))['client'] as { queue_ms: number };
    assert.equal(own, queueMs.max);
  });

  test("clients have SRS's keys; a relay of the node's own is none", async (t) => {
    const { ask, stream } = await running(t);
    stream.play(new Named('a push of ours', { isRelay: true }));
    const { clients } = (await ask('clients')) as unknown as { clients: Record<string, unknown>[] };
    assert.deepEqual(
      clients.map(({ id, type, publish, ip, pageUrl, alive }) => [id, type, publish, ip, pageUrl, alive]),
      [
        ['publisher', 'fmle-publish', true, '192.0.2.9', '', 41],
        ['viewer', 'rtmp-play', false, '192.0.2.7', 'https://a.example/watch', 41],
      ],
    );
    assert.deepEqual(Object.keys(clients[0]!).slice(0, 15), [
      'id',
      'vhost',
      'stream',
      'ip',
      'pageUrl',
      'swfUrl',
      'tcUrl',
      'url',
      'name',
      'type',
      'publish',
      'alive',
      'recv_bytes',
      'send_bytes',
      'kbps',
    ]);
    assert.doesNotMatch(JSON.stringify(clients), /secret/);
    assert.deepEqual((await ask('clients/viewer'))['client'], clients[1]);
  });

  test('DELETE ends that client alone', async (t) => {
    const { ask, viewer, publisher } = await running(t);
    assert.equal((await ask('clients/nobody', 'DELETE')).code, 2049);
    assert.equal((await ask('clients', 'DELETE')).code, 2049);
    assert.equal((await ask('clients/viewer/', 'DELETE')).code, 0);
    assert.deepEqual([viewer.closed, publisher.closed], [['ended by the API'], []]);
    assert.equal((await ask('clients/publisher', 'DELETE')).code, 0);
    assert.deepEqual(publisher.closed, ['ended by the API']);
  });

  test('what is not there has SRS’s code, and 200', async (t) => {
    const { ask } = await running(t);
    for (const [path, code] of [
      ['vhosts/vid-0000000', 2014],
      ['streams/vid-0000000', 2048],
      ['clients/nobody', 2049],
      ['clients/%ff', 2049],
    ] as const) {
      assert.deepEqual(await ask(path), { ...IDENTITY_ENVELOPE, code }, path);
    }
  });

  test('vhosts are those that are configured, with what their streams did', async (t) => {
    const { ask, registry } = await running(t);
    const { vhosts } = (await ask('vhosts')) as unknown as { vhosts: Record<string, unknown>[] };
    assert.deepEqual(
      vhosts.map(({ name, enabled, clients, streams, recv_bytes: received }) => [
        name,
        enabled,
        clients,
        streams,
        received,
      ]),
      [
        ['__defaultVhost__', true, 2, 1, 1_025_000],
        ['tv', false, 0, 0, 0],
      ],
    );
    assert.deepEqual(vhosts[1], {
      id: vhostId('tv'),
      name: 'tv',
      enabled: false,
      clients: 0,
      streams: 0,
      recv_bytes: 0,
      send_bytes: 0,
      kbps: { recv_30s: 0, send_30s: 0 },
      hls: { enabled: true, fragment: 2 },
    });
    assert.deepEqual((await ask(`vhosts/${vhostId('tv')}`))['vhost'], vhosts[1]);
    registry.close('the streams are gone, their bytes are not');
    const later = (await ask(`vhosts/${vhostId('__defaultVhost__')}`))['vhost'] as Record<string, unknown>;
    assert.deepEqual([later['streams'], later['recv_bytes']], [0, 1_025_000]);
  });

  test('a viewer without a connection is a client, with the bytes that are its own, and can be ended', async (t) => {
    const { ask, stream, visitors, sampled, sessions, clock, known, traffic } = await running(t);
    known('guest', { protocol: 'hls', ip: '192.0.2.8' });
    const ends: string[] = [];
    const guest = {
      id: 'guest',
      session: sessions.get('guest')!,
      stream,
      startedAtMs: clock.ms,
      bytesOut: 0,
      close: (reason: string) => void ends.push(reason),
    };
    visitors.push(guest);
    traffic.sample();
    clock.ms += 30_000;
    guest.bytesOut = 3_750_000;
    const client = (await ask('clients/guest'))['client'] as Record<string, unknown>;
    assert.deepEqual(
      [client['type'], client['publish'], client['alive'], client['ip'], client['url']],
      ['hls-play', false, 30, '192.0.2.8', '/live/stream01'],
    );
    assert.deepEqual([client['send_bytes'], client['kbps']], [3_750_000, { recv_30s: 0, send_30s: 1_000 }]);
    assert.ok(sampled.includes('guest'), 'what it said of itself is kept');
    const { vhosts } = (await ask('vhosts')) as unknown as { vhosts: Record<string, unknown>[] };
    assert.deepEqual(
      vhosts.map(({ clients }) => clients),
      [3, 0],
    );
    assert.equal((await ask('clients/guest', 'DELETE')).code, 0);
    assert.deepEqual(ends, ['ended by the API']);
  });

  test('lists come in pages of ten at least', async (t) => {
    const { ask, stream, known } = await running(t);
    for (let index = 0; index < 30; index++) {
      known(`viewer-${index}`);
      stream.play(new Named(`viewer-${index}`));
    }
    const idsOf = async (query: string): Promise<unknown[]> =>
      ((await ask(`clients${query}`))['clients'] as { id: string }[]).map(({ id }) => id);
    assert.equal((await idsOf('')).length, 10);
    assert.equal((await idsOf('?count=1')).length, 10);
    assert.deepEqual(await idsOf('/?start=30'), ['viewer-28', 'viewer-29']);
    assert.equal((await idsOf('?count=500&start=2')).length, 30);
    assert.equal((await idsOf('?count=-3&start=x')).length, 10);
    assert.deepEqual(await idsOf('?start=99'), []);
  });

  test('other methods are refused, and the summary is in its envelope', async (t) => {
    const { ask, port, clock } = await running(t);
    for (const [path, allow] of [
      ['vhosts', 'GET'],
      ['streams', 'GET'],
      ['clients/viewer', 'GET, DELETE'],
    ] as const) {
      const response = await fetch(`http://127.0.0.1:${port}/api/v1/${path}`, { method: 'POST' });
      assert.deepEqual([response.status, response.headers.get('allow')], [405, allow]);
    }
    assert.deepEqual(await ask('summaries'), { ...IDENTITY_ENVELOPE, code: 0, data: { ok: true, now_ms: clock.ms } });
  });
});

test('an identity has the shape that SRS gives it', () => {
  const identity = newApiIdentity('0.1.0', 7);
  assert.match(identity.server, /^vid-[0-9a-z]{7}$/);
  assert.match(identity.service, /^[0-9a-z]{8}$/);
  assert.equal(identity.pid, '7');
  assert.notEqual(newApiIdentity('0.1.0').service, identity.service);
});
