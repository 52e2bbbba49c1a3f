import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { MediaPositions } from './media-positions.ts';

test('a position has the time of the last mark not after it', () => {
  const step = fc.record({ bytes: fc.integer({ min: 1, max: 1_000 }), ms: fc.integer({ min: 0, max: 200 }) });
  fc.assert(
    fc.property(
      fc.array(step, { minLength: 1, maxLength: 100 }),
      fc.integer({ min: 0, max: 100_000 }),
      (steps, asked) => {
        const positions = new MediaPositions();
        const marks: { position: number; ms: number }[] = [];
        let [position, ms] = [0, 0];
        for (const { bytes, ms: stepMs } of steps) {
          positions.mark(position, ms, 50);
          if (marks.length === 0 || ms - marks.at(-1)!.ms >= 50) marks.push({ position, ms });
          position += bytes;
          ms += stepMs;
        }
        const expected = marks.findLast((mark) => mark.position <= asked);
        assert.equal(positions.timeAt(asked), expected?.ms ?? 0);
      },
    ),
  );
});

test('what is older than the ring counts as its oldest mark', () => {
  const positions = new MediaPositions();
  for (let index = 0; index < 3_000; index++) positions.mark(index * 10, index * 100, 50);
  assert.equal(positions.timeAt(29_990), 299_900);
  assert.equal(positions.timeAt(0), (3_000 - 1_024) * 100);
});
