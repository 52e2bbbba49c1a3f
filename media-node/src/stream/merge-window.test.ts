import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { AutoWindow, msToFlush } from './merge-window.ts';

/** An auto window whose load and time are the test's; `pass` asks it each 100 ms, as streams do. */
function setUp(load: (windowMs: number) => number): { readonly pass: (ms: number) => number[] } {
  const clock = { ms: 0 };
  let windowMs = 0;
  const auto = new AutoWindow(
    () => load(windowMs),
    () => clock.ms,
  );
  const pass = (ms: number): number[] => {
    const windows = [windowMs];
    for (const endMs = clock.ms + ms; clock.ms < endMs; clock.ms += 100) {
      windowMs = auto.windowMs();
      if (windows.at(-1) !== windowMs) windows.push(windowMs);
    }
    return windows;
  };
  return { pass };
}

/** The load of so many viewers on one core, as measured: writing less often costs less. */
function loadOf(viewers: number): (windowMs: number) => number {
  return (windowMs) => {
    const usPerViewerSecond = { 0: 360, 100: 190, 200: 130, 350: 95 }[windowMs];
    return Math.min(1, (viewers * (usPerViewerSecond ?? NaN)) / 1e6);
  };
}

describe('the auto window', () => {
  test('is realtime while there is CPU to spare', () => {
    assert.deepEqual(setUp(() => 0.3).pass(60_000), [0]);
    assert.deepEqual(setUp(() => 0.5).pass(60_000), [0]);
  });

  test('grows in steps as the load rises, and stays at its longest', () => {
    assert.deepEqual(setUp(() => 0.6).pass(60_000), [0, 100, 200, 350]);
  });

  test('goes to the longest at once where the loop is saturated', () => {
    assert.deepEqual(setUp(() => 0.95).pass(60_000), [0, 350]);
  });

  test('shrinks only where the shorter window would be carried easily, after the load was low for a while', () => {
    let load = 0.95;
    const { pass } = setUp(() => load);
    pass(1_000);
    load = 0.25;
    assert.deepEqual(pass(60_000), [350], 'at 200 ms it would be over 0.2');
    load = 0.05;
    assert.deepEqual(pass(1_500), [350]);
    load = 0.6;
    assert.deepEqual(pass(1_000), [350], 'a peak begins the wait anew');
    load = 0.05;
    assert.deepEqual(pass(1_500), [350]);
    assert.deepEqual(pass(1_500), [350, 0], 'as far as the load allows in one step');
  });

  test('settles whatever the number of viewers', () => {
    for (let viewers = 0; viewers <= 12_000; viewers += 100) {
      const { pass } = setUp(loadOf(viewers));
      const windows = pass(60_000);
      assert.deepEqual(windows, [...new Set(windows)], `none comes back, with ${viewers} viewers`);
      assert.equal(pass(600_000).length, 1, `${viewers} viewers`);
    }
    assert.deepEqual(setUp(loadOf(50)).pass(60_000), [0]);
    assert.deepEqual(setUp(loadOf(1_000)).pass(60_000), [0]);
    assert.equal(setUp(loadOf(3_000)).pass(60_000).at(-1), 350);
  });

  test('where shrinking is always a mistake it is tried ever more seldom', () => {
    const { pass } = setUp((windowMs) => (windowMs === 0 ? 0.95 : 0.05));
    const changesIn = (ms: number): number => pass(ms).length - 1;
    assert.ok(changesIn(60_000) >= 4);
    pass(600_000);
    assert.ok(changesIn(300_000) <= 4);
  });

  test('follows a load that comes and goes', () => {
    let viewers = 3_000;
    const { pass } = setUp((windowMs) => loadOf(viewers)(windowMs));
    assert.equal(pass(10_000).at(-1), 350);
    viewers = 100;
    assert.equal(pass(20_000).at(-1), 0);
    viewers = 3_000;
    assert.equal(pass(10_000).at(-1), 350);
  });
});

test('flushes of one phase fall on the same instants whenever they are asked for, within the window', () => {
  fc.assert(
    fc.property(
      fc.double({ min: 0, max: 1e9, noNaN: true }),
      fc.integer({ min: 10, max: 2_000 }),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (nowMs, windowMs, phase, part) => {
        const delayMs = msToFlush(nowMs, windowMs, phase);
        assert.ok(delayMs >= 1 && delayMs < windowMs + 1);
        const laterMs = nowMs + delayMs * part;
        const again = laterMs + msToFlush(laterMs, windowMs, phase);
        const offMs = Math.abs(again - (nowMs + delayMs));
        // Close to the instant, the later one is a whole window on.
        assert.ok(Math.min(offMs, Math.abs(offMs - windowMs)) < 1e-3, `${offMs}`);
      },
    ),
  );
});
