import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { Timeline } from './timeline.ts';

test('the first source keeps its own times', () => {
  const timeline = new Timeline();
  assert.equal(timeline.map('video', 5_000), 5_000);
  assert.equal(timeline.map('audio', 4_990), 4_990);
  assert.equal(timeline.map('video', 5_040), 5_040);
});

test('times below zero are moved up to it', () => {
  const timeline = new Timeline();
  assert.equal(timeline.map('video', -80), 0);
  assert.equal(timeline.map('video', -40), 40);
});

test('another source goes on one frame after the last, whatever its clock says', () => {
  for (const start of [0, 1_000_000]) {
    const timeline = new Timeline();
    timeline.map('video', 100);
    timeline.map('audio', 110);
    timeline.map('video', 140);
    timeline.seam();
    assert.equal(timeline.map('video', start), 180);
    assert.equal(timeline.map('audio', start + 10), 190);
    assert.equal(timeline.map('video', start + 40), 220);
  }
});

test('audio older than the first key frame after a seam is dropped, not squeezed', () => {
  const timeline = new Timeline();
  timeline.map('video', 100);
  timeline.map('audio', 130);
  timeline.seam();
  timeline.map('video', 500);
  assert.equal(timeline.map('audio', 470), undefined);
  assert.equal(timeline.map('audio', 493), undefined);
  assert.equal(timeline.map('audio', 516), 186);
});

test('a clock that starts over goes on, audio and video at the distance they had', () => {
  const timeline = new Timeline();
  for (let ms = 0; ms < 10_000; ms += 40) {
    timeline.map('video', ms);
    timeline.map('audio', ms + 5);
  }
  assert.equal(timeline.map('video', 0), 10_005);
  assert.equal(timeline.map('audio', 5), 10_010);
  assert.equal(timeline.map('video', 40), 10_045);
  assert.equal(timeline.discontinuities, 1);
});

test('a jump ahead of hours is taken out, late frames of the other track before the jump stay in place', () => {
  const timeline = new Timeline();
  for (let ms = 0; ms <= 1_000; ms += 20) {
    timeline.map('video', ms);
    if (ms < 960) timeline.map('audio', ms);
  }
  assert.equal(timeline.map('video', 9_000_000), 1_020);
  assert.equal(timeline.map('audio', 960), 960, 'still of the time before the jump');
  assert.equal(timeline.map('audio', 9_000_010), 1_030);
  assert.equal(timeline.discontinuities, 1);
});

test('a track that pauses while the other goes on is not taken for a jump', () => {
  const timeline = new Timeline();
  timeline.map('video', 0);
  for (let ms = 0; ms <= 20_000; ms += 20) timeline.map('audio', ms);
  assert.equal(timeline.map('video', 20_010), 20_010);
  assert.equal(timeline.discontinuities, 0);
});

test('jitter backwards is squeezed so that times increase', () => {
  const timeline = new Timeline();
  assert.equal(timeline.map('video', 100), 100);
  assert.equal(timeline.map('video', 100), 101);
  assert.equal(timeline.map('video', 60), 102);
  assert.equal(timeline.map('video', 140), 140);
});

test('a frame from before the first frame of all at zero is dropped', () => {
  const timeline = new Timeline();
  assert.equal(timeline.map('video', 0), 0);
  assert.equal(timeline.map('audio', -1), undefined);
  assert.equal(timeline.map('audio', 22), 22);
});

test('whatever comes, each track strictly increases and no step is longer than the limit', () => {
  const event = fc.oneof(
    {
      weight: 10,
      arbitrary: fc.record({ kind: fc.constantFrom('video', 'audio'), dtsMs: fc.integer({ min: -1e6, max: 1e7 }) }),
    },
    { weight: 1, arbitrary: fc.constant('seam' as const) },
  );
  fc.assert(
    fc.property(fc.array(event, { maxLength: 60 }), (events) => {
      const timeline = new Timeline();
      const last: Record<string, number> = {};
      let lastOfAll: number | undefined;
      for (const item of events) {
        if (item === 'seam') {
          timeline.seam();
          continue;
        }
        const outMs = timeline.map(item.kind, item.dtsMs);
        if (outMs === undefined) continue;
        assert.ok(outMs >= 0);
        const before = last[item.kind];
        if (before !== undefined) assert.ok(outMs > before, `${outMs} after ${before}`);
        if (lastOfAll !== undefined) assert.ok(outMs - lastOfAll <= 3_000, `${outMs} after ${lastOfAll}`);
        last[item.kind] = outMs;
        lastOfAll = Math.max(lastOfAll ?? outMs, outMs);
      }
    }),
  );
});
