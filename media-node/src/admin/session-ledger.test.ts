import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryGate } from '../protocols/testing/memory-gate.ts';
import type { SessionInfo } from '../stream/gate.ts';
import { SessionLedger } from './session-ledger.ts';

const key = { vhost: '__defaultVhost__', app: 'live', stream: 's' };
const session = (id: string): SessionInfo => ({
  id,
  protocol: 'rtmp',
  ip: '192.0.2.1',
  tcUrl: 'rtmp://a/live',
  pageUrl: '',
  param: '',
});

test('what a session said is kept as long as it is there', async () => {
  const ledger = new SessionLedger(new MemoryGate());
  await ledger.publish(key, session('encoder'), () => {});
  await ledger.play(key, session('viewer'));
  assert.equal(ledger.get('encoder')?.tcUrl, 'rtmp://a/live');
  assert.equal(ledger.get('nobody'), undefined);
  ledger.sweep(new Set(['encoder']));
  assert.equal(ledger.size, 2, 'one that asks just now has not begun yet');
  ledger.sweep(new Set(['encoder']));
  assert.deepEqual([ledger.size, ledger.get('viewer')], [1, undefined]);
  ledger.sweep(new Set());
  ledger.sweep(new Set(['encoder']));
  ledger.sweep(new Set());
  assert.equal(ledger.size, 1);
});
