import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Duration, durationMs } from './duration.ts';

const RIGHT: [string, number][] = [
  ['0s', 0],
  ['500ms', 500],
  ['1s', 1_000],
  ['30s', 30_000],
  ['1m', 60_000],
  ['90m', 5_400_000],
  ['1h', 3_600_000],
  ['1h30m', 5_400_000],
  ['1h1m1s1ms', 3_661_001],
  ['1m500ms', 60_500],
  ['1s1s', 2_000],
  ['99999h', 359_996_400_000],
  ['007s', 7_000],
];

for (const [text, ms] of RIGHT) {
  test(`${text} is ${ms} ms`, () => {
    assert.equal(durationMs(text), ms);
    assert.equal(Duration.safeParse(text).success, true);
  });
}

const WRONG = [
  '',
  '30',
  's',
  '1.5h',
  '-1s',
  '+1s',
  '1h 30m',
  ' 1s',
  '1s ',
  '1s\n',
  '1d',
  '1us',
  '1H',
  '100000s',
  '1m1m1m1m1m',
  '１s',
];

for (const text of WRONG) {
  test(`${JSON.stringify(text)} is no duration, and the message shows one`, () => {
    assert.throws(() => durationMs(text), { name: 'RangeError', message: /write for example 30s/ });
    assert.match(Duration.safeParse(text).error?.issues[0]?.message ?? '', /such as 30s, 500ms or 1h30m/);
  });
}

test('a number without a unit, as SRS has them, is told what to write', () => {
  assert.match(Duration.safeParse(2).error?.issues[0]?.message ?? '', /must be a duration such as 30s/);
});

test('a duration is the sum of its parts, in whatever order they stand', () => {
  const unitMs = { h: 3_600_000, m: 60_000, s: 1_000, ms: 1 } as const;
  const part = fc.record({ amount: fc.nat(99_999), unit: fc.constantFrom('h', 'm', 's', 'ms') });
  fc.assert(
    fc.property(fc.array(part, { minLength: 1, maxLength: 4 }), (parts) => {
      const text = parts.map(({ amount, unit }) => `${amount}${unit}`).join('');
      assert.equal(
        durationMs(text),
        parts.reduce((sum, { amount, unit }) => sum + amount * unitMs[unit], 0),
      );
      assert.equal(Duration.safeParse(text).success, true);
    }),
  );
});

test('every string is either a duration to both or to neither', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[0-9hms]{0,20}$/)), (text) => {
      const accepted = Duration.safeParse(text).success;
      if (accepted) assert.ok(durationMs(text) >= 0);
      else assert.throws(() => durationMs(text), RangeError);
    }),
  );
});
