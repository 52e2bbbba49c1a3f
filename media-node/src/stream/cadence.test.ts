import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Cadence } from './cadence.ts';

interface Source {
  readonly intervalMs: number;
  readonly frames?: number;
  /** How long after its decoding time frame `number` comes. */
  readonly delayMs?: (number: number) => number;
}

/** Frames as they come, followed as Pace does; decoding times are whole milliseconds. Answers how long each waited for its look. */
function follow(source: Source, { cadence = new Cadence(), mostMs = Infinity } = {}) {
  const { intervalMs, frames = 500, delayMs = () => 0 } = source;
  const waited: number[] = [];
  let looks = 0;
  let found = 0;
  let lookMs: number | undefined;
  for (let number = 0; number < frames; number++) {
    const comesMs = 10_000 + number * intervalMs + delayMs(number);
    const dtsMs = Math.round(number * intervalMs);
    let atMs = comesMs;
    if (lookMs !== undefined) {
      looks++;
      if (lookMs < comesMs) {
        cadence.frame(dtsMs, comesMs, false);
      } else {
        found++;
        atMs = lookMs;
        cadence.frame(dtsMs, atMs, true);
      }
    } else {
      cadence.frame(dtsMs, comesMs, false);
    }
    waited.push(atMs - comesMs);
    lookMs = cadence.nextMs(atMs, mostMs);
  }
  return { waited, looks, found };
}

const p95 = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length * 0.95)]!;

/** Between 0 and 1, the same in each run. */
const noise = (number: number): number => ((number * 2_654_435_761) % 4_294_967_296) / 4_294_967_296;

describe('the cadence of video frames', () => {
  for (const fps of [15, 24_000 / 1_001, 25, 30_000 / 1_001, 50, 60]) {
    test(`at ${fps.toFixed(2)} frames a second nearly every look finds its frame, which has hardly waited`, () => {
      const { waited, looks, found } = follow({ intervalMs: 1_000 / fps });
      assert.ok(looks > 440, `${looks} looks`);
      assert.ok(found / looks > 0.9, `${found} of ${looks} found theirs`);
      assert.ok(p95(waited) < 2, `p95 ${p95(waited)} ms`);
    });
  }

  test('a little jitter is borne', () => {
    const { waited, looks, found } = follow({ intervalMs: 40, delayMs: (number) => 2 * noise(number) });
    assert.ok(found / looks > 0.9, `${found} of ${looks} found theirs`);
    assert.ok(p95(waited) < 4, `p95 ${p95(waited)} ms`);
  });

  test('frames that come unevenly are listened for, most of the time', () => {
    const { waited, looks } = follow({ intervalMs: 40, frames: 1_000, delayMs: (number) => 30 * noise(number) });
    assert.equal(looks, 0);
    assert.equal(p95(waited), 0);
  });

  test('a path that gets shorter is noticed within a second, one that gets longer delays nothing', () => {
    const change = 250;
    for (const delayMs of [
      (number: number) => (number < change ? 20 : 0),
      (number: number) => (number < change ? 0 : 20),
    ]) {
      const { waited } = follow({ intervalMs: 40, delayMs });
      assert.ok(Math.max(...waited) < 22);
      const later = waited.slice(change + 25);
      assert.ok(p95(later) < 2, `p95 ${p95(later)} ms`);
    }
  });

  test('a time that jumps, and frames without an even interval, are not foreseen', () => {
    const cadence = new Cadence();
    follow({ intervalMs: 40, frames: 50 }, { cadence });
    const nowMs = 10_000 + 49 * 40;
    assert.notEqual(cadence.nextMs(nowMs, Infinity), undefined);
    cadence.frame(90_000, nowMs + 40, false);
    assert.equal(cadence.nextMs(nowMs + 40, Infinity), undefined);
    let dtsMs = 90_000;
    for (let number = 0; number < 50; number++) {
      dtsMs += number % 2 === 0 ? 20 : 60;
      cadence.frame(dtsMs, dtsMs, false);
      assert.equal(cadence.nextMs(dtsMs, Infinity), undefined);
    }
  });

  test('nothing is to wait for longer than is borne, nor for frames that are too close or too rare', () => {
    assert.equal(follow({ intervalMs: 40 }, { mostMs: 30 }).looks, 0);
    assert.equal(follow({ intervalMs: 5 }).looks, 0);
    assert.equal(follow({ intervalMs: 500 }).looks, 0);
  });

  test('once the frame is late there is nothing more to foresee', () => {
    const cadence = new Cadence();
    follow({ intervalMs: 40, frames: 50 }, { cadence });
    assert.equal(cadence.nextMs(10_000 + 49 * 40 + 45, Infinity), undefined);
  });
});
