import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { FormatError } from '../lib/format-error.ts';
import { encodeFlvHeader, encodeFlvTag, FlvReader } from './flv-file.ts';
import { readCorpus, readHexFile, splitAt, unhex } from './testing.ts';

type Found = readonly ['header', boolean, boolean] | readonly ['tag', number, number, string];

function read(pieces: readonly Buffer[], maxTagBytes?: number): Found[] {
  const found: Found[] = [];
  const reader = new FlvReader(
    {
      onHeader: (audio, video) => found.push(['header', audio, video]),
      onTag: (type, timestampMs, payload) => found.push(['tag', type, timestampMs, payload.toString('hex')]),
    },
    maxTagBytes,
  );
  const kept: Buffer[] = [];
  for (const piece of pieces) {
    const input = Buffer.from(piece);
    reader.push(input);
    input.fill(0xee);
    kept.push(input);
  }
  return found;
}

test('header and tags have the bytes of the specification', () => {
  assert.equal(encodeFlvHeader(true, true).toString('hex'), '464c5601050000000900000000');
  assert.equal(encodeFlvHeader(false, true)[4], 1);
  assert.equal(encodeFlvHeader(true, false)[4], 4);
  const tag = encodeFlvTag(9, 0x01020304, unhex('1701'), unhex('aabb'));
  assert.deepEqual(tag, unhex('09 000004 020304 01 000000 1701aabb 0000000f'));
  assert.equal(encodeFlvTag(8, 0x1_0000_0005, unhex('af')).toString('hex', 4, 8), '00000500', 'only 32 bits of time');
  assert.throws(() => encodeFlvTag(8, 0, Buffer.alloc(0x1000000)), RangeError);
});

test('ffmpeg’s file, written again from its tags, has the same bytes, however it was split', () => {
  const file = readHexFile('ffmpeg-h264-aac.flv');
  const again = (found: readonly Found[]) =>
    Buffer.concat(
      found.map((item) =>
        item[0] === 'header' ? encodeFlvHeader(item[1], item[2]) : encodeFlvTag(item[1], item[2], unhex(item[3])),
      ),
    );
  assert.deepEqual(again(read([file])), file);
  assert.deepEqual(again(read(splitAt(file, [...file.keys()]))), file);
  fc.assert(
    fc.property(fc.array(fc.nat({ max: file.length }), { maxLength: 100 }), (cuts) => {
      assert.deepEqual(again(read(splitAt(file, cuts))), file);
    }),
    { numRuns: 30 },
  );
});

test('tags of any size come back from any split', () => {
  const tag = fc.tuple(
    fc.constantFrom(8, 9, 18),
    fc.integer({ min: 0, max: 0xffffffff }),
    fc.uint8Array({ maxLength: 50 }),
  );
  fc.assert(
    fc.property(fc.array(tag, { maxLength: 6 }), fc.array(fc.nat({ max: 500 })), (tags, cuts) => {
      const bytes = Buffer.concat([
        encodeFlvHeader(true, false),
        ...tags.map(([type, time, payload]) => encodeFlvTag(type, time, Buffer.from(payload))),
      ]);
      assert.deepEqual(read(splitAt(bytes, cuts)), [
        ['header', true, false],
        ...tags.map(([type, time, payload]) => ['tag', type, time, Buffer.from(payload).toString('hex')]),
      ]);
    }),
  );
});

test('a longer header is passed over and a wrong PreviousTagSize is not judged', () => {
  const bytes = unhex('464c5601 05 0000000c ffffff deadbeef 08 000001 000007 00 000000 af 00000000');
  const expected = [
    ['header', true, true],
    ['tag', 8, 7, 'af'],
  ];
  assert.deepEqual(read([bytes]), expected);
  assert.deepEqual(read(splitAt(bytes, [...bytes.keys()])), expected);
});

for (const { name, bytes, message } of readCorpus('flv-files')) {
  test(`refuses ${name}`, () => {
    for (const pieces of [[bytes], splitAt(bytes, [...bytes.keys()])]) {
      assert.throws(
        () => read(pieces, 1000),
        (e) => e instanceof FormatError && e.message.includes(message) && ['flv', 'message-too-large'].includes(e.code),
      );
    }
  });
}

test('after an error every push throws it again; a stopped reader is silent', () => {
  const reader = new FlvReader({ onHeader: () => {}, onTag: () => {} });
  for (let i = 0; i < 2; i++) assert.throws(() => reader.push(unhex('000000000000000000')), /does not begin with/);
  let tags = 0;
  const stopping: FlvReader = new FlvReader({
    onHeader: () => {},
    onTag: () => {
      tags += 1;
      stopping.stop();
    },
  });
  stopping.push(
    Buffer.concat([encodeFlvHeader(true, true), encodeFlvTag(8, 0, unhex('af')), encodeFlvTag(8, 1, unhex('af'))]),
  );
  stopping.push(encodeFlvTag(8, 2, unhex('af')));
  assert.equal(tags, 1);
});
