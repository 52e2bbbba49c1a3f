import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { get as httpGet } from 'node:http';
import { connect } from 'node:net';
import { after, afterEach, before, test } from 'node:test';
import { until } from '#contract/testing/until.ts';
import type { Pes } from '../../formats/testing-mpegts.ts';
import { readPackets, readPes, readProgramMap } from '../../formats/testing-mpegts.ts';
import { RTMP_AUDIO, RTMP_VIDEO } from '../../formats/rtmp-message.ts';
import { MemoryGate, vhostOf } from '../testing/memory-gate.ts';
import { AAC_FRAME, AAC_HEADER, AVC_FRAME, AVC_HEADER, AVC_KEY, RtmpPeer } from '../testing/rtmp-peer.ts';
import type { TestNode } from '../testing/test-node.ts';
import { startTestNode } from '../testing/test-node.ts';

/* MPEG-TS, AAC and MP3 over HTTP; what they share with FLV is in http-remux.test.ts. */

const VIDEO_PID = 0x100;
const AUDIO_PID = 0x101;
const MP3_FRAME = Buffer.from('2ffffb9064aabbcc', 'hex');
const AV1_HEADER = Buffer.from('906176303181000c00', 'hex');
const AV1_KEY = Buffer.from('91617630310a0b00000004', 'hex');

let node: TestNode;
/** The same streams, on a port where headers wait for a first frame for as long as it takes. */
let patient: TestNode;
const peers: RtmpPeer[] = [];
const answers: IncomingMessage[] = [];

before(async () => {
  node = await startTestNode(
    new MemoryGate([
      vhostOf('__defaultVhost__', ['__defaultVhost__']),
      vhostOf('path', ['path.example'], { httpRemux: { enabled: true, mount: '/x/[vhost]/[app]/[stream].flv' } }),
    ]),
  );
  patient = await startTestNode(node.gate, 1_000, 60_000);
});
after(() => {
  node.close();
  patient.close();
});
afterEach(() => {
  for (const peer of peers.splice(0)) peer.close();
  for (const answer of answers.splice(0)) answer.destroy();
});

async function publisher(stream: string): Promise<RtmpPeer> {
  const peer = await RtmpPeer.connected(node.rtmpPort);
  peers.push(peer);
  await peer.publish(stream);
  return peer;
}

class Got {
  readonly response: IncomingMessage;
  readonly #parts: Buffer[] = [];
  isOver = false;
  constructor(response: IncomingMessage) {
    this.response = response;
    answers.push(response);
    response.on('data', (bytes: Buffer) => this.#parts.push(bytes));
    response.on('close', () => (this.isOver = true));
    response.on('error', () => undefined);
  }
  get bytes(): Buffer {
    return Buffer.concat(this.#parts);
  }
  /** PES packets of whole TS packets so far. */
  pes(pid: number): Pes[] {
    const { bytes } = this;
    return readPes(bytes.subarray(0, bytes.length - (bytes.length % 188))).filter((pes) => pes.pid === pid);
  }
  /** The text of an answer that ended. */
  async text(): Promise<string> {
    await until('the end of the answer', () => this.isOver);
    return this.bytes.toString();
  }
}

async function get(
  path: string,
  headers: Record<string, string> = {},
  method = 'GET',
  port = node.httpPort,
): Promise<Got> {
  const { promise, resolve, reject } = Promise.withResolvers<Got>();
  const options = { port, host: '127.0.0.1', path, headers, method, agent: false };
  httpGet(options, (response) => resolve(new Got(response))).on('error', reject);
  return promise;
}

const typeOf = ({ response }: Got): unknown[] => [response.statusCode, response.headers['content-type']];

test('MPEG-TS: one who waits for the publisher and one who comes later get tables, a key frame and all that follows', async () => {
  const first = await get('/live/ts.ts');
  assert.deepEqual(typeOf(first), [200, 'video/mp2t']);
  assert.equal(first.response.headers['transfer-encoding'], 'chunked');
  const peer = await publisher('ts');
  peer.sendMedia();
  for (let ms = 40; ms <= 400; ms += 40) {
    peer.send(RTMP_VIDEO, AVC_FRAME, ms);
    peer.send(RTMP_AUDIO, AAC_FRAME, ms + 5);
  }
  await until('the frames', () => first.pes(VIDEO_PID).length === 11 && first.pes(AUDIO_PID).length === 10);
  const second = await get('/live/ts.ts');
  assert.deepEqual(typeOf(second), [200, 'video/mp2t']);
  await until('the same from the cache', () => second.bytes.length === first.bytes.length);
  assert.deepEqual(second.bytes, first.bytes);
  assert.deepEqual(
    readPackets(first.bytes)
      .slice(0, 3)
      .map(({ pid }) => pid),
    [0, 0x1000, VIDEO_PID],
  );
  assert.deepEqual(
    readProgramMap(first.bytes).streams.map(({ streamType }) => streamType),
    [0x1b, 0x0f],
  );
  const [key] = first.pes(VIDEO_PID);
  assert.equal(key?.isRandomAccess, true);
  assert.equal(key.payload.toString('hex').slice(0, 24), '0000000109f0000000016742');
  const stream = node.gate.registry.get({ vhost: '__defaultVhost__', app: 'live', stream: 'ts' });
  assert.equal(stream?.stats().viewers.ts, 2);
});

test('MPEG-TS: a track that comes late is in new tables', async () => {
  const peer = await publisher('late');
  const got = get('/live/late.ts');
  peer.send(RTMP_VIDEO, AVC_HEADER);
  for (let ms = 0; ms <= 600; ms += 40) peer.send(RTMP_VIDEO, ms === 0 ? AVC_KEY : AVC_FRAME, ms);
  const viewer = await got;
  await until('pictures', () => viewer.pes(VIDEO_PID).length === 16);
  peer.send(RTMP_AUDIO, AAC_HEADER, 640);
  peer.send(RTMP_AUDIO, AAC_FRAME, 640);
  peer.send(RTMP_VIDEO, AVC_FRAME, 640);
  await until('sound', () => viewer.pes(AUDIO_PID).length === 1);
  const tables = readPackets(viewer.bytes).flatMap(({ pid }, index) => (pid === 0x1000 ? [index] : []));
  const maps = tables.map((index) => readProgramMap(viewer.bytes.subarray(index * 188)));
  assert.deepEqual(
    maps.map(({ streams }) => streams.length),
    [1, 2],
  );
  assert.notEqual(maps[0]?.version, maps[1]?.version);
});

test('MPEG-TS: another publisher goes on in the same file, its times and counters with it', async () => {
  const first = await publisher('again');
  first.sendMedia(60_000);
  const got = await get('/live/again.ts');
  first.send(RTMP_VIDEO, AVC_FRAME, 60_040);
  await until('pictures', () => got.pes(VIDEO_PID).length === 2);
  first.close();
  const stream = node.gate.registry.get({ vhost: '__defaultVhost__', app: 'live', stream: 'again' });
  await until('the end of the first', () => stream?.publisher === undefined);
  const second = await publisher('again');
  second.sendMedia();
  second.send(RTMP_VIDEO, AVC_FRAME, 40);
  second.send(RTMP_AUDIO, AAC_FRAME, 45);
  await until('sound', () => got.pes(AUDIO_PID).length === 1);
  const pictures = got.pes(VIDEO_PID);
  assert.deepEqual(
    pictures.map(({ isRandomAccess }) => isRandomAccess),
    [true, false, true, false],
  );
  for (const [index, { dts, isDiscontinuity }] of pictures.entries()) {
    assert.ok(!isDiscontinuity && dts > (pictures[index - 1]?.dts ?? 0) && dts < 70_000 * 90);
  }
});

test('MPEG-TS: of sound alone, who comes in the middle begins with tables', async () => {
  const peer = await publisher('radio');
  peer.send(RTMP_AUDIO, AAC_HEADER);
  for (let ms = 0; ms <= 1_200; ms += 23) peer.send(RTMP_AUDIO, AAC_FRAME, ms);
  const stream = node.gate.registry.get({ vhost: '__defaultVhost__', app: 'live', stream: 'radio' });
  await until('the sound', () => stream?.stats().framesIn === 53);
  const early = get('/live/radio.ts');
  await until('the viewer', () => stream?.stats().viewers.ts === 1);
  for (let ms = 1_203; ms <= 1_303; ms += 20) peer.send(RTMP_AUDIO, AAC_FRAME, ms);
  const got = await early;
  await until('sound', () => got.pes(AUDIO_PID).length >= 5);
  const late = get('/live/radio.ts');
  await until('the second viewer', () => stream?.stats().viewers.ts === 2);
  for (let ms = 1_323; ms <= 1_423; ms += 20) peer.send(RTMP_AUDIO, AAC_FRAME, ms);
  const second = await late;
  await until('sound', () => second.pes(AUDIO_PID).length >= 5);
  for (const viewer of [got, second]) {
    const packets = readPackets(viewer.bytes);
    const sound = packets.find(({ pid }) => pid === AUDIO_PID);
    assert.deepEqual([packets[0]?.pid, packets[1]?.pid], [0, 0x1000]);
    assert.ok(sound?.pcr !== undefined);
  }
});

test('AAC: of a stream with pictures the sound alone, as ADTS', async () => {
  const peer = await publisher('both');
  const waiting = get('/live/both.aac');
  peer.sendMedia();
  peer.send(RTMP_AUDIO, AAC_FRAME, 10);
  peer.send(RTMP_VIDEO, AVC_FRAME, 40);
  peer.send(RTMP_AUDIO, AAC_FRAME, 33);
  peer.send(RTMP_VIDEO, AVC_FRAME, 80);
  const got = await waiting;
  assert.deepEqual(typeOf(got), [200, 'audio/aac']);
  await until('two frames', () => got.bytes.length === 18);
  assert.equal(got.bytes.toString('hex'), 'fff15080013ffc2110'.repeat(2));
});

test('MP3: frames as they are', async () => {
  const peer = await publisher('mp3');
  const waiting = get('/live/mp3.mp3');
  for (let ms = 0; ms <= 520; ms += 26) peer.send(RTMP_AUDIO, MP3_FRAME, ms);
  const got = await waiting;
  assert.deepEqual(typeOf(got), [200, 'audio/mpeg']);
  await until('frames', () => got.bytes.length >= 14);
  assert.ok(got.bytes.toString('hex').startsWith('fffb9064aabbccfffb9064aabbcc'));
});

const UNFIT: readonly (readonly [ending: string, what: string, send: (peer: RtmpPeer, ms: number) => void, RegExp])[] =
  [
    ['aac', 'pictures alone', (peer, ms) => peer.send(RTMP_VIDEO, AVC_KEY, ms), /^this stream has no audio\n$/],
    ['mp3', 'AAC', (peer, ms) => peer.send(RTMP_AUDIO, AAC_FRAME, ms), /^the audio of this stream is aac, not mp3\n$/],
    ['aac', 'MP3', (peer, ms) => peer.send(RTMP_AUDIO, MP3_FRAME, ms), /^the audio of this stream is mp3, not aac\n$/],
    [
      'ts',
      'AV1',
      (peer, ms) => peer.send(RTMP_VIDEO, AV1_KEY, ms),
      /^this stream is av1, which MPEG-TS does not carry: .*flv/,
    ],
  ];
for (const [ending, what, send, reason] of UNFIT) {
  test(`.${ending} of a stream of ${what} is not found, with the reason, once a frame tells`, async () => {
    const name = `unfit-${ending}-${what.replace(' ', '-')}`;
    const peer = await publisher(name);
    if (what === 'pictures alone') peer.send(RTMP_VIDEO, AVC_HEADER);
    if (what === 'AAC') peer.send(RTMP_AUDIO, AAC_HEADER);
    if (what === 'AV1') peer.send(RTMP_VIDEO, AV1_HEADER);
    let ms = 0;
    const sending = setInterval(() => send(peer, (ms += 40)), 5);
    try {
      const stream = node.gate.registry.get({ vhost: '__defaultVhost__', app: 'live', stream: name });
      await until('its tracks', () => stream?.tracks.length === 1);
      const got = await get(`/live/${name}.${ending}`, {}, 'GET', patient.httpPort);
      assert.equal(got.response.statusCode, 404);
      assert.match(await got.text(), reason);
      const head = await get(`/live/${name}.${ending}`, {}, 'HEAD', patient.httpPort);
      assert.deepEqual([head.response.statusCode, await head.text()], [404, '']);
      await until('it to leave', () => stream?.playbacks().length === 0);
    } finally {
      clearInterval(sending);
    }
  });
}

test('who has its headers already when the first frame tells that it cannot be had is ended', async () => {
  const got = await get('/live/tooearly.mp3');
  assert.equal(got.response.statusCode, 200);
  const peer = await publisher('tooearly');
  peer.sendMedia();
  await until('the end', () => got.isOver);
  assert.deepEqual([got.response.complete, got.bytes.length], [true, 0]);
});

test('what may be a segment of a stream that is gone is told not to be there; a stream of such a name plays', async () => {
  const gone = await get('/live/cam-7.ts');
  assert.equal(gone.response.statusCode, 404);
  assert.match(await gone.text(), /no such segment/);
  const head = await get('/live/cam-7.ts', {}, 'HEAD');
  assert.deepEqual([head.response.statusCode, await head.text()], [404, '']);
  const stream = node.gate.registry.get({ vhost: '__defaultVhost__', app: 'live', stream: 'cam-7' });
  await until('it to leave', () => stream?.isIdle !== false);
  const peer = await publisher('cam-7');
  const sending = setInterval(() => peer.sendMedia(), 20);
  try {
    assert.deepEqual(typeOf(await get('/live/cam-7.ts', {}, 'GET', patient.httpPort)), [200, 'video/mp2t']);
    const told = await get('/live/cam-7.ts', {}, 'HEAD', patient.httpPort);
    assert.deepEqual([...typeOf(told), await told.text()], [200, 'video/mp2t', '']);
    await until('nobody but the first to be left', () => stream?.playbacks().length === 1);
  } finally {
    clearInterval(sending);
  }
});

test('a frame that cannot be carried is left out, and its publisher goes on', async () => {
  const peer = await publisher('broken');
  peer.sendMedia();
  const got = await get('/live/broken.ts');
  const flv = await get('/live/broken.flv');
  const broken = Buffer.from('270100000000000fff41aa', 'hex');
  peer.send(RTMP_VIDEO, broken, 40);
  peer.send(RTMP_VIDEO, AVC_FRAME, 80);
  await until('the next one', () => got.pes(VIDEO_PID).length === 2);
  assert.deepEqual(
    got.pes(VIDEO_PID).map(({ pts }) => pts),
    [90_000, 97_200],
  );
  await until('all three', () => flv.bytes.includes(AVC_FRAME));
  assert.ok(flv.bytes.includes(broken));
});

test('the head waits for the first frame, and gives up when the client does', async () => {
  const asked = node.gate.asked.length;
  const socket = connect(patient.httpPort, '127.0.0.1', () =>
    socket.write('GET /live/nobody.aac HTTP/1.1\r\nHost: a\r\n\r\n'),
  );
  await until('the request', () => node.gate.asked.length > asked);
  const stream = node.gate.registry.get({ vhost: '__defaultVhost__', app: 'live', stream: 'nobody' });
  socket.destroy();
  await until('it to leave', () => stream?.isIdle === true);
});

test('HEAD tells the type, HTTP/1.0 gets bytes as they are', async () => {
  for (const [ending, type] of [
    ['ts', 'video/mp2t'],
    ['aac', 'audio/aac'],
    ['mp3', 'audio/mpeg'],
  ] as const) {
    const got = await get(`/live/x.${ending}`, {}, 'HEAD');
    assert.deepEqual(typeOf(got), [200, type]);
  }
  const peer = await publisher('old');
  peer.sendMedia();
  const socket = connect(node.httpPort, '127.0.0.1', () => socket.write('GET /live/old.ts HTTP/1.0\r\n\r\n'));
  let answer = Buffer.alloc(0);
  socket.on('data', (bytes) => (answer = Buffer.concat([answer, bytes])));
  await until(
    'a key frame',
    () => answer.indexOf('\r\n\r\n') > 0 && answer.length - answer.indexOf('\r\n\r\n') >= 4 + 3 * 188,
  );
  const head = answer.indexOf('\r\n\r\n') + 4;
  assert.equal(readPes(answer.subarray(head))[0]?.isRandomAccess, true);
  assert.ok(!answer.toString('latin1', 0, head).toLowerCase().includes('chunked'));
  socket.destroy();
});

test('the mount is the one of .flv with its ending replaced', async () => {
  const asked = node.gate.asked.length;
  const got = await get('/x/path.example/live/a.ts', { Host: 'path.example' });
  assert.equal(got.response.statusCode, 200);
  assert.deepEqual(
    node.gate.asked.slice(asked).map(({ key, session }) => [key.vhost, key.stream, session.protocol]),
    [['path', 'a', 'ts']],
  );
  assert.equal((await get('/live/a.ts', { Host: 'path.example' })).response.statusCode, 404);
  assert.equal((await get('/live/a.m4s')).response.statusCode, 404);
});
