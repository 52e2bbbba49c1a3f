import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import * as fc from 'fast-check';
import { Backoff, exponential, jittered } from './backoff.ts';
import { FakeClock } from './testing/fake-clock.ts';
import { TokenBucket } from './token-bucket.ts';
import { WorkQueue } from './work-queue.ts';

let clock: FakeClock;
let queue: WorkQueue;
beforeEach(() => {
  clock = new FakeClock();
  queue = new WorkQueue({ clock });
});

/** What can be taken without waiting. */
async function takeAll(): Promise<string[]> {
  const taken: string[] = [];
  while (queue.depth > 0) taken.push((await queue.take()) ?? 'closed');
  return taken;
}

describe('work queue', () => {
  test('keys come in the order in which they were added, each once', async () => {
    for (const key of ['a', 'b', 'a', 'c', 'b']) queue.add(key);
    assert.deepEqual(await takeAll(), ['a', 'b', 'c']);
  });

  test('a key added while it is worked on comes again only after that work', async () => {
    queue.add('a');
    await queue.take();
    queue.add('a');
    queue.add('a');
    assert.equal(queue.depth, 0);
    queue.done('a');
    assert.deepEqual(await takeAll(), ['a']);
    queue.done('a');
    assert.equal(queue.depth, 0);
  });

  test('a taker that waits gets the next key', async () => {
    const [first, second] = [queue.take(), queue.take()];
    queue.add('a');
    queue.add('b');
    assert.deepEqual(await Promise.all([first, second]), ['a', 'b']);
  });

  test('of several delays for a key the one that ends first counts, and it comes once', async () => {
    queue.addAfter('a', 300);
    queue.addAfter('a', 100);
    queue.addAfter('a', 200);
    await clock.advance(99);
    assert.equal(queue.depth, 0);
    await clock.advance(1);
    assert.deepEqual(await takeAll(), ['a']);
    queue.done('a');
    await clock.advance(1000);
    assert.equal(queue.depth, 0);
  });

  test('failures in a row wait 5 ms · 2ⁿ, at most 5 min, until one succeeds', async () => {
    const delays: number[] = [];
    for (let failure = 0; failure < 20; failure += 1) {
      queue.addRateLimited('a');
      delays.push(...clock.delaysMs);
      await clock.advance(300_000);
      await queue.take();
      queue.done('a');
    }
    assert.deepEqual(delays.slice(0, 5), [5, 10, 20, 40, 80]);
    assert.deepEqual(delays.slice(-4), [300_000, 300_000, 300_000, 300_000]);
    queue.forget('a');
    queue.addRateLimited('a');
    assert.deepEqual(clock.delaysMs, [5]);
  });

  test('failures of many keys come back ten a second after a burst of a hundred', () => {
    for (let key = 0; key < 120; key += 1) queue.addRateLimited(String(key));
    const delays = clock.delaysMs;
    assert(delays.slice(0, 100).every((delayMs) => delayMs === 5));
    assert.equal(delays[100], 100);
    assert.equal(delays[119], 2000);
  });

  test('a wait that the server asked for is kept to', () => {
    queue.addRateLimited('a', 7000);
    assert.deepEqual(clock.delaysMs, [7000]);
  });

  test('close wakes the takers, calls delays off and drops what waits', async () => {
    queue.addAfter('b', 10);
    const taker = queue.take();
    queue.close();
    queue.close();
    assert.equal(await taker, undefined);
    queue.add('a');
    queue.addAfter('a', 10);
    queue.addRateLimited('a');
    assert.deepEqual([queue.depth, clock.delaysMs], [0, []]);
    assert.equal(await queue.take(), undefined);
  });

  test('close while a key is worked on does not bring it back', async () => {
    queue.add('a');
    await queue.take();
    queue.add('a');
    queue.close();
    queue.done('a');
    assert.equal(await queue.take(), undefined);
  });

  test('no order of adds, takes and dones loses a key or gives one to two workers', async () => {
    const step = fc.tuple(fc.constantFrom('add', 'take', 'done'), fc.constantFrom('a', 'b', 'c'));
    const property = fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      queue = new WorkQueue({ clock });
      const working = new Set<string>();
      const due = new Set<string>();
      for (const [what, key] of steps) {
        if (what === 'add') {
          queue.add(key);
          due.add(key);
        } else if (what === 'take' && queue.depth > 0) {
          const taken = (await queue.take()) ?? '';
          assert(due.delete(taken), 'it was added');
          assert(!working.has(taken), 'nobody works on it');
          working.add(taken);
        } else if (what === 'done' && working.delete(key)) {
          queue.done(key);
        }
      }
      for (const key of working) queue.done(key);
      assert.deepEqual((await takeAll()).sort(), [...due].sort());
    });
    await fc.assert(property);
  });
});

describe('backoff', () => {
  test('it doubles up to its longest, and starts again after a reset', () => {
    const backoff = new Backoff({ initialMs: 800, maxMs: 30_000 });
    const delays = Array.from({ length: 8 }, () => backoff.next());
    assert.deepEqual(delays, [800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000]);
    assert.equal(backoff.failures, 8);
    backoff.reset();
    assert.equal(backoff.next(), 800);
  });

  test('jitter stays within its share and below the longest', () => {
    const share = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
    fc.assert(
      fc.property(share, fc.nat(2000), (lot, failures) => {
        const ms = exponential(800, 30_000, failures);
        assert(ms >= 800 && ms <= 30_000);
        const spread = jittered(ms, 0.5, () => lot);
        assert(spread >= ms * 0.75 && spread <= ms * 1.25);
      }),
    );
    const late = new Backoff({ initialMs: 30_000, maxMs: 30_000, jitter: 0.5, random: () => 0.99 });
    assert.equal(late.next(), 30_000);
  });
});

describe('token bucket', () => {
  test('it gives its burst at once, then its rate, and fills up again to its burst', async () => {
    const bucket = new TokenBucket(clock, 5, 2);
    assert.deepEqual([bucket.take(), bucket.take(), bucket.take(), bucket.take()], [0, 0, 200, 400]);
    await clock.advance(60_000);
    assert.deepEqual([bucket.take(), bucket.take(), bucket.take()], [0, 0, 200]);
  });
});
