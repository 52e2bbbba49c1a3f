import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConnectionLimit } from './connection-limit.ts';

test('places are given up to the bound, come back, and a lower bound ends nobody', () => {
  const limit = new ConnectionLimit(2);
  assert.deepEqual([limit.enter(), limit.enter(), limit.enter()], [true, true, false]);
  limit.leave();
  assert.equal(limit.enter(), true);
  limit.max = 1;
  assert.equal(limit.used, 2);
  limit.leave();
  assert.equal(limit.enter(), false);
  assert.equal(limit.refused, 2);
});
