import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { Controller } from './controller.ts';
import type { ControllerOptions, Reconcile } from './controller.ts';
import { ControllerMetrics } from './controller-metrics.ts';
import { FakeClock, settle } from './testing/fake-clock.ts';

const log = pino({ level: 'silent' });

let clock: FakeClock;
let controller: Controller | undefined;
beforeEach(() => {
  clock = new FakeClock();
});
afterEach(() => controller?.stop('the test is over'));

function start(reconcile: Reconcile, options: Partial<ControllerOptions> = {}): Controller {
  controller = new Controller({ name: 'tests', reconcile, log, clock, ...options });
  controller.start();
  return controller;
}

/** Reconciles that go on until they are told to end. */
function held() {
  const running: { key: string; end: () => void }[] = [];
  let most = 0;
  const reconcile: Reconcile = (key) =>
    new Promise((resolve) => {
      const one = {
        key,
        end: () => {
          running.splice(running.indexOf(one), 1);
          resolve();
        },
      };
      running.push(one);
      most = Math.max(most, running.length);
    });
  return { running, reconcile, most: () => most };
}

test('four keys are worked on at once, and never one key twice', async () => {
  const work = held();
  const { enqueue } = bound(start(work.reconcile));
  for (const key of ['a', 'a', 'b', 'c', 'd', 'e', 'f']) enqueue(key);
  await settle();
  enqueue('a');
  await settle();
  assert.deepEqual(
    work.running.map(({ key }) => key),
    ['a', 'b', 'c', 'd'],
  );
  const seen: string[] = [];
  while (work.running.length > 0) {
    assert.equal(new Set(work.running.map(({ key }) => key)).size, work.running.length);
    const [first] = work.running;
    seen.push(first?.key ?? '');
    first?.end();
    await settle();
  }
  assert.deepEqual(seen.sort(), ['a', 'a', 'b', 'c', 'd', 'e', 'f']);
  assert.equal(work.most(), 4);
});

test('keys enqueued before the start are worked on after it, and a second start adds no workers', async () => {
  const work = held();
  controller = new Controller({ name: 'tests', reconcile: work.reconcile, log, clock });
  for (let key = 0; key < 10; key += 1) controller.enqueue(String(key));
  await settle();
  assert.equal(work.running.length, 0);
  controller.start();
  controller.start();
  await settle();
  assert.equal(work.running.length, 4);
  while (work.running.length > 0) {
    const running = work.running.slice();
    for (const one of running) one.end();
    await settle();
  }
});

test('a reconcile that throws comes back after its backoff, and others are not held up', async () => {
  const seen: string[] = [];
  const { enqueue } = bound(
    start((key) => {
      seen.push(`${key} ${clock.monotonicMs()}`);
      return key === 'bad' && seen.length < 5 ? Promise.reject(new Error('no')) : Promise.resolve();
    }),
  );
  enqueue('bad');
  enqueue('good');
  await clock.advance(60_000);
  assert.deepEqual(seen, ['bad 0', 'good 0', 'bad 5', 'bad 15', 'bad 35']);
});

test('a reconcile that throws without a promise is caught as well', async () => {
  let calls = 0;
  const { enqueue } = bound(
    start(() => {
      calls += 1;
      if (calls === 1) throw new Error('at once');
      return Promise.resolve();
    }),
  );
  enqueue('a');
  await clock.advance(1000);
  assert.equal(calls, 2);
});

test('a wait that the error asks for, and one that the outcome asks for, are kept to', async () => {
  const seen: number[] = [];
  const { enqueue } = bound(
    start(() => {
      seen.push(clock.monotonicMs());
      if (seen.length === 1) return Promise.reject(Object.assign(new Error('throttled'), { retryAfterMs: 7000 }));
      return Promise.resolve(seen.length === 2 ? { requeueAfterMs: 1500 } : undefined);
    }),
  );
  enqueue('a');
  await clock.advance(60_000);
  assert.deepEqual(seen, [0, 7000, 8500]);
});

test('every key comes again at the resync, 10 min ± 10 % after the last', async () => {
  const seen: string[] = [];
  start(
    (key) => {
      seen.push(`${key} ${clock.monotonicMs() / 1000}`);
      return Promise.resolve();
    },
    { resyncKeys: () => ['a', 'b'], random: () => 0 },
  );
  await clock.advance(1_100_000);
  assert.deepEqual(seen, ['a 540', 'b 540', 'a 1080', 'b 1080']);
});

test('stop aborts what is in flight, waits for it, and takes nothing more', async () => {
  const events: string[] = [];
  let finish = () => {};
  const { enqueue, stop } = bound(
    start(
      async (key, { signal }) => {
        events.push(`begin ${key}`);
        signal.addEventListener('abort', () => events.push('abort'));
        await new Promise<void>((resolve) => {
          finish = resolve;
        });
        events.push(`end ${key}`);
        throw new Error('given up');
      },
      { workers: 1 },
    ),
  );
  enqueue('a');
  enqueue('b');
  await settle();
  const stopped = Promise.all([stop(), stop()]).then(() => events.push('stopped'));
  enqueue('c');
  await settle();
  assert.deepEqual(events, ['begin a', 'abort']);
  finish();
  await stopped;
  await clock.advance(600_000);
  assert.deepEqual(events, ['begin a', 'abort', 'end a', 'stopped']);
});

test('metrics have the names of controller-runtime', async () => {
  const registry = new Registry();
  let calls = 0;
  const { enqueue } = bound(
    start(
      async () => {
        calls += 1;
        await new Promise<void>((resolve) => clock.after(500, resolve));
        if (calls === 1) throw new Error('no');
        return calls === 2 ? { requeueAfterMs: 100 } : undefined;
      },
      { metrics: new ControllerMetrics(registry), workers: 1 },
    ),
  );
  assert.match(await registry.metrics(), /controller_runtime_reconcile_errors_total\{controller="tests"\} 0/);
  enqueue('a');
  await settle();
  enqueue('b');
  assert.match(await registry.metrics(), /workqueue_depth\{name="tests"\} 1/);
  await clock.advance(60_000);
  const text = await registry.metrics();
  for (const line of [
    'controller_runtime_reconcile_total{controller="tests",result="success"} 2',
    'controller_runtime_reconcile_total{controller="tests",result="error"} 1',
    'controller_runtime_reconcile_total{controller="tests",result="requeue_after"} 1',
    'controller_runtime_reconcile_errors_total{controller="tests"} 1',
    'controller_runtime_reconcile_time_seconds_count{controller="tests"} 4',
    'controller_runtime_reconcile_time_seconds_sum{controller="tests"} 2',
    'workqueue_depth{name="tests"} 0',
    'workqueue_adds_total{name="tests"} 4',
    'workqueue_retries_total{name="tests"} 1',
    'workqueue_work_duration_seconds_sum{name="tests"} 2',
    'workqueue_queue_duration_seconds_count{name="tests"} 4',
  ]) {
    assert(text.includes(`${line}\n`), `${line} in\n${text}`);
  }
});

function bound(one: Controller) {
  return { enqueue: (key: string) => one.enqueue(key), stop: () => one.stop('asked') };
}
