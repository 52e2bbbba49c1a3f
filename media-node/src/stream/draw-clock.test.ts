import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DrawClock } from './draw-clock.ts';
import { ManualFlush } from './testing.ts';

interface Source {
  readonly draws: number[];
  draw(): void;
}

function setUp() {
  const time = new ManualFlush();
  const clock = new DrawClock(time);
  const source = (onDraw: () => void = () => undefined): Source => {
    const draws: number[] = [];
    return {
      draws,
      draw() {
        draws.push(time.nowMs);
        onDraw();
      },
    };
  };
  /** Lets time go by, flush after flush. */
  const pass = (untilMs: number): void => {
    for (let ms = time.nowMs; ms <= untilMs; ms++) time.run(ms);
  };
  return { time, clock, source, pass };
}

test('sources of one period are drawn from at the same instants, whenever they came', () => {
  const { clock, source, pass } = setUp();
  const [first, second] = [source(), source()];
  clock.add(first, 100);
  pass(30);
  clock.add(second, 100);
  pass(350);
  assert.deepEqual(first.draws, [100, 200, 300]);
  assert.deepEqual(second.draws, first.draws);
});

test('many sources are spread over their period', () => {
  const { clock, source, pass } = setUp();
  const sources = Array.from({ length: 120 }, () => source());
  for (const each of sources) clock.add(each, 100);
  pass(1_000);
  const instants = new Map<number, number>();
  for (const { draws } of sources) {
    assert.ok(draws.length >= 9, `${draws.length}`);
    const last = draws.at(-1)! % 100;
    instants.set(last, (instants.get(last) ?? 0) + 1);
  }
  assert.equal(instants.size, 3);
  for (const count of instants.values()) assert.equal(count, 40);
});

test('another period replaces the one before, and a shorter one is not kept waiting', () => {
  const { clock, source, pass } = setUp();
  const [slow, fast] = [source(), source()];
  clock.add(slow, 200);
  clock.add(fast, 20);
  pass(100);
  assert.deepEqual(fast.draws, [20, 40, 60, 80, 100]);
  clock.add(fast, 200);
  pass(400);
  assert.deepEqual(fast.draws.slice(5), [200, 400]);
  assert.deepEqual(slow.draws, [200, 400]);
});

test('nothing is scheduled for nobody, also where a draw takes sources away', () => {
  const { time, clock, source, pass } = setUp();
  const third = source();
  const second = source();
  const first = source(() => {
    clock.remove(first);
    clock.remove(second);
  });
  for (const each of [first, second, third]) clock.add(each, 50);
  pass(120);
  assert.deepEqual([first.draws, second.draws, third.draws], [[50], [], [50, 100]]);
  clock.remove(third);
  clock.remove(third);
  assert.equal(time.isIdle, true);
});
