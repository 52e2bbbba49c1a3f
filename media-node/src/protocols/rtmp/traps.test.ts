import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, afterEach, before, describe, test } from 'node:test';
import { get } from 'node:http';
import { DEFAULT_VHOST } from '#contract/names.ts';
import { until } from '#contract/testing/until.ts';
import { decodeAmf0, encodeAmf0 } from '../../formats/amf0.ts';
import { FlvReader } from '../../formats/flv-file.ts';
import { encodeRtmpMessage } from '../../formats/rtmp-chunk-writer.ts';
import { encodeCommand } from '../../formats/rtmp-command.ts';
import { encodeU32Payload, encodeUserControl, USER_PING_REQUEST } from '../../formats/rtmp-control.ts';
import { ClientHandshake } from '../../formats/rtmp-handshake.ts';
import type { HandshakeKind } from '../../formats/rtmp-handshake.ts';
import {
  RTMP_ACKNOWLEDGEMENT,
  RTMP_AGGREGATE,
  RTMP_AUDIO,
  RTMP_COMMAND_AMF3,
  RTMP_DATA,
  RTMP_DATA_AMF3,
  RTMP_SET_CHUNK_SIZE,
  RTMP_USER_CONTROL,
  RTMP_VIDEO,
} from '../../formats/rtmp-message.ts';
import { REALTIME_RULES } from '../../stream/stream-rules.ts';
import { StreamRegistry } from '../../stream/stream-registry.ts';
import { MemoryGate } from '../testing/memory-gate.ts';
import { AAC_FRAME, AAC_HEADER, AVC_FRAME, AVC_HEADER, AVC_KEY, RtmpPeer } from '../testing/rtmp-peer.ts';
import type { TestNode } from '../testing/test-node.ts';
import { startTestNode } from '../testing/test-node.ts';

/*
 * What peers' issue trackers are full of, each against the live server, with a viewer that sees what comes out.
 *
 * | trap | here, or in |
 * | --- | --- |
 * | chunk streams with 2- and 3-byte ids | "chunk streams" |
 * | extended timestamp repeated on type 3 chunks, or not | "extended timestamps" |
 * | a type 1 chunk first on a stream (librtmp) | "librtmp's first chunk"; peers.test.ts |
 * | AMF3 commands with and without their leading 0 | "AMF3 commands"; session.test.ts |
 * | aggregate messages | "an aggregate" |
 * | @setDataFrame | "metadata" |
 * | sequence headers that change, come again, or are empty or broken | "a sequence header"; enhanced.test.ts |
 * | 32-bit wrap; jumps | "timestamps" |
 * | negative composition offsets | "a negative composition offset" |
 * | audio-only, video-only, late tracks | "tracks" |
 * | releaseStream and FCPublish in any order or absent | "the order of commands"; session.test.ts |
 * | encoders that never set an ack window; those that do | "acknowledgements"; session.test.ts |
 * | other data messages (captions, cue points) | "other data messages" |
 * | E-RTMP FourCC, codec id 12 | enhanced.test.ts |
 * | published or played before any media came | session.test.ts; "tracks" |
 * | complex and simple handshakes | "handshakes"; node-media-server.test.ts |
 * | chunk sizes, legal and not | "chunk sizes"; bad-input.test.ts |
 * | 33-bit wrap in MPEG-TS | formats/mpegts-muxer.test.ts |
 * | HLS: target duration and rounding, the key at the head | formats/hls-playlist.test.ts |
 */

let node: TestNode;
const peers: RtmpPeer[] = [];
let streams = 0;

async function connected(): Promise<RtmpPeer> {
  const peer = await RtmpPeer.connected(node.rtmpPort);
  peers.push(peer);
  return peer;
}

/** An encoder that publishes, and a viewer that was there before. */
async function pair(): Promise<{ encoder: RtmpPeer; viewer: RtmpPeer; stream: string }> {
  const stream = `trap-${++streams}`;
  const [viewer, encoder] = [await connected(), await connected()];
  await viewer.play(stream);
  await encoder.publish(stream);
  return { encoder, viewer, stream };
}

/** Of a data message. */
const nameOf = (amf0: Buffer): string => decodeAmf0(amf0)[0] as string;
/** What a viewer has got: `v` or `a`, `*` for a sequence header, and the time. */
const seen = (viewer: RtmpPeer): string[] =>
  viewer
    .media()
    .map(
      ({ type, payload, timestampMs }) =>
        `${type === RTMP_VIDEO ? 'v' : 'a'}${payload[1] === 0 ? '*' : ''}${timestampMs}`,
    );
const HEADERS = ['v*0', 'a*0'];
async function assertSeen(viewer: RtmpPeer, wanted: readonly string[]): Promise<void> {
  await until(wanted.at(-1) ?? '', () => seen(viewer).includes(wanted.at(-1) ?? ''));
  assert.deepEqual(seen(viewer), wanted);
}

before(async () => {
  node = await startTestNode();
});
after(() => node.close());
afterEach(() => {
  for (const peer of peers.splice(0)) peer.close();
});

describe('chunks', () => {
  for (const id of [3, 63, 64, 319, 320, 65_599]) {
    test(`chunk streams: media on ${id} arrives`, async () => {
      const { encoder, viewer } = await pair();
      for (const [type, payload, ms] of [
        [RTMP_VIDEO, AVC_HEADER, 0],
        [RTMP_AUDIO, AAC_HEADER, 0],
        [RTMP_VIDEO, Buffer.concat([AVC_KEY, Buffer.alloc(1_000)]), 0],
        [RTMP_AUDIO, AAC_FRAME, 10],
      ] as const) {
        encoder.socket.write(encodeRtmpMessage(128, id, type, 1, ms, payload));
      }
      await assertSeen(viewer, [...HEADERS, 'v0', 'a10']);
    });
  }

  for (const isRepeated of [true, false]) {
    test(`extended timestamps: type 3 chunks ${isRepeated ? 'repeat them' : 'do not'}`, async () => {
      const { encoder, viewer } = await pair();
      const startMs = 0x1000000;
      encoder.sendMedia(startMs);
      const payload = Buffer.concat([AVC_FRAME, Buffer.alloc(1_000, 7)]);
      let bytes = encodeRtmpMessage(128, 6, RTMP_VIDEO, 1, startMs + 40, payload);
      if (!isRepeated) {
        const parts = [bytes.subarray(0, 16 + 128)];
        for (let at = 16 + 128; at < bytes.length; at += 5 + 128) {
          parts.push(bytes.subarray(at, at + 1), bytes.subarray(at + 5, at + 5 + 128));
        }
        bytes = Buffer.concat(parts);
      }
      encoder.socket.write(bytes);
      encoder.send(RTMP_VIDEO, AVC_FRAME, startMs + 80);
      await until('the last frame', () => viewer.media().at(-1)?.timestampMs === startMs + 80);
      assert.deepEqual(viewer.media().at(-2)?.payload, payload);
      assert.deepEqual(seen(viewer).slice(2), [`v${startMs}`, `v${startMs + 40}`, `v${startMs + 80}`]);
    });
  }

  test("librtmp's first chunk on a stream has a type 1 header", async () => {
    const { encoder, viewer } = await pair();
    encoder.socket.write(Buffer.from('4200000000000a04000300000001 00000bb8'.replace(' ', ''), 'hex'));
    encoder.sendMedia();
    await assertSeen(viewer, [...HEADERS, 'v0']);
  });

  test('chunk sizes of 1, 128, 65536 and the largest there is are taken', async () => {
    for (const size of [1, 128, 65_536, 0x7fffffff]) {
      const { encoder, viewer } = await pair();
      encoder.send(RTMP_SET_CHUNK_SIZE, encodeU32Payload(size), 0, 0);
      const key = Buffer.concat([AVC_KEY, Buffer.alloc(3_000, size & 0xff)]);
      const write = (type: number, payload: Buffer): boolean =>
        encoder.socket.write(encodeRtmpMessage(Math.min(size, 65_536), 6, type, 1, 0, payload));
      write(RTMP_VIDEO, AVC_HEADER);
      write(RTMP_AUDIO, AAC_HEADER);
      write(RTMP_VIDEO, key);
      await assertSeen(viewer, [...HEADERS, 'v0']);
      assert.deepEqual(viewer.media().at(-1)?.payload, key);
    }
  });

  test('an aggregate brings its parts at their times', async () => {
    const { encoder, viewer } = await pair();
    encoder.sendMedia();
    const part = (type: number, ms: number, payload: Buffer): Buffer => {
      const head = Buffer.alloc(11);
      head[0] = type;
      head.writeUIntBE(payload.length, 1, 3);
      head.writeUIntBE(ms & 0xffffff, 4, 3);
      return Buffer.concat([head, payload, encodeU32Payload(11 + payload.length)]);
    };
    const parts = [part(RTMP_AUDIO, 5_000, AAC_FRAME), part(RTMP_VIDEO, 5_020, AVC_FRAME)];
    encoder.send(RTMP_AGGREGATE, Buffer.concat(parts), 60);
    await assertSeen(viewer, [...HEADERS, 'v0', 'a60', 'v80']);
  });
});

describe('commands', () => {
  test('AMF3 commands do with and without their leading 0', async () => {
    for (const lead of [[0], []]) {
      const peer = await connected();
      const payload = encodeCommand('publish', 5, null, `amf3-${lead.length}`, 'live');
      peer.send(RTMP_COMMAND_AMF3, Buffer.concat([Buffer.from(lead), payload]));
      await peer.status('NetStream.Publish.Start');
    }
  });

  test('the order of commands: FCPublish late, releaseStream never, publish before createStream', async () => {
    const peer = await connected();
    await peer.publish('order');
    await peer.result(peer.call('createStream', null));
    await peer.result(peer.call('FCPublish', null, 'order'));
    peer.sendMedia();
    await until('a frame', () => {
      const key = { vhost: '__defaultVhost__', app: 'live', stream: 'order' };
      return node.gate.registry.get(key)?.stats().framesIn === 1;
    });
  });

  for (const kind of ['simple', 'complex'] as const satisfies readonly HandshakeKind[]) {
    test(`handshakes: a ${kind} one, its bytes one by one`, async () => {
      const socket = connect(node.rtmpPort, '127.0.0.1');
      const handshake = new ClientHandshake(kind);
      let isDone = false;
      socket.on('data', (bytes) => {
        if (isDone) return;
        const step = handshake.push(bytes);
        socket.write(step.output);
        isDone = step.done;
      });
      for (const byte of handshake.start()) socket.write(Buffer.from([byte]));
      await until('the answer', () => isDone);
      socket.destroy();
    });
  }

  test('acknowledgements: none where none was asked for, and the ones of players are taken', async () => {
    const { encoder, viewer } = await pair();
    encoder.sendMedia();
    viewer.send(RTMP_ACKNOWLEDGEMENT, encodeU32Payload(0xffffffff), 0, 0);
    encoder.send(RTMP_VIDEO, Buffer.concat([AVC_FRAME, Buffer.alloc(3_000_000)]), 40);
    await assertSeen(viewer, [...HEADERS, 'v0', 'v40']);
    encoder.send(RTMP_USER_CONTROL, encodeUserControl(USER_PING_REQUEST, 7), 0, 0);
    await until('the pong', () => encoder.messages.at(-1)?.type === RTMP_USER_CONTROL);
    assert.ok(!encoder.messages.some(({ type }) => type === RTMP_ACKNOWLEDGEMENT));
  });
});

describe('media', () => {
  test('metadata by @setDataFrame reaches viewers as onMetaData, also when it changes', async () => {
    const { encoder, viewer } = await pair();
    const data = (): string[] =>
      viewer.messages.flatMap(({ type, payload }) => (type === RTMP_DATA ? [payload.toString('latin1')] : []));
    for (const [index, title] of ['first', 'second'].entries()) {
      encoder.send(RTMP_DATA, encodeAmf0('@setDataFrame', 'onMetaData', { title, width: 64, audiocodecid: 10 }));
      if (index === 0) encoder.sendMedia();
      await until(title, () => data().some((text) => text.includes(title)));
    }
    assert.equal(data().length, 2);
    assert.ok(data().every((text) => text.startsWith('\x02\x00\x0aonMetaData\x08')));
  });

  test('other data messages reach who plays, over RTMP and HTTP-FLV, at the time of their neighbours', async () => {
    const { encoder, viewer, stream } = await pair();
    const tags: string[] = [];
    const reader = new FlvReader({
      onHeader: () => undefined,
      onTag: (type, timestampMs, payload) => {
        if (type === RTMP_DATA) tags.push(`${timestampMs} ${nameOf(payload)}`);
      },
    });
    const request = get(`http://127.0.0.1:${node.httpPort}/live/${stream}.flv`, (response) => {
      response.on('data', (bytes: Buffer) => reader.push(bytes));
    });
    const key = { vhost: '__defaultVhost__', app: 'live', stream };
    await until('both viewers', () => node.gate.registry.get(key)?.playbacks().length === 2);
    encoder.send(RTMP_DATA, encodeAmf0('onTextData', { text: 'before there is a frame' }), 1_000);
    encoder.sendMedia(1_000);
    const cue = encodeAmf0('onCuePoint', { name: 'ad', time: 1.5 });
    encoder.send(RTMP_DATA, cue, 1_010);
    encoder.send(RTMP_VIDEO, AVC_FRAME, 1_040);
    encoder.send(RTMP_DATA, encodeAmf0('@setDataFrame', 'onTextData', { text: 'hello' }), 1_050);
    encoder.send(RTMP_DATA_AMF3, Buffer.concat([Buffer.of(0), encodeAmf0('onFI', { tc: '10:00:00:00' })]), 1_050);
    // For servers, broken, too large.
    encoder.send(RTMP_DATA, encodeAmf0('@clearDataFrame', 'onMetaData'), 1_050);
    encoder.send(RTMP_DATA, encodeAmf0('|RtmpSampleAccess', true, true), 1_050);
    encoder.send(RTMP_DATA, Buffer.concat([encodeAmf0('onTextData'), Buffer.of(0x7f)]), 1_050);
    encoder.send(RTMP_DATA, encodeAmf0('onTextData', 'x'.repeat(300_000)), 1_050);
    encoder.send(RTMP_VIDEO, AVC_FRAME, 1_080);
    await until('the last frame', () => viewer.media().at(-1)?.timestampMs === 1_080);
    const data = viewer.messages.filter(({ type }) => type === RTMP_DATA);
    assert.deepEqual(data[0]?.payload, cue);
    const wanted = ['1000 onCuePoint', '1040 onTextData', '1040 onFI'];
    assert.deepEqual(
      data.map(({ timestampMs, payload }) => `${timestampMs} ${nameOf(payload)}`),
      wanted,
    );
    await until('the tags', () => tags.length === wanted.length);
    assert.deepEqual(tags, wanted);
    request.destroy();
  });

  test('a negative composition offset comes out as it came in', async () => {
    const { encoder, viewer } = await pair();
    encoder.sendMedia();
    const frame = Buffer.from('2701ffffd8000000 0241aa'.replace(' ', ''), 'hex');
    encoder.send(RTMP_VIDEO, frame, 40);
    await assertSeen(viewer, [...HEADERS, 'v0', 'v40']);
    assert.deepEqual(viewer.media().at(-1)?.payload, frame);
  });

  test('a sequence header that comes again changes nothing; another one goes out before its key frame', async () => {
    const { encoder, viewer } = await pair();
    encoder.sendMedia();
    encoder.send(RTMP_VIDEO, AVC_HEADER, 40);
    encoder.send(RTMP_VIDEO, AVC_FRAME, 40);
    await until('the frame', () => seen(viewer).includes('v40'));
    const other = Buffer.from(AVC_HEADER);
    other[8] = 0x1f; // another level
    encoder.send(RTMP_VIDEO, other, 80);
    encoder.send(RTMP_VIDEO, AVC_FRAME, 80); // refers to pictures of the old one
    encoder.send(RTMP_VIDEO, AVC_KEY, 120);
    await assertSeen(viewer, [...HEADERS, 'v0', 'v40', 'v*40', 'v120']);
    assert.deepEqual(viewer.media().at(-2)?.payload, other);
  });

  test('tracks: audio alone, video alone', async () => {
    for (const [type, header, frame] of [
      [RTMP_AUDIO, AAC_HEADER, AAC_FRAME],
      [RTMP_VIDEO, AVC_HEADER, AVC_KEY],
    ] as const) {
      const { encoder, viewer } = await pair();
      encoder.send(type, header);
      for (let ms = 0; ms <= 600; ms += 20) encoder.send(type, frame, ms);
      await until('the last frame', () => viewer.media().at(-1)?.timestampMs === 600);
      assert.ok(viewer.media().every((message) => message.type === type));
    }
  });

  test('tracks: audio that comes late is announced and heard; video that comes late begins with its key frame', async () => {
    for (const [first, late] of [
      ['v', 'a'],
      ['a', 'v'],
    ] as const) {
      const { encoder, viewer } = await pair();
      const send = (kind: string, ms: number, isKey = true): void => {
        if (kind === 'v') encoder.send(RTMP_VIDEO, isKey ? AVC_KEY : AVC_FRAME, ms);
        else encoder.send(RTMP_AUDIO, AAC_FRAME, ms);
      };
      const announce = (kind: string, ms: number): void =>
        encoder.send(kind === 'v' ? RTMP_VIDEO : RTMP_AUDIO, kind === 'v' ? AVC_HEADER : AAC_HEADER, ms);
      announce(first, 0);
      for (let ms = 0; ms <= 800; ms += 40) send(first, ms);
      await until('the first track', () => seen(viewer).includes(`${first}800`));
      announce(late, 820);
      send(late, 820, false); // a picture that refers to what nobody has, or sound
      send(late, 860);
      await until('the late one', () => seen(viewer).includes(`${late}860`));
      assert.ok(seen(viewer).some((item) => item.startsWith(`${late}*`)));
      assert.equal(seen(viewer).includes(`${late}820`), late === 'a');
    }
  });

  test('timestamps wrap at 32 bits, and go on for the viewer', async () => {
    const { encoder, viewer } = await pair();
    const startMs = 0x1_0000_0000 - 100;
    encoder.sendMedia(startMs);
    for (let ms = 20; ms <= 300; ms += 20) encoder.send(RTMP_VIDEO, AVC_FRAME, (startMs + ms) % 0x1_0000_0000);
    await until('the last frame', () => viewer.media().at(-1)?.timestampMs === 200);
    const times = viewer.media().slice(2);
    assert.equal(times.length, 16);
    for (const [index, { timestampMs }] of times.entries()) {
      assert.equal(timestampMs, (startMs + index * 20) % 0x1_0000_0000);
    }
  });

  test('who joins behind the wrap gets a cache from before it, and time goes on, over RTMP and HTTP-FLV', async () => {
    const { encoder, viewer, stream } = await pair();
    const startMs = 0x1_0000_0000 - 100;
    encoder.sendMedia(startMs);
    const send = (ms: number): void => encoder.send(RTMP_VIDEO, AVC_FRAME, (startMs + ms) % 0x1_0000_0000);
    for (let ms = 40; ms <= 200; ms += 40) send(ms);
    await until('the last frame', () => viewer.media().at(-1)?.timestampMs === 100);
    const late = await connected();
    await late.play(stream);
    const tags: number[] = [];
    const reader = new FlvReader({
      onHeader: () => undefined,
      onTag: (type, timestampMs, payload) => {
        if (type === RTMP_VIDEO && payload[1] === 1) tags.push(timestampMs);
      },
    });
    const request = get(`http://127.0.0.1:${node.httpPort}/live/${stream}.flv`, (response) => {
      response.on('data', (bytes: Buffer) => reader.push(bytes));
    });
    await until('the cache', () => late.media().at(-1)?.timestampMs === 100 && tags.at(-1) === 100);
    for (let ms = 240; ms <= 400; ms += 40) send(ms);
    const wanted = Array.from({ length: 11 }, (_, index) => (startMs + index * 40) % 0x1_0000_0000);
    await until('the last frame', () => tags.at(-1) === 300 && late.media().at(-1)?.timestampMs === 300);
    const headers = late.media().filter(({ payload }) => payload[1] === 0);
    assert.deepEqual(
      headers.map(({ timestampMs }) => timestampMs),
      [startMs, startMs],
    );
    const times = late.media().flatMap(({ payload, timestampMs }) => (payload[1] === 1 ? [timestampMs] : []));
    assert.deepEqual([times, tags], [wanted, wanted]);
    request.destroy();
  });

  for (const [direction, jumpMs] of [
    ['back', -60_000],
    ['forward', 3_600_000],
  ] as const) {
    test(`timestamps that jump ${direction} are no step for the viewer, and both tracks stay together`, async () => {
      const { encoder, viewer, stream } = await pair();
      encoder.sendMedia(100_000);
      let ms = 100_000;
      for (let count = 0; count < 20; count++) {
        ms += 40 + (count === 10 ? jumpMs : 0);
        encoder.send(RTMP_VIDEO, AVC_FRAME, ms);
        encoder.send(RTMP_AUDIO, AAC_FRAME, ms + 5);
      }
      await until('all', () => viewer.media().length === 2 + 1 + 40);
      for (const type of [RTMP_VIDEO, RTMP_AUDIO]) {
        const times = viewer
          .media()
          .flatMap((one) => (one.type === type && one.payload[1] === 1 ? one.timestampMs : []));
        for (const [index, time] of times.entries()) {
          const step = time - (times[index - 1] ?? time - 1);
          assert.ok(step > 0 && step <= 150, `${type} steps by ${step} at ${time}`);
        }
      }
      const [audio, video] = [viewer.media().at(-1), viewer.media().at(-2)];
      assert.ok(Math.abs((audio?.timestampMs ?? 0) - (video?.timestampMs ?? 0)) <= 40);
      const known = node.gate.registry.get({ vhost: DEFAULT_VHOST, app: 'live', stream });
      assert.equal(known?.stats().discontinuities, 1, 'HLS tells of it, and the metric counts it');
      assert.ok(Math.abs(known.gauge.avSkewMs ?? Infinity) < 50, 'what is measured of the media is not misled');
    });

    test(`timestamps that jump ${direction} are the viewer’s own with play.atc`, async (t) => {
      const rules = { ...REALTIME_RULES, atc: true };
      const kept = await startTestNode(new MemoryGate(undefined, new StreamRegistry({ rules: () => rules })));
      t.after(() => kept.close());
      const [viewer, encoder] = [await RtmpPeer.connected(kept.rtmpPort), await RtmpPeer.connected(kept.rtmpPort)];
      peers.push(viewer, encoder);
      await viewer.play('s');
      await encoder.publish('s');
      encoder.sendMedia(100_000);
      for (const ms of [40, 80, 120 + jumpMs, 160 + jumpMs]) encoder.send(RTMP_VIDEO, AVC_FRAME, 100_000 + ms);
      await until('all', () => viewer.media().length === 2 + 1 + 4);
      const times = viewer.media().flatMap(({ payload, timestampMs }) => (payload[1] === 1 ? [timestampMs] : []));
      assert.deepEqual(
        times,
        [0, 40, 80, 120 + jumpMs, 160 + jumpMs].map((ms) => 100_000 + ms),
      );
    });
  }
});
