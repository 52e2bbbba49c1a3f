import assert from 'node:assert/strict';
import { connect, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { after, afterEach, before, test } from 'node:test';
import { until } from '#contract/testing/until.ts';
import { encodeRtmpMessage } from '../../formats/rtmp-chunk-writer.ts';
import { RTMP_AUDIO, RTMP_DATA, RTMP_VIDEO } from '../../formats/rtmp-message.ts';
import { AVC_FRAME, AVC_KEY, RtmpPeer } from '../testing/rtmp-peer.ts';
import type { TestNode } from '../testing/test-node.ts';
import { startTestNode } from '../testing/test-node.ts';
import { MAX_HELD_MESSAGES, SETUP_BOUNDS } from './connection-bounds.ts';
import { SharedReadSocket } from './shared-read-socket.ts';

/* What a connection may make the node keep for it, by state; docs/limits.md has the sums. */

let node: TestNode;
const peers: RtmpPeer[] = [];
const KEY = { vhost: '__defaultVhost__', app: 'live' };

async function connected(): Promise<RtmpPeer> {
  const peer = await RtmpPeer.connected(node.rtmpPort);
  peers.push(peer);
  return peer;
}

before(async () => {
  node = await startTestNode();
});
after(() => node.close());
afterEach(() => {
  for (const peer of peers.splice(0)) peer.close();
  node.gate.delay = undefined;
});

const large = Buffer.alloc(SETUP_BOUNDS.input.maxMessageBytes + 1);

test('a large message is refused before publish and from a viewer, and taken from an encoder', async () => {
  const before = node.rtmp.stats().ends.get('message-too-large') ?? 0;
  const idle = await connected();
  idle.send(RTMP_DATA, large);
  await idle.closed();
  const viewer = await connected();
  await viewer.play('waiting');
  viewer.send(RTMP_DATA, large);
  await viewer.closed();
  assert.equal(node.rtmp.stats().ends.get('message-too-large'), before + 2);

  const encoder = await connected();
  await encoder.publish('large');
  encoder.sendMedia();
  encoder.send(RTMP_VIDEO, Buffer.concat([AVC_KEY.subarray(0, 5), large]), 40);
  await until('both frames', () => node.gate.registry.get({ ...KEY, stream: 'large' })?.stats().framesIn === 2);
  encoder.call('closeStream', null);
  await until('the end', () => node.gate.registry.get({ ...KEY, stream: 'large' })?.publisher === undefined);
  encoder.send(RTMP_DATA, large);
  await encoder.closed();
});

test('a large key frame right behind the publish command is taken, whatever the gate takes its time for', async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  node.gate.delay = promise;
  const encoder = await connected();
  encoder.call('publish', null, 'eager', 'live');
  encoder.sendMedia();
  encoder.send(RTMP_VIDEO, Buffer.concat([AVC_KEY.subarray(0, 5), large]), 40);
  await until('the question', () => node.gate.asked.some(({ key }) => key.stream === 'eager'));
  resolve();
  await until('both frames', () => node.gate.registry.get({ ...KEY, stream: 'eager' })?.stats().framesIn === 2);
});

test('a client that uses too many chunk streams before it publishes is ended', async () => {
  const peer = await connected();
  for (let id = 10; id < 10 + SETUP_BOUNDS.input.maxChunkStreams; id++) {
    peer.socket.write(encodeRtmpMessage(128, id, RTMP_AUDIO, 1, 0, Buffer.alloc(1)));
  }
  await peer.closed();
});

test('more messages than a session can have to wait for end it, while the gate thinks', async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  node.gate.delay = promise;
  const peer = await connected();
  const empty = encodeRtmpMessage(128, 4, RTMP_AUDIO, 1, 0, Buffer.alloc(0));
  const flood = Array.from({ length: MAX_HELD_MESSAGES + 10 }, () => empty);
  peer.socket.write(Buffer.concat([peer.command('publish', null, 'flooded', 'live'), ...flood]));
  await peer.closed();
  assert.equal(node.rtmp.stats().ends.get('internal'), undefined);
  resolve();
  const other = await connected();
  await other.publish('flooded');
});

test('two encoders whose bytes come in turns each keep their own, to the last bit', async () => {
  const names = ['even', 'odd'];
  const encoders = await Promise.all(names.map(() => connected()));
  const viewers = await Promise.all(names.map(() => connected()));
  for (const [index, name] of names.entries()) {
    await encoders[index]!.publish(name);
    await viewers[index]!.play(name);
    encoders[index]!.sendMedia();
  }
  const frame = (index: number, count: number): Buffer => {
    const bytes = Buffer.alloc(400 + ((count * 977) % 40_000), index * 100 + (count % 100));
    AVC_FRAME.copy(bytes, 0, 0, 5);
    return bytes;
  };
  const FRAMES = 60;
  // So close that no viewer's queue is ever too long in time.
  const STEP_MS = 5;
  for (let count = 1; count <= FRAMES; count++) {
    // In pieces, so that the reads of both end within messages.
    const whole = names.map((_, index) =>
      encodeRtmpMessage(128, 6, RTMP_VIDEO, 1, count * STEP_MS, frame(index, count)),
    );
    for (let at = 0; whole.some(({ length }) => at < length); at += 7_001) {
      for (const [index, bytes] of whole.entries()) encoders[index]!.socket.write(bytes.subarray(at, at + 7_001));
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
  for (const [index, viewer] of viewers.entries()) {
    await until('the last frame', () => viewer.media().at(-1)?.timestampMs === FRAMES * STEP_MS);
    const frames = viewer.media().filter(({ timestampMs }) => timestampMs > 0);
    assert.equal(frames.length, FRAMES);
    for (const { timestampMs, payload } of frames) assert.deepEqual(payload, frame(index, timestampMs / STEP_MS));
  }
});

test('a client that asks and never reads is ended long before it costs much, when it does not play', async () => {
  const peer = await connected();
  peer.socket.pause();
  const questions = Buffer.concat(Array.from({ length: 2_000 }, () => peer.command('noSuchThing', null)));
  await until('its end', () => {
    if (!peer.isClosed && peer.socket.writableLength < 1024 * 1024) peer.socket.write(questions);
    return node.rtmp.stats().ends.has('slow');
  });
});

test('plain connections read into one buffer: this version of Node still lets a socket be moved to ours', async () => {
  const server = createServer({ pauseOnConnect: true }, (accepted) => {
    const socket = SharedReadSocket.takeOver(accepted);
    assert.match(socket.remoteAddress ?? '', /127\.0\.0\.1/);
    socket.onBytes = (bytes) => {
      memory.add(bytes.buffer);
      received += bytes.length;
      socket.write('x');
    };
    socket.on('end', () => socket.end());
  });
  const memory = new Set<ArrayBufferLike>();
  let received = 0;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const clients = [1, 2].map(() => connect(port, '127.0.0.1'));
  for (const client of clients) {
    client.write(Buffer.alloc(100_000));
    client.resume();
  }
  await until('all bytes', () => received === 200_000);
  assert.equal(memory.size, 1);
  const closed = clients.map((client) => new Promise((resolve) => client.once('close', resolve)));
  for (const client of clients) client.end();
  await Promise.all(closed);
  // The server's own count of its connections is right: it closes.
  await new Promise((resolve) => server.close(resolve));
});
