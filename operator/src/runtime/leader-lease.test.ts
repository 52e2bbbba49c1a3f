import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { microTime } from './clock.ts';
import { FakeClock, settle } from './testing/fake-clock.ts';
import { LeaderLease } from './leader-lease.ts';
import type { LeaseRecord, LeaseStore, StoredLease } from './leader-lease.ts';
import { runAsLeader } from './run-as-leader.ts';

const log = pino({ level: 'silent' });

/** A store that two candidates share, with faults on demand. */
class FakeStore implements LeaseStore {
  stored: StoredLease | undefined;
  readonly written: LeaseRecord[] = [];
  readonly timeoutsMs = new Set<number>();
  isDown = false;
  /** Called before each write. */
  onWrite: () => void | Promise<void> = () => {};
  #version = 0;

  async read({ timeoutMs }: { timeoutMs: number }): Promise<StoredLease | undefined> {
    this.timeoutsMs.add(timeoutMs);
    await settle();
    if (this.isDown) throw new Error('the store is down');
    return this.stored;
  }

  async write(
    record: LeaseRecord,
    version: string | undefined,
    { timeoutMs }: { timeoutMs: number },
  ): Promise<StoredLease | 'conflict'> {
    this.timeoutsMs.add(timeoutMs);
    await this.onWrite();
    if (this.isDown) throw new Error('the store is down');
    if (this.stored?.version !== version) return 'conflict';
    return this.put(record);
  }

  put(record: LeaseRecord): StoredLease {
    this.#version += 1;
    this.written.push(record);
    this.stored = { record, version: String(this.#version) };
    return this.stored;
  }

  get holder(): string | undefined {
    return this.stored?.record.holderIdentity;
  }
}

let clock: FakeClock;
let store: FakeStore;
beforeEach(() => {
  clock = new FakeClock();
  store = new FakeStore();
});

function candidate(identity: string, registry?: Registry): LeaderLease {
  return new LeaderLease({ store, identity, log, clock, random: () => 0, ...(registry ? { registry } : {}) });
}

function record(holderIdentity: string, more: Partial<LeaseRecord> = {}): LeaseRecord {
  const longAgo = '2001-01-01T00:00:00.000000Z';
  return {
    holderIdentity,
    leaseDurationSeconds: 15,
    acquireTime: longAgo,
    renewTime: longAgo,
    leaseTransitions: 3,
    ...more,
  };
}

/** Lets the store's answers, which take a turn each, arrive. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 10; turn += 1) await settle();
}

/** Moves in steps, so that what an answer sets off has its time too. */
async function pass(ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 500) {
    await clock.advance(Math.min(left, 500));
    await turns();
  }
}

describe('leader lease', () => {
  test('a lease that is not there is created, and renewed every 2 s', async () => {
    const registry = new Registry();
    const lease = candidate('me', registry);
    assert.match(await registry.metrics(), /leader_election_master_status\{name="livecluster-operator"\} 0/);
    assert.equal(lease.isWriteAllowed(), false);
    lease.start();
    lease.start();
    assert.equal(await lease.acquired, true);
    assert.deepEqual([lease.isLeader, lease.isWriteAllowed()], [true, true]);
    assert.match(await registry.metrics(), /leader_election_master_status\{name="livecluster-operator"\} 1/);
    await pass(60_000);
    const [first] = store.written;
    const last = store.written.at(-1);
    assert.equal(store.written.length, 31);
    assert.deepEqual(
      [first?.leaseDurationSeconds, first?.leaseTransitions, first?.renewTime],
      [15, 0, '2026-01-01T00:00:00.000000Z'],
    );
    assert.deepEqual(
      [last?.acquireTime, last?.renewTime],
      ['2026-01-01T00:00:00.000000Z', '2026-01-01T00:01:00.000000Z'],
    );
    assert.deepEqual([...store.timeoutsMs], [5000]);
    await lease.release('done');
  });

  test('MicroTime has six fractional digits', () => {
    assert.equal(microTime(Date.UTC(2026, 0, 2, 3, 4, 5, 6)), '2026-01-02T03:04:05.006000Z');
  });

  test('of two candidates one leads; when it falls silent the other takes over, never both at once', async () => {
    const [one, two] = [candidate('one'), candidate('two')];
    one.start();
    await turns();
    two.start();
    await pass(60_000);
    assert.deepEqual([one.isLeader, two.isLeader], [true, false]);

    // One can't reach the store any more.
    const down = store.write.bind(store);
    store.write = (next, version, call) =>
      next.holderIdentity === 'one' ? Promise.reject(new Error('cut off')) : down(next, version, call);
    for (let ms = 0; ms < 30_000; ms += 100) {
      await clock.advance(100);
      await turns();
      assert(!(one.isWriteAllowed() && two.isWriteAllowed()), `two leaders after ${ms} ms`);
    }
    assert.deepEqual([one.isLeader, two.isLeader, store.holder], [false, true, 'two']);
    assert.equal((await one.ended).kind, 'lost');
    assert.equal(store.written.at(-1)?.leaseTransitions, 1);
    await two.release('done');
  });

  test("another's lease is judged by its changes, not by the times in it", async () => {
    store.put(record('other'));
    const lease = candidate('me');
    lease.start();
    for (let renewal = 0; renewal < 4; renewal += 1) {
      await pass(14_000);
      // A clock years behind: what counts is that it changes.
      store.put(record('other', { renewTime: `2001-01-01T00:00:0${renewal + 1}.000000Z` }));
      assert.equal(lease.isLeader, false);
    }
    await pass(14_000);
    assert.equal(lease.isLeader, false);
    await pass(4000);
    assert.deepEqual([lease.isLeader, store.holder, store.stored?.record.leaseTransitions], [true, 'me', 4]);
    await lease.release('done');
  });

  test('a lease that was given up is taken at the next look', async () => {
    store.put(record('', { leaseDurationSeconds: 1 }));
    const lease = candidate('me');
    lease.start();
    await turns();
    assert.equal(lease.isLeader, true);
    await lease.release('done');
  });

  test('a write that came second is lost: the lease stays with the first', async () => {
    store.onWrite = () => {
      store.onWrite = () => {};
      store.put(record('first'));
    };
    const lease = candidate('second');
    lease.start();
    await pass(10_000);
    assert.deepEqual([lease.isLeader, store.holder], [false, 'first']);
    await lease.release('done');
    assert.equal(store.holder, 'first', 'who does not hold it gives nothing up');
  });

  test('a conflict with a write that leaves the holder alone costs one renewal, not the leadership', async () => {
    const lease = candidate('me');
    lease.start();
    await lease.acquired;
    store.onWrite = () => {
      store.onWrite = () => {};
      const stored = store.stored?.record;
      if (stored) store.put(stored);
    };
    await pass(20_000);
    assert.deepEqual([lease.isLeader, lease.isWriteAllowed()], [true, true]);
    await lease.release('done');
  });

  test('when another took it over, the leadership is lost at once', async () => {
    const lease = candidate('me');
    lease.start();
    await lease.acquired;
    store.put(record('other'));
    await pass(2000);
    assert.deepEqual(await lease.ended, { kind: 'lost', why: 'other took it over' });
    assert.deepEqual([lease.isLeader, lease.isWriteAllowed()], [false, false]);
    await lease.release('after');
    assert.equal(store.holder, 'other');
  });

  test('writes are allowed for 10 s after the last renewal, even while a renewal hangs', async () => {
    const lease = candidate('me');
    lease.start();
    await lease.acquired;
    store.onWrite = () => new Promise(() => {});
    await pass(9999);
    assert.equal(lease.isWriteAllowed(), true);
    await clock.advance(1);
    assert.equal(lease.isWriteAllowed(), false);
    assert.equal((await lease.ended).kind, 'lost');
  });

  test('a renewal counts from when it was sent, not from when its answer came', async () => {
    const lease = candidate('me');
    lease.start();
    await lease.acquired;
    let answer = () => {};
    store.onWrite = () =>
      new Promise((resolve) => {
        answer = resolve;
      });
    await pass(2000);
    await pass(4000);
    store.onWrite = () => {};
    answer();
    await turns();
    store.isDown = true;
    await pass(5999);
    assert.equal(lease.isWriteAllowed(), true, '12 s: the renewal was sent at 2 s');
    await clock.advance(1);
    assert.equal(lease.isWriteAllowed(), false);
    await lease.release('done');
  });

  test('a process that slept through its deadline has lost, whatever the store says', async () => {
    const lease = candidate('me');
    lease.start();
    await lease.acquired;
    clock.jump(30_000);
    assert.equal(lease.isWriteAllowed(), false);
    await clock.advance(0);
    assert.deepEqual(await lease.ended, { kind: 'lost', why: 'it was not renewed in time' });
    assert.equal(store.written.length, 1);
  });

  test('an API server that is away for less than the deadline costs nothing', async () => {
    const lease = candidate('me');
    lease.start();
    await lease.acquired;
    store.isDown = true;
    await pass(7000);
    store.isDown = false;
    await pass(60_000);
    assert.equal(lease.isLeader, true);
    await lease.release('done');
  });

  test('release hands over: holder empty, one second', async () => {
    const [one, two] = [candidate('one'), candidate('two')];
    one.start();
    await one.acquired;
    two.start();
    await turns();
    await Promise.all([one.release('shutdown'), one.release('again')]);
    const given = store.written.at(-1);
    assert.deepEqual([given?.holderIdentity, given?.leaseDurationSeconds], ['', 1]);
    assert.equal(one.isWriteAllowed(), false);
    assert.equal((await one.ended).kind, 'released');
    await pass(4500);
    assert.equal(two.isLeader, true);
    await two.release('done');
  });

  test('released while its first write is under way, it still gives up what that write got', async () => {
    let answer = () => {};
    store.onWrite = () =>
      new Promise((resolve) => {
        answer = resolve;
      });
    const lease = candidate('me');
    lease.start();
    await turns();
    const released = lease.release('shutdown');
    store.onWrite = () => {};
    answer();
    await released;
    assert.deepEqual([await lease.acquired, lease.isLeader, store.holder], [false, false, '']);
  });

  test('release never rejects', async () => {
    const lease = candidate('me');
    lease.start();
    await lease.acquired;
    store.isDown = true;
    await lease.release('shutdown');
    assert.equal(lease.isLeader, false);
    await candidate('other').release('never started');
  });
});

describe('run as leader', () => {
  interface Run {
    readonly events: string[];
    readonly shutdown: AbortController;
    readonly exit: Promise<0 | 1>;
    readonly lease: LeaderLease;
    endStop: () => void;
  }

  function run(lead: () => Promise<void> = () => Promise.resolve()): Run {
    const events: string[] = [];
    const shutdown = new AbortController();
    const lease = candidate('me');
    const it: Run = { events, shutdown, lease, endStop: () => {}, exit: Promise.resolve(0) };
    const exit = runAsLeader({
      lease,
      shutdown: shutdown.signal,
      log,
      clock,
      lead: () => {
        events.push('lead');
        return lead();
      },
      stop: async (reason) => {
        events.push(`stop ${reason}`);
        await new Promise<void>((resolve) => {
          it.endStop = resolve;
        });
        events.push(`stopped, holder ${store.holder}`);
      },
    });
    return Object.assign(it, { exit });
  }

  test('on shutdown the workers end first, then the lease is given up, and the code is 0', async () => {
    const it = run();
    await turns();
    it.shutdown.abort();
    await pass(5000);
    assert.equal(store.holder, 'me', 'it is kept while the workers end');
    assert.equal(it.lease.isWriteAllowed(), true);
    it.endStop();
    assert.equal(await it.exit, 0);
    assert.deepEqual(it.events, ['lead', 'stop shutdown', 'stopped, holder me']);
    assert.equal(store.holder, '');
  });

  test('a shutdown before leading starts nothing', async () => {
    store.put(record('other'));
    const it = run();
    await turns();
    it.shutdown.abort();
    assert.equal(await it.exit, 0);
    assert.deepEqual([it.events, store.holder], [[], 'other']);
  });

  test('a lost lease stops the workers, awaits what is in flight, and the code is 1', async () => {
    const it = run();
    await turns();
    store.put(record('other'));
    await pass(2000);
    assert.deepEqual(it.events, ['lead', 'stop lost']);
    it.endStop();
    assert.equal(await it.exit, 1);
    assert.equal(store.holder, 'other');
  });

  test('work that does not end is left behind after 20 s', async () => {
    const it = run();
    await turns();
    it.shutdown.abort();
    await pass(20_000);
    assert.equal(await it.exit, 0);
    assert.equal(store.holder, '');
  });

  test('a leader that can not begin stops and gives the lease up, and the code is 1', async () => {
    const it = run(() => Promise.reject(new Error('no CRD')));
    await turns();
    it.endStop();
    assert.equal(await it.exit, 1);
    assert.deepEqual(it.events, ['lead', 'stop failed', 'stopped, holder me']);
    assert.equal(store.holder, '');
  });
});
