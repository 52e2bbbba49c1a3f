import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MOST_NOTICES } from '#contract/admin-api.ts';
import { StreamNotices } from './stream-notices.ts';
import { KEY } from './testing-node.ts';

const DETAIL = { keyFrameDistanceMs: 10_000, targetDurationMs: 2_000, fragmentMs: 2_000 };

test('a stream has one notice a code, with the newest figures', () => {
  let nowMs = 1_000;
  const notices = new StreamNotices(() => nowMs);
  notices.tell(KEY, 'KeyFramesTooFar', DETAIL);
  nowMs = 2_000;
  notices.tell(KEY, 'KeyFramesTooFar', { ...DETAIL, keyFrameDistanceMs: 12_000 });
  assert.deepEqual(notices.list(), [
    { ...KEY, code: 'KeyFramesTooFar', detail: { ...DETAIL, keyFrameDistanceMs: 12_000 }, atMs: 2_000 },
  ]);
});

test('the newest streams are listed, so many at most, and each for a while', () => {
  let nowMs = 0;
  const notices = new StreamNotices(() => nowMs);
  const tell = (stream: string) => notices.tell({ ...KEY, stream }, 'KeyFramesTooFar', DETAIL);
  const listed = () => notices.list().map(({ stream }) => stream);
  for (let each = 0; each < MOST_NOTICES; each += 1) tell(`s${each}`);
  tell('s0');
  nowMs = 300_000;
  tell('another');
  assert.equal(listed().length, MOST_NOTICES);
  assert.deepEqual(listed().slice(-2), ['s0', 'another']);
  assert.ok(!listed().includes('s1'), 'the oldest made room');
  nowMs = 600_001;
  assert.deepEqual(listed(), ['another']);
});
