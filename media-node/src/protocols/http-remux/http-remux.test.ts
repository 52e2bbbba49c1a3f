import assert from 'node:assert/strict';
import { request } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { after, afterEach, before, test } from 'node:test';
import { until } from '#contract/testing/until.ts';
import { FlvReader } from '../../formats/flv-file.ts';
import { RTMP_VIDEO } from '../../formats/rtmp-message.ts';
import { GateError } from '../../stream/gate.ts';
import { MemoryGate, vhostOf } from '../testing/memory-gate.ts';
import { AVC_FRAME, AVC_HEADER, AVC_KEY, RtmpPeer } from '../testing/rtmp-peer.ts';
import type { TestNode } from '../testing/test-node.ts';
import { startTestNode } from '../testing/test-node.ts';

const VHOSTS = [
  vhostOf('__defaultVhost__', ['__defaultVhost__']),
  vhostOf('strict', ['strict.example'], { security: { cors: { allowOrigins: ['https://a.example'] } } }),
  vhostOf('off', ['off.example'], { httpRemux: { enabled: false, mount: '[vhost]/[app]/[stream].flv' } }),
  vhostOf('path', ['path.example'], { httpRemux: { enabled: true, mount: '/flv/[vhost]/[app]/[stream].flv' } }),
];

let node: TestNode;
let encoder: RtmpPeer;

before(async () => {
  node = await startTestNode(new MemoryGate(VHOSTS));
  encoder = await RtmpPeer.connected(node.rtmpPort);
  await encoder.publish('s');
});
after(() => {
  encoder.close();
  node.close();
});
afterEach(() => {
  node.gate.refusal = undefined;
});

interface Got {
  readonly response: IncomingMessage;
  readonly flags: string[];
  readonly tags: { type: number; timestampMs: number; payload: Buffer }[];
  isOver: boolean;
}

async function get(path: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Got> {
  const { promise, resolve, reject } = Promise.withResolvers<Got>();
  const asked = request({ port: node.httpPort, host: '127.0.0.1', path, headers, method }, (response) => {
    const got: Got = { response, flags: [], tags: [], isOver: false };
    const reader = new FlvReader({
      onHeader: (hasAudio, hasVideo) => got.flags.push(`${hasAudio} ${hasVideo}`),
      onTag: (type, timestampMs, payload) => got.tags.push({ type, timestampMs, payload: Buffer.from(payload) }),
    });
    response.on('data', (bytes: Buffer) => {
      if (response.statusCode === 200) reader.push(bytes);
    });
    response.on('close', () => (got.isOver = true));
    response.on('error', () => undefined);
    resolve(got);
  });
  asked.on('error', reject);
  asked.end();
  return promise;
}

test('a viewer of a stream without media waits with its headers, then gets an FLV of the tracks there are', async () => {
  const got = await get('/live/s.flv', { Origin: 'https://b.example' });
  const { statusCode, headers } = got.response;
  assert.equal(statusCode, 200);
  assert.equal(headers['content-type'], 'video/x-flv');
  assert.equal(headers['cache-control'], 'no-cache, no-store');
  assert.equal(headers['transfer-encoding'], 'chunked');
  assert.equal(headers['access-control-allow-origin'], '*');
  assert.equal(got.flags.length, 0);
  encoder.send(RTMP_VIDEO, AVC_HEADER);
  encoder.send(RTMP_VIDEO, AVC_KEY);
  for (let ms = 40; ms <= 600; ms += 40) encoder.send(RTMP_VIDEO, AVC_FRAME, ms);
  await until('the tags', () => got.tags.length === 17);
  assert.deepEqual(got.flags, ['false true']);
  assert.deepEqual(got.tags[0]?.payload, AVC_HEADER);
  assert.deepEqual(got.tags[1]?.payload, AVC_KEY);

  const second = await get('/live/s.flv?token=x');
  await until('the same from the cache', () => second.tags.length === 17);
  assert.equal(node.gate.asked.at(-1)?.session.param, '?token=x');
  for (const { response } of [got, second]) response.destroy();
  const stream = node.gate.registry.get({ vhost: '__defaultVhost__', app: 'live', stream: 's' });
  await until('both to leave', () => stream?.playbacks().length === 0);
});

test('HEAD tells the type and asks nobody', async () => {
  const asked = node.gate.asked.length;
  const { response } = await get('/live/s.flv', {}, 'HEAD');
  assert.deepEqual([response.statusCode, response.headers['content-type']], [200, 'video/x-flv']);
  assert.equal(node.gate.asked.length, asked);
});

test('a range is no reason to send less; a browser may ask before; a POST is told what there is', async () => {
  const ranged = await get('/live/s.flv', { Range: 'bytes=5000-6000' });
  assert.deepEqual([ranged.response.statusCode, ranged.response.headers['content-range']], [200, undefined]);
  await until('the header of the file', () => ranged.flags.length === 1);
  ranged.response.destroy();
  const headers = { Origin: 'https://b.example', 'Access-Control-Request-Method': 'GET' };
  const { response: preflight } = await get('/live/s.flv', headers, 'OPTIONS');
  assert.deepEqual([preflight.statusCode, preflight.headers['access-control-allow-origin']], [200, '*']);
  const { response: post } = await get('/live/s.flv', {}, 'POST');
  assert.deepEqual([post.statusCode, post.headers['allow']], [405, 'GET, HEAD, OPTIONS']);
});

test('a request behind a stream on its connection is never answered: the connection ends, and the viewer leaves', async () => {
  const socket = connect(node.httpPort, '127.0.0.1');
  socket.on('error', () => undefined);
  let answer = '';
  socket.on('data', (bytes) => (answer += bytes.toString('latin1')));
  const isClosed = new Promise((resolve) => socket.once('close', resolve));
  socket.write('GET /live/s.flv HTTP/1.1\r\nHost: a\r\n\r\n');
  await until('the stream', () => answer.includes('FLV'));
  socket.write('GET /live/s.flv HTTP/1.1\r\nHost: a\r\n\r\n');
  await isClosed;
  assert.equal(answer.match(/HTTP\/1\.1 /g)?.length, 1);
  const stream = node.gate.registry.get({ vhost: '__defaultVhost__', app: 'live', stream: 's' });
  await until('it to leave', () => stream?.playbacks().length === 0);
});

test('the Host header, ?vhost= or the path selects the vhost, each with its own mount', async () => {
  const keyOf = async (path: string, headers: Record<string, string> = {}): Promise<string> => {
    const got = await get(path, headers);
    got.response.destroy();
    if (got.response.statusCode !== 200) return String(got.response.statusCode);
    const { vhost, app, stream } = node.gate.asked.at(-1)!.key;
    return `${vhost} ${app} ${stream}`;
  };
  assert.equal(await keyOf('/live/eu/a%20b.flv'), '__defaultVhost__ live/eu a b');
  assert.equal(await keyOf('/live/a.flv', { Host: 'strict.example:8080' }), 'strict live a');
  assert.equal(await keyOf('/live/a.flv?vhost=strict.example'), 'strict live a');
  assert.equal(await keyOf('/flv/path.example/live/a.flv', { Host: 'path.example' }), 'path live a');
  assert.equal(await keyOf('/live/a.flv', { Host: 'path.example' }), '404');
  assert.equal(await keyOf('/flv/strict.example/live/a.flv', { Host: 'path.example' }), '404');
  assert.equal(await keyOf('/live/a.flv', { Host: 'off.example' }), '404');
  assert.equal(await keyOf('/live/a.mp4'), '404');
  assert.equal(await keyOf('/live/a%00.flv'), '400');
  assert.equal(await keyOf('/live/a%1f.flv'), '404');
});

test("CORS is the vhost's", async () => {
  const origin = async (from: string): Promise<string | undefined> => {
    const got = await get('/live/x.flv', { Host: 'strict.example', Origin: from });
    got.response.destroy();
    return got.response.headers['access-control-allow-origin'];
  };
  assert.equal(await origin('https://a.example'), 'https://a.example');
  assert.equal(await origin('https://b.example'), undefined);
});

test('what the gate refuses is a status', async () => {
  for (const [code, status] of [
    ['denied', 403],
    ['unavailable', 503],
    ['draining', 503],
    ['no-vhost', 404],
  ] as const) {
    node.gate.refusal = new GateError(code, 'no');
    assert.equal((await get('/live/s.flv')).response.statusCode, status);
  }
});

test('closing the stream ends the answer in order', async () => {
  const got = await get('/live/ending.flv');
  const stream = node.gate.registry.get({ vhost: '__defaultVhost__', app: 'live', stream: 'ending' });
  stream?.playbacks()[0]?.player.close('the test says so');
  await until('the end', () => got.isOver);
  assert.equal(got.response.complete, true);
  await until('it to leave', () => stream?.playbacks().length === 0);
});

test('a viewer that never reads is skipped and its memory bounded, the others get everything', async () => {
  const large = Buffer.concat([AVC_FRAME.subarray(0, 5), Buffer.from([0, 3, 0xd4, 0]), Buffer.alloc(251_904, 0x41)]);
  const [reading, stalled] = [await get('/live/s.flv'), await get('/live/s.flv')];
  stalled.response.pause();
  const stream = node.gate.registry.get({ vhost: '__defaultVhost__', app: 'live', stream: 's' });
  for (let count = 1; count <= 120; count++) {
    const ms = 1_000 + count * 40;
    encoder.send(RTMP_VIDEO, large, ms);
    await until('the frame', () => reading.tags.at(-1)?.timestampMs === ms);
    reading.tags.splice(0, reading.tags.length - 1);
  }
  assert.equal(stream?.stats().skips, 1);
  const waiting = stream?.playbacks().map(({ player }) => player.writableLength) ?? [];
  assert.ok(Math.max(...waiting) < 20 * 1024 * 1024, waiting.join());
  for (const { response } of [reading, stalled]) response.destroy();
});

test('an old client without chunks gets the stream as well', async () => {
  const socket = connect(node.httpPort, '127.0.0.1', () => socket.write('GET /live/s.flv HTTP/1.0\r\n\r\n'));
  let answer = Buffer.alloc(0);
  socket.on('data', (bytes) => (answer = Buffer.concat([answer, bytes])));
  await until('the header', () => answer.includes('\r\n\r\nFLV'));
  assert.ok(!answer.toString('latin1').toLowerCase().includes('chunked'));
  socket.destroy();
});
