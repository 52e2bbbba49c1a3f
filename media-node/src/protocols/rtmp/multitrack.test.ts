import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { RTMP_AUDIO, RTMP_VIDEO } from '../../formats/rtmp-message.ts';
import type { RelayRequest } from '../../stream/relay.ts';
import { AAC_FRAME, AAC_HEADER, AVC_FRAME, AVC_HEADER, AVC_KEY, RtmpPeer } from '../testing/rtmp-peer.ts';
import type { TestNode } from '../testing/test-node.ts';
import { LOG, RELAY_KEY, startTestNode } from '../testing/test-node.ts';
import { until } from '#contract/testing/until.ts';
import { RtmpPullClient, RtmpPushClient } from './relay-clients.ts';

/* E-RTMP v2's multitrack in whole sessions: who can take several tracks gets them, everybody else the first ones. */

let origin: TestNode;
let edge: TestNode;
const peers: RtmpPeer[] = [];

before(async () => {
  [origin, edge] = await Promise.all([startTestNode(), startTestNode()]);
});
after(() => {
  origin.close();
  edge.close();
});
afterEach(() => {
  for (const peer of peers.splice(0)) peer.close();
});

const MULTITRACK = { capsEx: 2 };

async function connected(node: TestNode, object: object = {}): Promise<RtmpPeer> {
  const peer = await RtmpPeer.connected(node.rtmpPort, 'live', object);
  peers.push(peer);
  return peer;
}
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');
const AVCC = AVC_HEADER.subarray(5).toString('hex');
const VIDEO_1 = {
  header: hex(`96 00 61766331 01 ${AVCC}`),
  key: '96 03 61766331 01 65',
  frame: 'a6 03 61766331 01 41',
};
const AUDIO_1 = { header: hex('95 00 6d703461 01 1190'), frame: hex('95 01 6d703461 01 2211') };

function sendHeaders(encoder: RtmpPeer): void {
  encoder.send(RTMP_VIDEO, VIDEO_1.header);
  encoder.send(RTMP_VIDEO, AVC_HEADER);
  encoder.send(RTMP_AUDIO, AAC_HEADER);
  encoder.send(RTMP_AUDIO, AUDIO_1.header);
}
/** A picture and a sound of each of two tracks; those of the second video track first. */
function sendFrames(encoder: RtmpPeer, ms: number, isKey: boolean): void {
  encoder.send(
    RTMP_VIDEO,
    hex(`${isKey ? VIDEO_1.key : VIDEO_1.frame} ${(ms / 40).toString(16).padStart(2, '0')}`),
    ms,
  );
  encoder.send(RTMP_VIDEO, isKey ? AVC_KEY : AVC_FRAME, ms);
  encoder.send(RTMP_AUDIO, AAC_FRAME, ms);
  encoder.send(RTMP_AUDIO, AUDIO_1.frame, ms);
}

/** What a viewer got: `V0 key @40` and the like. */
function got(peer: RtmpPeer): string[] {
  return peer.media().map(({ type, payload, timestampMs }) => {
    const isVideo = type === RTMP_VIDEO;
    const isFurther = isVideo ? (payload[0]! & 0x8f) === 0x86 : payload[0] === 0x95;
    const track = `${isVideo ? 'V' : 'A'}${isFurther ? payload[6] : 0}`;
    if ((isFurther ? payload[1]! & 15 : payload[1]) === 0) return `${track} header`;
    return `${track}${isVideo && (payload[0]! & 0x70) === 0x10 ? ' key' : ''} @${timestampMs}`;
  });
}
const HEADERS = ['V0 header', 'A0 header', 'V1 header', 'A1 header'];
const atTime = (ms: number, isKey = false): string[] => {
  const key = isKey ? ' key' : '';
  return [`V0${key} @${ms}`, `V1${key} @${ms}`, `A0 @${ms}`, `A1 @${ms}`];
};
const isFirst = (text: string): boolean => text[1] === '0';

describe('an encoder’s further tracks', () => {
  test('reach viewers that take several, who waited, join or were there before, and nobody else', async () => {
    const [waiting, plain, encoder] = [
      await connected(origin, MULTITRACK),
      await connected(origin, { capsEx: 5, fourCcList: ['*'] }),
      await connected(origin),
    ];
    await waiting.play('both');
    await plain.play('both');
    await encoder.publish('both');
    sendHeaders(encoder);
    sendFrames(encoder, 0, true);
    sendFrames(encoder, 40, false);
    const first = [...HEADERS, ...atTime(0, true), ...atTime(40)];
    await until('all of it', () => got(waiting).length === first.length);
    const joined = await connected(origin, MULTITRACK);
    await joined.play('both');
    sendFrames(encoder, 80, true);
    const all = [...first, ...atTime(80, true)];
    await until('the next', () => [waiting, joined].every((peer) => got(peer).length === all.length));
    await until('the next', () => got(plain).length === all.filter(isFirst).length);
    assert.deepEqual(got(waiting), all);
    assert.deepEqual(got(joined), all);
    assert.deepEqual(got(plain), all.filter(isFirst));
    const sent = (type: number, head: number): string[] =>
      joined
        .media()
        .filter(({ type: its, payload }) => its === type && payload[0] === head)
        .map(({ payload }) => payload.toString('hex'));
    assert.deepEqual(sent(RTMP_VIDEO, 0x96)[0], VIDEO_1.header.toString('hex'));
    assert.deepEqual(sent(RTMP_AUDIO, 0x95)[1], AUDIO_1.frame.toString('hex'));
    assert.equal(plain.media()[0]!.payload.toString('hex'), AVC_HEADER.toString('hex'));
  });

  test('come late, and viewers change over at the next key frame without missing or repeating anything', async () => {
    const [viewer, encoder] = [await connected(origin, MULTITRACK), await connected(origin)];
    await viewer.play('late');
    await encoder.publish('late');
    encoder.sendMedia();
    encoder.send(RTMP_VIDEO, AVC_FRAME, 40);
    await until('pictures', () => got(viewer).length === 4);
    sendHeaders(encoder);
    sendFrames(encoder, 80, false);
    sendFrames(encoder, 120, true);
    sendFrames(encoder, 160, false);
    const expected = [
      ...['V0 header', 'A0 header', 'V0 key @0', 'V0 @40', 'V0 @80', 'A0 @80'],
      ...[...HEADERS, ...atTime(120, true), ...atTime(160)],
    ];
    await until('all of it', () => got(viewer).length === expected.length);
    assert.deepEqual(got(viewer), expected);
  });

  test('are announced by ffmpeg’s way of saying more in connect, too', async () => {
    const peer = await RtmpPeer.open(origin.rtmpPort);
    peers.push(peer);
    peer.call('connect', { app: 'live', tcUrl: `rtmp://127.0.0.1:${origin.rtmpPort}/live` }, { capsEx: 2 });
    await peer.status('NetConnection.Connect.Success');
    await peer.play('said later');
    const encoder = await connected(origin);
    await encoder.publish('said later');
    sendHeaders(encoder);
    sendFrames(encoder, 0, true);
    await until('all', () => got(peer).length === 8);
    assert.deepEqual(got(peer), [...HEADERS, ...atTime(0, true)]);
  });

  for (const action of ['pull', 'push'] as const) {
    test(`reach viewers of another node by a ${action}, and those who take one of a kind there get the first ones`, async () => {
      const [from, to] = action === 'pull' ? [origin, edge] : [edge, origin];
      const name = `by ${action}`;
      const key = { vhost: '__defaultVhost__', app: 'live', stream: name };
      const [viewer, plain, encoder] = [await connected(to, MULTITRACK), await connected(to), await connected(from)];
      await viewer.play(name);
      await plain.play(name);
      await encoder.publish(name);
      sendHeaders(encoder);
      sendFrames(encoder, 0, true);
      const there = from.gate.registry.open(key);
      await until('it at the first node', () => there.stats().framesIn === 4);
      const target = { nodeId: 'node-a', host: '127.0.0.1', rtmpPort: origin.rtmpPort };
      const stream = (action === 'pull' ? to : from).gate.registry.open(key);
      const request: RelayRequest = { key, target, path: ['edge-1'], stream };
      const listener = { onStart: () => undefined, onEnd: () => undefined };
      const options = { relayKey: RELAY_KEY, log: LOG };
      const session =
        action === 'pull'
          ? new RtmpPullClient(options).pull(request, listener)
          : new RtmpPushClient(options).push(request, listener);
      await until('the cache', () => got(viewer).length === 8);
      sendFrames(encoder, 40, false);
      sendFrames(encoder, 80, true);
      const all = [...HEADERS, ...atTime(0, true), ...atTime(40), ...atTime(80, true)];
      await until('the rest', () => got(viewer).length === all.length && got(plain).length === 8);
      assert.deepEqual(got(viewer), all);
      assert.deepEqual(got(plain), all.filter(isFirst));
      assert.equal(session.frames, 12);
      session.close('enough');
    });
  }
});
