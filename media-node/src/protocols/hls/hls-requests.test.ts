import assert from 'node:assert/strict';
import { Agent } from 'node:http';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { PackagingError } from '../../packaging/packaged-stream.ts';
import { GateError } from '../../stream/gate.ts';
import { FMP4, LOW, PackagedNode, TS } from '../testing/packaged-node.ts';

const node = new PackagedNode();
before(() => node.start());
after(() => node.close());

test('what the gate refuses is a status, and a limit of the node too', async () => {
  const { name } = node.publish(TS);
  const media = await node.mediaOf(name);
  for (const [code, status] of [
    ['denied', 403],
    ['limit', 503],
    ['draining', 503],
  ] as const) {
    node.gate.refusal = new GateError(code, 'no');
    assert.equal((await node.get(media)).status, status);
  }
  node.gate.refusal = undefined;
  assert.equal((await node.get(media)).status, 200);
  const crowd = await Promise.all(
    Array.from({ length: 60 }, async () => (await node.get(await node.mediaOf(name))).status),
  );
  assert.ok(crowd.includes(503) && crowd.includes(200));
  node.nowMs += 10_000;
  node.viewers.sweep();
  node.streams.failure = new PackagingError('unreachable', 'the origin does not answer');
  for (const path of [media, `/live/${name}.m3u8`, `/live/${name}-4.ts`]) {
    assert.deepEqual((await node.get(path)).status, 503, path);
  }
  node.streams.failure = undefined;
});

test('paths of no packaged stream are for the next handler, also where that is known late', async () => {
  const { name } = node.publish(TS);
  for (const isSlow of [false, true]) {
    node.streams.isSlow = isSlow;
    for (const path of ['/live/other-5.ts', '/live/x.flv', '/live/x.mpd', '/x.m3u8', '/']) {
      assert.equal((await node.get(path)).body, 'the next handler\n', path);
    }
    assert.equal((await node.get(`/live/${name}-4.ts`)).status, 200);
    assert.match((await node.get(`/live/${name}-99.ts`)).body, /^segment live\/.* is not there/);
  }
  node.streams.isSlow = false;
  assert.equal((await node.get(`/live/${name}.m3u8`, { headers: { Host: 'off.example' } })).body, 'the next handler\n');
});

test('tricks with paths find nothing', async () => {
  const { name } = node.publish(TS);
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
    const { status } = await node.get(path);
    assert.ok([400, 404].includes(status) || path.endsWith('/'), `${status} ${path}`);
  }
});

test('whatever is asked for, the answer is one that was meant', async () => {
  const { name } = node.publish(LOW, 'fmp4');
  const media = await node.mediaOf(name, FMP4);
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
      const { status } = await node.get(asked, { method, agent, headers: FMP4 });
      assert.ok(meant.has(status), `${status} ${asked}`);
    }),
    { numRuns: 300 },
  );
  agent.destroy();
  node.nowMs += 10_000;
  node.viewers.sweep();
});

test('HEAD answers as GET without a body, and counts nobody', async () => {
  const { name } = node.publish(TS);
  const media = await node.mediaOf(name);
  const whole = (await node.get(media)).headers;
  node.nowMs += 10_000;
  node.viewers.sweep();
  const head = await node.get(media, { method: 'HEAD' });
  assert.deepEqual([head.status, head.body, head.headers['content-length']], [200, '', whole['content-length']]);
  assert.equal(node.viewersOf(name), 0);
});

test('?vhost= selects the vhost, and goes on into the addresses of segments', async () => {
  const { name } = node.publish(LOW, 'fmp4');
  const media = await node.mediaOf(name, FMP4);
  const { body } = await node.get(`${media}&vhost=fmp4.example`);
  assert.ok(body.includes(`\n${name}-video-4.m4s?vhost=fmp4.example\n`));
  assert.ok(body.includes(`URI="${name}-video-init-4.mp4?vhost=fmp4.example"`));
  assert.ok(body.includes('&hls_track=audio&vhost=fmp4.example",LAST-MSN'));
  assert.equal((await node.get(`/live/${name}-video-4.m4s?vhost=fmp4.example`)).status, 200);
});

test("CORS is the vhost's, on playlists and files", async () => {
  const { name } = node.publish(TS, 'strict');
  for (const file of [`${name}.m3u8`, `${name}-4.ts`]) {
    const allowed = async (origin: string): Promise<string | undefined> =>
      (await node.get(`/live/${file}`, { headers: { Host: 'strict.example', Origin: origin } })).headers[
        'access-control-allow-origin'
      ];
    assert.equal(await allowed('https://a.example'), 'https://a.example');
    assert.equal(await allowed('https://b.example'), undefined);
    const { headers } = await node.get(`/live/${file}`, { headers: { Host: 'strict.example' } });
    assert.equal(headers.vary, 'Origin', 'what a cache keeps is not for every origin');
  }
  const { name: open } = node.publish(TS);
  for (const file of [`${open}.m3u8`, `${open}-4.ts`]) {
    const { headers } = await node.get(`/live/${file}`);
    assert.equal(headers['access-control-allow-origin'], '*', 'what a cache keeps does for browsers too');
  }
});

test('a node that drains sends its viewers to another one', async () => {
  const { name } = node.publish(TS);
  const media = await node.mediaOf(name);
  node.isDraining = true;
  const agent = new Agent({ keepAlive: true });
  for (const path of [media, `/live/${name}-4.ts`]) {
    assert.equal((await node.get(path, { agent })).headers.connection, 'close');
  }
  node.isDraining = false;
  assert.equal((await node.get(media, { agent })).headers.connection, 'keep-alive');
  agent.destroy();
});
