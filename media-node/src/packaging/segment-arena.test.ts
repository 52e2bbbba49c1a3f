import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SegmentArena } from './segment-arena.ts';

test('a segment is its pieces in their order, whether taken, brought along or given back', () => {
  const pieces = fc.array(
    fc.record({
      bytes: fc.uint8Array({ maxLength: 60_000 }),
      how: fc.constantFrom('taken', 'brought', 'undone', 'both'),
    }),
    { maxLength: 40 },
  );
  fc.assert(
    fc.property(fc.array(pieces, { minLength: 1, maxLength: 3 }), (segments) => {
      const arena = new SegmentArena();
      const made: [Buffer, Buffer][] = [];
      for (const segment of segments) {
        const wanted: Uint8Array[] = [];
        for (const { bytes, how } of segment) {
          if (how !== 'brought') arena.take(bytes.length).set(bytes);
          if (how === 'undone') {
            arena.undo();
            continue;
          }
          wanted.push(bytes);
          if (how === 'taken') {
            arena.undo();
            const piece = arena.take(bytes.length);
            piece.set(bytes);
            arena.keep(piece);
          } else {
            arena.keep(Buffer.from(bytes));
          }
        }
        made.push([arena.end(), Buffer.concat(wanted)]);
      }
      for (const [segment, wanted] of made) assert.ok(segment.equals(wanted));
    }),
    { numRuns: 50 },
  );
});

test('segments of the same length take their own memory and little more', () => {
  const arena = new SegmentArena();
  for (let segment = 0; segment < 4; segment++) {
    for (let piece = 0; piece < 100; piece++) arena.keep(arena.take(7_000).fill(piece));
    const bytes = arena.end();
    assert.equal(bytes.length, 700_000);
    assert.ok(bytes.buffer.byteLength <= 700_000 * 1.2);
  }
});
