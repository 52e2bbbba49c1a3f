import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { FormatError } from '../lib/format-error.ts';
import { splitAggregate } from './rtmp-aggregate.ts';
import {
  decodeSetChunkSize,
  decodeSetPeerBandwidth,
  decodeU32Payload,
  decodeUserControl,
  encodeSetPeerBandwidth,
  encodeU32Payload,
  encodeUserControl,
  PEER_BANDWIDTH_DYNAMIC,
  USER_PING_REQUEST,
  USER_SET_BUFFER_LENGTH,
  USER_STREAM_BEGIN,
} from './rtmp-control.ts';
import type { RtmpMessage } from './rtmp-message.ts';
import { encodeFlvTag } from './flv-file.ts';
import { unhex } from './testing.ts';

const isChunkError = (error: unknown) => error instanceof FormatError && error.code === 'chunk';

test('control payloads have the bytes of the specification', () => {
  assert.equal(encodeU32Payload(2_500_000).toString('hex'), '002625a0');
  assert.equal(encodeSetPeerBandwidth(2_500_000, PEER_BANDWIDTH_DYNAMIC).toString('hex'), '002625a002');
  assert.equal(encodeUserControl(USER_STREAM_BEGIN, 1).toString('hex'), '000000000001');
  assert.equal(encodeUserControl(USER_SET_BUFFER_LENGTH, 1, 3000).toString('hex'), '00030000000100000bb8');
});

test('control payloads come back as they were written', () => {
  const u32 = fc.integer({ min: 0, max: 0xffffffff });
  fc.assert(
    fc.property(u32, fc.nat({ max: 2 }), u32, (value, limitType, bufferMs) => {
      assert.equal(decodeU32Payload(encodeU32Payload(value), 'x'), value);
      assert.deepEqual(decodeSetPeerBandwidth(encodeSetPeerBandwidth(value, limitType)), {
        windowBytes: value,
        limitType,
      });
      assert.deepEqual(decodeUserControl(encodeUserControl(USER_PING_REQUEST, value)), {
        event: 6,
        value,
        bufferMs: 0,
      });
      assert.deepEqual(decodeUserControl(encodeUserControl(USER_SET_BUFFER_LENGTH, value, bufferMs)), {
        event: 3,
        value,
        bufferMs,
      });
    }),
  );
});

test('a chunk size is 1 to 0x7FFFFFFF', () => {
  assert.equal(decodeSetChunkSize(unhex('00000001')), 1);
  assert.equal(decodeSetChunkSize(unhex('7fffffff')), 0x7fffffff);
  for (const hex of ['00000000', '80000000', 'ffffffff', '000000', '']) {
    assert.throws(() => decodeSetChunkSize(unhex(hex)), isChunkError, hex);
  }
});

test('short control payloads are errors, events that nobody specified are let through', () => {
  assert.throws(() => decodeU32Payload(unhex('0000'), 'Acknowledgement'), /Acknowledgement has 2 bytes/);
  assert.throws(() => decodeSetPeerBandwidth(unhex('00000000')), isChunkError);
  for (const hex of ['', '00', '0000', '000600', '00030000000100']) {
    assert.throws(() => decodeUserControl(unhex(hex)), isChunkError, hex);
  }
  assert.deepEqual(decodeUserControl(unhex('001f')), { event: 31, value: 0, bufferMs: 0 });
  assert.deepEqual(decodeUserControl(unhex('001a 01')), { event: 26, value: 0, bufferMs: 0 });
});

function split(payload: Buffer, timestampMs: number) {
  const parts: unknown[][] = [];
  const aggregate: RtmpMessage = { chunkStreamId: 6, type: 22, streamId: 1, timestampMs, payload };
  splitAggregate(aggregate, (m) =>
    parts.push([m.chunkStreamId, m.type, m.streamId, m.timestampMs, m.payload.toString()]),
  );
  return parts;
}

test('an aggregate is split with its times moved to its own', () => {
  const payload = Buffer.concat([
    encodeFlvTag(8, 5000, Buffer.from('audio')),
    encodeFlvTag(9, 5040, Buffer.from('video')),
    encodeFlvTag(18, 4990, Buffer.from('')),
  ]);
  const expected = [
    [6, 8, 1, 100, 'audio'],
    [6, 9, 1, 140, 'video'],
    [6, 18, 1, 90, ''],
  ];
  assert.deepEqual(split(payload, 100), expected);
  assert.deepEqual(split(payload.subarray(0, -4), 100), expected, 'without the last back pointer');
  assert.deepEqual(
    split(payload, 4_294_967_290).map((part) => part[3]),
    [4_294_967_290, 34, 4_294_967_280],
  );
  assert.deepEqual(split(Buffer.alloc(0), 1), []);
});

test('an aggregate that ends within a part is an error', () => {
  const payload = encodeFlvTag(8, 0, Buffer.from('audio'));
  for (let length = 1; length < payload.length - 4; length++) {
    assert.throws(() => split(payload.subarray(0, length), 0), isChunkError, `${length}`);
  }
});
