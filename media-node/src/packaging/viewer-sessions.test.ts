import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LocalViewerSessions } from './viewer-sessions.ts';

test('an ended session is refused until its time is over, and told of once', () => {
  let nowMs = 0;
  const sessions = new LocalViewerSessions(() => nowMs);
  const told: string[] = [];
  const stop = sessions.onEnded((id) => told.push(id));
  assert.equal(sessions.isEnded('a'), false);
  sessions.end('a', 1_000);
  nowMs = 500;
  sessions.end('a', 1_000);
  assert.equal(sessions.isEnded('a'), true);
  assert.deepEqual(told, ['a']);
  nowMs = 1_499;
  assert.equal(sessions.isEnded('a'), true);
  nowMs = 1_500;
  assert.equal(sessions.isEnded('a'), false);
  stop();
  sessions.end('b', 1_000);
  assert.deepEqual([told, sessions.isEnded('b')], [['a'], true]);
});

test('the oldest ended session is forgotten when there are too many', () => {
  const sessions = new LocalViewerSessions(() => 0);
  for (let id = 0; id <= 100_000; id++) sessions.end(String(id), 1_000);
  assert.deepEqual([sessions.isEnded('0'), sessions.isEnded('1'), sessions.isEnded('100000')], [false, true, true]);
});

test('a node alone counts every session', async () => {
  assert.equal(await new LocalViewerSessions().claim(), true);
});
