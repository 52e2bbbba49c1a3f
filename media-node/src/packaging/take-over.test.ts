import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { ledgerTextOf } from './ledger-state.ts';
import { MemoryLedger } from './memory-ledger.ts';
import type { PackagingWitnesses } from './packaged-stream.ts';
import type { VhostChanges } from './testing-node.ts';
import { configOf, EPOCH_MS, KEY, TestNode } from './testing-node.ts';
import { streamOf } from './testing.ts';

const LOW_LATENCY: VhostChanges = { hls: { container: 'fmp4', lowLatency: { enabled: true, partMs: 200 } } };
const KEYS = {
  enabled: true,
  fragmentsPerKey: 5,
  keyFile: '[app]/[stream]-[seq].key',
  keyUrl: '/[app]/[stream]-[seq].key',
};
const seqs = ({ segments }: { readonly segments: readonly { readonly seq: number }[] }) =>
  segments.map(({ seq }) => seq);

/** Lets what has been resolved go on. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

/** Nodes that share a ledger. */
function twoNodes(t: TestContext, changes: VhostChanges = {}) {
  const ledger = new MemoryLedger(() => EPOCH_MS);
  const first = new TestNode(changes, { ledger });
  const second = new TestNode(changes, { ledger, nodeId: 'node-2' });
  t.after(() => [first, second].forEach((each) => each.close()));
  return { ledger, first, second };
}

/** Ends the source and what waits for it, in the test's own time. */
async function gone(t: TestContext, node: TestNode): Promise<void> {
  node.unpublish();
  t.mock.timers.tick(1_000);
  await settled();
}

test('another node goes on with the playlist: numbers, keys and old segments, after a discontinuity', async (t) => {
  const { first, second } = twoNodes(t, { hls: { keys: KEYS } });
  await first.publish();
  first.feed(streamOf({ seconds: 15 }));
  const before = first.snapshot;
  second.nowMs = first.nowMs + 4_000;
  await second.publish();
  assert.deepEqual(second.snapshot.segments, before.segments, 'the old segments are listed at once');
  assert.deepEqual([second.snapshot.nodeId, second.snapshot.ownFrom, before.ownFrom], ['node-2', 7, undefined]);
  second.feed(streamOf({ startMs: 500, seconds: 3 }));
  const { segments, targetDurationS } = second.snapshot;
  const made = segments.at(-1);
  assert.deepEqual(seqs(second.snapshot), [3, 4, 5, 6, 7]);
  assert.deepEqual([targetDurationS, made?.seq, made?.isDiscontinuity], [2, 7, true]);
  assert.equal(made?.media.ts?.file, 'live/stream01-7.ts');
  assert.equal(made.key?.file, before.segments.at(-1)?.key?.file, 'the key is the one in force');
  assert.ok((await second.read(made.key?.file ?? '')).equals(await first.read(made.key?.file ?? '')));
  const old = segments[0]?.media.ts?.file ?? '';
  assert.equal(second.packaged.read(old), undefined, 'its bytes are elsewhere');
  assert.ok((made.programDateTimeMs ?? 0) >= (segments.at(-2)?.programDateTimeMs ?? 0) + 2_000);
  assert.equal(second.packagings.stats().takeOvers, 1);
});

test('what no node remembers is not listed again, as its files are nowhere: the numbers go on in a playlist of its own', async (t) => {
  const nobody: PackagingWitnesses = { ask: () => Promise.resolve(true) };
  for (const [isWhole, changes] of [
    [true, {}],
    [true, LOW_LATENCY],
    [false, {}],
  ] as const) {
    const ledger = new MemoryLedger(() => EPOCH_MS);
    const witnesses = (): PackagingWitnesses => (isWhole ? nobody : { ask: () => Promise.resolve(false) });
    const first = new TestNode(changes, { ledger });
    const second = new TestNode(changes, { ledger, nodeId: 'node-2', witnesses });
    t.after(() => [first, second].forEach((each) => each.close()));
    await first.publish();
    first.feed(streamOf({ seconds: 15 }));
    const before = first.snapshot;
    second.nowMs = first.nowMs + 4_000;
    await second.publish();
    second.feed(streamOf({ seconds: 3 }));
    const { segments, discontinuitySequence } = second.snapshot;
    const last = before.segments.at(-1)!.seq;
    if (isWhole) {
      assert.ok(segments[0]!.seq > last && discontinuitySequence > before.discontinuitySequence);
      assert.ok(segments.every(({ isGap, isDiscontinuity }) => !isGap && !isDiscontinuity));
    } else {
      assert.ok(
        segments.some(({ seq }) => seq <= last),
        'somebody who did not answer may have them',
      );
    }
  }
});

test('what was open under low latency is a gap for whoever goes on, parts of it having been told', async (t) => {
  const { first, second } = twoNodes(t, LOW_LATENCY);
  await first.publish();
  first.feed(streamOf({ seconds: 9 }));
  assert.equal(first.snapshot.open?.seq, 4);
  second.nowMs = first.nowMs + 2_000;
  await second.publish();
  second.feed(streamOf({ seconds: 3.2 }));
  const { segments, open, partTargetMs } = second.snapshot;
  assert.deepEqual(
    segments.map(({ seq, isGap, isDiscontinuity }) => [seq, isGap, isDiscontinuity]),
    [
      [1, false, false],
      [2, false, false],
      [3, false, false],
      [4, true, false],
      [5, false, true],
    ],
  );
  assert.deepEqual([open?.seq, partTargetMs], [6, 203]);
  assert.equal(open?.media.video?.init?.file, 'live/stream01-video-init-5.mp4');
});

/** Nodes that saw the last snapshot of a node. */
function witnessesOf(node: TestNode): () => PackagingWitnesses {
  const text = ledgerTextOf(node.snapshot, node.nowMs);
  return () => ({
    ask: (_, __, onState) => {
      onState(text);
      return Promise.resolve(true);
    },
  });
}

const LOST: readonly (readonly [string, (ledger: MemoryLedger) => MemoryLedger])[] = [
  [
    'is away',
    (ledger) => {
      ledger.isAway = true;
      return ledger;
    },
  ],
  ['has lost its data', () => new MemoryLedger(() => EPOCH_MS)],
];
for (const [how, lose] of LOST) {
  test(`another node goes on by what the others saw while the ledger ${how}`, async (t) => {
    for (const changes of [{}, { hls: { keys: KEYS } }, LOW_LATENCY]) {
      const ledger = new MemoryLedger(() => EPOCH_MS);
      const first = new TestNode(changes, { ledger });
      await first.publish();
      first.feed(streamOf({ seconds: 15 }));
      const before = first.snapshot;
      const second = new TestNode(changes, {
        ledger: lose(ledger),
        nodeId: 'node-2',
        witnesses: witnessesOf(first),
      });
      t.after(() => [first, second].forEach((each) => each.close()));
      second.nowMs = first.nowMs + 2_000;
      await second.publish();
      second.feed(streamOf({ seconds: 3.2 }));
      const { segments, discontinuitySequence, targetDurationS, lineage } = second.snapshot;
      const open = before.open === undefined ? [] : [before.open.seq];
      const made = segments.at(-1);
      const lastSeq = before.segments.at(-1)?.seq ?? 0;
      assert.deepEqual([made?.seq, made?.isDiscontinuity], [lastSeq + open.length + 1, true]);
      assert.deepEqual(
        segments.filter(({ isGap }) => isGap).map(({ seq }) => seq),
        open,
      );
      const old = segments.filter(({ seq }) => seq <= lastSeq);
      assert.ok(old.length >= 3);
      const namesOf = (all: typeof segments) => all.map(({ seq, media }) => [seq, (media.ts ?? media.video)?.file]);
      assert.deepEqual(namesOf(old), namesOf(before.segments.filter(({ seq }) => seq >= (old[0]?.seq ?? 0))));
      assert.deepEqual(
        [discontinuitySequence, targetDurationS, lineage],
        [before.discontinuitySequence, before.targetDurationS, before.lineage],
      );
      for (const { key } of old) {
        if (key !== undefined) assert.deepEqual(await second.read(key.file), await first.read(key.file));
      }
    }
  });
}

test('the last word to the ledger was lost with its node: no number is given again', async (t) => {
  const ledger = new MemoryLedger(() => EPOCH_MS);
  const first = new TestNode({}, { ledger });
  t.after(() => first.close());
  await first.publish();
  first.feed(streamOf({ seconds: 9 }));
  ledger.isAway = true;
  first.feed(streamOf({ startMs: 9_000, seconds: 4 }));
  const { segments } = first.snapshot;
  ledger.isAway = false;
  const second = new TestNode({}, { ledger, nodeId: 'node-2', witnesses: witnessesOf(first) });
  t.after(() => second.close());
  second.nowMs = first.nowMs;
  await second.publish();
  assert.deepEqual(second.snapshot.segments, segments);
  second.feed(streamOf({ seconds: 3 }));
  assert.equal(second.snapshot.segments.at(-1)?.seq, (segments.at(-1)?.seq ?? 0) + 1);
});

test('what others saw of a session before the present one is not gone back to', async (t) => {
  const ledger = new MemoryLedger(() => EPOCH_MS);
  const first = new TestNode({}, { ledger });
  t.after(() => first.close());
  await first.publish();
  first.feed(streamOf({ seconds: 5 }));
  const witnesses = witnessesOf(first);
  first.feed(streamOf({ startMs: 5_000, seconds: 8 }));
  const { segments } = first.snapshot;
  const second = new TestNode({}, { ledger, nodeId: 'node-2', witnesses });
  t.after(() => second.close());
  second.nowMs = first.nowMs;
  await second.publish();
  assert.deepEqual(second.snapshot.segments, segments);
});

test('of what was disposed of the ledger remembers the numbers alone', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  for (const changes of [{}, LOW_LATENCY]) {
    const { ledger, first, second } = twoNodes(t, changes);
    await first.publish();
    first.feed(streamOf({ seconds: 9 }));
    await gone(t, first);
    const { segments } = first.snapshot;
    const bytes = async () => {
      const answer = await ledger.load(KEY);
      return answer.kind === 'found' ? Buffer.byteLength(answer.state) : 0;
    };
    assert.ok((await bytes()) > 1_000);
    t.mock.timers.tick(30_000);
    await settled();
    const least = await bytes();
    assert.ok(least > 0 && least < 500, `${least} bytes`);
    second.nowMs = first.nowMs + 30_000;
    await second.publish();
    second.feed(streamOf({ seconds: 3.2 }));
    assert.deepEqual(seqs(second.snapshot), [(segments.at(-1)?.seq ?? 0) + 1]);
    assert.equal(second.snapshot.discontinuitySequence, 1);
  }
});

test('what another node has gone on with is not forgotten with the list of the node before it', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { ledger, first, second } = twoNodes(t);
  await first.publish();
  first.feed(streamOf({ seconds: 9 }));
  await gone(t, first);
  second.nowMs = first.nowMs;
  await second.publish();
  second.feed(streamOf({ seconds: 5 }));
  t.mock.timers.tick(30_000);
  await settled();
  assert.equal(first.packagings.find(KEY), undefined);
  const answer = await ledger.load(KEY);
  assert.ok(answer.kind === 'found' && answer.state.includes('node-2') && answer.state.length > 1_000);
});

test('numbers never go back: after a disposal, in another format, and when nobody knows', async (t) => {
  const ledger = new MemoryLedger(() => EPOCH_MS);
  const begin = async (changes: VhostChanges, nowMs: number) => {
    const node = new TestNode(changes, { ledger, nodeId: `node-${nowMs}` });
    t.after(() => node.close());
    node.nowMs = nowMs;
    await node.publish();
    node.feed(streamOf({ seconds: 3 }));
    return node;
  };
  assert.deepEqual(seqs((await begin({}, EPOCH_MS)).snapshot), [0]);
  const later = await begin({}, EPOCH_MS + 3_600_000);
  assert.deepEqual(seqs(later.snapshot), [1], 'an hour later it is another playlist, with other names');
  assert.deepEqual(seqs((await begin({ hls: { container: 'fmp4' } }, EPOCH_MS + 3_603_000)).snapshot), [2]);
  ledger.isAway = true;
  const away = await begin({}, EPOCH_MS + 3_606_000);
  assert.deepEqual(seqs(away.snapshot), [Math.floor((EPOCH_MS + 3_606_000) / 1_000)]);
});

test('a ledger that says nothing sensible, or nothing at all, holds nobody up', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const ledger = new MemoryLedger(() => EPOCH_MS);
  ledger.save(KEY, '{"version":1,"seq":"x"}', 1_000);
  const node = new TestNode({}, { ledger });
  t.after(() => node.close());
  await node.publish();
  node.feed(streamOf({ seconds: 3 }));
  assert.equal(node.snapshot.segments.length, 1);
  const silent = new MemoryLedger();
  silent.load = () => new Promise(() => undefined);
  const other = new TestNode({}, { ledger: silent });
  t.after(() => other.close());
  await other.publish();
  other.feed(streamOf({ seconds: 3 }));
  assert.equal(other.packaged.snapshot, undefined);
  t.mock.timers.tick(3_000);
  await settled();
  assert.equal(other.snapshot.segments.length, 1, 'what came meanwhile was kept');
});

test('an encoder that comes back goes on in the same playlist, and one that stays away ends it', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const node = new TestNode();
  t.after(() => node.close());
  await node.publish();
  node.feed(streamOf({ seconds: 5 }));
  node.unpublish(false);
  t.mock.timers.tick(9_000);
  assert.equal(node.snapshot.isEnded, false, 'it is awaited');
  await node.publish();
  node.feed(streamOf({ seconds: 3 }));
  assert.deepEqual(
    node.snapshot.segments.map(({ isDiscontinuity }) => isDiscontinuity),
    [false, false, false, true],
  );
  await gone(t, node);
  const ended = node.snapshot;
  assert.equal(ended.isEnded, true);
  assert.equal(ended.segments.length, 5, 'the last segment is listed too');
  t.mock.timers.tick(29_000);
  await node.publish();
  await settled();
  node.feed(streamOf({ seconds: 3 }));
  assert.equal(node.snapshot.isEnded, false);
  assert.deepEqual([node.snapshot.segments.at(-1)?.seq, node.snapshot.segments.at(-1)?.isDiscontinuity], [5, true]);
  await gone(t, node);
  t.mock.timers.tick(30_000);
  assert.equal(node.packagings.find(KEY), undefined, 'dispose is over');
  assert.deepEqual([node.packagings.stats().packagings, node.packagings.stats().bytes], [0, 0]);
});

test('a node that lost the stream to another one ends its playlist without the segment that the other one writes', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { first, second } = twoNodes(t);
  await first.publish();
  first.feed(streamOf({ seconds: 5 }));
  first.unpublish();
  second.nowMs = first.nowMs;
  await second.publish();
  t.mock.timers.tick(1_000);
  await settled();
  assert.deepEqual([first.snapshot.isEnded, seqs(first.snapshot)], [true, [0, 1]]);
  second.feed(streamOf({ seconds: 3 }));
  assert.deepEqual(seqs(second.snapshot), [0, 1, 2]);
  // And back again.
  second.unpublish();
  first.nowMs = second.nowMs;
  await first.publish();
  await settled();
  first.feed(streamOf({ seconds: 3 }));
  assert.deepEqual(seqs(first.snapshot), [0, 1, 2, 3]);
});

test('an encoder comes back under low latency: the list goes on without a gap, nothing was lost', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const node = new TestNode(LOW_LATENCY);
  t.after(() => node.close());
  await node.publish();
  node.feed(streamOf({ seconds: 5 }));
  await gone(t, node);
  const before = node.snapshot;
  assert.deepEqual([before.isEnded, before.open, before.nextPart], [true, undefined, undefined]);
  await node.publish();
  await settled();
  node.feed(streamOf({ seconds: 3 }));
  assert.deepEqual(
    node.snapshot.segments.map(({ seq, isGap, isDiscontinuity }) => [seq, isGap, isDiscontinuity]),
    [
      [0, false, false],
      [1, false, false],
      [2, false, false],
      [3, false, true],
    ],
  );
});

test('a Vhost that stops to package and begins again does not list files that are gone', async (t) => {
  const node = new TestNode();
  t.after(() => node.close());
  await node.publish();
  node.feed(streamOf({ seconds: 7 }));
  node.config.swap(configOf({ hls: { enabled: false } }));
  node.config.swap(configOf());
  await settled();
  node.feed(streamOf({ startMs: 7_000, seconds: 5 }));
  assert.deepEqual(seqs(node.snapshot), [3, 4]);
  for (const { media } of node.snapshot.segments) await node.read(media.ts?.file ?? '');
});

test('a source that is gone before the ledger has answered ends all the same', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const slow = new MemoryLedger();
  const { promise, resolve } = Promise.withResolvers<void>();
  slow.load = () => promise.then(() => ({ kind: 'none' }) as const);
  const node = new TestNode({}, { ledger: slow });
  t.after(() => node.close());
  await node.publish();
  node.feed(streamOf({ seconds: 1 }));
  node.unpublish();
  t.mock.timers.tick(1_000);
  resolve();
  await settled();
  assert.deepEqual([node.snapshot.isEnded, node.snapshot.segments.length], [true, 1]);
  t.mock.timers.tick(30_000);
  assert.equal(node.packagings.find(KEY), undefined);
});
