import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { fourCc, hex, readI24, readU24, readU32, writeU24, writeU32 } from './bytes.ts';

test('24-bit and 32-bit numbers agree with Buffer at every offset', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 0xffffffff }), fc.nat({ max: 3 }), (value, offset) => {
      const bytes = Buffer.alloc(8);
      assert.equal(writeU32(bytes, value, offset), offset + 4);
      assert.equal(bytes.readUInt32BE(offset), value);
      assert.equal(readU32(bytes, offset), value);
      assert.equal(writeU24(bytes, value, offset), offset + 3);
      assert.equal(bytes.readUIntBE(offset, 3), value % 0x1000000);
      assert.equal(readU24(bytes, offset), bytes.readUIntBE(offset, 3));
      assert.equal(readI24(bytes, offset), bytes.readIntBE(offset, 3));
    }),
  );
});

test('a negative number is written as two’s complement of 24 bits', () => {
  const bytes = Buffer.alloc(3);
  writeU24(bytes, -40, 0);
  assert.equal(bytes.toString('hex'), 'ffffd8');
  assert.equal(readI24(bytes, 0), -40);
});

test('a FourCC is its four characters, anything else is refused', () => {
  assert.equal(fourCc('hvc1'), 0x68766331);
  assert.throws(() => fourCc('hvc'), RangeError);
  assert.throws(() => fourCc('hvcé'), RangeError);
  assert.equal(hex(5), '0x05');
  assert.equal(hex(0x1ff), '0x1ff');
});
