import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MediaGauge } from './media-gauge.ts';

test('a GOP is measured from key frame to key frame', () => {
  const gauge = new MediaGauge();
  for (let frame = 0; frame < 101; frame++) gauge.frame('video', frame % 50 === 0, frame * 40);
  assert.deepEqual([gauge.videoFrames, gauge.gopFrames, gauge.gopMs], [101, 50, 2_000]);
  gauge.frame('video', true, 4_040);
  assert.deepEqual([gauge.gopFrames, gauge.gopMs], [1, 40]);
});

test('the skew tells by how much audio is ahead of video as they come', () => {
  const gauge = new MediaGauge();
  gauge.frame('video', true, 0);
  assert.equal(gauge.avSkewMs, undefined);
  for (let frame = 0; frame < 500; frame++) {
    gauge.frame('audio', true, frame * 40 - 300);
    gauge.frame('video', false, frame * 40);
  }
  assert.ok(Math.abs((gauge.avSkewMs ?? 0) + 300) <= 20, `${gauge.avSkewMs}`);
  gauge.restart();
  assert.equal(gauge.avSkewMs, undefined);
  assert.deepEqual([gauge.gopFrames, gauge.videoFrames, gauge.audioFrames], [0, 501, 500]);
});
