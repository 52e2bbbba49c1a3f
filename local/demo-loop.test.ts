import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { test } from 'node:test';
import { FLV_TAG_AUDIO, FLV_TAG_VIDEO } from '../media-node/src/formats/flv-file.ts';
import { DEMO_FILE, readLoop } from './demo-loop.ts';

test('the test picture is small', () => {
  assert.ok(statSync(DEMO_FILE).size <= 64 * 1024);
});

test('the loop begins with a key frame and both tracks fill its time exactly', () => {
  const { headers, frames, lengthMs } = readLoop();
  assert.deepEqual(
    headers.map(({ type }) => type).sort((a, b) => a - b),
    [FLV_TAG_AUDIO, FLV_TAG_VIDEO, 18],
    'metadata and a decoder configuration for each track',
  );
  const video = frames.filter(({ type }) => type === FLV_TAG_VIDEO);
  const audio = frames.filter(({ type }) => type === FLV_TAG_AUDIO);
  assert.equal((video[0]?.payload[0] ?? 0) >> 4, 1, 'key frame');
  assert.equal(video[0]?.atMs, 0);
  assert.equal(lengthMs, 4_800);
  assert.equal(video.length, 120);
  assert.equal(audio.length, 225);
  assert.equal(frames.length, video.length + audio.length);
});

test('times rise within each track, across the seam too', () => {
  const { frames, lengthMs } = readLoop();
  for (const type of [FLV_TAG_VIDEO, FLV_TAG_AUDIO]) {
    const once = frames.filter((frame) => frame.type === type).map(({ atMs }) => atMs);
    const twice = [...once, ...once.map((atMs) => atMs + lengthMs)];
    for (const [index, atMs] of twice.entries()) {
      const before = twice[index - 1];
      if (before === undefined) continue;
      assert.ok(atMs > before && atMs - before <= 41, `from ${before} to ${atMs}`);
    }
  }
});
