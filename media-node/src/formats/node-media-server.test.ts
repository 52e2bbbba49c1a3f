import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { before, describe, test } from 'node:test';
import * as fc from 'fast-check';
import { decodeAmf0, ecmaArray, encodeAmf0 } from './amf0.ts';
import { unhex } from './testing.ts';

/*
 * node-media-server's AMF codec beside ours: the same where it is sound, and the findings that keep it out of the product
 * (docs/adr/0002-node-media-server.md). A finding that no longer holds after an update fails here: then read the ADR again.
 */

interface Amf {
  amf0Encode(values: unknown[]): Buffer;
  amf0Decode(bytes: Buffer): unknown[];
}
const require = createRequire(import.meta.url);
const amf = require('node-media-server/src/protocol/amf.js') as Amf;
const logger = require('node-media-server/src/core/logger.js') as { log: () => void };

before(() => {
  // It writes each marker that it does not know to the console.
  logger.log = () => {};
});

const key = fc.string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 8 }).filter((k) => k !== '__proto__');
const ascii = fc.string({ unit: 'grapheme-ascii', maxLength: 40 });
/** What both carry: numbers, booleans, null, undefined, ASCII strings, objects of them. */
const common = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.double(),
    fc.boolean(),
    fc.constantFrom(null, undefined),
    ascii,
    fc.dictionary(key, tie('value'), { maxKeys: 4, noNullPrototype: true }),
  ),
})).value;

describe('where node-media-server is sound, both agree', () => {
  test('it writes what we write', () => {
    fc.assert(
      fc.property(fc.array(common, { maxLength: 4 }), (values) => {
        assert.deepEqual(amf.amf0Encode(values), encodeAmf0(...values));
      }),
    );
  });

  test('it reads what we write, and we read what it writes', () => {
    fc.assert(
      fc.property(fc.array(common, { maxLength: 4 }), (values) => {
        assert.deepEqual(amf.amf0Decode(encodeAmf0(...values)), values);
        assert.deepEqual(decodeAmf0(amf.amf0Encode(values)), values);
      }),
    );
  });

  test('it reads our metadata: an ECMA array at the very end', () => {
    fc.assert(
      fc.property(fc.dictionary(key, fc.oneof(fc.double(), ascii), { noNullPrototype: true }), (metadata) => {
        const bytes = encodeAmf0('onMetaData', ecmaArray({ ...metadata }));
        assert.deepEqual(amf.amf0Decode(bytes), ['onMetaData', metadata]);
      }),
    );
  });
});

describe('findings that no adapter can mend, for the wrong result looks like a right one', () => {
  test('a value behind an ECMA array is lost, for its length is counted one too long', () => {
    const bytes = unhex('08 00000001 0001 61 0101 0000 09 05');
    assert.deepEqual(amf.amf0Decode(bytes), [{ a: true }]);
    assert.deepEqual(decodeAmf0(bytes), [{ a: true }, null]);
  });

  test('a key behind an ECMA array within an object is lost', () => {
    const bytes = unhex('03 0001 6b 08 00000001 0001 61 0101 0000 09 0001 6c 05 0000 09');
    assert.deepEqual(amf.amf0Decode(bytes), [{ k: { a: true } }]);
    assert.deepEqual(decodeAmf0(bytes), [{ k: { a: true }, l: null }]);
  });

  test('a key __proto__ changes the object’s prototype', () => {
    const bytes = unhex(`03 0009 ${Buffer.from('__proto__').toString('hex')} 03 0001 78 0101 0000 09 0000 09`);
    const [object] = amf.amf0Decode(bytes) as { x?: boolean }[];
    assert.deepEqual([Object.keys(object!), object!.x], [[], true]);
  });

  test('a string cut short is a shorter string', () => {
    const bytes = unhex('02 0005 6869');
    assert.deepEqual(amf.amf0Decode(bytes), ['hi']);
    assert.throws(() => decodeAmf0(bytes), /5 more were to come/);
  });

  test('a string that is not ASCII is written with a wrong length', () => {
    assert.equal(amf.amf0Encode(['é']).toString('hex'), '020001c3a9');
    assert.equal(encodeAmf0('é').toString('hex'), '020002c3a9');
  });

  test('dates are read two bytes off and written as empty objects, references become strings', () => {
    assert.deepEqual(amf.amf0Decode(unhex('0b 4270000000000000 0000')), [0]);
    assert.deepEqual(decodeAmf0(unhex('0b 4270000000000000 0000')), [new Date(2 ** 40)]);
    assert.equal(amf.amf0Encode([new Date(0)]).toString('hex'), '03000009');
    assert.deepEqual(amf.amf0Decode(unhex('03 0000 09 07 0000')), [{}, 'ref0']);
  });
});

describe('findings that end in errors of other kinds', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['unsupported (0x0D)', '0d'],
    ['AMF3 (0x11)', '11 04 05'],
    ['an XML document, whose length has four bytes', '0f 00000004 3c612f3e'],
    ['an object with an empty key', '03 0000 05 0000 09 05'],
  ];
  for (const [name, hex] of cases) {
    test(`it cannot read ${name}`, () => {
      assert.throws(() => amf.amf0Decode(unhex(hex)));
      assert.ok(decodeAmf0(unhex(hex)).length > 0);
    });
  }

  test('nesting is bounded by the stack alone', () => {
    const bytes = Buffer.concat(Array.from({ length: 100_000 }, () => unhex('0a 00000001')));
    assert.throws(() => amf.amf0Decode(bytes), RangeError);
    assert.throws(() => decodeAmf0(bytes), /nested over 32 deep/);
  });
});
