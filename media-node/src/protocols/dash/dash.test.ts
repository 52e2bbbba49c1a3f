import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { VHOST_DEFAULTS } from '#contract/node-config.ts';
import { until } from '#contract/testing/until.ts';
import { chain } from '../../http/chain.ts';
import { HttpError } from '../../http/http-error.ts';
import { HttpServer } from '../../http/http-server.ts';
import { ConnectionLimit } from '../../lib/connection-limit.ts';
import { PackagingError } from '../../packaging/packaged-stream.ts';
import { LocalViewerSessions } from '../../packaging/viewer-sessions.ts';
import { PackagedLocator } from '../packaged/locator.ts';
import { PackagedFiles } from '../packaged/packaged-files.ts';
import { ViewerContexts } from '../packaged/viewer-context.ts';
import { Viewers } from '../packaged/viewers.ts';
import type { ClipOptions } from '../testing/clip-packaging.ts';
import { ClipPackaging } from '../testing/clip-packaging.ts';
import type { FakePackagedStream } from '../testing/fake-packaged.ts';
import { FakePackagedStreams } from '../testing/fake-packaged.ts';
import { run } from '../testing/ffmpeg.ts';
import { LOG } from '../testing/test-node.ts';
import { MemoryGate, vhostOf } from '../testing/memory-gate.ts';
import { Dash } from './dash.ts';

const DASH = { enabled: true, mpdFile: '[app]/[stream].mpd' };
const gate = new MemoryGate([
  vhostOf('v', ['127.0.0.1'], { dash: DASH }),
  vhostOf('shared', ['shared'], { dash: DASH, hls: { ...VHOST_DEFAULTS.hls, ctx: false } }),
  vhostOf('off', ['off']),
]);
const streams = new FakePackagedStreams();
const viewers = new Viewers({ gate, sessions: new LocalViewerSessions(), log: LOG });
let isDraining = false;
/** How far the clock that only rises is ahead. */
let aheadMs = 0;
const server = new HttpServer({ limit: new ConnectionLimit(1_000), log: LOG });
let base = '';

before(async () => {
  const locator = new PackagedLocator(gate);
  const options = { locator, streams, viewers, isDraining: () => isDraining };
  const contexts = new ViewerContexts(Buffer.from('secret'));
  const dash = new Dash({ ...options, contexts, firstMediaMs: 300, now: () => aheadMs + performance.now() });
  const files = new PackagedFiles(options);
  server.fallback(
    chain([(...args) => dash.handle(...args), (...args) => files.handle(...args)], () => {
      throw new HttpError(404, 'the next handler');
    }),
  );
  base = `http://127.0.0.1:${await server.listen(0, '127.0.0.1')}`;
});
afterEach(() => {
  streams.all.clear();
  streams.failure = undefined;
  isDraining = false;
});
after(() => {
  viewers.close('the test is over');
  server.close();
});

/** A stream with so many segments. */
function publish(
  segments: number,
  options?: ClipOptions,
  vhost = 'v',
): { stream: FakePackagedStream; clip: ClipPackaging } {
  const stream = streams.add({ vhost, app: 'live', stream: 's' });
  const clip = new ClipPackaging(stream, options);
  for (let count = 0; count < segments; count++) clip.advance();
  return { stream, clip };
}

const locationOf = (manifest: string): string | undefined => /<Location>([^<]*)<\/Location>/.exec(manifest)?.[1];

test('a manifest tells its reader to come back with a context, and from then on it is counted', async () => {
  publish(2);
  const response = await fetch(`${base}/live/s.mpd?token=a%26b`);
  assert.deepEqual(
    [response.status, response.headers.get('content-type'), response.headers.get('cache-control')],
    [200, 'application/dash+xml', 'no-store'],
  );
  const location = locationOf(await response.text())!.replaceAll('&amp;', '&');
  assert.match(location, /^s\.mpd\?hls_ctx=[\w-]{39}&token=a%26b$/);
  assert.equal([...viewers.visitors()].length, 0);
  for (let count = 0; count < 2; count++) {
    const again = await fetch(new URL(location, response.url));
    assert.equal(locationOf(await again.text())?.replaceAll('&amp;', '&'), location);
  }
  const [visitor, ...others] = viewers.visitors();
  assert.equal(others.length, 0);
  assert.deepEqual([visitor?.session.protocol, visitor?.stream.key.stream], ['dash', 's']);
  assert.ok(visitor!.bytesOut > 1_000);
  assert.equal((await fetch(new URL(location, response.url), { method: 'HEAD' })).status, 200);
  visitor?.close('by the test');
  assert.equal((await fetch(new URL(location, response.url))).status, 403);
});

test('a context of another stream is refused', async () => {
  publish(2);
  const token = new ViewerContexts(Buffer.from('another')).issue({ vhost: 'v', app: 'live', stream: 's' });
  assert.equal((await fetch(`${base}/live/s.mpd?hls_ctx=${token}`)).status, 403);
});

test('a vhost without contexts has one manifest for all', async () => {
  publish(2, undefined, 'shared');
  const response = await fetch(`${base}/live/s.mpd?vhost=shared&hls_ctx=nonsense`);
  const text = await response.text();
  assert.deepEqual([response.status, response.headers.get('cache-control')], [200, 'public, max-age=1']);
  assert.equal(locationOf(text), undefined);
  // Its files are asked for by the same vhost.
  assert.match(text, / media="s-video-\$Number\$\.m4s\?vhost=shared"/);
  assert.equal((await fetch(`${base}/live/s-video-0.m4s?vhost=shared`)).status, 200);
});

test('a stream that has just begun is waited for, until it has a segment', async () => {
  const { stream, clip } = publish(0);
  const answer = fetch(`${base}/live/s.mpd`);
  await until('a request that waits', () => stream.waiting.size === 1);
  clip.advance();
  assert.equal((await answer).status, 200);
});

test('a stream without any segment is not there, whether it ends or goes on', async () => {
  const { stream, clip } = publish(0);
  const ended = fetch(`${base}/live/s.mpd`);
  await until('a request that waits', () => stream.waiting.size === 1);
  clip.end();
  assert.equal((await ended).status, 404);
  publish(0);
  assert.equal((await fetch(`${base}/live/s.mpd`)).status, 404);
});

test('who leaves while it waits is waited for no longer', async () => {
  const { stream } = publish(0);
  const leaving = new AbortController();
  const answer = fetch(`${base}/live/s.mpd`, { signal: leaving.signal });
  await until('a request that waits', () => stream.waiting.size === 1);
  leaving.abort();
  await assert.rejects(answer, { name: 'AbortError' });
  await until('nobody who waits', () => stream.waiting.size === 0);
});

test('other paths, streams that nobody publishes and vhosts without DASH are 404, a node out of reach is 503', async () => {
  const status = async (path: string) => (await fetch(base + path)).status;
  assert.equal(await status('/live/s.mpd'), 404);
  publish(2);
  assert.deepEqual(await Promise.all(['/s.mpd', '/live/s.mpd?vhost=off', '/live/s.m3u8'].map(status)), [404, 404, 404]);
  streams.failure = new PackagingError('unreachable', 'the node that has it does not answer');
  const response = await fetch(`${base}/live/s.mpd`);
  assert.deepEqual([response.status, response.headers.get('retry-after')], [503, '1']);
});

test('a node that drains gives up its connections', async () => {
  publish(2);
  isDraining = true;
  assert.equal((await fetch(`${base}/live/s.mpd`)).headers.get('connection'), 'close');
});

interface Probed {
  readonly packets: readonly { readonly stream_index: number; readonly pts_time: string; readonly flags: string }[];
}

/** What ffmpeg's reader of DASH finds in the first seconds of a manifest's media. */
async function probe(seconds: number): Promise<Probed['packets']> {
  const show = ['-show_entries', 'packet=stream_index,pts_time,flags', '-of', 'json'];
  const text = await run('ffprobe', [...show, '-read_intervals', `%+${seconds}`, '-i', `${base}/live/s.mpd`]).done;
  return (JSON.parse(text) as Probed).packets;
}

test('ffmpeg plays a stream while it goes on, through the window’s end', async () => {
  const { stream, clip } = publish(3, { window: 4 });
  // The stream is a segment further with each one of its files that is asked for but the first ones.
  let reads = 0;
  const read = stream.read.bind(stream);
  stream.read = (file) => {
    if (++reads % 3 === 0) clip.advance();
    return read(file);
  };
  const packets = await probe(8);
  for (const [index, step] of [
    [0, 0.1],
    [1, 1_024 / 44_100],
  ] as const) {
    const all = packets.filter((packet) => packet.stream_index === index).map(({ pts_time }) => Number(pts_time));
    // It fetches a segment again when it reads the manifest again at that segment's end.
    const times = [...new Set(all)].toSorted((a, b) => a - b);
    assert.ok(times.at(-1)! - times[0]! > 6, `${times.length} packets, from ${times[0]} to ${times.at(-1)}`);
    for (let at = 1; at < times.length; at++) assert.ok(Math.abs(times[at]! - times[at - 1]! - step) < 0.002);
  }
  assert.ok(stream.snapshot!.segments[0]!.seq > 0, 'the window moved');
});

test('the manifest of a stream that ended is static once all who watched it know: who comes then plays it from its first segment to its end', async () => {
  const { clip } = publish(9, { window: 4 });
  clip.end();
  const typeOf = async () => / type="(\w+)"/.exec(await (await fetch(`${base}/live/s.mpd`)).text())?.[1];
  assert.equal(await typeOf(), 'dynamic');
  aheadMs += 3_000;
  assert.equal(await typeOf(), 'dynamic', 'players may not have asked again');
  aheadMs += 1_000;
  assert.equal(await typeOf(), 'static');
  const packets = await probe(60);
  const pictures = packets.filter(({ stream_index: index }) => index === 0);
  assert.equal(pictures[0]?.pts_time, '3605.200000');
  // It ends when the first of the tracks does.
  assert.ok(pictures.length > 35, `${pictures.length} pictures`);
  const old = publish(3, { beganMs: Date.now() - 600_000 });
  old.clip.end();
  assert.equal(await typeOf(), 'static', 'of a stream that nobody here was told of before');
});
