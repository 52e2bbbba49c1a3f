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
    [5, 0],
    'never below 0',
  );
});

test('equal times and small steps back become strictly increasing', () => {
  assert.deepEqual(
    run(new StreamClock(), [
      ['audio', 10],
      ['audio', 10],
      ['audio', 8],
      ['audio', 30],
    ]),
    [10, 11, 12, 30],
  );
});

test('an encoder that starts over goes on after the last frame, both tracks by the same shift', () => {
  const times = run(new StreamClock(), [
    ['video', 60_000],
    ['audio', 60_020],
    ['audio', 0],
    ['video', 5],
    ['audio', 23],
    ['video', 45],
  ]);
  assert.deepEqual(times, [60_000, 60_020, 60_030, 60_035, 60_053, 60_075]);
});

test('a small step back after the other track jumped takes the same shift', () => {
  const times = run(new StreamClock(), [
    ['video', 1000],
    ['audio', 900],
    ['video', 400],
    ['audio', 420],
  ]);
  assert.deepEqual(times, [1000, 900, 1010, 1030]);
});

test('a new time base far ahead is no gap, a track that paused keeps its time', () => {
  const rebased = run(new StreamClock(), [
    ['video', 0],
    ['audio', 0],
    ['video', 1_700_000_000],
    ['audio', 1_700_000_003],
  ]);
  assert.deepEqual(rebased, [0, 0, 10, 13]);
  const paused = run(new StreamClock(), [
    ['video', 0],
    ['audio', 0],
    ['audio', 9_000],
    ['audio', 18_000],
    ['video', 18_010],
  ]);
  assert.deepEqual(paused, [0, 0, 9_000, 18_000, 18_010]);
});

test('a publisher that takes a stream over begins at the given time and not before', () => {
  assert.deepEqual(
    run(new StreamClock(7_000), [
      ['video', 100],
      ['audio', 90],
      ['audio', 113],
      ['video', 140],
    ]),
    [7_000, 7_000, 7_013, 7_040],
  );
});

test('one that only unrolls keeps jumps, steps back and equal times, and goes on behind the wrap', () => {
  const times = run(StreamClock.unrolling(), [
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

test('whatever comes, times are integers of 0 and more, strictly increasing within a kind', () => {
  const step = fc.tuple(fc.constantFrom('audio', 'video'), fc.integer({ min: 0, max: 0xffffffff }));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const clock = new StreamClock();
      const last = { audio: -1, video: -1 };
      for (const [kind, timestamp] of steps) {
        const time = clock.dtsMs(kind, timestamp);
        assert.ok(Number.isSafeInteger(time) && time > last[kind]);
        last[kind] = time;
      }
    }),
  );
});
