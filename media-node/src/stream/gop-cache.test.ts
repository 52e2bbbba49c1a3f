import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GopCache } from './gop-cache.ts';
import { audio, video } from './testing.ts';

const LIMITS = { frames: 5, bytes: 1_000, ms: 10_000 };

test('it holds everything since the last key frame', () => {
  const gop = new GopCache();
  assert.equal(gop.add(video(0), true), 'empty');
  assert.equal(gop.add(video(40, true), true), 'begun');
  assert.equal(gop.add(audio(50), true), 'extended');
  assert.equal(gop.add(video(80), true), 'extended');
  assert.equal(gop.frames.length, 3);
  assert.equal(gop.add(video(120, true), true), 'begun');
  assert.equal(gop.frames.length, 1);
});

test('without video it starts again every second', () => {
  const gop = new GopCache();
  const changes = [0, 500, 999, 1_000, 1_500].map((ms) => gop.add(audio(ms), false));
  assert.deepEqual(changes, ['begun', 'extended', 'extended', 'begun', 'extended']);
});

test('past a bound it holds nothing until the next key frame', () => {
  const tooMany = new GopCache(LIMITS);
  tooMany.add(video(0, true), true);
  const changes = [1, 2, 3, 4, 5, 6].map((ms) => tooMany.add(video(ms), true));
  assert.deepEqual(changes, ['extended', 'extended', 'extended', 'extended', 'empty', 'empty']);
  assert.equal(tooMany.bytes, 0);
  assert.equal(tooMany.add(video(7, true), true), 'begun');

  const tooLong = new GopCache(LIMITS);
  tooLong.add(video(0, true), true);
  assert.equal(tooLong.add(video(10_001), true), 'empty');

  const tooLarge = new GopCache(LIMITS);
  tooLarge.add({ ...video(0, true), data: Buffer.alloc(999) }, true);
  assert.equal(tooLarge.add(video(1), true), 'extended');
  assert.equal(tooLarge.add(video(2), true), 'empty');
});
