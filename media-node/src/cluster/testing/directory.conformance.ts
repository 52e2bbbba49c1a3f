import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import * as fc from 'fast-check';
import { newNodeId } from '#contract/directory-keys.ts';
import { until } from '#contract/testing/until.ts';
import type { Change, ClaimResult, Fenced, NodeInfo } from '../directory.ts';
import type { LeasedDirectory } from '../leased-directory.ts';
import type { LeasedDirectoryOptions } from '../lease-options.ts';

/** A store with its faults, as the suite needs it. */
export interface ConformanceRig {
  create(options: Omit<LeasedDirectoryOptions, 'logger'>): LeasedDirectory;
  /** The store goes out of reach of all. */
  goAway(): Promise<void>;
  /** It comes back with its data, or without. */
  comeBack(options: { readonly empty: boolean }): Promise<void>;
  /** All data vanish while connections stay. */
  empty(): Promise<void>;
  /** Drops data and faults between tests. */
  reset(): Promise<void>;
  close(): Promise<void>;
}

/** Heartbeats ten times as fast as in earnest. */
export const QUICK = {
  renewMs: 150,
  leaseMs: 1_000,
  settleMs: 400,
  sweepMs: 100,
  staleMs: 300,
  startWaitMs: 300,
} as const;

export function nodeInfo(over: Partial<NodeInfo> = {}): NodeInfo {
  const nodeId = newNodeId('11111111-2222-3333-4444-555555555555');
  const base = { role: 'origin', host: '10.0.0.1', rtmpPort: 1935, httpPort: 8080, adminPort: 8090 } as const;
  return { nodeId, ...base, ordinal: 0, software: 'test', ...over };
}

const key = { vhost: 'v', app: 'live/eu', stream: 'demo' };

function epochOf(result: ClaimResult): number {
  assert.equal(result.kind, 'ok');
  return result.kind === 'ok' ? result.epoch : 0;
}

/** What every directory must do, whatever its store. */
export function directoryConformance(name: string, open: () => Promise<ConformanceRig>): void {
  describe(`directory on ${name}`, () => {
    let rig: ConformanceRig;
    const open_: LeasedDirectory[] = [];

    before(async () => {
      rig = await open();
    });
    after(async () => {
      await rig.close();
    });
    afterEach(async () => {
      await Promise.all(open_.splice(0).map((directory) => directory.close('test over')));
      await rig.reset();
    });

    async function node(over: Partial<NodeInfo> = {}, options = {}): Promise<LeasedDirectory> {
      const directory = rig.create({ node: nodeInfo(over), ...QUICK, ...options });
      open_.push(directory);
      await directory.start();
      await until('the directory is up', () => directory.state === 'up');
      return directory;
    }

    /** Claims as an origin does that asked the others. */
    const claim = async (directory: LeasedDirectory, of = key) =>
      epochOf(await directory.claim(of, { askedOrigins: true }));

    function fencesOf(directory: LeasedDirectory): Fenced[] {
      const fences: Fenced[] = [];
      directory.onFenced((fenced) => fences.push(fenced));
      return fences;
    }

    test('lists the living nodes of a role with what they say of themselves', async () => {
      const origin = await node({ ordinal: 3, host: 'fd00::3' }, { load: () => 7 });
      const edge = await node({ role: 'edge' });
      const [seen, ...rest] = await edge.nodes('origin');
      assert.deepEqual(rest, []);
      assert.deepEqual(seen, { ...nodeInfo({ nodeId: origin.nodeId, ordinal: 3, host: 'fd00::3' }), load: 7 });
      assert.deepEqual(
        (await edge.nodes('edge')).map(({ nodeId }) => nodeId),
        [edge.nodeId],
      );
      await until('the edge knows the origin by its heartbeat', () => edge.knownNodes('origin').length === 1);
    });

    test('gives a stream to the first and tells the second who has it', async () => {
      const [a, b] = [await node({ host: '10.0.0.7', adminPort: 9_000 }), await node()];
      const epoch = await claim(a);
      const result = await b.claim(key);
      assert.deepEqual(result, {
        kind: 'busy',
        owner: { nodeId: a.nodeId, host: '10.0.0.7', rtmpPort: 1935, adminPort: 9_000, epoch },
        alive: true,
      });
      assert.equal(b.owned, 0);
      assert.deepEqual(await b.lookup(key), { owner: result.kind === 'busy' ? result.owner : undefined, alive: true });
    });

    test('of many claims at once exactly one is granted', async () => {
      const nodes = await Promise.all(Array.from({ length: 6 }, () => node()));
      const results = await Promise.all(nodes.map((each) => each.claim(key, { askedOrigins: true })));
      assert.equal(results.filter(({ kind }) => kind === 'ok').length, 1);
      assert.equal(results.filter(({ kind }) => kind === 'busy').length, 5);
    });

    test('any name is one stream, unlike every other', async () => {
      const a = await node();
      const name = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 });
      const odd = fc.constantFrom('..', 'a/b', '__proto__', '%2F', '', ' ', '{x}', '"', '\\', '\u{1f600}', '\0');
      const part = fc.oneof(name, odd);
      const keys = fc.uniqueArray(fc.record({ vhost: part, app: part, stream: part }), {
        minLength: 2,
        maxLength: 6,
        selector: (each) => JSON.stringify([each.vhost, each.app, each.stream]),
      });
      await fc.assert(
        fc.asyncProperty(keys, async (several) => {
          const epochs = await Promise.all(several.map((each) => claim(a, each)));
          for (const [index, each] of several.entries()) {
            assert.equal((await a.lookup(each))?.owner.epoch, epochs[index]);
          }
          await Promise.all(several.map((each, index) => a.release(each, epochs[index] ?? 0)));
          assert.equal(await a.lookup(several[0] ?? key), undefined);
        }),
        { numRuns: 20 },
      );
    });

    test('a name that no store can hold is refused', async () => {
      const a = await node();
      await assert.rejects(a.claim({ ...key, stream: 'x'.repeat(5_000) }), { code: 'bad-name' });
      await assert.rejects(a.lookup({ ...key, stream: '\ud800' }), { code: 'bad-name' });
    });

    test('a released stream can be claimed at once, with a higher epoch', async () => {
      const [a, b] = [await node(), await node()];
      const first = await claim(a);
      await a.release(key, first);
      assert.equal(await b.lookup(key), undefined);
      assert.ok((await claim(b)) > first);
    });

    test('a release with an old epoch takes nothing away', async () => {
      const a = await node();
      const first = await claim(a);
      const second = await claim(a);
      assert.ok(second > first);
      await a.release(key, first);
      assert.equal((await a.lookup(key))?.owner.epoch, second);
    });

    test('a take-over needs the record that was seen, and fences the former owner', async () => {
      const [a, b] = [await node(), await node()];
      const fences = fencesOf(a);
      const epoch = await claim(a);
      const stale = { nodeId: a.nodeId, epoch: epoch - 1 };
      assert.equal((await b.claim(key, { expected: stale })).kind, 'busy');
      const taken = epochOf(await b.claim(key, { expected: { nodeId: a.nodeId, epoch } }));
      assert.ok(taken > epoch);
      await until('the former owner is fenced', () => fences.length > 0);
      assert.deepEqual(fences, [{ key, epoch, by: { nodeId: b.nodeId, epoch: taken } }]);
      assert.equal(a.owned, 0);
      await a.release(key, epoch);
      assert.equal((await b.lookup(key))?.owner.nodeId, b.nodeId);
    });

    test('claims and releases are announced to the other nodes', async () => {
      const [a, b] = [await node(), await node({ role: 'edge' })];
      const changes: Change[] = [];
      const stop = b.onChange((change) => changes.push(change));
      // The subscription may need a moment longer than the first heartbeat.
      let epoch = 0;
      await until('a claim is heard of', async () => {
        epoch = await claim(a);
        return changes.some((change) => change.kind === 'claimed');
      });
      await a.release(key, epoch);
      await until('the release is heard of', () => changes.some((change) => change.kind === 'released'));
      assert.deepEqual(changes.at(-1), { kind: 'released', key, nodeId: a.nodeId, epoch });
      stop();
      const heard = changes.length;
      await claim(a);
      await b.lookup(key);
      assert.equal(changes.length, heard);
    });

    test('a crashed node’s stream is claimable once its lease is over, and before from its record', async () => {
      const [a, b] = [await node(), await node()];
      const epoch = await claim(a);
      a.abandon();
      const busy = await b.claim(key);
      assert.equal(busy.kind, 'busy');
      await until('the lease is over', async () => (await b.lookup(key))?.alive === false);
      assert.ok(epochOf(await b.claim(key, { expected: { nodeId: a.nodeId, epoch } })) > epoch);
      await until('the dead node is no longer listed', async () => (await b.nodes('origin')).length === 1);
    });

    test('a closed node leaves neither streams nor lease', async () => {
      const [a, b] = [await node(), await node()];
      for (let index = 0; index < 150; index += 1) await claim(a, { ...key, stream: `s${index}` });
      await a.close('done');
      await a.close('twice');
      assert.equal(await b.lookup({ ...key, stream: 's149' }), undefined);
      assert.deepEqual(
        (await b.nodes('origin')).map(({ nodeId }) => nodeId),
        [b.nodeId],
      );
      await assert.rejects(a.claim(key), { code: 'closed' });
      await assert.rejects(a.lookup(key), { code: 'closed' });
    });

    test('all data gone: every node writes its lease and records again, and nobody is fenced', async () => {
      const [a, b] = [await node(), await node()];
      const fences = [...fencesOf(a), ...fencesOf(b)];
      const epochs: number[] = [];
      for (let index = 0; index < 120; index += 1) epochs.push(await claim(a, { ...key, stream: `s${index}` }));
      await rig.empty();
      await until('the records are there again', async () => {
        const last = await b.lookup({ ...key, stream: 's119' }).catch(() => undefined);
        return last !== undefined && last.alive && last.owner.epoch === epochs[119];
      });
      assert.equal((await b.lookup({ ...key, stream: 's0' }))?.owner.epoch, epochs[0]);
      await until('both are listed', async () => (await a.nodes('origin')).length === 2);
      assert.ok(a.counts.heals > 0);
      assert.deepEqual(fences, []);
      assert.ok((await claim(b, { ...key, stream: 'new' })) > Math.max(...epochs), 'epochs never go back');
    });

    test('all data gone: the nodes known of before stay until every living one has written its lease again', async () => {
      const [patient, a, b] = [await node({}, { settleMs: 60_000 }), await node(), await node()];
      const knows = (of: LeasedDirectory) => of.knownNodes('origin').some(({ nodeId }) => nodeId === b.nodeId);
      await until('they have met', () => knows(patient) && knows(a));
      b.abandon();
      await rig.empty();
      await until('each has noticed', () => patient.counts.heals > 0 && a.counts.heals > 0);
      assert.ok(knows(patient));
      await until('one that did not write it again is dead', () => !knows(a));
      assert.ok(knows(patient));
    });

    test('young data: a claim without a record has to ask the origins first', async () => {
      const a = await node();
      await until('the data are settled', async () => (await a.claim(key)).kind === 'ok');
      await a.close('its stream goes with it');
      const [b, c] = [await node({}, { settleMs: 60_000 }), await node()];
      assert.equal((await b.claim(key)).kind, 'unsettled');
      const epoch = epochOf(await c.claim(key, { askedOrigins: true }));
      assert.equal((await b.claim(key)).kind, 'busy', 'a record that is there needs no asking');
      assert.ok(epoch > 0);
    });

    test('the store away: claims say so, and streams taken meanwhile are registered when it is back', async () => {
      const [a, b] = [await node(), await node()];
      const before_ = await claim(a);
      await rig.goAway();
      await until('both notice', () => a.state === 'down' && b.state === 'down');
      await assert.rejects(a.claim(key), { code: 'away' });
      await assert.rejects(a.lookup(key), { code: 'away' });
      await assert.rejects(a.nodes('origin'), { code: 'away' });
      assert.equal(b.knownNodes('origin').length, 2, 'the nodes known are kept');
      const other = { ...key, stream: 'meanwhile' };
      const epoch = epochOf(await b.claimAway(other));
      assert.ok(epoch > before_);
      await rig.comeBack({ empty: true });
      await until('both are up', () => a.state === 'up' && b.state === 'up');
      await until('the streams are registered', async () => {
        const owners = [await a.lookup(key).catch(() => undefined), await a.lookup(other).catch(() => undefined)];
        return owners[0]?.owner.nodeId === a.nodeId && owners[1]?.owner.nodeId === b.nodeId;
      });
    });

    test('two nodes took one stream while the store was away: one keeps it, the other is fenced', async () => {
      const nodes = [await node(), await node()] as const;
      const fences = [fencesOf(nodes[0]), fencesOf(nodes[1])];
      await rig.goAway();
      await until('both notice', () => nodes.every(({ state }) => state === 'down'));
      const epochs = [epochOf(await nodes[0].claimAway(key)), epochOf(await nodes[1].claimAway(key))] as const;
      await rig.comeBack({ empty: false });
      await until('one is fenced', () => fences.flat().length > 0);
      const firstWins = epochs[0] === epochs[1] ? nodes[0].nodeId > nodes[1].nodeId : epochs[0] > epochs[1];
      assert.deepEqual(
        fences.map(({ length }) => length),
        firstWins ? [0, 1] : [1, 0],
      );
      const winner = nodes[firstWins ? 0 : 1];
      await until('the directory has the winner', async () => {
        const found = await winner.lookup(key).catch(() => undefined);
        return found?.owner.nodeId === winner.nodeId;
      });
      assert.equal(nodes[0].owned + nodes[1].owned, 1);
    });

    test('a release while the store is away is done when it is back', async () => {
      const a = await node();
      const epoch = await claim(a);
      await rig.goAway();
      await until('it notices', () => a.state === 'down');
      await a.release(key, epoch);
      await rig.comeBack({ empty: false });
      await until('the record is gone', async () => {
        try {
          return (await a.lookup(key)) === undefined;
        } catch {
          return false;
        }
      });
    });

    test('a dead node’s record with a higher epoch does not take a stream away', async () => {
      const [dead, witness] = [await node(), await node({}, { staleMs: 1e9 })];
      const epoch = await claim(dead);
      dead.abandon();
      await until('its lease is over', async () => (await witness.lookup(key))?.alive === false);
      await rig.goAway();
      // It never saw the store's clock, and its own is an hour behind.
      const behind = rig.create({ node: nodeInfo(), ...QUICK, staleMs: 1e9, now: () => Date.now() - 3_600_000 });
      open_.push(behind);
      const fences = fencesOf(behind);
      await behind.start();
      const lower = epochOf(await behind.claimAway(key));
      assert.ok(lower < epoch);
      await rig.comeBack({ empty: false });
      await until('the record is its own', async () => {
        const found = await behind.lookup(key).catch(() => undefined);
        return found?.owner.nodeId === behind.nodeId && found.owner.epoch > epoch;
      });
      assert.deepEqual(fences, []);
      await behind.release(key, lower);
      assert.equal(await behind.lookup(key), undefined, 'the epoch it was given still names its claim');
    });

    test('records of nodes that are gone are swept', async () => {
      const [a, b] = [await node(), await node()];
      await claim(a);
      await claim(b, { ...key, stream: 'alive' });
      a.abandon();
      await until('the dead node’s record is gone', async () => (await b.lookup(key)) === undefined);
      assert.equal((await b.lookup({ ...key, stream: 'alive' }))?.owner.nodeId, b.nodeId);
    });

    test('a node that starts while the store is away comes up with it', async () => {
      await rig.goAway();
      const late = rig.create({ node: nodeInfo(), ...QUICK });
      open_.push(late);
      await late.start();
      assert.equal(late.state, 'down');
      await late.claimAway(key);
      await rig.comeBack({ empty: true });
      await until('it is up', () => late.state === 'up');
      assert.equal((await late.lookup(key))?.owner.nodeId, late.nodeId);
    });
  });
}
