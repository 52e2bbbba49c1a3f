import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { until } from '#contract/testing/until.ts';
import { RTMP_VIDEO } from '../../formats/rtmp-message.ts';
import { GateError } from '../../stream/gate.ts';
import type { StreamKey } from '../../stream/stream-key.ts';
import type { Stream } from '../../stream/stream.ts';
import { FakePlayer } from '../../stream/testing.ts';
import { AVC_FRAME, RtmpPeer } from '../testing/rtmp-peer.ts';
import type { TestNode } from '../testing/test-node.ts';
import { LOG, RELAY_KEY, startTestNode } from '../testing/test-node.ts';
import { RtmpPullClient, RtmpPushClient } from './relay-clients.ts';
import type { RelayEnd, RelayRequest } from '../../stream/relay.ts';

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
  origin.gate.refusal = undefined;
});

const options = { relayKey: RELAY_KEY, log: LOG };
const pullClient = new RtmpPullClient(options);
const pushClient = new RtmpPushClient(options);

const keyOf = (stream: string): StreamKey => ({ vhost: '__defaultVhost__', app: 'live', stream });

async function connected(port: number): Promise<RtmpPeer> {
  const peer = await RtmpPeer.connected(port);
  peers.push(peer);
  return peer;
}

function requestFor(stream: Stream, key = stream.key): RelayRequest {
  const target = { nodeId: 'node-a', host: '127.0.0.1', rtmpPort: origin.rtmpPort };
  return { key, target, path: ['edge-1'], stream };
}

/** Collects what a relay tells. */
class Listener {
  starts = 0;
  ends: RelayEnd[] = [];
  onStart(): void {
    this.starts++;
  }
  onEnd(end: RelayEnd): void {
    this.ends.push(end);
  }
}

describe('pull', () => {
  test('brings a stream to viewers here, who are no viewers there and stay when it ends and comes again', async () => {
    const viewer = await connected(edge.rtmpPort);
    await viewer.play('pulled');
    const stream = edge.gate.registry.open(keyOf('pulled'));
    const times = (): number[] =>
      viewer
        .media()
        .filter(({ payload }) => payload[0] === 0x17 && payload[1] === 1)
        .map(({ timestampMs }) => timestampMs);
    for (let round = 1; round <= 2; round++) {
      const encoder = await connected(origin.rtmpPort);
      await encoder.publish('pulled');
      encoder.sendMedia(5_000);
      const there = origin.gate.registry.open(keyOf('pulled'));
      await until('the key frame at the origin', () => there.stats().framesIn === round);
      const listener = new Listener();
      const session = pullClient.pull(requestFor(stream), listener);
      await until('the key frame', () => times().length === round);
      assert.equal(listener.starts, 1);
      assert.equal(session.frames, 1);
      assert.equal(stream.publisher?.kind, 'relay');
      const { viewers, relays } = there.stats();
      assert.deepEqual([viewers.rtmp, relays], [0, 1]);
      assert.deepEqual(origin.gate.asked.at(-1)?.session.relay?.path, ['edge-1']);
      encoder.close();
      await until('the end', () => listener.ends.length === 1);
      assert.equal(listener.ends[0]?.code, 'ended');
      assert.equal(stream.publisher, undefined);
    }
    assert.equal(times()[0], 5_000);
    assert.equal(times()[1], 5_040);
    assert.equal(viewer.isClosed, false);
  });

  test('that begins again goes on: viewers get no frame twice and no step in time', async () => {
    const [encoder, viewer] = [await connected(origin.rtmpPort), await connected(edge.rtmpPort)];
    await encoder.publish('again');
    await viewer.play('again');
    const there = origin.gate.registry.open(keyOf('again'));
    const stream = edge.gate.registry.open(keyOf('again'));
    const frames = (): number[] =>
      viewer
        .media()
        .filter(({ type, payload }) => type === RTMP_VIDEO && payload[1] === 1)
        .map(({ timestampMs }) => timestampMs);
    encoder.sendMedia(7_000);
    encoder.send(RTMP_VIDEO, AVC_FRAME, 7_040);
    const expected = [7_000, 7_040];
    for (const next of [7_080, 7_120, 7_160]) {
      const listener = new Listener();
      const session = pullClient.pull(requestFor(stream), listener);
      await until('the cache', () => session.frames === expected.length);
      encoder.send(RTMP_VIDEO, AVC_FRAME, next);
      expected.push(next);
      await until('the next frame', () => frames().length === expected.length);
      session.close('the test cuts it');
      await until('the origin to notice', () => there.stats().relays === 0);
    }
    assert.deepEqual(frames(), expected);
    assert.equal(stream.stats().seams, 0);
  });

  test('costs the origin the same whether the edge has one viewer or a thousand', async () => {
    const writesFor = async (name: string, viewers: number): Promise<number> => {
      const encoder = await connected(origin.rtmpPort);
      await encoder.publish(name);
      encoder.sendMedia(0);
      const there = origin.gate.registry.open(keyOf(name));
      await until('the first frame', () => there.stats().framesIn === 1);
      const stream = edge.gate.registry.open(keyOf(name));
      const players = Array.from({ length: viewers }, () => new FakePlayer());
      for (const player of players) stream.play(player);
      const session = pullClient.pull(requestFor(stream), new Listener());
      await until('the pull', () => session.frames === 1);
      assert.equal(there.playbacks().length, 1);
      const { player } = there.playbacks()[0]!;
      let writes = 0;
      const write = player.write.bind(player);
      player.write = (bytes) => {
        writes++;
        write(bytes);
      };
      for (let frame = 1; frame <= 20; frame++) {
        encoder.send(RTMP_VIDEO, AVC_FRAME, frame * 40);
        await until('it at every viewer', () => players.every(({ text }) => text.includes(`${frame * 40} `)));
      }
      session.close('enough');
      return writes;
    };
    const [one, many] = [await writesFor('one', 1), await writesFor('many', 1_000)];
    assert.equal(one, 20);
    assert.equal(many, one);
  });

  test('answers when it is asked for a sign of life', async () => {
    const encoder = await connected(origin.rtmpPort);
    await encoder.publish('alive');
    const listener = new Listener();
    const session = pullClient.pull(requestFor(edge.gate.registry.open(keyOf('alive'))), listener);
    session.ping();
    await until('the start', () => listener.starts === 1);
    const before = session.bytesIn;
    session.ping();
    await until('the answer', () => session.bytesIn > before);
    session.close('enough');
  });

  test('ends by our own wish, once', async () => {
    const encoder = await connected(origin.rtmpPort);
    await encoder.publish('closed');
    const listener = new Listener();
    const stream = edge.gate.registry.open(keyOf('closed'));
    const session = pullClient.pull(requestFor(stream), listener);
    await until('the start', () => listener.starts === 1);
    session.close('nobody watches');
    session.close('again');
    assert.deepEqual(listener.ends, [{ code: 'closed', message: 'nobody watches' }]);
    const there = origin.gate.registry.open(keyOf('closed'));
    await until('the origin to notice', () => there.stats().relays === 0);
  });

  test('of a stream that the other node does not have is refused', async () => {
    const listener = new Listener();
    pullClient.pull(requestFor(edge.gate.registry.open(keyOf('nowhere'))), listener);
    await until('the end', () => listener.ends.length === 1);
    assert.equal(listener.ends[0]?.code, 'refused');
    assert.equal(listener.starts, 0);
  });

  test('with another key, or meant for another node, is denied', async () => {
    const stream = edge.gate.registry.open(keyOf('denied'));
    const stranger = new RtmpPullClient({ ...options, relayKey: Buffer.from('a guess') });
    const late = new RtmpPullClient({ ...options, now: () => Date.now() - 60_000 });
    const request = requestFor(stream);
    const lost = { ...request, target: { ...request.target, nodeId: 'node-b' } };
    for (const [client, asked] of [
      [stranger, request],
      [late, request],
      [pullClient, lost],
    ] as const) {
      const listener = new Listener();
      client.pull(asked, listener);
      await until('the end', () => listener.ends.length === 1);
      assert.equal(listener.ends[0]?.code, 'denied');
    }
  });

  test('from where nobody listens is unreachable', async () => {
    const gone = await startTestNode();
    const { rtmpPort } = gone;
    gone.close();
    const stream = edge.gate.registry.open(keyOf('unreachable'));
    const listener = new Listener();
    const request = requestFor(stream);
    pullClient.pull({ ...request, target: { ...request.target, rtmpPort } }, listener);
    assert.equal(listener.ends.length, 0, 'never from within pull');
    await until('the end', () => listener.ends.length === 1);
    assert.equal(listener.ends[0]?.code, 'unreachable');
  });

  test('where an encoder has come meanwhile ends as busy', async () => {
    const [there, here] = [await connected(origin.rtmpPort), await connected(edge.rtmpPort)];
    await there.publish('both');
    await here.publish('both');
    const listener = new Listener();
    pullClient.pull(requestFor(edge.gate.registry.open(keyOf('both'))), listener);
    await until('the end', () => listener.ends.length === 1);
    assert.equal(listener.ends[0]?.code, 'busy');
    assert.equal(here.isClosed, false);
  });
});

describe('push', () => {
  test("hands an encoder's stream on, and ends with it", async () => {
    const encoder = await connected(edge.rtmpPort);
    await encoder.publish('pushed');
    encoder.sendMedia();
    const stream = edge.gate.registry.open(keyOf('pushed'));
    const listener = new Listener();
    const session = pushClient.push(requestFor(stream), listener);
    const there = origin.gate.registry.open(keyOf('pushed'));
    await until('the key frame at the origin', () => there.stats().framesIn === 1);
    assert.equal(listener.starts, 1);
    assert.equal(there.publisher?.kind, 'encoder');
    encoder.send(RTMP_VIDEO, AVC_FRAME, 40);
    await until('the next frame', () => there.stats().framesIn === 2);
    assert.ok(session.frames >= 1);
    assert.equal(stream.stats().relays, 1);
    assert.equal(there.clock, stream.clock, 'whoever fetches it from there later knows the times');
    encoder.close();
    await until('the end there', () => there.publisher === undefined);
    await until('the end here', () => listener.ends.length === 1);
    assert.equal(listener.ends[0]?.code, 'closed');
  });

  test('of a stream that has a publisher there is busy; what a rule forbids is denied', async () => {
    const rival = await connected(origin.rtmpPort);
    await rival.publish('rival');
    const stream = edge.gate.registry.open(keyOf('rival'));
    const busy = new Listener();
    pushClient.push(requestFor(stream), busy);
    await until('the end', () => busy.ends.length === 1);
    assert.deepEqual(busy.ends[0], { code: 'busy', message: 'the stream has a publisher' });

    for (const [code, expected] of [
      ['denied', 'denied'],
      ['draining', 'refused'],
      ['unavailable', 'refused'],
    ] as const) {
      origin.gate.refusal = new GateError(code, 'no');
      const listener = new Listener();
      pushClient.push(requestFor(edge.gate.registry.open(keyOf('forbidden'))), listener);
      await until('the end', () => listener.ends.length === 1);
      assert.equal(listener.ends[0]?.code, expected);
    }
  });
});
