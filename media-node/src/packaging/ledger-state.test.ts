import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MAX_PACKAGING_STATE_BYTES } from '#contract/packaging.ts';
import { ledgerTextOf, nextSeq, parseLedgerState } from './ledger-state.ts';
import type { VhostChanges } from './testing-node.ts';
import { KEY, TestNode } from './testing-node.ts';
import { streamOf } from './testing.ts';

const KEYS = { enabled: true, fragmentsPerKey: 2, keyFile: '[app]/[stream]-[seq].key', keyUrl: '' };
const FORMATS: Readonly<Record<string, VhostChanges>> = {
  'MPEG-TS': {},
  'encrypted MPEG-TS': { hls: { keys: KEYS } },
  'fragmented MP4': { hls: { container: 'fmp4' } },
  'low latency': { hls: { container: 'fmp4', lowLatency: { enabled: true, partMs: 200 } } },
};

for (const [name, changes] of Object.entries(FORMATS)) {
  test(`a snapshot tells the next node what the ledger would: ${name}`, async (t) => {
    const node = new TestNode(changes);
    t.after(() => node.close());
    await node.publish();
    node.feed(streamOf({ seconds: 5 }));
    node.unpublish(false);
    await node.publish();
    // Up to a cut: the ledger hears of those.
    const until = (node.snapshot.segments.at(-1)?.seq ?? 0) + 2;
    for (const frame of streamOf({ seconds: 30 })) {
      node.feed([frame]);
      if (node.snapshot.segments.at(-1)?.seq === until) break;
    }
    const answer = await node.ledger.load(KEY);
    const saved = answer.kind === 'found' ? parseLedgerState(answer.state) : undefined;
    assert.ok(saved !== undefined && saved.segments.length > 0);
    assert.ok(saved.segments.some(({ isDiscontinuity }) => isDiscontinuity));
    assert.deepEqual(parseLedgerState(ledgerTextOf(node.snapshot, saved.atMs)), saved);
  });
}

test('of a long window as much is told as a state may have, the newest', async (t) => {
  const node = new TestNode({ hls: { windowMs: 3_600_000, fragmentMs: 1_000 } });
  t.after(() => node.close());
  await node.publish();
  node.feed(streamOf({ seconds: 400 }));
  const { snapshot } = node;
  const text = ledgerTextOf(snapshot, 0);
  const state = parseLedgerState(text);
  assert.ok(state);
  assert.ok(Buffer.byteLength(text) <= MAX_PACKAGING_STATE_BYTES);
  assert.ok(state.segments.length < snapshot.segments.length && state.segments.length > 100);
  assert.deepEqual(state.segments.at(-1), snapshot.segments.at(-1));
  assert.equal(nextSeq(state), (snapshot.segments.at(-1)?.seq ?? 0) + 1);
});
