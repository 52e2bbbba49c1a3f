import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { FormatError, type FormatErrorCode } from '../lib/format-error.ts';
import { ChunkReader, type ChunkReaderLimits, DEFAULT_CHUNK_READER_LIMITS } from './rtmp-chunk-reader.ts';
import { encodeRtmpMessage } from './rtmp-chunk-writer.ts';
import { encodeU32Payload } from './rtmp-control.ts';
import { RTMP_VIDEO, type RtmpMessage } from './rtmp-message.ts';
import { readCorpus, readHexFile, splitAt, unhex } from './testing.ts';

/** All messages of the bytes, pushed in these pieces. */
function read(pieces: readonly Buffer[], limits?: ChunkReaderLimits): RtmpMessage[] {
  const messages: RtmpMessage[] = [];
  const reader = new ChunkReader((message) => messages.push(message), limits);
  for (const piece of pieces) {
    // The reader must keep nothing of the input: its memory is overwritten once pushed.
    const input = Buffer.from(piece);
    reader.push(input);
    input.fill(0xee);
  }
  return messages;
}

/** A message in short: chunk stream, type, message stream, time, payload in hex. */
const brief = (m: RtmpMessage) => [m.chunkStreamId, m.type, m.streamId, m.timestampMs, m.payload.toString('hex')];
const readHex = (hex: string, limits?: ChunkReaderLimits) => read([unhex(hex)], limits).map(brief);

const table: readonly (readonly [string, string, readonly unknown[][]])[] = [
  [
    'the four header types on one stream',
    `04 000064 000002 08 01000000 aaaa   # type 0 at 100
     44 000017 000001 08 bb             # type 1, +23
     84 000014 cc                       # type 2, +20
     c4 dd                              # type 3, the same delta again`,
    [
      [4, 8, 1, 100, 'aaaa'],
      [4, 8, 1, 123, 'bb'],
      [4, 8, 1, 143, 'cc'],
      [4, 8, 1, 163, 'dd'],
    ],
  ],
  [
    'type 3 behind type 0 repeats its time as the delta',
    '04 000005 000001 08 01000000 aa c4 bb',
    [
      [4, 8, 1, 5, 'aa'],
      [4, 8, 1, 10, 'bb'],
    ],
  ],
  ['a chunk stream id of two bytes', '00 05 000000 000001 09 01000000 aa', [[69, 9, 1, 0, 'aa']]],
  ['a chunk stream id of three bytes, low byte first', '01 0501 000000 000001 09 01000000 aa', [[325, 9, 1, 0, 'aa']]],
  ['a message without payload', '03 000000 000000 14 00000000', [[3, 20, 0, 0, '']]],
  ['an extended timestamp', '04 ffffff 000001 09 01000000 01000000 aa', [[4, 9, 1, 0x1000000, 'aa']]],
  [
    'an extended delta',
    '04 000001 000001 09 01000000 aa 44 ffffff 000001 09 00ffffff bb',
    [
      [4, 9, 1, 1, 'aa'],
      [4, 9, 1, 0x1000000, 'bb'],
    ],
  ],
  [
    'a delta that wraps backwards',
    '04 000064 000001 09 01000000 aa 84 ffffff fffffff6 bb',
    [
      [4, 9, 1, 100, 'aa'],
      [4, 9, 1, 90, 'bb'],
    ],
  ],
  [
    'a type 1 header first on its stream, as librtmp writes',
    '42 000000 000006 04 000300000000',
    [[2, 4, 0, 0, '000300000000']],
  ],
  [
    'Set Chunk Size in force at once',
    '02 000000 000004 01 00000000 00000001 03 000000 000002 14 00000000 aa c3 bb',
    [
      [2, 1, 0, 0, '00000001'],
      [3, 20, 0, 0, 'aabb'],
    ],
  ],
  [
    'messages of two streams in turn',
    `02 000000 000004 01 00000000 00000002
     04 000000 000004 08 01000000 a1a2   06 000000 000003 09 01000000 b1b2   c4 a3a4   c6 b3`,
    [
      [2, 1, 0, 0, '00000002'],
      [4, 8, 1, 0, 'a1a2a3a4'],
      [6, 9, 1, 0, 'b1b2b3'],
    ],
  ],
  [
    'an aborted message is gone, the next begins anew',
    `02 000000 000004 01 00000000 00000002
     04 000000 000004 08 01000000 a1a2
     02 000000 000004 02 00000000 0000   c2 0004
     04 000009 000001 08 01000000 bb`,
    [
      [2, 1, 0, 0, '00000002'],
      [2, 2, 0, 0, '00000004'],
      [4, 8, 1, 9, 'bb'],
    ],
  ],
  ['an abort of nothing', '02 000000 000004 02 00000000 00000063', [[2, 2, 0, 0, '00000063']]],
];
for (const [name, hex, expected] of table) {
  test(`reads ${name}`, () => assert.deepEqual(readHex(hex), expected));
}

const SIZE_2 = '02 000000 000004 01 00000000 00000002';
const sizeMessage = [2, 1, 0, 0, '00000002'];
const extended: readonly (readonly [string, string, readonly unknown[][]])[] = [
  [
    'repeated on type 3',
    '04 ffffff 000005 09 01000000 01020304 a1a2 c4 01020304 a3a4 c4 01020304 a5',
    [[4, 9, 1, 0x1020304, 'a1a2a3a4a5']],
  ],
  ['not repeated', '04 ffffff 000005 09 01000000 01020304 a1a2 c4 a3a4 c4 a5', [[4, 9, 1, 0x1020304, 'a1a2a3a4a5']]],
  [
    'of a delta, with the message’s time repeated',
    '04 000001 000001 09 01000000 aa 44 ffffff 000003 09 01000000 b1b2 c4 01000001 b3',
    [
      [4, 9, 1, 1, 'aa'],
      [4, 9, 1, 0x1000001, 'b1b2b3'],
    ],
  ],
  [
    'repeated on a type 3 that begins a message',
    '04 ffffff 000001 09 01000000 01000000 aa c4 01000000 bb',
    [
      [4, 9, 1, 0x1000000, 'aa'],
      [4, 9, 1, 0x2000000, 'bb'],
    ],
  ],
  [
    'that ends with a type 0 below 0xFFFFFF',
    '04 ffffff 000001 09 01000000 01000000 aa 04 000007 000003 09 01000000 b1b2 c4 b3',
    [
      [4, 9, 1, 0x1000000, 'aa'],
      [4, 9, 1, 7, 'b1b2b3'],
    ],
  ],
];
for (const [name, hex, expected] of extended) {
  test(`reads an extended timestamp ${name}, whole and byte by byte`, () => {
    const bytes = unhex(`${SIZE_2} ${hex}`);
    assert.deepEqual(read([bytes]).map(brief), [sizeMessage, ...expected]);
    assert.deepEqual(read(splitAt(bytes, [...bytes.keys()])).map(brief), [sizeMessage, ...expected]);
  });
}

test('the last bytes of a message are not held back in wait for an extended timestamp that a peer leaves out', () => {
  assert.deepEqual(readHex(`${SIZE_2} 04 ffffff 000003 09 01000000 01020304 a1a2 c4 a3`).at(-1), [
    4,
    9,
    1,
    0x1020304,
    'a1a2a3',
  ]);
});

test('what ffmpeg publishes reads alike however it is split', () => {
  const bytes = readHexFile('ffmpeg-publish.rtmp');
  const whole = read([bytes]);
  assert.equal(whole.filter((m) => m.type === 9).length, 12, '10 frames, a sequence header and its end');
  assert.equal(whole.filter((m) => m.type === 8).length, 46, '45 frames and a sequence header');
  fc.assert(
    fc.property(fc.array(fc.nat({ max: bytes.length }), { maxLength: 200 }), (cuts) => {
      assert.deepEqual(read(splitAt(bytes, cuts)), whole);
    }),
    { numRuns: 30 },
  );
  assert.deepEqual(read(splitAt(bytes, [...bytes.keys()])), whole);
});

test('payloads that share memory are whole, whatever comes after them', () => {
  fc.assert(
    fc.property(fc.array(fc.nat({ max: 50_000 }), { minLength: 1, maxLength: 30 }), (lengths) => {
      const messages: RtmpMessage[] = [];
      const reader = new ChunkReader((one) => messages.push(one));
      reader.shareMemory();
      const payloads = lengths.map((length, index) => Buffer.alloc(length, index));
      for (const payload of payloads) reader.push(encodeRtmpMessage(128, 6, RTMP_VIDEO, 1, 0, payload));
      assert.deepEqual(
        messages.map(({ payload }) => payload),
        payloads,
      );
    }),
    { numRuns: 20 },
  );
});

const message = fc.record({
  chunkStreamId: fc.oneof(
    fc.integer({ min: 3, max: 63 }),
    fc.integer({ min: 64, max: 319 }),
    fc.integer({ min: 320, max: 65599 }),
  ),
  type: fc.constantFrom(8, 9, 18, 20),
  streamId: fc.constantFrom(0, 1, 0xffffffff),
  timestampMs: fc.oneof(fc.nat({ max: 0xfffffe }), fc.constantFrom(0xffffff, 0x1000000, 0xffffffff)),
  head: fc.uint8Array({ maxLength: 6 }),
  body: fc.uint8Array({ maxLength: 400 }),
});

test('what the writer writes the reader reads, for any chunk size, stream and split', () => {
  fc.assert(
    fc.property(
      fc.array(message, { minLength: 1, maxLength: 6 }),
      fc.oneof(fc.integer({ min: 1, max: 300 }), fc.constant(65536)),
      fc.array(fc.nat({ max: 3000 }), { maxLength: 20 }),
      (messages, chunkSize, cuts) => {
        const parts = [encodeRtmpMessage(128, 2, 1, 0, 0, encodeU32Payload(chunkSize))];
        for (const m of messages) {
          parts.push(
            encodeRtmpMessage(
              chunkSize,
              m.chunkStreamId,
              m.type,
              m.streamId,
              m.timestampMs,
              Buffer.from(m.head),
              Buffer.from(m.body),
            ),
          );
        }
        const got = read(splitAt(Buffer.concat(parts), cuts)).slice(1);
        assert.deepEqual(
          got.map(brief),
          messages.map((m) => [
            m.chunkStreamId,
            m.type,
            m.streamId,
            m.timestampMs,
            Buffer.concat([m.head, m.body]).toString('hex'),
          ]),
        );
      },
    ),
    { numRuns: 200 },
  );
});

test('the writer’s bytes are those of the specification', () => {
  // RTMP 1.0 §5.3.2.2: a message of 307 bytes at 1000 in chunks of 128.
  const bytes = encodeRtmpMessage(128, 4, 9, 12346, 1000, Buffer.alloc(307, 0x11));
  assert.equal(bytes.toString('hex', 0, 12), '040003e8000133093a300000');
  assert.deepEqual([bytes[12 + 128], bytes[12 + 128 + 1 + 128]], [0xc4, 0xc4]);
  assert.equal(bytes.length, 12 + 128 + 1 + 128 + 1 + 51);
  const late = encodeRtmpMessage(2, 64, 8, 1, 0x1_0000_0000 + 0xffffff, Buffer.from([1]), Buffer.from([2, 3]));
  assert.deepEqual(late, unhex('0000 ffffff 000003 08 01000000 00ffffff 0102 c000 00ffffff 03'));
  assert.equal(encodeRtmpMessage(2, 3, 20, 0, 0xfffffe, Buffer.alloc(0)).toString('hex'), '03fffffe0000001400000000');
});

test('the writer refuses what no chunk can say', () => {
  const body = Buffer.alloc(1);
  for (const chunkSize of [0, 65537, Number.NaN])
    assert.throws(() => encodeRtmpMessage(chunkSize, 4, 8, 1, 0, body), RangeError);
  for (const id of [1, 65600]) assert.throws(() => encodeRtmpMessage(128, id, 8, 1, 0, body), RangeError);
  assert.throws(() => encodeRtmpMessage(65536, 4, 8, 1, 0, Buffer.alloc(0x1000000)), RangeError);
});

const SMALL: ChunkReaderLimits = { maxMessageBytes: 1000, maxPendingBytes: 1500, maxChunkStreams: 3 };
for (const { name, bytes, message: text } of readCorpus('rtmp-chunks')) {
  test(`refuses ${name}`, () => {
    const expected = new Set<FormatErrorCode>(['chunk', 'message-too-large']);
    assert.throws(
      () => read([bytes], SMALL),
      (e) => e instanceof FormatError && expected.has(e.code) && e.message.includes(text),
    );
    assert.throws(() => read(splitAt(bytes, [...bytes.keys()]), SMALL), FormatError);
  });
}

test('a message one byte over the limit is refused at its header, one of the limit is read', () => {
  const limits = { ...DEFAULT_CHUNK_READER_LIMITS, maxMessageBytes: 200 };
  assert.equal(read([encodeRtmpMessage(128, 4, 8, 1, 0, Buffer.alloc(200))], limits).length, 1);
  const over = encodeRtmpMessage(128, 4, 8, 1, 0, Buffer.alloc(201));
  assert.throws(() => read([over.subarray(0, 12 + 7)], limits), /has 201 bytes, over the limit of 200/);
});

test('limits can be raised in mid-connection', () => {
  const messages: RtmpMessage[] = [];
  const reader = new ChunkReader((m) => messages.push(m), SMALL);
  reader.setLimits(DEFAULT_CHUNK_READER_LIMITS);
  reader.push(encodeRtmpMessage(128, 4, 8, 1, 0, Buffer.alloc(5000)));
  assert.equal(messages[0]!.payload.length, 5000);
});

test('after an error every push throws it again, and a thrown error of the session ends the reader too', () => {
  const reader = new ChunkReader(() => {});
  assert.throws(() => reader.push(unhex('c4')), FormatError);
  assert.throws(() => reader.push(unhex('04 000000 000001 08 01000000 aa')), /chunk stream 4 begins with a type 3/);
  const failing = new ChunkReader(() => {
    throw new Error('session');
  });
  for (let i = 0; i < 2; i++) assert.throws(() => failing.push(unhex('03 000000 000000 14 00000000')), /session/);
});

test('a reader stopped within a message callback hands on nothing more', () => {
  let count = 0;
  const reader = new ChunkReader(() => {
    count += 1;
    reader.stop();
  });
  const one = unhex('03 000000 000001 14 00000000 aa');
  reader.push(Buffer.concat([one, one]));
  reader.push(one);
  assert.equal(count, 1);
});

test('bytes received count all that was pushed, and the chunk size is the peer’s', () => {
  const reader = new ChunkReader(() => {});
  assert.equal(reader.chunkSize, 128);
  reader.push(unhex('02 000000 000004 01 00000000 7fffffff 03'));
  assert.equal(reader.bytesReceived, 17);
  assert.equal(reader.chunkSize, 0x7fffffff);
});
