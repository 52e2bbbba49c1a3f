import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import type { RelayGrant } from './relay-credential.ts';
import { RelayVerifier, signRelay } from './relay-credential.ts';

const KEY = Buffer.from('key');
const GRANT: RelayGrant = { action: 'play', key: { vhost: 'v', app: 'live/eu', stream: 's' }, path: ['edge-1'] };
const NOW = 1_700_000_000_000;

function setUp(): { verifier: RelayVerifier; clock: { ms: number } } {
  const clock = { ms: NOW };
  return { verifier: new RelayVerifier(KEY, 'origin-1', () => clock.ms), clock };
}

test('a credential gives its grant once', () => {
  const { verifier } = setUp();
  const credential = signRelay(KEY, GRANT, 'origin-1', NOW);
  assert.deepEqual(verifier.verify(credential), GRANT);
  assert.equal(verifier.verify(credential), 'used');
});

test('another key, another node and another time give nothing', () => {
  const { verifier, clock } = setUp();
  assert.equal(verifier.verify(signRelay(Buffer.from('other'), GRANT, 'origin-1', NOW)), 'wrong-key');
  assert.equal(verifier.verify(signRelay(KEY, GRANT, 'origin-2', NOW)), 'other-node');
  assert.equal(verifier.verify(signRelay(KEY, GRANT, 'origin-1', NOW - 30_001)), 'stale');
  assert.equal(verifier.verify(signRelay(KEY, GRANT, 'origin-1', NOW + 30_001)), 'stale');
  assert.deepEqual(verifier.verify(signRelay(KEY, GRANT, 'origin-1', NOW + 30_000)), GRANT);
  const old = signRelay(KEY, GRANT, 'origin-1', NOW);
  assert.deepEqual(verifier.verify(old), GRANT);
  clock.ms += 90_000;
  assert.equal(verifier.verify(old), 'stale', 'forgotten as used, but too old');
});

test('no field can be changed', () => {
  const { verifier } = setUp();
  const credential = signRelay(KEY, GRANT, 'origin-1', NOW);
  const changes: object[] = [
    { action: 'publish' },
    { vhost: 'w' },
    { app: 'live' },
    { stream: 't' },
    { path: ['edge-1', 'edge-2'] },
    { ts: NOW + 1 },
    { nonce: '0'.repeat(32) },
    { mac: '0'.repeat(64) },
  ];
  for (const change of changes) {
    assert.equal(verifier.verify({ ...credential, ...change }), 'wrong-key', JSON.stringify(change));
  }
  assert.deepEqual(verifier.verify(credential), GRANT);
});

test('whatever stands in its place is refused, never thrown at', () => {
  const { verifier } = setUp();
  const credential = signRelay(KEY, GRANT, 'origin-1', NOW);
  for (const field of Object.keys(credential)) {
    fc.assert(
      fc.property(fc.anything(), (value) => {
        const changed = { ...credential, [field]: value };
        if (JSON.stringify(changed) === JSON.stringify(credential)) return;
        assert.equal(typeof verifier.verify(changed), 'string');
      }),
      { numRuns: 50 },
    );
  }
  fc.assert(fc.property(fc.anything(), (value) => assert.equal(verifier.verify(value), 'malformed')));
});
