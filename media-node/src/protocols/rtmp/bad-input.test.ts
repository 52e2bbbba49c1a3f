import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, test } from 'node:test';
import * as fc from 'fast-check';
import { until } from '#contract/testing/until.ts';
import { encodeRtmpMessage } from '../../formats/rtmp-chunk-writer.ts';
import { RTMP_AUDIO, RTMP_COMMAND, RTMP_DATA, RTMP_SET_CHUNK_SIZE, RTMP_VIDEO } from '../../formats/rtmp-message.ts';
import { MemoryGate, vhostOf } from '../testing/memory-gate.ts';
import { AAC_FRAME, AVC_FRAME, RtmpPeer } from '../testing/rtmp-peer.ts';
import type { TestNode } from '../testing/test-node.ts';
import { startTestNode } from '../testing/test-node.ts';

let node: TestNode;
let encoder: RtmpPeer;
let viewer: RtmpPeer;
let sentMs = 0;

before(async () => {
  // The good encoder is silent while a case takes its time.
  const publish = { takeover: 'Reject', firstPacketTimeoutMs: 120_000, idleTimeoutMs: 120_000, graceMs: 0 } as const;
  node = await startTestNode(new MemoryGate([vhostOf('__defaultVhost__', ['__defaultVhost__'], { publish })]));
  encoder = await RtmpPeer.connected(node.rtmpPort);
  await encoder.publish('good');
  encoder.sendMedia();
  viewer = await RtmpPeer.connected(node.rtmpPort);
  await viewer.play('good');
});
after(() => {
  encoder.close();
  viewer.close();
  node.close();
});

/** The good stream goes on: a frame goes in and comes out. */
async function assertOthersLive(): Promise<void> {
  sentMs += 40;
  encoder.send(RTMP_VIDEO, AVC_FRAME, sentMs);
  await until('the frame to reach the viewer', () => viewer.media().at(-1)?.timestampMs === sentMs);
}

/** Sends bytes instead of a handshake. */
async function sendRaw(bytes: Buffer): Promise<void> {
  const socket = connect(node.rtmpPort, '127.0.0.1', () => socket.write(bytes));
  const { promise, resolve } = Promise.withResolvers<void>();
  socket.on('error', () => undefined);
  socket.on('close', () => resolve());
  socket.resume();
  await promise;
}

test('a handshake of another version, HTTP or TLS ends that connection', async () => {
  for (const bytes of [
    Buffer.concat([Buffer.from([6]), Buffer.alloc(1_536)]),
    Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'.padEnd(1_600)),
    Buffer.from('16030100f8010000f40303', 'hex'),
  ]) {
    await sendRaw(bytes);
    await assertOthersLive();
  }
  assert.equal(node.rtmp.stats().ends.get('handshake'), 3);
});

test('chunks, control messages, commands and media without meaning end that session alone', async () => {
  const u32 = (value: number): Buffer => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(value);
    return bytes;
  };
  const message = (type: number, payload: Buffer): Buffer => encodeRtmpMessage(128, 3, type, 1, 0, payload);
  const cases: Record<string, Buffer> = {
    'chunk size 0': message(RTMP_SET_CHUNK_SIZE, u32(0)),
    'chunk size with the top bit': message(RTMP_SET_CHUNK_SIZE, u32(0x8000_0000)),
    'chunk size of no length': message(RTMP_SET_CHUNK_SIZE, Buffer.alloc(0)),
    'a type 3 chunk that continues nothing': Buffer.from([0xd0 | 9, 1, 2, 3]),
    'a message of 16 MB': Buffer.from('03000000ffffff0900000000', 'hex'),
    'a command that is no AMF': message(RTMP_COMMAND, Buffer.from('ffffff', 'hex')),
    'a command whose name is a number': message(RTMP_COMMAND, Buffer.from('000000000000000000', 'hex')),
    'a command cut short': message(RTMP_COMMAND, Buffer.from('020010706c61', 'hex')),
    'deep AMF': message(
      RTMP_COMMAND,
      Buffer.concat([Buffer.from('0200017800', 'hex'), Buffer.alloc(8), Buffer.from('0a00000001'.repeat(100), 'hex')]),
    ),
    'an AVC configuration cut short': message(RTMP_VIDEO, Buffer.from('170000000001640028ffe1ffff67', 'hex')),
    'metadata that is no AMF': message(RTMP_DATA, Buffer.from('02000a6f6e4d6574614461746103ffff', 'hex')),
  };
  for (const [name, bytes] of Object.entries(cases)) {
    const peer = await RtmpPeer.connected(node.rtmpPort);
    await peer.publish('bad');
    peer.socket.write(bytes);
    await until(`the end after ${name}`, () => peer.isClosed);
    await assertOthersLive();
  }
  assert.equal(node.rtmp.stats().ends.get('internal'), undefined);
});

test('noise after the handshake, after connect and while publishing never harms the others', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ minLength: 1, maxLength: 400 }),
      fc.integer({ min: 0, max: 2 }),
      async (noise, stage) => {
        const peer = stage === 0 ? await RtmpPeer.open(node.rtmpPort) : await RtmpPeer.connected(node.rtmpPort);
        if (stage === 2) await peer.publish(`noise-${Math.random()}`);
        peer.socket.write(noise);
        peer.socket.end(encodeRtmpMessage(128, 3, RTMP_AUDIO, 1, 0, AAC_FRAME));
        await peer.closed();
      },
    ),
    { numRuns: 60 },
  );
  await assertOthersLive();
  assert.equal(node.rtmp.stats().ends.get('internal'), undefined);
});

test('a client that asks and asks and never reads the answers is ended', async () => {
  const peer = await RtmpPeer.connected(node.rtmpPort);
  peer.socket.pause();
  const questions = Buffer.concat(Array.from({ length: 10_000 }, () => peer.command('noSuchThing', null)));
  while (!node.rtmp.stats().ends.has('slow')) {
    const isTaken = peer.socket.write(questions);
    if (!isTaken) await new Promise((resolve) => setTimeout(resolve, 1));
    if (peer.isClosed) break;
  }
  assert.equal(node.rtmp.stats().ends.get('slow'), 1);
  peer.close();
  await assertOthersLive();
});

test('a viewer that never reads costs the others nothing, and is skipped', async () => {
  const stalled = await RtmpPeer.connected(node.rtmpPort);
  await stalled.play('good');
  stalled.socket.pause();
  const large = Buffer.concat([AVC_FRAME.subarray(0, 5), Buffer.from([0, 3, 0xd4, 0]), Buffer.alloc(251_904, 0x41)]);
  const stream = node.gate.registry.get({ vhost: '__defaultVhost__', app: 'live', stream: 'good' });
  // 16 MiB may wait in this node, and some in the kernel.
  for (let count = 0; count < 120; count++) {
    sentMs += 40;
    encoder.send(RTMP_VIDEO, large, sentMs);
    await until('the frame', () => viewer.media().at(-1)?.timestampMs === sentMs);
    viewer.messages.length = 0;
    viewer.messages.push({ chunkStreamId: 7, type: RTMP_VIDEO, streamId: 1, timestampMs: sentMs, payload: AVC_FRAME });
  }
  assert.equal(stream?.stats().skips, 1);
  const waiting = stream?.playbacks().map(({ player }) => player.writableLength) ?? [];
  assert.ok(Math.max(...waiting) < 20 * 1024 * 1024, waiting.join());
  stalled.close();
  await assertOthersLive();
});
