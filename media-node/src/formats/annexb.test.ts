import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { FormatError } from '../lib/format-error.ts';
import { makeVideoTrack } from '../media/codecs/make-track.ts';
import type { Frame } from '../media/frame.ts';
import type { Track, VideoTrack } from '../media/track.ts';
import { AnnexB } from './annexb.ts';
import { AVC_PPS, AVC_SPS, HEVC_SETS, avcTrack, frameOf, hevcTrack, prefixed, startCoded } from './testing-mpegts.ts';
import { unhex } from './testing.ts';

function convert(track: Track, frame: Frame): Buffer {
  const annexB = new AnnexB(track as VideoTrack);
  const bytes = annexB.measure(frame);
  const out = Buffer.alloc(bytes + 3, 0xee);
  if (bytes > 0) assert.equal(annexB.write(frame, out, 2), bytes + 2);
  assert.deepEqual([out[0], out[1], out.at(-1)], [0xee, 0xee, 0xee], 'nothing beside it');
  return out.subarray(2, -1);
}
const AUD = unhex('09f0');
const SLICE = unhex('41aabbcc');
const IDR = unhex('65aabb');
const SEI = unhex('0605aa');
const OTHER_SPS = unhex('674d400d');

const AVC: readonly (readonly [name: string, isKey: boolean, nals: Buffer[], expected: Buffer[]])[] = [
  ['a frame between key frames gets a delimiter', false, [SLICE], [AUD, SLICE]],
  ['a key frame gets the parameter sets as well', true, [SEI, IDR], [AUD, AVC_SPS, AVC_PPS, SEI, IDR]],
  ['sets in the frame are not repeated', true, [AVC_SPS, AVC_PPS, IDR], [AUD, AVC_SPS, AVC_PPS, IDR]],
  ['where one is missing, the frame’s own wins', true, [OTHER_SPS, IDR], [AUD, AVC_SPS, AVC_PPS, OTHER_SPS, IDR]],
  ['a delimiter of its own is not doubled', true, [unhex('0910'), IDR], [AUD, AVC_SPS, AVC_PPS, IDR]],
  ['empty NAL units are left out', false, [Buffer.alloc(0), SLICE, Buffer.alloc(0)], [AUD, SLICE]],
  ['a frame of nothing is nothing', false, [], []],
  ['a frame of a delimiter alone is nothing', true, [AUD], []],
];
for (const [name, isKey, nals, expected] of AVC) {
  test(`H.264: ${name}`, () => {
    for (const lengthSize of [1, 2, 4]) {
      const track = avcTrack(lengthSize);
      const frame = frameOf(track, 0, prefixed(nals, lengthSize), isKey);
      assert.deepEqual(convert(track, frame), startCoded(expected));
    }
  });
}

test('HEVC: types stand in other bits, and there are three kinds of sets', () => {
  const track = hevcTrack();
  const [aud, idr, trail] = [unhex('460150'), unhex('2601af'), unhex('0201d0')];
  const of = (nals: Buffer[], isKey: boolean): Buffer => convert(track, frameOf(track, 0, prefixed(nals), isKey));
  assert.deepEqual(of([trail], false), startCoded([aud, trail]));
  assert.deepEqual(of([unhex('460110'), idr], true), startCoded([aud, ...HEVC_SETS, idr]));
  assert.deepEqual(of([...HEVC_SETS, idr], true), startCoded([aud, ...HEVC_SETS, idr]));
  assert.deepEqual(of([...HEVC_SETS.slice(1), idr], true), startCoded([aud, ...HEVC_SETS, ...HEVC_SETS.slice(1), idr]));
});

test('a configuration without parameter sets leaves them to the frames', () => {
  const track = makeVideoTrack(1, 'h264', unhex('014d400dffe000'));
  assert.deepEqual(convert(track, frameOf(track, 0, prefixed([IDR]), true)), startCoded([AUD, IDR]));
});

const BROKEN: readonly (readonly [name: string, lengthSize: number, data: string, message: RegExp])[] = [
  ['a length beyond the frame', 4, '00000005 41aabbcc', /says it has 5 bytes where its frame has 4 left/],
  ['a length of 2^31 and more', 4, 'ffffffff 41', /4294967295 bytes/],
  ['half a length', 4, '00000001 41 0000', /ends within a NAL unit's length: send .* lengths of 4 bytes/],
  ['half a length of two bytes', 2, '0001 41 00', /lengths of 2 bytes/],
  ['start codes instead of lengths', 4, '00000001 65 aabb 00000001 41', /lengths of 4 bytes/],
  ['a short length beyond the frame', 1, '02 41', /says it has 2 bytes where its frame has 1 left/],
];
for (const [name, lengthSize, data, message] of BROKEN) {
  test(`refused: ${name}`, () => {
    const track = avcTrack(lengthSize) as VideoTrack;
    assert.throws(
      () => new AnnexB(track).measure(frameOf(track, 0, unhex(data), true)),
      (error) => error instanceof FormatError && error.code === 'nal' && message.test(error.message),
    );
  });
}

test('codecs without NAL units are refused', () => {
  const track = makeVideoTrack(1, 'av1', unhex('81000c00'));
  assert.throws(() => new AnnexB(track), { name: 'FormatError', code: 'codec-config' });
});

test('whatever NAL units there are, all but delimiters come out in their order', () => {
  const nal = fc.uint8Array({ minLength: 1, maxLength: 200 }).map((bytes) => Buffer.from(bytes));
  fc.assert(
    fc.property(fc.array(nal, { minLength: 1, maxLength: 12 }), fc.constantFrom(1, 2, 4), (nals, lengthSize) => {
      const track = avcTrack(lengthSize);
      const kept = nals.filter((bytes) => (bytes[0]! & 31) !== 9);
      const out = convert(track, frameOf(track, 0, prefixed(nals, lengthSize)));
      assert.deepEqual(out, kept.length === 0 ? Buffer.alloc(0) : startCoded([AUD, ...kept]));
    }),
  );
});
