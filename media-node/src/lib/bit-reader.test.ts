import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { BitReader } from './bit-reader.ts';
import { FormatError } from './format-error.ts';

test('fields of any width read back as they were written', () => {
  const field = fc
    .integer({ min: 0, max: 32 })
    .chain((width) =>
      fc.record({ width: fc.constant(width), value: fc.integer({ min: 0, max: Math.max(0, 2 ** width - 1) }) }),
    );
  fc.assert(
    fc.property(fc.array(field, { maxLength: 20 }), (fields) => {
      const text = fields
        .map(({ width, value }) => (width === 0 ? '' : value.toString(2).padStart(width, '0')))
        .join('');
      const bytes = Buffer.from((text.match(/.{1,8}/g) ?? []).map((byte) => Number.parseInt(byte.padEnd(8, '0'), 2)));
      const reader = new BitReader(bytes, 'test');
      for (const { width, value } of fields) assert.equal(reader.bits(width), value);
      assert.ok(reader.bitsLeft < 8);
    }),
  );
});

test('Exp-Golomb codes follow the table of H.264 §9.1', () => {
  const bits = ['1', '010', '011', '00100', '00101', '00110', '00111', '0001000'].join('');
  const bytes = Buffer.from(
    bits
      .padEnd(40, '1')
      .match(/.{8}/g)!
      .map((byte) => Number.parseInt(byte, 2)),
  );
  const unsigned = new BitReader(bytes, 'test');
  assert.deepEqual(
    [0, 1, 2, 3, 4, 5, 6, 7].map(() => unsigned.ue()),
    [0, 1, 2, 3, 4, 5, 6, 7],
  );
  const signed = new BitReader(bytes, 'test');
  assert.deepEqual(
    [0, 1, 2, 3, 4, 5, 6, 7].map(() => signed.se()),
    [0, 1, -1, 2, -2, 3, -3, 4],
  );
});

test('reading past the end and endless codes are errors of the configuration', () => {
  assert.throws(
    () => new BitReader(Buffer.from([1]), 'SPS').bits(9),
    (e) => e instanceof FormatError && e.code === 'codec-config',
  );
  assert.throws(() => new BitReader(Buffer.alloc(9), 'SPS').ue(), /over 32 bits/);
  assert.throws(() => new BitReader(Buffer.alloc(2), 'SPS').ue(), /SPS ends after 2 bytes/);
});
