import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { pino } from 'pino';
import { newNodeId } from '#contract/directory-keys.ts';
import { until } from '#contract/testing/until.ts';
import { SharedState } from '../shared-state.ts';
import type { SharedStore } from '../shared-store.ts';

/** A store with its faults, as the suite needs it. */
export interface SharedRig {
  create(): SharedStore;
  goAway(): Promise<void>;
  /** It comes back with its data. */
  comeBack(): Promise<void>;
  reset(): Promise<void>;
  close(): Promise<void>;
}

const key = { vhost: 'v', app: 'live/eu', stream: 'demo' };

/** What nodes share, whatever the store. */
export function sharedStateConformance(
  name: string,
  open: () => Promise<SharedRig>,
  /** The store can't go away, or not soon enough come back. */
  withoutFaults = false,
): void {
  const faultTest = withoutFaults ? undefined : test;
  describe(`shared state on ${name}`, () => {
    let rig: SharedRig;
    const states: SharedState[] = [];

    before(async () => {
      rig = await open();
    });
    after(() => rig.close());
    afterEach(async () => {
      await Promise.all(states.splice(0).map((state) => state.close()));
      await rig.reset();
    });

    async function node(): Promise<SharedState> {
      const state = new SharedState(rig.create(), { nodeId: newNodeId('pod'), logger: pino({ level: 'silent' }) });
      states.push(state);
      await state.start();
      return state;
    }

    test('the newest state of a stream is what the next node finds', async () => {
      const [one, two] = [await node(), await node()];
      assert.deepEqual(await two.ledger.load(key), { kind: 'none' });
      for (let state = 0; state <= 50; state += 1) one.ledger.save(key, `state ${state}`, 60_000);
      assert.deepEqual(await one.ledger.load(key), { kind: 'found', state: 'state 50' });
      await one.ledger.settled();
      assert.deepEqual(await two.ledger.load(key), { kind: 'found', state: 'state 50' });
      assert.equal(one.ledger.counts.saved, 1);
    });

    test('a state is forgotten after its time', async () => {
      const [one, two] = [await node(), await node()];
      one.ledger.save(key, 'short', 30);
      await until('it is forgotten', async () => (await two.ledger.load(key)).kind === 'none');
    });

    test('what can’t be stored is counted', async () => {
      const one = await node();
      one.ledger.save(key, 'x'.repeat(70_000), 60_000);
      one.ledger.save({ ...key, stream: '\ud800' }, 'x', 60_000);
      assert.equal(one.ledger.counts.failed, 2);
      assert.deepEqual(await one.ledger.load({ ...key, stream: '\ud800' }), { kind: 'none' });
    });

    void faultTest?.('a state saved while the store is away is written when it is back', async () => {
      const [one, two] = [await node(), await node()];
      await rig.goAway();
      await until('it is away', async () => (await two.ledger.load(key)).kind === 'away');
      one.ledger.save(key, 'older', 60_000);
      await one.ledger.settled();
      one.ledger.save(key, 'newer', 60_000);
      await one.ledger.settled();
      await rig.comeBack();
      await until('the other node finds it', async () => (await two.ledger.load(key)).kind === 'found');
      assert.deepEqual(await two.ledger.load(key), { kind: 'found', state: 'newer' });
      assert.ok(one.ledger.counts.failed > 0);
    });

    test('each session is counted by one node, and by another one when that has let it go', async () => {
      const [one, two] = [await node(), await node()];
      const ids = Array.from({ length: 1_200 }, (_, id) => `session-${id}`);
      const answers = await Promise.all(
        ids.map(async (id) => [await one.sessions.claim(id, 60_000), await two.sessions.claim(id, 60_000)]),
      );
      assert.ok(answers.every(([first, second]) => first === true && second === false));
      assert.ok(one.sessions.counts.calls <= 10, `${one.sessions.counts.calls} calls for 1,200 claims`);
      assert.equal(await one.sessions.claim('session-1', 60_000), true);
      one.sessions.release('session-1');
      two.sessions.release('session-2');
      await Promise.all([one.sessions.settled(), two.sessions.settled()]);
      assert.equal(await two.sessions.claim('session-1', 60_000), true);
      assert.equal(await two.sessions.claim('session-2', 60_000), false);
    });

    test('both at once: one of them counts it', async () => {
      const nodes = [await node(), await node(), await node()];
      const answers = await Promise.all(nodes.map(({ sessions }) => sessions.claim('contended', 60_000)));
      assert.deepEqual(answers.filter(Boolean), [true]);
    });

    test('a claim ends by its time: the node may have died', async () => {
      const [one, two] = [await node(), await node()];
      assert.equal(await one.sessions.claim('s', 50), true);
      await until('another node may count it', () => two.sessions.claim('s', 60_000));
    });

    test('an ended session is ended on every node, once, and on those that come later', async () => {
      const [one, two] = [await node(), await node()];
      const told: string[] = [];
      one.sessions.onEnded((id) => told.push(`one ${id}`));
      two.sessions.onEnded((id) => told.push(`two ${id}`));
      one.sessions.end('s', 60_000);
      assert.equal(one.sessions.isEnded('s'), true);
      await until('the other node knows', () => two.sessions.isEnded('s'));
      two.sessions.end('t', 60_000);
      await until('the first node knows', () => one.sessions.isEnded('t'));
      await Promise.all([one.sessions.settled(), two.sessions.settled()]);
      assert.deepEqual(told.sort(), ['one s', 'one t', 'two s', 'two t']);
      const three = await node();
      await until('the third node knows', () => three.sessions.isEnded('s') && three.sessions.isEnded('t'));
      assert.equal(three.sessions.isEnded('u'), false);
    });

    void faultTest?.('the store away: every node counts for itself, and ends are told when it is back', async () => {
      const [one, two] = [await node(), await node()];
      await rig.goAway();
      await until('claims are granted by both', async () => {
        const [first, second] = await Promise.all([one.sessions.claim('a', 100), two.sessions.claim('a', 100)]);
        return first && second;
      });
      one.sessions.end('s', 60_000);
      await one.sessions.settled();
      assert.deepEqual([one.sessions.isEnded('s'), two.sessions.isEnded('s')], [true, false]);
      await rig.comeBack();
      await until('the other node knows', () => two.sessions.isEnded('s'));
    });

    test('closing answers whoever waits, and may come twice', async () => {
      const one = await node();
      const claim = one.sessions.claim('s', 60_000);
      await one.close();
      await one.close();
      assert.equal(typeof (await claim), 'boolean');
      assert.equal(await one.sessions.claim('t', 60_000), true);
      one.ledger.save(key, 'late', 60_000);
      assert.deepEqual(await one.ledger.load(key), { kind: 'away' });
    });
  });
}
