import assert from 'node:assert/strict';
import { Agent } from 'node:http';
import { after, before, test } from 'node:test';
import { snapshotOf } from '#contract/testing/packaging.ts';
import { until } from '#contract/testing/until.ts';
import { CONTEXT_LIFE_MS } from '../packaged/viewer-context.ts';
import { FMP4, LOW, PackagedNode, playlistsOf, TS } from '../testing/packaged-node.ts';

const node = new PackagedNode();
before(() => node.start());
after(() => node.close());

test('a player gets a multivariant playlist with a context, then the media playlist, then segments', async () => {
  const { name } = node.publish(TS);
  const first = await node.get(`/live/${name}.m3u8?token=a%22b`);
  assert.deepEqual([first.status, first.headers['content-type']], [200, 'application/vnd.apple.mpegurl']);
  assert.equal(first.headers['cache-control'], 'no-store', 'a context is for one viewer');
  const [uri] = playlistsOf(first.body);
  assert.match(uri ?? '', new RegExp(`^${name}\\.m3u8\\?hls_ctx=[\\w-]{39}&token=a%22b$`));
  assert.equal(node.viewersOf(name), undefined, 'a multivariant playlist counts nobody');
  const media = await node.get(`/live/${uri}`);
  assert.equal(media.status, 200);
  assert.match(media.body, new RegExp(`#EXT-X-MEDIA-SEQUENCE:4\n[^]*\n${name}-4\\.ts\n`));
  assert.equal(node.viewersOf(name), 1);
  const segment = await node.get(`/live/${name}-4.ts`);
  assert.deepEqual([segment.status, segment.body], [200, `bytes of live/${name}-4.ts`]);
  assert.equal(segment.headers['content-type'], 'video/mp2t');
  assert.match(segment.headers['cache-control'] ?? '', /^public, max-age=\d+, immutable$/);
  const second = playlistsOf((await node.get(`/live/${name}.m3u8`)).body)[0];
  assert.notEqual(second, uri, 'each viewer gets its own context');
});

test('fMP4: a rendition a track, with reports of each other; files have the types of their tracks', async () => {
  const { name } = node.publish(LOW, 'fmp4');
  const [video, audio] = playlistsOf((await node.get(`/live/${name}.m3u8`, { headers: FMP4 })).body);
  assert.match(video ?? '', /&hls_track=video$/);
  assert.match(audio ?? '', /&hls_track=audio$/);
  const { body } = await node.get(`/live/${video}`, { headers: FMP4 });
  assert.ok(body.includes(`#EXT-X-PRELOAD-HINT:TYPE=PART,URI="${name}-video-7.p1.m4s"\n`));
  assert.ok(body.endsWith(`#EXT-X-RENDITION-REPORT:URI="${audio}",LAST-MSN=7,LAST-PART=0\n`));
  await node.get(`/live/${audio}`, { headers: FMP4 });
  assert.equal(node.viewersOf(name, 'fmp4'), 1, 'both playlists are one viewer');
  const types = ['video-4.m4s', 'audio-4.m4s', 'audio-4.p0.m4s', 'audio-init-4.mp4', 'video-init-4.mp4'].map(
    async (file) => (await node.get(`/live/${name}-${file}`, { headers: FMP4 })).headers['content-type'],
  );
  assert.deepEqual(await Promise.all(types), ['video/mp4', 'audio/mp4', 'audio/mp4', 'audio/mp4', 'video/mp4']);
  const wrong = await node.get(`/live/${video?.replace('=video', '=subtitles')}`, { headers: FMP4 });
  assert.deepEqual(
    [wrong.status, wrong.body],
    [404, 'hls_track is video or audio of this stream: ask without hls_ctx and hls_track\n'],
  );
});

test('without contexts all viewers share addresses, which may be cached, and nobody is counted', async () => {
  const { name, stream } = node.publish(LOW, 'plain');
  const headers = { Host: 'plain.example' };
  const first = await node.get(`/live/${name}.m3u8`, { headers });
  assert.deepEqual(playlistsOf(first.body), [`${name}.m3u8?hls_track=video`, `${name}.m3u8?hls_track=audio`]);
  assert.equal(first.headers['cache-control'], 'public, max-age=1');
  const media = await node.get(`/live/${name}.m3u8?hls_track=audio`, { headers });
  assert.equal(media.headers['cache-control'], 'public, max-age=1');
  const blocked = await node.get(`/live/${name}.m3u8?hls_track=audio&_HLS_msn=7&_HLS_part=0`, { headers });
  assert.equal(blocked.headers['cache-control'], 'public, max-age=6');
  const known = { headers: { ...headers, 'If-None-Match': media.headers.etag ?? '' } };
  const again = await node.get(`/live/${name}.m3u8?hls_track=audio`, known);
  assert.deepEqual([again.status, again.body, again.headers['cache-control']], [304, '', 'public, max-age=1']);
  stream.show(snapshotOf({ ...LOW, openParts: 2, stem: `live/${name}` }));
  assert.equal((await node.get(`/live/${name}.m3u8?hls_track=audio`, known)).status, 200);
  stream.show(snapshotOf({ ...LOW, stem: `live/${name}` }));
  const former = await node.get(`/live/${name}.m3u8?hls_ctx=of-before&hls_track=audio`, { headers });
  assert.equal(former.body, media.body, 'a viewer of before contexts were turned off goes on');
  assert.equal(node.viewersOf(name, 'plain'), undefined);
});

test('a viewer of before contexts were turned on goes on in its media playlist, and is not counted', async () => {
  for (const [shape, track, file] of [
    [TS, 'ts', '6.ts'],
    [LOW, 'audio', 'audio-6.m4s'],
  ] as const) {
    const { name } = node.publish(shape, 'fmp4');
    const { status, body, headers } = await node.get(`/live/${name}.m3u8?hls_track=${track}`, { headers: FMP4 });
    assert.deepEqual([status, headers['cache-control']], [200, 'no-store']);
    assert.ok(body.includes(`\n${name}-${file}\n`), body);
    assert.ok(!body.includes('hls_ctx'));
    assert.equal(node.viewersOf(name, 'fmp4'), undefined);
  }
});

test('a viewer of MPEG-TS is told when its stream has become fragmented MP4, and the other way round', async () => {
  for (const [before, after] of [
    [TS, LOW],
    [LOW, TS],
  ]) {
    const { name, stream } = node.publish(before, 'fmp4');
    const media = await node.mediaOf(name, FMP4);
    assert.equal((await node.get(media, { headers: FMP4 })).status, 200);
    stream.show(snapshotOf({ ...after!, stem: `live/${name}` }));
    const { status, body } = await node.get(media, { headers: FMP4 });
    assert.deepEqual([status, /ask without hls_ctx/.test(body)], [404, true]);
    assert.equal((await node.get(await node.mediaOf(name, FMP4), { headers: FMP4 })).status, 200);
  }
});

test('a blocking request is answered when its part is there, and a hinted part when it is made', async () => {
  const { name, stream } = node.publish(LOW, 'fmp4');
  const video = await node.mediaOf(name, FMP4);
  const blocked = node.get(`${video}&_HLS_msn=7&_HLS_part=1`, { headers: FMP4 });
  const hinted = node.get(`/live/${name}-video-7.p1.m4s`, { headers: FMP4 });
  await until('both to wait', () => stream.waiting.size === 2);
  stream.show(snapshotOf({ ...LOW, openParts: 2, stem: `live/${name}` }));
  assert.ok((await blocked).body.includes(`URI="${name}-video-7.p1.m4s"\n#EXT-X-PRELOAD-HINT`));
  assert.equal((await hinted).body, `bytes of live/${name}-video-7.p1.m4s`);
  assert.equal(stream.waiting.size, 0);
});

test('requests that make no sense are refused, and one that waits in vain is told to come back', async () => {
  const { name, stream } = node.publish(LOW, 'fmp4');
  const video = await node.mediaOf(name, FMP4);
  for (const query of ['_HLS_msn=10', '_HLS_part=1', '_HLS_msn=x', '_HLS_msn=7&_HLS_part=40']) {
    const { status, body } = await node.get(`${video}&${query}`, { headers: FMP4 });
    assert.equal(status, 400, `${query} ${body}`);
  }
  let revision = 1;
  stream.changed = () => {
    node.aheadMs += 1_000;
    // Something new each time, but not what was asked for; then nothing any more.
    if (revision < 4) stream.snapshot = { ...stream.snapshot!, revision: ++revision };
    return Promise.resolve();
  };
  const { status, headers, body } = await node.get(`${video}&_HLS_msn=8`, { headers: FMP4 });
  assert.deepEqual([status, headers['retry-after']], [503, '1']);
  assert.match(body, /^nothing new came in 3 target durations/);
  assert.equal(revision, 4);
  assert.equal(
    (await node.get(`/live/${name}-video-7.p1.m4s`, { headers: FMP4 })).status,
    404,
    'a part that never came',
  );
});

test('a stream that has just begun is waited for, one that nobody publishes is not', async () => {
  const { name, stream } = node.publish(undefined);
  const asked = node.get(`/live/${name}.m3u8`);
  await until('it to wait', () => stream.waiting.size === 1);
  stream.show(snapshotOf({ ...TS, stem: `live/${name}` }));
  assert.equal((await asked).status, 200);
  const { name: silent } = node.publish(undefined);
  const late = await node.get(`/live/${silent}.m3u8`);
  assert.equal(late.status, 404);
  assert.match(
    late.body,
    /^live\/s\d+ has begun, but has no segment yet: ask again; .* set hls\.container .* to fmp4\n$/,
  );
  const { name: over, stream: ended } = node.publish(undefined);
  ended.changed = () => Promise.resolve();
  assert.equal((await node.get(`/live/${over}.m3u8`)).status, 404, 'one that ended before it had any');
  const none = await node.get('/live/nobody.m3u8');
  assert.deepEqual([none.status, none.body], [404, 'nobody publishes live/nobody: ask again when it has begun\n']);
});

test('a playlist waits for a segment, and for a track whose first one is still to come; not for longer than that', async () => {
  const parts = snapshotOf({ ...LOW, durationsMs: [], openParts: 1 });
  const whole = snapshotOf({ ...LOW, durationsMs: [1_000], openParts: 1 });
  const [segment] = whole.segments;
  const { audio: _, ...video } = segment!.media;
  const { open: __, ...silent } = { ...whole, segments: [{ ...segment!, media: video }] };
  const { name, stream } = node.publish(undefined, 'fmp4');
  stream.show(parts);
  const asked = node.get(`/live/${name}.m3u8`, { headers: FMP4 });
  for (const next of [silent, whole]) {
    await until('it to wait', () => stream.waiting.size === 1);
    stream.show(next);
  }
  assert.equal(playlistsOf((await asked).body).length, 2);
  stream.show(silent);
  assert.equal(playlistsOf((await node.get(`/live/${name}.m3u8`, { headers: FMP4 })).body).length, 1);
  stream.show(parts);
  assert.equal((await node.get(`/live/${name}.m3u8`, { headers: FMP4 })).status, 200);
});

test('a viewer that has gone waits no longer', async () => {
  const { name, stream } = node.publish(LOW, 'fmp4');
  const video = await node.mediaOf(name, FMP4);
  for (const path of [`${video}&_HLS_msn=8`, `/live/${name}-video-7.p1.m4s`]) {
    const gone = new AbortController();
    const asked = node.get(path, { headers: FMP4, signal: gone.signal });
    await until('it to wait', () => stream.waiting.size === 1);
    gone.abort();
    await assert.rejects(asked);
    await until('it to wait no longer', () => stream.waiting.size === 0);
  }
});

test('a forged context is refused; an expired one leads to a fresh one of the same session', async () => {
  const { name } = node.publish(LOW, 'fmp4');
  const { name: other } = node.publish(LOW, 'fmp4');
  const video = await node.mediaOf(name, FMP4);
  for (const path of [
    video.replace(name, other),
    video.replace(/hls_ctx=./, 'hls_ctx=!'),
    `/live/${name}.m3u8?hls_ctx=`,
  ]) {
    const { status, body } = await node.get(path, { headers: FMP4 });
    assert.equal(status, 403, path);
    assert.match(body, /ask without it to get another\n$/);
  }
  node.nowMs += CONTEXT_LIFE_MS + 5_000;
  const { status, headers } = await node.get(`${video}&_HLS_msn=4`, { headers: FMP4 });
  assert.equal(status, 302);
  assert.match(headers.location ?? '', /^s\d+\.m3u8\?hls_ctx=[\w-]{39}&hls_track=video&_HLS_msn=4$/);
  assert.equal((await node.get(`/live/${headers.location}`, { headers: FMP4 })).status, 200);
});

test('a viewer is counted until it asks no more, its bytes are known, and it can be ended', async () => {
  const { name } = node.publish(TS);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const media = await node.mediaOf(name);
  const playlist = await node.get(media, { agent });
  await node.get(`/live/${name}-4.ts`, { agent });
  const [visitor, ...others] = [...node.viewers.visitors()].filter(({ stream }) => stream.key.stream === name);
  assert.equal(others.length, 0);
  assert.equal(visitor?.session.protocol, 'hls');
  const ofOne = `bytes of live/${name}-4.ts`.length;
  const before = playlist.body.length + ofOne;
  assert.equal(visitor?.bytesOut, before);
  await node.get(`/live/${name}-5.ts`);
  assert.equal(visitor?.bytesOut, before + ofOne, 'another connection from the same address');
  await node.get(`/live/${name}-6.ts`, { localAddress: '127.0.0.9' });
  assert.deepEqual([visitor?.bytesOut, visitor?.stream.stats().bytesOut], [before + ofOne, before + 2 * ofOne]);
  node.nowMs += 5_000;
  node.viewers.sweep();
  assert.equal(node.viewersOf(name), 1);
  await node.get(media, { agent });
  node.nowMs += 5_000;
  node.viewers.sweep();
  assert.equal(node.viewersOf(name), 1);
  node.nowMs += 2_000;
  node.viewers.sweep();
  assert.equal(node.viewersOf(name), 0);
  await node.get(media, { agent });
  assert.equal(node.viewersOf(name), 1, 'who comes back is counted again');
  [...node.viewers.visitors()].find(({ stream }) => stream.key.stream === name)?.close('ended by a test');
  assert.equal(node.viewersOf(name), 0);
  const ended = await node.get(media, { agent });
  assert.deepEqual([ended.status, ended.body.slice(0, 22)], [403, 'this session was ended']);
  agent.destroy();
});

test('a long playlist is compressed for who takes that', async () => {
  const { name } = node.publish({ ...TS, durationsMs: Array<number>(200).fill(2_000) });
  const media = await node.mediaOf(name);
  const plain = await node.get(media);
  const zipped = async (encoding: string): Promise<string> => {
    const headers = { 'Accept-Encoding': encoding };
    const answer = await fetch(`http://127.0.0.1:${node.port}${media}`, { headers });
    assert.equal(await answer.text(), plain.body);
    return `${answer.headers.get('content-encoding')} ${answer.headers.get('vary')}`;
  };
  assert.equal(plain.headers.vary, 'Accept-Encoding');
  assert.equal(await zipped('gzip, deflate'), 'gzip Accept-Encoding');
  assert.equal(await zipped('br, gzip;q=0'), 'null Accept-Encoding');
  const head = await node.get(media, { method: 'HEAD', headers: { 'Accept-Encoding': 'gzip' } });
  assert.ok(Number(head.headers['content-length']) < plain.body.length / 4);
  const { name: short } = node.publish(TS);
  assert.equal(
    (await node.get(await node.mediaOf(short), { headers: { 'Accept-Encoding': 'gzip' } })).headers.vary,
    undefined,
  );
});
