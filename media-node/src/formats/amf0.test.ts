import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { FormatError } from '../lib/format-error.ts';
import {
  AMF_UNSUPPORTED,
  type AmfObject,
  type AmfValue,
  AmfXml,
  amfKind,
  decodeAmf0,
  ecmaArray,
  encodeAmf0,
  typedObject,
} from './amf0.ts';
import { readCorpus, unhex } from './testing.ts';

/** Hex → what it decodes to. From the AMF 0 specification §2 where it gives bytes, else built by hand. */
const values: readonly (readonly [string, string, AmfValue[]])[] = [
  ['number', '00 3ff0000000000000', [1]],
  ['number NaN', '00 7ff8000000000000', [Number.NaN]],
  ['booleans', '0100 0101 0102', [false, true, true]],
  ['string', '02 0004 c3a9 c3a9', ['éé']],
  ['object', '03 0001 61 05 0000 09', [{ a: null }]],
  ['object with the empty key', '03 0000 05 0000 09', [{ '': null }]],
  ['null, undefined, unsupported', '05 06 0d', [null, undefined, AMF_UNSUPPORTED]],
  ['ECMA array with a wrong count', '08 00000009 0001 61 0101 0000 09 05', [{ a: true }, null]],
  ['strict array', '0a 00000002 05 0100', [[null, false]]],
  ['date', '0b 4270000000000000 0000', [new Date(2 ** 40)]],
  ['long string', '0c 00000002 6869', ['hi']],
  ['XML document', '0f 00000004 3c612f3e', [new AmfXml('<a/>')]],
  ['typed object', '10 0001 43 0001 61 05 0000 09', [{ a: null }]],
  ['reference', '03 0000 09 07 0000', [{}, {}]],
  ['AMF3 integer, then AMF0', '11 04 05 05', [5, null]],
];
for (const [name, hex, expected] of values) {
  test(`decodes ${name}`, () => assert.deepEqual(decodeAmf0(unhex(hex)), expected));
}

test('an object remembers whether it came as an object, an ECMA array or a typed object', () => {
  const kindOf = (hex: string) => amfKind(decodeAmf0(unhex(hex))[0] as AmfObject);
  assert.deepEqual(kindOf('03 0000 09'), { kind: 'object', className: '' });
  assert.deepEqual(kindOf('08 00000000 0000 09'), { kind: 'ecma-array', className: '' });
  assert.deepEqual(kindOf('10 0001 43 0000 09'), { kind: 'typed', className: 'C' });
});

test('keys such as __proto__ are keys and change no prototype', () => {
  const hex = `03 0009 ${Buffer.from('__proto__').toString('hex')} 03 0001 78 0101 0000 09 0000 09`;
  const value = decodeAmf0(unhex(hex))[0] as AmfObject;
  assert.deepEqual(Object.keys(value), ['__proto__']);
  assert.equal(Object.getPrototypeOf(value), Object.prototype);
  assert.equal((value as { x?: unknown }).x, undefined);
  assert.deepEqual(encodeAmf0(value), unhex(hex));
});

test('a key of 0x0900 bytes and more does not look like an end marker', () => {
  const object = { ['k'.repeat(0x0901)]: 1, b: 2 };
  assert.deepEqual(decodeAmf0(encodeAmf0(object, 'next')), [object, 'next']);
});

test('AMF3 values behind the switch decode as the specification writes them', () => {
  const cases: readonly (readonly [string, AmfValue])[] = [
    ['00', undefined],
    ['01', null],
    ['02', false],
    ['03', true],
    ['04 ffffffff', -1],
    ['04 c0808000', -0x10000000],
    ['04 8180 00', 0x4000],
    ['05 3ff8000000000000', 1.5],
    ['06 05 6869', 'hi'],
    ['07 09 3c612f3e', new AmfXml('<a/>')],
    ['08 01 4270000000000000', new Date(2 ** 40)],
    ['09 05 01 04 01 04 02', [1, 2]],
    ['09 03 03 61 03 01 04 07', { a: true, 0: 7 }],
    ['0a 0b 01 03 61 04 01 01', { a: 1 }],
    ['0a 13 03 43 03 61 06 00', { a: 'C' }],
    ['0b 09 3c612f3e', new AmfXml('<a/>')],
    ['0c 07 010203', Buffer.from([1, 2, 3])],
    // An array of two objects of one class: the second refers to the traits, and its string to the first's.
    ['09 05 01 0a 13 03 43 03 61 06 03 76 0a 01 06 04', [{ a: 'v' }, { a: 'v' }]],
    // The second element refers to the first.
    ['09 05 01 0a 0b 01 01 0a 02', [{}, {}]],
  ];
  for (const [hex, expected] of cases) assert.deepEqual(decodeAmf0(unhex(`11 ${hex}`)), [expected], hex);
});

/** Any value that AMF0 can carry, with its form, made of a description so that marks can be compared. */
const amf: fc.Arbitrary<AmfValue> = fc.letrec<{ value: AmfValue }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', maxDepth: 5 },
    fc.constantFrom<AmfValue>(null, undefined, true, false, AMF_UNSUPPORTED),
    fc.double(),
    fc.string({ unit: 'binary', maxLength: 20 }).map((text) => Buffer.from(text).toString()),
    fc.date({ noInvalidDate: false }),
    fc.string().map((text) => new AmfXml(text)),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(fc.string({ maxLength: 5 }), tie('value'), { maxKeys: 4, noNullPrototype: true }),
    fc.dictionary(fc.string(), tie('value'), { maxKeys: 4, noNullPrototype: true }).map((o) => ecmaArray(o)),
    fc.dictionary(fc.string(), tie('value'), { maxKeys: 4, noNullPrototype: true }).map((o) => typedObject('C', o)),
  ),
})).value;

test('every value comes back as it was, and its bytes too', () => {
  fc.assert(
    fc.property(fc.array(amf, { maxLength: 5 }), (all) => {
      const bytes = encodeAmf0(...all);
      const decoded = decodeAmf0(bytes);
      assert.deepEqual(decoded, all);
      assert.deepEqual(encodeAmf0(...decoded), bytes);
    }),
    { numRuns: 300 },
  );
});

test('AMF0 cut off anywhere within a value is an error', () => {
  fc.assert(
    fc.property(amf, fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (value, part) => {
      const bytes = encodeAmf0(value);
      const cut = Math.floor(part * bytes.length);
      if (cut > 0) assert.throws(() => decodeAmf0(bytes.subarray(0, cut)), isAmfError);
    }),
  );
});

const isAmfError = (error: unknown): boolean => error instanceof FormatError && error.code === 'amf';

for (const { name, bytes, message } of readCorpus('amf')) {
  test(`refuses ${name}`, () => {
    assert.throws(
      () => decodeAmf0(bytes),
      (error) => isAmfError(error) && (error as Error).message.includes(message),
    );
  });
}

test('nesting, counts and references are bounded', () => {
  const nested = Buffer.concat(Array.from({ length: 100_000 }, () => unhex('0a 00000001')));
  assert.throws(() => decodeAmf0(nested), /nested over 32 deep/);
  assert.throws(() => decodeAmf0(Buffer.alloc(8193, 5)), /over 8192 values/);
  assert.throws(() => decodeAmf0(unhex('0a ffffffff')), /4294967295 more were to come/);
  // Each array holds the one before it twice: 2^30 values in 300 bytes.
  const doubling = Buffer.concat([
    unhex(`0a 0000001f 0a 00000000`),
    ...Array.from({ length: 30 }, (_, i) =>
      unhex(`0a 00000002 07 ${(i + 1).toString(16).padStart(4, '0')}`.repeat(1)),
    ).map((bytes, i) => Buffer.concat([bytes, unhex(`07 ${(i + 1).toString(16).padStart(4, '0')}`)])),
  ]);
  assert.throws(() => decodeAmf0(doubling), /over 8192 values/);
});

test('limits are the caller’s to set', () => {
  assert.throws(() => decodeAmf0(unhex('05 05'), { maxDepth: 1, maxValues: 1 }), /over 1 values/);
  assert.throws(() => decodeAmf0(unhex('03 0001 61 03 0000 09 0000 09'), { maxDepth: 1, maxValues: 9 }), /over 1 deep/);
});

test('what AMF0 has no form for is refused when encoded', () => {
  const itself: Record<string, unknown> = {};
  itself['a'] = itself;
  const wrong: readonly (readonly [unknown, RegExp])[] = [
    [1n, /a bigint/],
    [() => 0, /a function/],
    [Symbol('x'), /a symbol/],
    [new Map(), /class Map/],
    [Buffer.alloc(1), /class Buffer|class FastBuffer/],
    [{ ['k'.repeat(65536)]: 1 }, /65536 bytes, 65535 at the most/],
    [itself, /nested over 32 deep/],
  ];
  for (const [value, message] of wrong) {
    assert.throws(
      () => encodeAmf0(value),
      (error) => error instanceof FormatError && error.code === 'amf-encode' && message.test(error.message),
    );
  }
});

test('strings of over 65535 bytes travel as long strings, counted in bytes and not in characters', () => {
  for (const text of ['x'.repeat(65535), 'x'.repeat(65536), 'é'.repeat(40_000)]) {
    const bytes = encodeAmf0(text);
    assert.equal(bytes[0], Buffer.byteLength(text) > 65535 ? 0x0c : 0x02);
    assert.deepEqual(decodeAmf0(bytes), [text]);
  }
});
