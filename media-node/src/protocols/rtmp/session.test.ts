import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { until } from '#contract/testing/until.ts';
import { encodeAmf0 } from '../../formats/amf0.ts';
import { encodeRtmpMessage } from '../../formats/rtmp-chunk-writer.ts';
import { encodeCommand } from '../../formats/rtmp-command.ts';
import { encodeU32Payload, encodeUserControl, USER_PING_REQUEST } from '../../formats/rtmp-control.ts';
import {
  RTMP_ACKNOWLEDGEMENT,
  RTMP_AGGREGATE,
  RTMP_AUDIO,
  RTMP_COMMAND_AMF3,
  RTMP_DATA,
  RTMP_DATA_AMF3,
  RTMP_SET_CHUNK_SIZE,
  RTMP_SET_PEER_BANDWIDTH,
  RTMP_USER_CONTROL,
  RTMP_VIDEO,
  RTMP_WINDOW_ACK_SIZE,
} from '../../formats/rtmp-message.ts';
import { GateError } from '../../stream/gate.ts';
import type { Stream } from '../../stream/stream.ts';
import { MemoryGate, vhostOf } from '../testing/memory-gate.ts';
import { AAC_FRAME, AAC_HEADER, AVC_FRAME, AVC_HEADER, AVC_KEY, RtmpPeer } from '../testing/rtmp-peer.ts';
import type { TestNode } from '../testing/test-node.ts';
import { startTestNode } from '../testing/test-node.ts';

let node: TestNode;
const peers: RtmpPeer[] = [];

const connected = async (app?: string, object?: object): Promise<RtmpPeer> => {
  const peer = await RtmpPeer.connected(node.rtmpPort, app, object);
  peers.push(peer);
  return peer;
};
const streamOf = (name: string, app = 'live'): Stream | undefined =>
  node.gate.registry.get({ vhost: '__defaultVhost__', app, stream: name });

before(async () => {
  node = await startTestNode();
});
after(() => node.close());
afterEach(() => {
  for (const peer of peers.splice(0)) peer.close();
  node.gate.refusal = undefined;
  node.gate.delay = undefined;
});

describe('connect', () => {
  test('is answered as SRS does', async () => {
    const peer = await connected('live', { objectEncoding: 3, pageUrl: 'http://a.example/player.html' });
    const [window, bandwidth, chunk] = peer.messages;
    assert.deepEqual([window?.type, window?.payload.readUInt32BE()], [RTMP_WINDOW_ACK_SIZE, 2_500_000]);
    assert.equal(bandwidth?.type, RTMP_SET_PEER_BANDWIDTH);
    assert.deepEqual([bandwidth.payload.readUInt32BE(), bandwidth.payload[4]], [2_500_000, 2]);
    assert.deepEqual([chunk?.type, chunk?.payload.readUInt32BE()], [RTMP_SET_CHUNK_SIZE, 60_000]);
    const result = peer.commands[0];
    assert.equal(result?.name, '_result');
    assert.equal((result.args[0] as Record<string, unknown>)['objectEncoding'], 3);
    await until('onBWDone', () => peer.commands[1]?.name === 'onBWDone');
  });

  test('is followed by nothing that was not asked for, where the client is not Flash or FMLE', async () => {
    // MediaMTX's and PRISM's clients take any command without a transaction for the answer to their last one.
    const names = async (object: object): Promise<string[]> => {
      const peer = await connected('live', object);
      // And gortmplib cannot read AMF's undefined.
      assert.deepEqual((await peer.result(peer.call('releaseStream', null, 'quiet'))).args, [null]);
      await peer.result(peer.call('FCPublish', null, 'quiet'));
      await peer.result(peer.call('createStream', null));
      return peer.commands.map(({ name }) => name);
    };
    const answers = ['_result', '_result', '_result', '_result'];
    assert.deepEqual(await names({ flashVer: 'LNX 9,0,124,2' }), answers);
    assert.deepEqual(
      await names({ flashVer: 'FMLE/3.0 (compatible; FMSc/1.0)' }),
      answers.toSpliced(3, 0, 'onFCPublish'),
    );
    assert.deepEqual(await names({ pageUrl: 'http://a.example/' }), answers.toSpliced(1, 0, 'onBWDone'));
  });

  test('a command before it, or a second one, ends the session', async () => {
    const early = await RtmpPeer.open(node.rtmpPort);
    early.call('createStream', null);
    await early.closed();
    const twice = await connected();
    twice.call('connect', { app: 'live' });
    await twice.closed();
  });

  test('without a tcUrl, without an app, with nothing at all, it works', async () => {
    for (const object of [
      { app: 'live', tcUrl: undefined },
      { app: undefined },
      { app: undefined, tcUrl: undefined },
    ]) {
      await connected('live', object);
    }
  });
});

describe('publish', () => {
  test('in the order of OBS and FMLE: release, FCPublish, createStream, _checkbw', async () => {
    const peer = await connected();
    const release = peer.call('releaseStream', null, 'obs');
    const fc = peer.call('FCPublish', null, 'obs');
    const create = peer.call('createStream', null);
    const check = peer.call('_checkbw', null);
    assert.deepEqual((await peer.result(create)).args, [1]);
    for (const id of [release, fc, check]) await peer.result(id);
    await peer.publish('obs');
    peer.sendMedia();
    await until('a frame', () => streamOf('obs')?.stats().framesIn === 1);
    assert.equal(streamOf('obs')?.publisher?.kind, 'encoder');
    peer.call('FCUnpublish', null, 'obs');
    peer.call('deleteStream', null, 1);
    await until('the end', () => streamOf('obs')?.publisher === undefined);
    assert.equal(peer.isClosed, false);
  });

  test('without anything before it, and several createStreams', async () => {
    const bare = await connected();
    await bare.publish('bare');
    const many = await connected();
    for (let count = 0; count < 3; count++) {
      assert.deepEqual((await many.result(many.call('createStream', null))).args, [1]);
    }
    await many.publish('many');
  });

  test('everything pipelined in one write, and the same byte by byte, loses nothing', async () => {
    for (const step of [Infinity, 1]) {
      const name = `pipelined-${step}`;
      const peer = await RtmpPeer.open(node.rtmpPort);
      peers.push(peer);
      const bytes = Buffer.concat([
        peer.command('connect', { app: 'live', tcUrl: 'rtmp://h/live' }),
        peer.command('createStream', null),
        peer.command('publish', null, name, 'live'),
        encodeRtmpMessage(128, 6, RTMP_VIDEO, 1, 0, AVC_HEADER),
        encodeRtmpMessage(128, 4, RTMP_AUDIO, 1, 0, AAC_HEADER),
        encodeRtmpMessage(128, 6, RTMP_VIDEO, 1, 0, AVC_KEY),
        encodeRtmpMessage(128, 4, RTMP_AUDIO, 1, 10, AAC_FRAME),
        encodeRtmpMessage(128, 6, RTMP_VIDEO, 1, 40, AVC_FRAME),
      ]);
      for (let at = 0; at < bytes.length; at += step) {
        peer.socket.write(bytes.subarray(at, at + step));
        if (at % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      await until('all frames', () => streamOf(name)?.stats().framesIn === 3);
    }
  });

  test('media that comes while the gate thinks is kept', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    node.gate.delay = promise;
    const peer = await connected();
    peer.call('publish', null, 'thinking', 'live');
    peer.sendMedia();
    await until('the question', () => node.gate.asked.some(({ key }) => key.stream === 'thinking'));
    resolve();
    await until('a frame', () => streamOf('thinking')?.stats().framesIn === 1);
  });

  test('AMF3 commands work', async () => {
    const peer = await connected();
    const payload = Buffer.concat([Buffer.from([0]), encodeCommand('publish', 5, null, 'amf3', 'live')]);
    peer.send(RTMP_COMMAND_AMF3, payload);
    await peer.status('NetStream.Publish.Start');
  });

  test('of a stream that has a publisher is refused with BadName and closed, the first goes on', async () => {
    const first = await connected();
    await first.publish('busy');
    const second = await connected();
    second.call('publish', null, 'busy', 'live');
    assert.equal((await second.status('NetStream.Publish.BadName'))['level'], 'error');
    await second.closed();
    first.sendMedia();
    await until('a frame of the first', () => streamOf('busy')?.stats().framesIn === 1);
  });

  test('of the types record and append, or of none, is live as well', async () => {
    for (const type of [['record'], ['append'], []]) {
      const peer = await connected();
      const name = `type ${type.join()}`;
      peer.call('publish', null, name, ...type);
      await peer.status('NetStream.Publish.Start');
      peer.sendMedia();
      await until('a frame', () => streamOf(name)?.stats().framesIn === 1);
    }
  });

  test('that a rule forbids is answered with Denied', async () => {
    node.gate.refusal = new GateError('denied', 'not from here');
    const peer = await connected();
    peer.call('publish', null, 'forbidden', 'live');
    assert.equal((await peer.status('NetStream.Publish.Denied'))['description'], 'not from here');
    await peer.closed();
  });

  test('twice on one connection is refused; again after closeStream works', async () => {
    const again = await connected();
    await again.publish('again');
    again.call('closeStream', null);
    await until('the end', () => streamOf('again')?.publisher === undefined);
    again.commands.length = 0;
    await again.publish('again');
    again.call('publish', null, 'other', 'live');
    await again.status('NetStream.Publish.Denied');
    await again.closed();
  });

  test('counts its own bytes, not those of another one before it on the connection', async () => {
    const encoder = await connected();
    await encoder.publish('first');
    encoder.send(RTMP_DATA, encodeAmf0('onTextData', { text: 'x'.repeat(10_000) }));
    await until('its bytes', () => (streamOf('first')?.publisher?.bytesIn ?? 0) > 10_000);
    encoder.call('closeStream', null);
    encoder.commands.length = 0;
    await encoder.publish('second');
    assert.ok((streamOf('second')?.publisher?.bytesIn ?? Infinity) < 1_000);
    encoder.close();
  });

  test('is given back when the client goes away, also while the gate thinks', async () => {
    const peer = await connected();
    await peer.publish('gone');
    peer.close();
    await until('the end', () => streamOf('gone')?.publisher === undefined);
    const next = await connected();
    await next.publish('gone');

    const { promise, resolve } = Promise.withResolvers<void>();
    node.gate.delay = promise;
    const impatient = await connected();
    impatient.call('publish', null, 'impatient', 'live');
    await until('the question', () => node.gate.asked.some(({ key }) => key.stream === 'impatient'));
    impatient.close();
    resolve();
    const patient = await connected();
    // The place is free as soon as the server has noticed; until then BadName is right.
    for (let attempt = await connected(); ; attempt = await connected()) {
      attempt.call('publish', null, 'impatient', 'live');
      await until('an answer', () => attempt.codes().some((code) => String(code).startsWith('NetStream.Publish')));
      if (attempt.codes().includes('NetStream.Publish.Start')) break;
    }
    patient.close();
  });
});

describe('play', () => {
  test('of a stream that nobody publishes waits, and begins with the first key frame', async () => {
    const player = await connected();
    await player.play('later');
    const encoder = await connected();
    await encoder.publish('later');
    assert.equal(player.media().length, 0);
    encoder.sendMedia(1_000);
    await until('media', () => player.media().length === 3);
    const [video, audio, key] = player.media();
    assert.deepEqual([video?.payload, audio?.payload, key?.payload], [AVC_HEADER, AAC_HEADER, AVC_KEY]);
    assert.ok(player.media().every(({ streamId, timestampMs }) => streamId === 1 && timestampMs === 1_000));
    assert.deepEqual(
      player.codes().filter((code) => String(code).startsWith('NetStream.Play')),
      ['NetStream.Play.Reset', 'NetStream.Play.Start'],
    );
  });

  test('goes on over a new publisher without a step back in time', async () => {
    const player = await connected();
    await player.play('seam');
    for (let count = 0; count < 2; count++) {
      const encoder = await connected();
      await encoder.publish('seam');
      encoder.sendMedia(0);
      for (let ms = 40; ms <= 200; ms += 40) encoder.send(RTMP_VIDEO, AVC_FRAME, ms);
      const frames = (): number[] =>
        player
          .media()
          .filter(({ payload }) => payload[1] === 1)
          .map(({ timestampMs }) => timestampMs);
      await until('its frames', () => frames().length === 6 * (count + 1));
      const times = frames();
      assert.ok(
        times.every((ms, index) => index === 0 || ms === (times[index - 1] ?? 0) + 40),
        times.join(),
      );
      encoder.close();
      await until('its end', () => streamOf('seam')?.publisher === undefined);
    }
  });

  test('pauses and goes on at a key frame', async () => {
    const encoder = await connected();
    await encoder.publish('pausing');
    encoder.sendMedia();
    const player = await connected();
    await player.play('pausing');
    await until('media', () => player.media().length === 3);
    player.call('pause', null, true, 0);
    await player.status('NetStream.Pause.Notify');
    encoder.send(RTMP_VIDEO, AVC_FRAME, 40);
    await until('the frame', () => streamOf('pausing')?.stats().framesIn === 2);
    player.call('pause', null, false, 0);
    await player.status('NetStream.Unpause.Notify');
    encoder.send(RTMP_VIDEO, AVC_KEY, 80);
    await until('the key frame', () => player.media().at(-1)?.timestampMs === 80);
    assert.ok(!player.media().some(({ timestampMs }) => timestampMs === 40));
  });

  test('that seeks is told that it is there, as players wait for that, and goes on', async () => {
    const encoder = await connected();
    await encoder.publish('seeking');
    const player = await connected();
    player.call('seek', null, 1_000);
    await player.result(player.call('createStream', null));
    assert.ok(!player.codes().includes('NetStream.Seek.Notify'), 'it does not play yet');
    await player.play('seeking');
    encoder.sendMedia();
    await until('media', () => player.media().length === 3);
    player.call('seek', null, 3_000);
    assert.equal((await player.status('NetStream.Seek.Notify'))['level'], 'status');
    encoder.send(RTMP_VIDEO, AVC_FRAME, 40);
    await until('the next frame', () => player.media().at(-1)?.timestampMs === 40);
  });

  test('of another stream on the same connection changes over to it', async () => {
    const player = await connected();
    for (const name of ['channel 1', 'channel 2']) {
      const encoder = await connected();
      await encoder.publish(name);
      player.commands.length = 0;
      player.messages.length = 0;
      // As Flash does: start, duration, reset.
      player.call('play', null, name, -2, -1, true);
      await player.status('NetStream.Play.Start');
      encoder.sendMedia(name === 'channel 1' ? 0 : 5_000);
      await until('its media', () => player.media().length === 3);
    }
    assert.equal(player.media().at(-1)?.timestampMs, 5_000);
    assert.deepEqual(
      [1, 2].map((number) => streamOf(`channel ${number}`)?.playbacks().length),
      [0, 1],
    );
    player.call('publish', null, 'too', 'live');
    await player.status('NetStream.Publish.Denied');
    await player.closed();
  });

  test('and publish of false end what there is, and the connection stays', async () => {
    const peer = await connected();
    await peer.publish('flash');
    peer.call('publish', null, false);
    await until('the end', () => streamOf('flash')?.publisher === undefined);
    await peer.play('flash');
    assert.equal(streamOf('flash')?.playbacks().length, 1);
    peer.call('play', null, false);
    await until('it to leave', () => (streamOf('flash')?.playbacks().length ?? 0) === 0);
    await peer.result(peer.call('createStream', null));
    assert.equal(peer.isClosed, false);
  });

  test('is live whatever start and reset say', async () => {
    const encoder = await connected();
    await encoder.publish('started');
    encoder.sendMedia();
    for (const args of [[], [-2_000], [-1_000, -1_000, false], [-2, -1, 1], [0], [5, 10, true], ['x', null]]) {
      const player = await connected();
      player.call('play', null, 'started', ...args);
      await until(`media for ${args.join()}`, () => player.media().length === 3);
    }
  });

  test('that fails says so and closes', async () => {
    node.gate.refusal = new GateError('unavailable', 'no origin answers');
    const peer = await connected();
    peer.call('play', null, 'failing');
    assert.equal((await peer.status('NetStream.Play.Failed'))['description'], 'no origin answers');
    await peer.closed();
    node.gate.refusal = undefined;
    const nameless = await connected();
    nameless.call('play', null, '');
    await nameless.status('NetStream.Play.Failed');
    await nameless.closed();
  });

  test('leaves the stream when the connection ends', async () => {
    const player = await connected();
    await player.play('leaving');
    assert.equal(streamOf('leaving')?.playbacks().length, 1);
    player.close();
    await until('it to leave', () => streamOf('leaving')?.playbacks().length === 0);
  });
});

describe('the connection', () => {
  test('acknowledges where a window was set, and answers pings', async () => {
    const peer = await connected();
    await peer.publish('acks');
    peer.send(RTMP_WINDOW_ACK_SIZE, encodeU32Payload(1_000), 0, 0);
    peer.sendMedia();
    for (let count = 0; count < 50; count++) peer.send(RTMP_AUDIO, AAC_FRAME, count * 20);
    peer.send(RTMP_USER_CONTROL, encodeUserControl(USER_PING_REQUEST, 77), 0, 0);
    await until('a pong', () =>
      peer.messages.some(
        ({ type, payload }) => type === RTMP_USER_CONTROL && payload.toString('hex') === '00070000004d',
      ),
    );
    const acks = peer.messages.filter(({ type }) => type === RTMP_ACKNOWLEDGEMENT);
    assert.ok(acks.length >= 1);
    assert.ok(acks.at(-1)!.payload.readUInt32BE() <= peer.socket.bytesWritten);
  });

  test('takes windows of 0 and of a byte, and messages without content', async () => {
    const peer = await connected();
    await peer.publish('odd');
    for (const windowBytes of [1, 0]) peer.send(RTMP_WINDOW_ACK_SIZE, encodeU32Payload(windowBytes), 0, 0);
    for (const type of [RTMP_AUDIO, RTMP_VIDEO, RTMP_DATA, RTMP_DATA_AMF3, RTMP_AGGREGATE]) {
      peer.send(type, Buffer.alloc(0));
    }
    peer.sendMedia();
    await until('a frame', () => streamOf('odd')?.stats().framesIn === 1);
    const acks = (): number => peer.messages.filter(({ type }) => type === RTMP_ACKNOWLEDGEMENT).length;
    const before = acks();
    peer.send(RTMP_AUDIO, AAC_FRAME, 20);
    await until('the next', () => streamOf('odd')?.stats().framesIn === 2);
    await peer.result(peer.call('createStream', null));
    assert.equal(acks(), before);
    assert.equal(peer.isClosed, false);
  });

  test('answers what it does not know, and only where an answer is awaited', async () => {
    const peer = await connected();
    const length = peer.call('getStreamLength', null, 'x');
    assert.deepEqual((await peer.result(length)).args, [0]);
    peer.call('noSuchThing', null);
    await peer.status('NetConnection.Call.Failed');
    peer.call('onStatus', null);
    await peer.result(peer.call('createStream', null));
    assert.equal(peer.codes().filter((code) => code === 'NetConnection.Call.Failed').length, 1);
  });

  test('over the limit is told so, and places come back', async () => {
    const small = await startTestNode(new MemoryGate(), 1);
    const first = await RtmpPeer.connected(small.rtmpPort);
    const second = await RtmpPeer.open(small.rtmpPort);
    second.call('connect', { app: 'live' });
    await second.status('NetConnection.Connect.Rejected');
    await second.closed();
    first.close();
    await until('the place', () => small.limit.used === 0);
    (await RtmpPeer.connected(small.rtmpPort)).close();
    small.close();
  });

  test('for a host that no vhost has is refused', async () => {
    const strict = await startTestNode(new MemoryGate([vhostOf('a', ['a.example'])]));
    const right = await RtmpPeer.connected(strict.rtmpPort, 'live?vhost=a.example');
    await right.publish('s');
    assert.deepEqual(strict.gate.asked[0]?.key, { vhost: 'a', app: 'live', stream: 's' });
    const wrong = await RtmpPeer.open(strict.rtmpPort);
    wrong.call('connect', { app: 'live', tcUrl: 'rtmp://b.example/live' });
    await wrong.status('NetConnection.Connect.Rejected');
    await wrong.closed();
    right.close();
    strict.close();
  });

  test('of an encoder that falls silent is ended, before its first frame and after', async () => {
    const publish = { takeover: 'Reject', firstPacketTimeoutMs: 100, idleTimeoutMs: 150, graceMs: 0 } as const;
    const quick = await startTestNode(new MemoryGate([vhostOf('v', ['__defaultVhost__'], { publish })]));
    const silent = await RtmpPeer.connected(quick.rtmpPort);
    await silent.publish('silent');
    const told = await silent.status('NetConnection.Connect.Closed');
    assert.deepEqual([told['level'], told['description']], ['error', 'the encoder sent no media in time']);
    await silent.closed();
    const stops = await RtmpPeer.connected(quick.rtmpPort);
    await stops.publish('stops');
    stops.sendMedia();
    await stops.closed();
    const viewer = await RtmpPeer.connected(quick.rtmpPort);
    await viewer.play('stops');
    quick.gate.registry.close('the test says so');
    await viewer.closed();
    assert.ok(!viewer.codes().includes('NetConnection.Connect.Closed'), 'for a viewer the stream ends');
    assert.equal(quick.rtmp.stats().ends.get('timeout'), 2);
    quick.close();
  });

  test('of a publisher whose right is lost ends', async () => {
    const publish = { takeover: 'Replace', firstPacketTimeoutMs: 20_000, idleTimeoutMs: 20_000, graceMs: 0 } as const;
    const replacing = await startTestNode(new MemoryGate([vhostOf('v', ['__defaultVhost__'], { publish })]));
    const first = await RtmpPeer.connected(replacing.rtmpPort);
    await first.publish('s');
    first.sendMedia();
    const second = await RtmpPeer.connected(replacing.rtmpPort);
    await second.publish('s');
    const told = await first.status('NetConnection.Connect.Closed');
    assert.deepEqual([told['level'], told['description']], ['error', 'replaced by another publisher']);
    await first.closed();
    second.sendMedia();
    const key = { vhost: 'v', app: 'live', stream: 's' };
    await until('the second goes on', () => replacing.gate.registry.get(key)?.stats().framesIn === 2);
    second.close();
    replacing.close();
  });

  test('of a viewer that leaves with something unread is no broken network', async () => {
    const own = await startTestNode();
    const encoder = await RtmpPeer.connected(own.rtmpPort);
    await encoder.publish('s');
    const viewer = await RtmpPeer.connected(own.rtmpPort);
    await viewer.play('s');
    viewer.socket.pause();
    encoder.sendMedia();
    const key = { vhost: '__defaultVhost__', app: 'live', stream: 's' };
    await until('bytes to the viewer', () => (own.gate.registry.get(key)?.stats().bytesOut ?? 0) > 0);
    viewer.socket.resetAndDestroy();
    await until('its end', () => own.rtmp.stats().ends.size > 0);
    assert.deepEqual([...own.rtmp.stats().ends], [['reset', 1]]);
    encoder.close();
    own.close();
  });

  test('ends are counted by code and close with the server', async () => {
    const own = await startTestNode();
    const peer = await RtmpPeer.connected(own.rtmpPort);
    own.rtmp.close('the test says so');
    own.rtmp.close('again');
    await peer.closed();
    assert.equal(own.rtmp.stats().ends.get('closed'), 1);
    assert.equal(own.rtmp.sessions.size, 0);
    own.close();
  });
});
