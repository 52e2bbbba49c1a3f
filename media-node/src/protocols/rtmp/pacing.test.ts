import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { VHOST_DEFAULTS } from '#contract/node-config.ts';
import { until } from '#contract/testing/until.ts';
import {
  decodeUserControl,
  encodeU32Payload,
  encodeUserControl,
  USER_PING_REQUEST,
  USER_PING_RESPONSE,
} from '../../formats/rtmp-control.ts';
import { encodeRtmpMessage } from '../../formats/rtmp-chunk-writer.ts';
import {
  CSID_CONTROL,
  RTMP_ACKNOWLEDGEMENT,
  RTMP_USER_CONTROL,
  RTMP_VIDEO,
  RTMP_WINDOW_ACK_SIZE,
} from '../../formats/rtmp-message.ts';
import type { Stream } from '../../stream/stream.ts';
import { MemoryGate, vhostOf } from '../testing/memory-gate.ts';
import { AVC_FRAME, AVC_KEY, RtmpPeer } from '../testing/rtmp-peer.ts';
import type { TestNode } from '../testing/test-node.ts';
import { startTestNode } from '../testing/test-node.ts';

/* An encoder whose bytes wait in its socket: nobody plays, so it is read a few times a second. */

const IDLE_TIMEOUT_MS = 2_000;
const FRAME_MS = 20;
let node: TestNode;

before(async () => {
  const publish = { ...VHOST_DEFAULTS.publish, idleTimeoutMs: IDLE_TIMEOUT_MS };
  node = await startTestNode(new MemoryGate([vhostOf('__defaultVhost__', ['__defaultVhost__'], { publish })]));
});
after(() => node.close());

const streamOf = (name: string): Stream =>
  node.gate.registry.open({ vhost: '__defaultVhost__', app: 'live', stream: name });
const framesOf = (name: string): number => streamOf(name).stats().framesIn;

/** An encoder that sends a picture each FRAME_MS until it is stopped. */
async function encoder(name: string) {
  const peer = await RtmpPeer.connected(node.rtmpPort);
  await peer.publish(name);
  const before = peer.socket.bytesWritten;
  peer.sendMedia();
  let ms = 0;
  let sent = 1;
  const timer = setInterval(() => {
    peer.send(RTMP_VIDEO, sent % 50 === 0 ? AVC_KEY : AVC_FRAME, (ms += FRAME_MS));
    sent++;
  }, FRAME_MS);
  return { peer, sent: () => sent, bytes: () => peer.socket.bytesWritten - before, stop: () => clearInterval(timer) };
}

/** Waits until frames come in several at once: the socket is not read for each. */
async function paced(name: string): Promise<void> {
  let before = framesOf(name);
  await until('frames that waited', () => {
    const now = framesOf(name);
    const came = now - before;
    before = now;
    return came >= 4;
  });
}

test('every frame and byte of an encoder arrives, and it outlives its timeouts', async () => {
  const { peer, sent, bytes, stop } = await encoder('whole');
  await paced('whole');
  await until('its timeout to be over', () => sent() * FRAME_MS > IDLE_TIMEOUT_MS * 1.5);
  stop();
  await until('all frames', () => framesOf('whole') === sent());
  assert.equal(peer.isClosed, false);
  await until('all bytes', () => streamOf('whole').publisher?.bytesIn === bytes());
  peer.close();
});

test('its pings are answered and its bytes acknowledged', async () => {
  const { peer, stop } = await encoder('control');
  await paced('control');
  const control = (type: number, payload: Buffer) =>
    peer.socket.write(encodeRtmpMessage(128, CSID_CONTROL, type, 0, 0, payload));
  control(RTMP_WINDOW_ACK_SIZE, encodeU32Payload(1_000));
  control(RTMP_USER_CONTROL, encodeUserControl(USER_PING_REQUEST, 42));
  const pong = await until('the answer', () =>
    peer.messages
      .filter(({ type }) => type === RTMP_USER_CONTROL)
      .map(({ payload }) => decodeUserControl(payload))
      .find(({ event }) => event === USER_PING_RESPONSE),
  );
  assert.equal(pong.value, 42);
  await until('acknowledgements', () => peer.messages.some(({ type }) => type === RTMP_ACKNOWLEDGEMENT));
  stop();
  peer.close();
});

test('its end is noticed, however it goes', async () => {
  const ends: Record<string, (peer: RtmpPeer) => void> = {
    unpublish: (peer) => void peer.call('FCUnpublish', null, 'unpublish'),
    fin: (peer) => peer.socket.end(),
    reset: (peer) => peer.socket.resetAndDestroy(),
  };
  for (const [name, end] of Object.entries(ends)) {
    const { peer, stop } = await encoder(name);
    await paced(name);
    stop();
    end(peer);
    await until(`${name} to be noticed`, () => streamOf(name).publisher === undefined);
    peer.close();
  }
});

test('one that hangs is timed out', async () => {
  const { peer, stop } = await encoder('hangs');
  await paced('hangs');
  stop();
  await peer.closed();
});

test('the same encoder comes again at once: nobody is in its place', async () => {
  for (let round = 0; round < 3; round++) {
    const { peer, stop } = await encoder('again');
    await paced('again');
    stop();
    if (round % 2 === 0) peer.socket.resetAndDestroy();
    else peer.socket.end();
    await until('its end', () => peer.socket.destroyed || peer.socket.writableEnded);
  }
});

test('a viewer in real time is given each frame as it comes', async () => {
  const { peer, sent, stop } = await encoder('viewed');
  await paced('viewed');
  const viewer = await RtmpPeer.connected(node.rtmpPort);
  await viewer.play('viewed');
  await until('a picture', () => viewer.media().length > 2);
  // Frames that came in one turn of the event loop; this machine may be late with some.
  const together: number[] = [];
  let inTurn = 0;
  streamOf('viewed').observe({
    mostDelayMs: 500,
    onTracks: () => undefined,
    onMetadata: () => undefined,
    onSeam: () => undefined,
    onFrame: () => {
      if (inTurn++ > 0) return;
      setImmediate(() => {
        together.push(inTurn);
        inTurn = 0;
      });
    },
  });
  await until('more frames', () => together.length >= 25);
  assert.equal(together.toSorted((a, b) => a - b)[together.length >> 1], 1);
  stop();
  await until('all of them', () => framesOf('viewed') === sent());
  for (const each of [peer, viewer]) each.close();
});
