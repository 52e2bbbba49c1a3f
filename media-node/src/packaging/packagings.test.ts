import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EPOCH_MS, KEY, TestNode } from './testing-node.ts';
import { streamOf } from './testing.ts';

test('a stream is packaged in MPEG-TS as the guide has it: names, numbers, times, window', async (t) => {
  const node = new TestNode();
  t.after(() => node.close());
  await node.publish();
  assert.equal(node.packaged.snapshot, undefined);
  node.feed(streamOf({ startMs: 1_000, seconds: 21 }));
  const { segments, targetDurationS, isIndependent, discontinuitySequence, tracks } = node.snapshot;
  assert.deepEqual([targetDurationS, isIndependent, discontinuitySequence], [2, true, 0]);
  assert.deepEqual(
    segments.map(({ seq }) => seq),
    [5, 6, 7, 8, 9],
  );
  for (const { seq, media, programDateTimeMs, isDiscontinuity, isGap, run } of segments) {
    assert.equal(media.ts?.file, `live/stream01-${seq}.ts`);
    assert.deepEqual([media.ts?.startMs, media.ts?.durationMs], [1_000 + seq * 2_000, 2_000]);
    assert.equal(programDateTimeMs, EPOCH_MS + seq * 2_000);
    assert.deepEqual([isDiscontinuity, isGap], [false, false]);
    assert.deepEqual(run, { seq: 0, programDateTimeMs: EPOCH_MS, startMs: 1_000 });
    const bytes = await node.read(media.ts.file);
    assert.equal(bytes.length, media.ts.bytes);
    assert.equal(bytes.length % 188, 0);
  }
  const [video, audio] = tracks;
  assert.deepEqual([video?.codecs, video?.frameRate, video?.width], ['avc1.4d400d', 30, 322]);
  assert.deepEqual([audio?.codecs, audio?.sampleRate, audio?.channels], ['mp4a.40.2', 48_000, 2]);
  const most = Math.max(...segments.map(({ media }) => ((media.ts?.bytes ?? 0) * 8_000) / (media.ts?.durationMs ?? 1)));
  assert.ok(
    (video?.peakBitrate ?? 0) + (audio?.peakBitrate ?? 0) >= most,
    'the bandwidth that is told is not exceeded',
  );
  assert.deepEqual(node.packagings.stats(), {
    ...node.packagings.stats(),
    packagings: 1,
    segments: 10,
    listedSegments: 5,
  });
  assert.equal(node.packagings.find({ ...KEY, stream: 'other' }), undefined);
});
