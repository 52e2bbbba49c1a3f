import assert from 'node:assert/strict';
import type { IncomingHttpHeaders } from 'node:http';
import { Agent, request } from 'node:http';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { VHOST_DEFAULTS } from '#contract/node-config.ts';
import type { VhostConfig } from '#contract/node-config.ts';
import type { SnapshotShape } from '#contract/testing/packaging.ts';
import { snapshotOf } from '#contract/testing/packaging.ts';
import { chain } from '../../http/chain.ts';
import { HttpError } from '../../http/http-error.ts';
import { HttpServer } from '../../http/http-server.ts';
import { ConnectionLimit } from '../../lib/connection-limit.ts';
import { PackagingError } from '../../packaging/packaged-stream.ts';
import { LocalViewerSessions } from '../../packaging/viewer-sessions.ts';
import { GateError } from '../../stream/gate.ts';
import { PackagedLocator } from '../packaged/locator.ts';
import { PackagedFiles } from '../packaged/packaged-files.ts';
import { CONTEXT_LIFE_MS, ViewerContexts } from '../packaged/viewer-context.ts';
import { Viewers } from '../packaged/viewers.ts';
import type { FakePackagedStream } from '../testing/fake-packaged.ts';
import { FakePackagedStreams } from '../testing/fake-packaged.ts';
import { MemoryGate, vhostOf } from '../testing/memory-gate.ts';
import { LOG } from '../testing/test-node.ts';
import { until } from '../testing/until.ts';
import { Hls } from './hls.ts';

function hls(settings: Partial<VhostConfig['hls']>): Partial<VhostConfig> {
  return { hls: { ...VHOST_DEFAULTS.hls, ...settings } };
}

const VHOSTS = [
  vhostOf('__defaultVhost__', ['__defaultVhost__']),
  vhostOf('fmp4', ['fmp4.example'], hls({ container: 'fmp4' })),
  vhostOf('plain', ['plain.example'], hls({ ctx: false, container: 'fmp4' })),
  vhostOf('off', ['off.example'], hls({ enabled: false })),
  vhostOf('strict', ['strict.example'], { security: { cors: { allowOrigins: ['https://a.example'] } } }),
];
const DEFAULT = '__defaultVhost__';
const TS: SnapshotShape = { renditions: ['ts'], durationsMs: [2_000, 2_000, 2_000], firstSeq: 4 };
const LOW: SnapshotShape = {
  renditions: ['video', 'audio'],
  durationsMs: [1_000, 1_000, 1_000],
  firstSeq: 4,
  partTargetMs: 500,
  openParts: 1,
};

let nowMs = Date.UTC(2026, 0, 1);
let monotonicMs = 0;
let isDraining = false;
const gate = new MemoryGate(VHOSTS);
const streams = new FakePackagedStreams();
const sessions = new LocalViewerSessions();
const viewers = new Viewers({ gate, sessions, log: LOG, now: () => nowMs, maxVisits: 50 });
const contexts = new ViewerContexts(Buffer.from('secret'), () => nowMs);
const http = new HttpServer({ limit: new ConnectionLimit(1_000), log: LOG });
let port = 0;

before(async () => {
  const parts = { locator: new PackagedLocator(gate), streams, viewers, isDraining: () => isDraining };
  const files = new PackagedFiles(parts);
  const playlists = new Hls({ ...parts, contexts, firstMediaMs: 200, now: () => monotonicMs + performance.now() });
  http.fallback(
    chain([(...args) => files.handle(...args), (...args) => playlists.handle(...args)], () => {
      throw new HttpError(404, 'the next handler');
    }),
  );
  port = await http.listen(0, '127.0.0.1');
});
after(() => {
  viewers.close('the test is over');
  gate.registry.close('the test is over');
  http.close();
});

interface Got {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

interface Asked {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly agent?: Agent;
  readonly localAddress?: string;
  readonly signal?: AbortSignal;
}

function get(path: string, { method = 'GET', headers = {}, ...rest }: Asked = {}): Promise<Got> {
  const { promise, resolve, reject } = Promise.withResolvers<Got>();
  const asked = request({ port, host: '127.0.0.1', path, method, headers, ...rest }, (response) => {
    let body = '';
    response.on('data', (bytes: Buffer) => (body += bytes.toString()));
    response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
  });
  asked.on('error', reject);
  asked.end();
  return promise;
}

let made = 0;
/** A stream of its own for each test: its name, and what packages it. */
function publish(shape: SnapshotShape | undefined, vhost = DEFAULT): { name: string; stream: FakePackagedStream } {
  const name = `s${made++}`;
  const snapshot = shape && snapshotOf({ ...shape, stem: `live/${name}` });
  return { name, stream: streams.add({ vhost, app: 'live', stream: name }, snapshot) };
}

const FMP4 = { Host: 'fmp4.example' };

/** The addresses of the media playlists that a multivariant playlist names, video or TS first. */
function uris(multivariant: string): string[] {
  const audio = [...multivariant.matchAll(/URI="([^"]+)"/g)].map(([, uri]) => uri!);
  return [...multivariant.split('\n').filter((line) => line !== '' && !line.startsWith('#')), ...audio];
}

async function mediaOf(name: string, headers: Record<string, string> = {}): Promise<string> {
  const { body } = await get(`/live/${name}.m3u8`, { headers });
  return `/live/${uris(body)[0]}`;
}

function viewersOf(name: string, vhost = DEFAULT): number | undefined {
  return gate.registry.get({ vhost, app: 'live', stream: name })?.stats().viewers.hls;
}

test('a player gets a multivariant playlist with a context, then the media playlist, then segments', async () => {
  const { name } = publish(TS);
  const first = await get(`/live/${name}.m3u8?token=a%22b`);
  assert.deepEqual([first.status, first.headers['content-type']], [200, 'application/vnd.apple.mpegurl']);
  assert.equal(first.headers['cache-control'], 'no-store', 'a context is for one viewer');
  const [uri] = uris(first.body);
  assert.match(uri ?? '', new RegExp(`^${name}\\.m3u8\\?hls_ctx=[\\w-]{39}&token=a%22b$`));
  assert.equal(viewersOf(name), undefined, 'a multivariant playlist counts nobody');
  const media = await get(`/live/${uri}`);
  assert.equal(media.status, 200);
  assert.match(media.body, new RegExp(`#EXT-X-MEDIA-SEQUENCE:4\n[^]*\n${name}-4\\.ts\n`));
  assert.equal(viewersOf(name), 1);
  const segment = await get(`/live/${name}-4.ts`);
  assert.deepEqual([segment.status, segment.body], [200, `bytes of live/${name}-4.ts`]);
  assert.equal(segment.headers['content-type'], 'video/mp2t');
  assert.match(segment.headers['cache-control'] ?? '', /^public, max-age=\d+, immutable$/);
  const second = uris((await get(`/live/${name}.m3u8`)).body)[0];
  assert.notEqual(second, uri, 'each viewer gets its own context');
});

test('fMP4: a rendition a track, with reports of each other; files have the types of their tracks', async () => {
  const { name } = publish(LOW, 'fmp4');
  const [video, audio] = uris((await get(`/live/${name}.m3u8`, { headers: FMP4 })).body);
  assert.match(video ?? '', /&hls_track=video$/);
  assert.match(audio ?? '', /&hls_track=audio$/);
  const { body } = await get(`/live/${video}`, { headers: FMP4 });
  assert.ok(body.includes(`#EXT-X-PRELOAD-HINT:TYPE=PART,URI="${name}-video-7.p1.m4s"\n`));
  assert.ok(body.endsWith(`#EXT-X-RENDITION-REPORT:URI="${audio}",LAST-MSN=7,LAST-PART=0\n`));
  await get(`/live/${audio}`, { headers: FMP4 });
  assert.equal(viewersOf(name, 'fmp4'), 1, 'both playlists are one viewer');
  const types = ['video-4.m4s', 'audio-4.m4s', 'audio-4.p0.m4s', 'audio-init-4.mp4', 'video-init-4.mp4'].map(
    async (file) => (await get(`/live/${name}-${file}`, { headers: FMP4 })).headers['content-type'],
  );
  assert.deepEqual(await Promise.all(types), ['video/mp4', 'audio/mp4', 'audio/mp4', 'audio/mp4', 'video/mp4']);
  const wrong = await get(`/live/${video?.replace('=video', '=subtitles')}`, { headers: FMP4 });
  assert.deepEqual([wrong.status, wrong.body], [404, 'hls_track is video or audio of this stream\n']);
});

test('without contexts all viewers share addresses, which may be cached, and nobody is counted', async () => {
  const { name } = publish(LOW, 'plain');
  const headers = { Host: 'plain.example' };
  const first = await get(`/live/${name}.m3u8?hls_ctx=whatever`, { headers });
  assert.deepEqual(uris(first.body), [`${name}.m3u8?hls_track=video`, `${name}.m3u8?hls_track=audio`]);
  assert.equal(first.headers['cache-control'], 'public, max-age=1');
  const media = await get(`/live/${name}.m3u8?hls_track=audio`, { headers });
  assert.equal(media.headers['cache-control'], 'public, max-age=1');
  const blocked = await get(`/live/${name}.m3u8?hls_track=audio&_HLS_msn=7&_HLS_part=0`, { headers });
  assert.equal(blocked.headers['cache-control'], 'public, max-age=6');
  assert.equal(viewersOf(name, 'plain'), undefined);
});

test('a blocking request is answered when its part is there, and a hinted part when it is made', async () => {
  const { name, stream } = publish(LOW, 'fmp4');
  const video = await mediaOf(name, FMP4);
  const blocked = get(`${video}&_HLS_msn=7&_HLS_part=1`, { headers: FMP4 });
  const hinted = get(`/live/${name}-video-7.p1.m4s`, { headers: FMP4 });
  await until('both to wait', () => stream.waiting.size === 2);
  stream.show(snapshotOf({ ...LOW, openParts: 2, stem: `live/${name}` }));
  assert.ok((await blocked).body.includes(`URI="${name}-video-7.p1.m4s"\n#EXT-X-PRELOAD-HINT`));
  assert.equal((await hinted).body, `bytes of live/${name}-video-7.p1.m4s`);
  assert.equal(stream.waiting.size, 0);
});

test('a hinted part that is never made is not found as soon as that is known', async () => {
  const { name, stream } = publish(LOW, 'fmp4');
  const hinted = get(`/live/${name}-video-7.p1.m4s`, { headers: FMP4 });
  await until('it to wait', () => stream.waiting.size === 1);
  stream.show(snapshotOf({ ...LOW, durationsMs: [1_000, 1_000, 1_000, 500], openParts: 0, stem: `live/${name}` }));
  stream.show({ ...stream.snapshot!, isEnded: true });
  const { status, body } = await hinted;
  assert.equal(status, 404);
  assert.match(body, /^part live\/.* is not there, or not any more: the playlist tells those that are\n$/);
});

test('requests that make no sense are refused, and one that waits in vain is told to come back', async () => {
  const { name, stream } = publish(LOW, 'fmp4');
  const video = await mediaOf(name, FMP4);
  for (const query of ['_HLS_msn=10', '_HLS_part=1', '_HLS_msn=x', '_HLS_msn=7&_HLS_part=40']) {
    const { status, body } = await get(`${video}&${query}`, { headers: FMP4 });
    assert.equal(status, 400, `${query} ${body}`);
  }
  let revision = 1;
  stream.changed = () => {
    monotonicMs += 1_000;
    // Something new each time, but not what was asked for; then nothing any more.
    if (revision < 4) stream.snapshot = { ...stream.snapshot!, revision: ++revision };
    return Promise.resolve();
  };
  const { status, headers, body } = await get(`${video}&_HLS_msn=8`, { headers: FMP4 });
  assert.deepEqual([status, headers['retry-after']], [503, '1']);
  assert.match(body, /^nothing new came in 3 target durations/);
  assert.equal(revision, 4);
  assert.equal((await get(`/live/${name}-video-7.p1.m4s`, { headers: FMP4 })).status, 404, 'a part that never came');
});

test('a stream that has just begun is waited for, one that nobody publishes is not', async () => {
  const { name, stream } = publish(undefined);
  const asked = get(`/live/${name}.m3u8`);
  await until('it to wait', () => stream.waiting.size === 1);
  stream.show(snapshotOf({ ...TS, stem: `live/${name}` }));
  assert.equal((await asked).status, 200);
  const { name: silent } = publish(undefined);
  const late = await get(`/live/${silent}.m3u8`);
  assert.deepEqual([late.status, late.body], [404, `live/${silent} has begun, but has no segment yet: ask again\n`]);
  const { name: over, stream: ended } = publish(undefined);
  ended.changed = () => Promise.resolve();
  assert.equal((await get(`/live/${over}.m3u8`)).status, 404, 'one that ended before it had any');
  const none = await get('/live/nobody.m3u8');
  assert.deepEqual([none.status, none.body], [404, 'nobody publishes live/nobody: ask again when it has begun\n']);
});

test('a playlist waits for a segment, and for a track whose first one is still to come; not for longer than that', async () => {
  const parts = snapshotOf({ ...LOW, durationsMs: [], openParts: 1 });
  const whole = snapshotOf({ ...LOW, durationsMs: [1_000], openParts: 1 });
  const [segment] = whole.segments;
  const { audio: _, ...video } = segment!.media;
  const { open: __, ...silent } = { ...whole, segments: [{ ...segment!, media: video }] };
  const { name, stream } = publish(undefined, 'fmp4');
  stream.show(parts);
  const asked = get(`/live/${name}.m3u8`, { headers: FMP4 });
  for (const next of [silent, whole]) {
    await until('it to wait', () => stream.waiting.size === 1);
    stream.show(next);
  }
  assert.equal(uris((await asked).body).length, 2);
  stream.show(silent);
  assert.equal(uris((await get(`/live/${name}.m3u8`, { headers: FMP4 })).body).length, 1);
  stream.show(parts);
  assert.equal((await get(`/live/${name}.m3u8`, { headers: FMP4 })).status, 200);
});

test('a viewer that has gone waits no longer', async () => {
  const { name, stream } = publish(LOW, 'fmp4');
  const video = await mediaOf(name, FMP4);
  for (const path of [`${video}&_HLS_msn=8`, `/live/${name}-video-7.p1.m4s`]) {
    const gone = new AbortController();
    const asked = get(path, { headers: FMP4, signal: gone.signal });
    await until('it to wait', () => stream.waiting.size === 1);
    gone.abort();
    await assert.rejects(asked);
    await until('it to wait no longer', () => stream.waiting.size === 0);
  }
});

test('a forged context is refused; an expired one leads to a fresh one of the same session', async () => {
  const { name } = publish(LOW, 'fmp4');
  const { name: other } = publish(LOW, 'fmp4');
  const video = await mediaOf(name, FMP4);
  for (const path of [
    video.replace(name, other),
    video.replace(/hls_ctx=./, 'hls_ctx=!'),
    `/live/${name}.m3u8?hls_ctx=`,
  ]) {
    const { status, body } = await get(path, { headers: FMP4 });
    assert.equal(status, 403, path);
    assert.match(body, /ask for the playlist without it to get another\n$/);
  }
  nowMs += CONTEXT_LIFE_MS + 5_000;
  const { status, headers } = await get(`${video}&_HLS_msn=4`, { headers: FMP4 });
  assert.equal(status, 302);
  assert.match(headers.location ?? '', /^s\d+\.m3u8\?hls_ctx=[\w-]{39}&hls_track=video&_HLS_msn=4$/);
  assert.equal((await get(`/live/${headers.location}`, { headers: FMP4 })).status, 200);
});

test('a viewer is counted until it asks no more, its bytes are known, and it can be ended', async () => {
  const { name } = publish(TS);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const media = await mediaOf(name);
  const playlist = await get(media, { agent });
  await get(`/live/${name}-4.ts`, { agent });
  const [visitor, ...others] = [...viewers.visitors()].filter(({ stream }) => stream.key.stream === name);
  assert.equal(others.length, 0);
  assert.equal(visitor?.session.protocol, 'hls');
  const ofOne = `bytes of live/${name}-4.ts`.length;
  const before = playlist.body.length + ofOne;
  assert.equal(visitor?.bytesOut, before);
  await get(`/live/${name}-5.ts`);
  assert.equal(visitor?.bytesOut, before + ofOne, 'another connection from the same address');
  await get(`/live/${name}-6.ts`, { localAddress: '127.0.0.9' });
  assert.deepEqual([visitor?.bytesOut, visitor?.stream.stats().bytesOut], [before + ofOne, before + 2 * ofOne]);
  nowMs += 5_000;
  viewers.sweep();
  assert.equal(viewersOf(name), 1);
  await get(media, { agent });
  nowMs += 5_000;
  viewers.sweep();
  assert.equal(viewersOf(name), 1);
  nowMs += 2_000;
  viewers.sweep();
  assert.equal(viewersOf(name), 0);
  await get(media, { agent });
  assert.equal(viewersOf(name), 1, 'who comes back is counted again');
  [...viewers.visitors()].find(({ stream }) => stream.key.stream === name)?.close('ended by a test');
  assert.equal(viewersOf(name), 0);
  const ended = await get(media, { agent });
  assert.deepEqual([ended.status, ended.body.slice(0, 22)], [403, 'this session was ended']);
  agent.destroy();
});

test('what the gate refuses is a status, and a limit of the node too', async () => {
  const { name } = publish(TS);
  const media = await mediaOf(name);
  for (const [code, status] of [
    ['denied', 403],
    ['limit', 503],
    ['draining', 503],
  ] as const) {
    gate.refusal = new GateError(code, 'no');
    assert.equal((await get(media)).status, status);
  }
  gate.refusal = undefined;
  assert.equal((await get(media)).status, 200);
  const crowd = await Promise.all(Array.from({ length: 60 }, async () => (await get(await mediaOf(name))).status));
  assert.ok(crowd.includes(503) && crowd.includes(200));
  nowMs += 10_000;
  viewers.sweep();
  streams.failure = new PackagingError('unreachable', 'the origin does not answer');
  for (const path of [media, `/live/${name}.m3u8`, `/live/${name}-4.ts`]) {
    assert.deepEqual((await get(path)).status, 503, path);
  }
  streams.failure = undefined;
});

test('paths of no packaged stream are for the next handler, also where that is known late', async () => {
  const { name } = publish(TS);
  for (const isSlow of [false, true]) {
    streams.isSlow = isSlow;
    for (const path of ['/live/other-5.ts', '/live/x.flv', '/live/x.mpd', '/x.m3u8', '/']) {
      assert.equal((await get(path)).body, 'the next handler\n', path);
    }
    assert.equal((await get(`/live/${name}-4.ts`)).status, 200);
    assert.match((await get(`/live/${name}-99.ts`)).body, /^segment live\/.* is not there/);
  }
  streams.isSlow = false;
  assert.equal((await get(`/live/${name}.m3u8`, { headers: { Host: 'off.example' } })).body, 'the next handler\n');
});

test('tricks with paths find nothing', async () => {
  const { name } = publish(TS);
  for (const path of [
    `/live/../live/${name}.m3u8`,
    `/live/%2e%2e/live/${name}.m3u8`,
    `/live%2f${name}.m3u8`,
    `/live/${name}%00.m3u8`,
    `//live/${name}.m3u8`,
    `/live//${name}.m3u8`,
    `/live/${'a'.repeat(3_000)}.m3u8`,
    `/live/${name}.m3u8/`,
    `/live\\${name}.m3u8`,
  ]) {
    const { status } = await get(path);
    assert.ok([400, 404].includes(status) || path.endsWith('/'), `${status} ${path}`);
  }
});

test('whatever is asked for, the answer is one that was meant', async () => {
  const { name } = publish(LOW, 'fmp4');
  const media = await mediaOf(name, FMP4);
  const piece = fc.constantFrom(
    ...[
      'live',
      name,
      '/',
      '.',
      '..',
      '-',
      'video',
      '7',
      '.p1',
      '.m4s',
      '.ts',
      '.m3u8',
      '.key',
      '%',
      '%2f',
      '%25',
      '%ff',
    ],
    ...[
      '?',
      '&',
      '=',
      'vhost=',
      'hls_ctx=',
      'hls_track=',
      '_HLS_msn=',
      '_HLS_part=',
      '_HLS_skip=',
      '99',
      '-1',
      '"',
      '%0a',
    ],
  );
  const path = fc.array(piece, { maxLength: 12 }).map((pieces) => pieces.join(''));
  const paths = fc.oneof(
    path.map((rest) => `/${rest}`),
    path.map((rest) => `${media}&${rest}`),
    path.map((rest) => `/live/${name}.m3u8?${rest}`),
    path.map((rest) => `/live/${name}-video-${rest}`),
  );
  const meant = new Set([200, 302, 400, 403, 404, 503]);
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  await fc.assert(
    fc.asyncProperty(paths, fc.constantFrom('GET', 'HEAD'), async (asked, method) => {
      // Blocking requests have their own tests.
      fc.pre(!/_HLS_msn=[789]|p1\.m4s/.test(asked));
      const { status } = await get(asked, { method, agent, headers: FMP4 });
      assert.ok(meant.has(status), `${status} ${asked}`);
    }),
    { numRuns: 300 },
  );
  agent.destroy();
  nowMs += 10_000;
  viewers.sweep();
});

test('HEAD answers as GET without a body, and counts nobody', async () => {
  const { name } = publish(TS);
  const media = await mediaOf(name);
  const whole = (await get(media)).headers;
  nowMs += 10_000;
  viewers.sweep();
  const head = await get(media, { method: 'HEAD' });
  assert.deepEqual([head.status, head.body, head.headers['content-length']], [200, '', whole['content-length']]);
  assert.equal(viewersOf(name), 0);
});

test('?vhost= selects the vhost, and goes on into the addresses of segments', async () => {
  const { name } = publish(LOW, 'fmp4');
  const media = await mediaOf(name, FMP4);
  const { body } = await get(`${media}&vhost=fmp4.example`);
  assert.ok(body.includes(`\n${name}-video-4.m4s?vhost=fmp4.example\n`));
  assert.ok(body.includes(`URI="${name}-video-init-4.mp4?vhost=fmp4.example"`));
  assert.ok(body.includes('&hls_track=audio&vhost=fmp4.example",LAST-MSN'));
  assert.equal((await get(`/live/${name}-video-4.m4s?vhost=fmp4.example`)).status, 200);
});

test("CORS is the vhost's, on playlists and files", async () => {
  const { name } = publish(TS, 'strict');
  for (const file of [`${name}.m3u8`, `${name}-4.ts`]) {
    const allowed = async (origin: string): Promise<string | undefined> =>
      (await get(`/live/${file}`, { headers: { Host: 'strict.example', Origin: origin } })).headers[
        'access-control-allow-origin'
      ];
    assert.equal(await allowed('https://a.example'), 'https://a.example');
    assert.equal(await allowed('https://b.example'), undefined);
    const { headers } = await get(`/live/${file}`, { headers: { Host: 'strict.example' } });
    assert.equal(headers.vary, 'Origin', 'what a cache keeps is not for every origin');
  }
  const { name: open } = publish(TS);
  for (const file of [`${open}.m3u8`, `${open}-4.ts`]) {
    const { headers } = await get(`/live/${file}`);
    assert.equal(headers['access-control-allow-origin'], '*', 'what a cache keeps does for browsers too');
  }
});

test('a node that drains sends its viewers to another one', async () => {
  const { name } = publish(TS);
  const media = await mediaOf(name);
  isDraining = true;
  const agent = new Agent({ keepAlive: true });
  for (const path of [media, `/live/${name}-4.ts`]) {
    assert.equal((await get(path, { agent })).headers.connection, 'close');
  }
  isDraining = false;
  assert.equal((await get(media, { agent })).headers.connection, 'keep-alive');
  agent.destroy();
});

test('a long playlist is compressed for who takes that', async () => {
  const { name } = publish({ ...TS, durationsMs: Array<number>(200).fill(2_000) });
  const media = await mediaOf(name);
  const plain = await get(media);
  const zipped = async (encoding: string): Promise<string> => {
    const headers = { 'Accept-Encoding': encoding };
    const answer = await fetch(`http://127.0.0.1:${port}${media}`, { headers });
    assert.equal(await answer.text(), plain.body);
    return `${answer.headers.get('content-encoding')} ${answer.headers.get('vary')}`;
  };
  assert.equal(plain.headers.vary, 'Accept-Encoding');
  assert.equal(await zipped('gzip, deflate'), 'gzip Accept-Encoding');
  assert.equal(await zipped('br, gzip;q=0'), 'null Accept-Encoding');
  const head = await get(media, { method: 'HEAD', headers: { 'Accept-Encoding': 'gzip' } });
  assert.ok(Number(head.headers['content-length']) < plain.body.length / 4);
  const { name: short } = publish(TS);
  assert.equal((await get(await mediaOf(short), { headers: { 'Accept-Encoding': 'gzip' } })).headers.vary, undefined);
});

test('bytes from another node are sent when they have come, and a file that it does not have is not found', async () => {
  const { name, stream } = publish(TS);
  for (const file of [`live/${name}-4.ts`, `live/${name}-5.ts`]) stream.files.delete(file);
  stream.slowFiles.set(`live/${name}-4.ts`, () => Promise.resolve(Buffer.from('from elsewhere')));
  stream.slowFiles.set(`live/${name}-5.ts`, () => Promise.resolve(undefined));
  stream.slowFiles.set(`live/${name}-6.ts`, () => Promise.reject(new PackagingError('unreachable', 'no answer')));
  stream.files.delete(`live/${name}-6.ts`);
  assert.equal((await get(`/live/${name}-4.ts`)).body, 'from elsewhere');
  assert.equal((await get(`/live/${name}-5.ts`)).status, 404);
  assert.equal((await get(`/live/${name}-6.ts`)).status, 503);
});
