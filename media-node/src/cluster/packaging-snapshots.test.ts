import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PackagedSegment, PackagingSnapshot } from '#contract/packaging.ts';
import { firstSeq, lastSeq, listedFiles, trimmedTo, withGaps } from './packaging-snapshots.ts';

function segmentOf(seq: number, over: Partial<PackagedSegment> = {}): PackagedSegment {
  const part = (index: number) => ({ file: `v${seq}.p${index}`, bytes: 5, durationMs: 500, isIndependent: true });
  const video = {
    file: `v${seq}`,
    bytes: 10,
    startMs: 0,
    durationMs: 1_000,
    parts: [part(0), part(1)],
    isIndependent: true,
    init: { file: 'init', bytes: 3 },
  };
  return { seq, programDateTimeMs: 0, isDiscontinuity: false, isGap: false, media: { video }, ...over };
}

function snapshotOf(segments: PackagedSegment[], open?: PackagedSegment): PackagingSnapshot {
  return {
    version: 1,
    nodeId: 'n',
    revision: 1,
    isEnded: false,
    targetDurationS: 1,
    isIndependent: true,
    discontinuitySequence: 3,
    tracks: [],
    segments,
    ...(open && { open }),
  };
}

test('files are listed the newest segment first; what is open has its parts alone, gaps have nothing', () => {
  const snapshot = snapshotOf([segmentOf(1, { isGap: true }), segmentOf(2)], segmentOf(3));
  const files = listedFiles(snapshot);
  assert.deepEqual([...files.keys()], ['init', 'v3.p0', 'v3.p1', 'v2.p0', 'v2.p1', 'v2']);
  assert.equal(files.get('v3.p1')?.within, undefined);
  assert.deepEqual(files.get('v2.p1')?.within, { file: 'v2', offset: 5 });
  assert.deepEqual(files.get('v2')?.parts, ['v2.p0', 'v2.p1']);
  assert.deepEqual([firstSeq(snapshot), lastSeq(snapshot)], [1, 3]);
  assert.deepEqual([firstSeq(snapshotOf([])), lastSeq(snapshotOf([]))], [-1, -1]);
});

test('a segment that is not the sum of its parts is fetched whole, and so are they', () => {
  const segment = segmentOf(1);
  const { video } = segment.media;
  assert.ok(video);
  const files = listedFiles(snapshotOf([{ ...segment, media: { video: { ...video, bytes: 11 } } }]));
  assert.deepEqual([files.get('v1')?.parts, files.get('v1.p0')?.within], [undefined, undefined]);
});

test('a beginning that was shown does not go back, and the seams that left are counted', () => {
  const snapshot = snapshotOf([segmentOf(1, { isDiscontinuity: true }), segmentOf(2), segmentOf(3)]);
  const trimmed = trimmedTo(snapshot, 3);
  assert.deepEqual([firstSeq(trimmed), trimmed.discontinuitySequence], [3, 4]);
  assert.equal(trimmedTo(snapshot, 1), snapshot);
  assert.deepEqual(trimmedTo(snapshot, 9).segments, []);
});

test('a segment that nobody has is a gap', () => {
  const snapshot = snapshotOf([segmentOf(1), segmentOf(2)]);
  assert.deepEqual(
    withGaps(snapshot, new Set([2])).segments.map(({ isGap }) => isGap),
    [false, true],
  );
  assert.equal(withGaps(snapshot, new Set()), snapshot);
});
