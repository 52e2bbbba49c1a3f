import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { anyShape, snapshotOf } from '#contract/testing/packaging.ts';
import { HttpError } from '../../http/http-error.ts';
import type { Reach } from './reload.ts';
import { reachOf, readDirectives } from './reload.ts';

function directives(query: string): unknown {
  try {
    return readDirectives(new URLSearchParams(query));
  } catch (error) {
    assert.ok(error instanceof HttpError);
    return error.status;
  }
}

test('directives are read; unknown ones are ignored, broken ones refused', () => {
  const none = { msn: undefined, part: undefined, isDelta: false };
  const table: [query: string, read: unknown][] = [
    ['', none],
    ['_HLS_msn=5', { ...none, msn: 5 }],
    ['_HLS_msn=5&_HLS_part=0', { ...none, msn: 5, part: 0 }],
    ['_HLS_skip=YES', { ...none, isDelta: true }],
    ['_HLS_skip=v2&_HLS_push=1&_HLS_report=x', { ...none, isDelta: true }],
    ['_HLS_skip=NO', none],
    ['_HLS_part=1', 400],
    ['_HLS_msn=', 400],
    ['_HLS_msn=-1', 400],
    ['_HLS_msn=1.5', 400],
    ['_HLS_msn=1e3', 400],
    ['_HLS_msn=0x10', 400],
    ['_HLS_msn=+5', 400],
    ['_HLS_msn=NaN', 400],
    ['_HLS_msn=99999999999999999999', 400],
    ['_HLS_msn=5&_HLS_part=x', 400],
  ];
  for (const [query, read] of table) assert.deepEqual(directives(query), read, query);
});

test('a request is answered, waits or asks too much, by what the playlist has', () => {
  const shape = { renditions: ['video'], durationsMs: [2_000, 2_000, 2_000], firstSeq: 10, partTargetMs: 500 } as const;
  const open = snapshotOf({ ...shape, openParts: 2 });
  const between = snapshotOf(shape);
  const [first, complete] = [open, between];
  const table: [snapshot: typeof open, msn: number, part: number | undefined, reach: Reach][] = [
    // Segments 10 to 12 with parts 0 to 3 each, and 13 with parts 0 and 1.
    [first, 0, undefined, 'there'],
    [first, 12, undefined, 'there'],
    [first, 12, 9, 'there'],
    [first, 13, 1, 'there'],
    [first, 13, 2, 'awaited'],
    [first, 13, undefined, 'awaited'],
    [first, 13, 7, 'awaited'],
    [first, 13, 8, 'too-far'],
    [first, 14, 0, 'awaited'],
    [first, 14, 6, 'too-far'],
    [first, 15, undefined, 'awaited'],
    [first, 16, undefined, 'too-far'],
    // Segments 10 to 12 alone.
    [complete, 12, 3, 'there'],
    [complete, 12, 4, 'awaited'],
    [complete, 13, 0, 'awaited'],
    [complete, 14, undefined, 'awaited'],
    [complete, 15, undefined, 'too-far'],
  ];
  for (const [snapshot, msn, part, expected] of table) {
    assert.equal(reachOf(snapshot, 'video', { msn, part, isDelta: false }), expected, `${msn} ${part}`);
  }
  assert.equal(reachOf({ ...open, isEnded: true }, 'video', { msn: 99, part: undefined, isDelta: false }), 'there');
  const plain = snapshotOf({ ...shape, partTargetMs: undefined });
  assert.equal(
    reachOf(plain, 'video', { msn: 99, part: 1, isDelta: false }),
    'there',
    'nobody waits for whole segments',
  );
});

test('parts of a second and more: three ahead at most', () => {
  const shape = { renditions: ['video'], durationsMs: [4_000], partTargetMs: 2_000, openParts: 1 } as const;
  const reach = (part: number): Reach => reachOf(snapshotOf(shape), 'video', { msn: 1, part, isDelta: false });
  assert.deepEqual([reach(0), reach(1), reach(3), reach(4)], ['there', 'awaited', 'awaited', 'too-far']);
});

test('what a playlist has is there, and what comes next is awaited, in any playlist', () => {
  fc.assert(
    fc.property(anyShape, (shape) => {
      const snapshot = snapshotOf(shape);
      fc.pre(snapshot.partTargetMs !== undefined && !snapshot.isEnded && snapshot.segments.length > 0);
      for (const rendition of shape.renditions) {
        const last = snapshot.segments.at(-1)!.seq;
        const reach = (msn: number, part?: number): Reach =>
          reachOf(snapshot, rendition, { msn, part, isDelta: false });
        for (const { seq } of snapshot.segments) assert.equal(reach(seq), 'there');
        const parts = snapshot.open?.media[rendition]?.parts.length ?? 0;
        for (let part = 0; part < parts; part++) assert.equal(reach(last + 1, part), 'there');
        assert.equal(reach(last + 1, parts), 'awaited');
        assert.equal(reach(last + 1), 'awaited');
        assert.equal(reach(last + 4), 'too-far');
      }
    }),
  );
});
