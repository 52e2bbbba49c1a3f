import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CONTEXT_LIFE_MS, ViewerContexts } from './viewer-context.ts';

const KEY = { vhost: 'v', app: 'live', stream: 's' };
const SECRET = Buffer.from('of one cluster');
const START_MS = Date.UTC(2026, 0, 1);

test('every node of the cluster reads a context, for its stream alone', () => {
  const [one, other] = [new ViewerContexts(SECRET), new ViewerContexts(Buffer.from(SECRET))];
  const token = one.issue(KEY);
  const answer = other.read(token, KEY);
  assert.equal(answer.kind, 'valid');
  assert.match(answer.kind === 'valid' ? answer.id : '', /^[0-9a-f]{16}$/);
  assert.match(token, /^[A-Za-z0-9_-]{39}$/);
  for (const key of [
    { ...KEY, stream: 't' },
    { ...KEY, app: 'live2' },
    { ...KEY, vhost: 'w' },
  ]) {
    assert.equal(one.read(token, key).kind, 'forged');
  }
  assert.equal(new ViewerContexts(Buffer.from('of another')).read(token, KEY).kind, 'forged');
  assert.notEqual(one.issue(KEY), token);
});

test('a context with any bit changed is forged, and so is what is none', () => {
  const contexts = new ViewerContexts(SECRET);
  const token = contexts.issue(KEY);
  fc.assert(
    fc.property(fc.nat(28), fc.integer({ min: 1, max: 255 }), (place, change) => {
      const bytes = Buffer.from(token, 'base64url');
      bytes[place]! ^= change;
      assert.equal(contexts.read(bytes.toString('base64url'), KEY).kind, 'forged');
    }),
  );
  fc.assert(fc.property(fc.string(), (text) => assert.equal(contexts.read(text, KEY).kind, 'forged')));
  for (const text of ['', token.slice(1), `${token}A`, `${token}=`, token.replace(/.$/, '+')]) {
    assert.equal(contexts.read(text, KEY).kind, 'forged', text);
  }
});

test('an expired context is renewed to one that stays the same for half a day, of the same session', () => {
  let nowMs = START_MS;
  const contexts = new ViewerContexts(SECRET, () => nowMs);
  const token = contexts.issue(KEY);
  nowMs += CONTEXT_LIFE_MS;
  assert.equal(contexts.read(token, KEY).kind, 'valid');
  nowMs += 1_000;
  const expired = contexts.read(token, KEY);
  assert.ok(expired.kind === 'expired');
  assert.deepEqual(contexts.read(expired.renewed, KEY), { kind: 'valid', id: expired.id });
  nowMs += CONTEXT_LIFE_MS / 4;
  assert.deepEqual(contexts.read(token, KEY), expired);
  nowMs += CONTEXT_LIFE_MS / 2;
  const later = contexts.read(token, KEY);
  assert.ok(later.kind === 'expired' && later.renewed !== expired.renewed && later.id === expired.id);
});

test('a context from the future is forged, but clocks may differ a little', () => {
  let nowMs = START_MS;
  const contexts = new ViewerContexts(SECRET, () => nowMs);
  const token = contexts.issue(KEY);
  nowMs -= 60_000;
  assert.equal(contexts.read(token, KEY).kind, 'valid');
  nowMs -= 3_600_000;
  assert.equal(contexts.read(token, KEY).kind, 'forged');
});
