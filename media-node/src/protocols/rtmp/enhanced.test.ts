import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { until } from '#contract/testing/until.ts';
import { encodeAmf0 } from '../../formats/amf0.ts';
import { RTMP_AUDIO, RTMP_DATA, RTMP_VIDEO } from '../../formats/rtmp-message.ts';
import { AAC_FRAME, AAC_HEADER, AVC_FRAME, AVC_HEADER, AVC_KEY, RtmpPeer } from '../testing/rtmp-peer.ts';
import type { TestNode } from '../testing/test-node.ts';
import { startTestNode } from '../testing/test-node.ts';

/* E-RTMP v2 in whole sessions, and what viewers may ask of their stream. */

let node: TestNode;
const peers: RtmpPeer[] = [];

async function connected(object: object = {}): Promise<RtmpPeer> {
  const peer = await RtmpPeer.connected(node.rtmpPort, 'live', object);
  peers.push(peer);
  return peer;
}
async function pair(stream: string): Promise<{ encoder: RtmpPeer; viewer: RtmpPeer }> {
  const [viewer, encoder] = [await connected(), await connected()];
  await viewer.play(stream);
  await encoder.publish(stream);
  return { encoder, viewer };
}
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');
const payloads = (peer: RtmpPeer, type: number): string[] =>
  peer.media().flatMap((message) => (message.type === type ? [message.payload.toString('hex')] : []));

before(async () => {
  node = await startTestNode();
});
after(() => node.close());
afterEach(() => {
  for (const peer of peers.splice(0)) peer.close();
});

describe('capabilities', () => {
  const properties = (peer: RtmpPeer): Record<string, unknown> => ({ ...peer.commands[0]?.object });

  test('are told to clients that speak of theirs, and to nobody else', async () => {
    assert.deepEqual(Object.keys(properties(await connected())), ['fmsVer', 'capabilities', 'mode']);
    const enhanced = properties(await connected({ fourCcList: ['av01'] }));
    assert.equal(enhanced['capsEx'], 7);
    assert.ok((enhanced['fourCcList'] as string[]).includes('hvc1'));
    // Nonsense in their place is no reason to refuse anybody.
    await connected({ capsEx: 'yes', fourCcList: 7, videoFourCcInfoMap: null });
  });

  test('a reconnect request goes once, to clients that can follow it', async () => {
    const can = await connected({ capsEx: 1 });
    const cannot = await connected({ capsEx: 14 });
    const old = await connected();
    await can.play('s');
    node.rtmp.requestReconnect();
    node.rtmp.requestReconnect();
    const request = await can.status('NetConnection.Connect.ReconnectRequest');
    assert.equal(request['level'], 'status');
    for (const peer of [can, cannot, old]) await peer.result(peer.call('createStream', null));
    const requests = (peer: RtmpPeer) =>
      peer.codes().filter((code) => code === 'NetConnection.Connect.ReconnectRequest').length;
    assert.deepEqual([can, cannot, old].map(requests), [1, 0, 0]);
    assert.ok([can, cannot, old].every(({ isClosed }) => !isClosed));
  });
});

describe('media', () => {
  const HVCC = `01016000000090000000000078f000fcfdf8f800000f00`;

  for (const [name, header, frame, wantedHeader, wantedFrame] of [
    ['HEVC by FourCC', `90 68766331 ${HVCC}`, '91 68766331 fffff6 aabb', `9068766331${HVCC}`, '9168766331fffff6aabb'],
    ['HEVC by codec id 12', `1c 00 000000 ${HVCC}`, '1c 01 00000a aabb', `9068766331${HVCC}`, '916876633100000aaabb'],
    ['AV1', '90 61763031 81000c00', '91 61763031 aabb', '906176303181000c00', '9161763031aabb'],
    [
      'VP9',
      '90 76703039 01000000 000a820101010000',
      '91 76703039 aabb',
      '907670303901000000000a820101010000',
      '9176703039aabb',
    ],
    [
      'AVC by FourCC',
      `90 61766331 ${AVC_HEADER.subarray(5).toString('hex')}`,
      '91 61766331 fffff6 aabb',
      AVC_HEADER.toString('hex'),
      '1701fffff6aabb',
    ],
    [
      'ModEx with nanoseconds',
      `90 68766331 ${HVCC}`,
      '97 02 01e240 03 68766331 aabb',
      `9068766331${HVCC}`,
      '9368766331aabb',
    ],
    [
      'multitrack, the first of two',
      `96 10 68766331 00 000017 ${HVCC} 01 000017 ${HVCC}`,
      '96 11 68766331 01 000001 ee 00 000005 000000 aabb',
      `9068766331${HVCC}`,
      '9368766331aabb',
    ],
  ] as const) {
    test(`${name} reaches viewers`, async () => {
      const stream = `video ${name}`;
      const { encoder, viewer } = await pair(stream);
      encoder.send(RTMP_AUDIO, AAC_HEADER);
      encoder.send(RTMP_VIDEO, hex(header));
      encoder.send(RTMP_VIDEO, hex(frame), 40);
      await until('both', () => payloads(viewer, RTMP_VIDEO).length === 2);
      assert.deepEqual(payloads(viewer, RTMP_VIDEO), [wantedHeader, wantedFrame]);
    });
  }

  for (const [name, header, frame, headerOut = header] of [
    ['Opus', '90 4f707573 4f70757348656164 01 02 3801 80bb0000 0000 00', '91 4f707573 aabb'],
    [
      'FLAC',
      `90 664c6143 664c6143 00000022 1000 1000 000000 000000 0bb802f0 00000000 ${'00'.repeat(16)}`,
      '91 664c6143 aabb',
    ],
    [
      'FLAC without its marker, as ffmpeg sends it,',
      `90 664c6143 1000 1000 000000 000000 0bb802f0 00000000 ${'00'.repeat(16)}`,
      '91 664c6143 aabb',
      `90 664c6143 664c6143 80000022 1000 1000 000000 000000 0bb802f0 00000000 ${'00'.repeat(16)}`,
    ],
    ['AC-3', undefined, '91 61632d33 0b77 0000 1e40 aabb'],
    ['E-AC-3', undefined, '91 65632d33 0b77 0000 3f84 aabb'],
  ] as const) {
    test(`${name} reaches viewers`, async () => {
      const { encoder, viewer } = await pair(`audio ${name}`);
      encoder.send(RTMP_DATA, encodeAmf0('onMetaData', { audiocodecid: 1 }));
      if (header !== undefined) encoder.send(RTMP_AUDIO, hex(header));
      encoder.send(RTMP_AUDIO, hex(frame), 20);
      const wanted = [headerOut, frame].flatMap((text) => (text === undefined ? [] : [hex(text).toString('hex')]));
      await until('all', () => payloads(viewer, RTMP_AUDIO).length === wanted.length);
      assert.deepEqual(payloads(viewer, RTMP_AUDIO), wanted);
    });
  }

  test('what is not carried on is counted by reason, and the session goes on', async () => {
    const own = await startTestNode();
    const encoder = await RtmpPeer.connected(own.rtmpPort);
    await encoder.publish('ignored');
    encoder.send(RTMP_VIDEO, AVC_FRAME); // before its header
    encoder.send(RTMP_VIDEO, AVC_HEADER.subarray(0, 5)); // empty
    encoder.send(RTMP_AUDIO, AAC_HEADER.subarray(0, 2)); // empty
    encoder.send(RTMP_VIDEO, hex('22 aa')); // Sorenson H.263
    encoder.send(RTMP_VIDEO, hex('96 33 61766331 01 aabb')); // a reserved type of multitrack
    encoder.send(RTMP_DATA, encodeAmf0('|RtmpSampleAccess', true, true));
    encoder.sendMedia();
    const key = { vhost: '__defaultVhost__', app: 'live', stream: 'ignored' };
    await until('the frame', () => own.gate.registry.get(key)?.stats().framesIn === 1);
    assert.deepEqual(own.rtmp.stats().ignored, { codec: 1, track: 1, 'empty-config': 2, 'no-config': 1, data: 1 });
    encoder.close();
    own.close();
  });

  test('a broken sequence header ends the session, counted by its cause', async () => {
    const own = await startTestNode();
    for (const [type, bytes] of [
      [RTMP_VIDEO, hex('17 00 000000 02640028')],
      [RTMP_VIDEO, hex('90 68766331 01')],
      [RTMP_AUDIO, hex('af 00 12')],
    ] as const) {
      const encoder = await RtmpPeer.connected(own.rtmpPort);
      await encoder.publish('broken');
      encoder.send(type, bytes);
      const told = await encoder.status('NetConnection.Connect.Closed');
      assert.match(String(told['description']), /config|AAC|AVC|H\.264|HEVC/i);
      await encoder.closed();
    }
    assert.equal(own.rtmp.stats().ends.get('codec-config'), 3);
    own.close();
  });
});

describe('a viewer', () => {
  const send = (encoder: RtmpPeer, ms: number): void => {
    encoder.send(RTMP_VIDEO, ms % 80 === 0 ? AVC_KEY : AVC_FRAME, ms);
    encoder.send(RTMP_AUDIO, AAC_FRAME, ms + 1);
  };
  const times = (peer: RtmpPeer, type: number): number[] =>
    peer.media().flatMap((message) => (message.type === type && message.payload[1] === 1 ? [message.timestampMs] : []));

  test('that wants no audio, then no video, then all again, gets that from the next key frames on', async () => {
    const { encoder, viewer } = await pair('wishes');
    const whole = await connected();
    await whole.play('wishes');
    encoder.sendMedia();
    send(encoder, 40);
    await until('both kinds', () => times(viewer, RTMP_AUDIO).length === 1);
    const told = async (name: string, wanted: boolean): Promise<void> => {
      viewer.call(name, null, wanted);
      await viewer.result(viewer.call('createStream', null));
    };
    await told('receiveAudio', false);
    for (const ms of [80, 120]) send(encoder, ms);
    await until('the pictures', () => times(viewer, RTMP_VIDEO).at(-1) === 120);
    await told('receiveAudio', true);
    await told('receiveVideo', false);
    for (const ms of [160, 200]) send(encoder, ms);
    await until('the sound', () => times(viewer, RTMP_AUDIO).at(-1) === 201);
    await told('receiveAudio', false);
    for (const ms of [240, 280]) send(encoder, ms);
    await until('the others to have it', () => times(whole, RTMP_AUDIO).at(-1) === 281);
    await told('receiveVideo', true);
    await told('receiveAudio', true);
    for (const ms of [320, 360]) send(encoder, ms);
    await until('all', () => times(viewer, RTMP_AUDIO).at(-1) === 361);
    assert.deepEqual(times(viewer, RTMP_VIDEO), [0, 40, 80, 120, 320, 360]);
    assert.deepEqual(times(viewer, RTMP_AUDIO), [41, 161, 201, 321, 361]);
    assert.equal(times(whole, RTMP_VIDEO).length, 10);
  });

  test('that says so before it plays, or while it pauses, gets that form from the beginning', async () => {
    const encoder = await connected();
    await encoder.publish('early wishes');
    encoder.sendMedia();
    const viewer = await connected();
    viewer.call('receiveAudio', null, false);
    await viewer.play('early wishes');
    send(encoder, 40);
    await until('pictures', () => times(viewer, RTMP_VIDEO).length === 2);
    viewer.call('pause', null, true, 0);
    await viewer.status('NetStream.Pause.Notify');
    viewer.call('receiveAudio', null, true);
    send(encoder, 80);
    viewer.call('pause', null, false, 0);
    await viewer.status('NetStream.Unpause.Notify');
    send(encoder, 160);
    await until('sound', () => times(viewer, RTMP_AUDIO).length === 1);
    assert.ok(times(viewer, RTMP_AUDIO).every((ms) => ms >= 80));
  });
});
