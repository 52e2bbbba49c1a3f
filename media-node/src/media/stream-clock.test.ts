import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { StreamClock } from './stream-clock.ts';

type Step = readonly ['audio' | 'video', number];
const run = (clock: StreamClock, steps: readonly Step[]) => steps.map(([kind, ts]) => clock.dtsMs(kind, ts));

test('ordinary timestamps are kept as they are', () => {
  assert.deepEqual(
    run(new StreamClock(), [
      ['video', 5000],
      ['audio', 5003],
      ['video', 5040],
      ['audio', 5026],
    ]),
    [5000, 5003, 5040, 5026],
  );
});

test('32-bit wrap goes on upwards, for the track that wraps first and for the one after it', () => {
  const times = run(new StreamClock(), [
    ['video', 0xfffffff0],
    ['audio', 0xffffffff],
    ['video', 0x18],
    ['audio', 0x16],
  ]);
  assert.deepEqual(times, [0xfffffff0, 0xffffffff, 0x100000018, 0x100000016]);
});

test('a late track that begins before the wrap of the other is put where it belongs', () => {
  assert.deepEqual(
    run(new StreamClock(), [
      ['video', 0xfffffff0],
      ['video', 0x10],
      ['audio', 0xfffffffa],
    ]),
    [0xfffffff0, 0x100000010, 0xfffffffa],
  );
  assert.deepEqual(
    run(new StreamClock(), [
      ['video', 5],
      ['audio', 0xfffffff0],
    ]),
    [5, -16],
    'it began before the zero of the other',
  );
});

test('jumps, steps back and equal times are kept, also across the wrap', () => {
  const times = run(new StreamClock(), [
    ['video', 60_000],
    ['audio', 60_000],
    ['video', 3_660_000],
    ['audio', 59_990],
    ['video', 0],
    ['video', 0xfffffff0],
    ['video', 0x10],
  ]);
  assert.deepEqual(times, [60_000, 60_000, 3_660_000, 59_990, 0, -16, 16]);
});

test('whatever comes, a time differs from its timestamp by whole wraps, and from the one before by half of one at most', () => {
  const step = fc.tuple(fc.constantFrom('audio', 'video'), fc.integer({ min: 0, max: 0xffffffff }));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const clock = new StreamClock();
      const last: { audio?: number; video?: number } = {};
      for (const [kind, timestamp] of steps) {
        const beside = clock.besideMs(kind, timestamp);
        const time = clock.dtsMs(kind, timestamp);
        assert.equal(beside, time, 'a further track beside it has the same time');
        assert.ok((time - timestamp) % 2 ** 32 === 0);
        assert.ok(Math.abs(time - (last[kind] ?? time)) <= 2 ** 31);
        last[kind] = time;
      }
    }),
  );
});
