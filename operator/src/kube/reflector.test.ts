import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { pino } from 'pino';
import { until } from '#contract/testing/until.ts';
import { FakeClock } from '../runtime/testing/fake-clock.ts';
import type { KubeClient } from './client.ts';
import { FakeApiServer, list, reset, silence, status, statusBody } from './testing/fake-api-server.ts';
import type { Answer, SeenWatch } from './testing/fake-api-server.ts';
import { Reflector } from './reflector.ts';
import type { ReflectorOptions } from './reflector.ts';

const POD = { apiVersion: 'v1', kind: 'Pod' } as const;

let server: FakeApiServer;
let clock: FakeClock;
let client: KubeClient;
let logged: string[];
let told: string[];
let reflector: Reflector;

beforeEach(async () => {
  server = await FakeApiServer.start();
  clock = new FakeClock();
  client = server.client(clock);
  logged = [];
  told = [];
  reflector = reflect();
});
afterEach(async () => {
  await reflector.close('the test is over');
  client.close('the test is over');
  await server.close();
});

function reflect(options: Partial<ReflectorOptions> = {}): Reflector {
  const log = pino({}, { write: (line: string) => void logged.push((JSON.parse(line) as { msg: string }).msg) });
  const made = new Reflector({ client, type: POD, log, clock, random: () => 0.5, ...options });
  made.addHandler({
    onAdd: (object) => told.push(`add ${object.metadata.uid}`),
    onUpdate: (object, previous) =>
      told.push(
        `update ${object.metadata.uid} ${previous.metadata.resourceVersion}→${object.metadata.resourceVersion}`,
      ),
    onDelete: (object) => told.push(`delete ${object.metadata.uid}`),
  });
  return made;
}

function pod(name: string, resourceVersion: string, uid = name, labels: Record<string, string> = {}) {
  return { ...POD, metadata: { name, namespace: 'media', uid, resourceVersion, labels } };
}

const bookmark = (resourceVersion: string) => ({ ...POD, metadata: { resourceVersion } });

/** Starts with these pods and waits for the watch. */
async function start(...pods: ReturnType<typeof pod>[]): Promise<SeenWatch> {
  server.next(list(pods, '10'));
  reflector.start();
  return watch(1);
}

/** The nth watch, once it is connected. */
async function watch(nth: number): Promise<SeenWatch> {
  await until(`watch ${nth}`, () => server.watches.length >= nth);
  const found = server.watches[nth - 1];
  assert(found);
  return found;
}

const sawTold = (count: number) => until(`${count} changes; there are ${told.join(', ')}`, () => told.length >= count);

/** Lists and watches that the server has seen, in order. */
const seen = () => server.requests.map(({ query }) => (query['watch'] ? `watch ${query['resourceVersion']}` : 'list'));

describe('keeping up', () => {
  test('the list fills the cache, the watch goes on from it, with bookmarks and 300 to 600 s', async () => {
    const first = await start(pod('a', '1'), pod('b', '2'));
    assert.equal(await reflector.hasSynced, true);
    assert.deepEqual(told, ['add a', 'add b']);
    assert.deepEqual(first.request.query, {
      watch: 'true',
      allowWatchBookmarks: 'true',
      resourceVersion: '10',
      timeoutSeconds: '450',
    });
    first.send('ADDED', pod('c', '11'));
    first.send('MODIFIED', pod('a', '12'));
    first.send('DELETED', pod('b', '13'));
    await sawTold(5);
    assert.deepEqual(told.slice(2), ['add c', 'update a 1→12', 'delete b']);
    assert.deepEqual([...reflector.cache.keys()].sort(), ['media/a', 'media/c']);
    assert.equal(reflector.cache.get('media/a')?.metadata.resourceVersion, '12');
  });

  test('list and watch have the same selectors and namespace', async () => {
    reflector = reflect({ namespace: 'media', labelSelector: 'role=edge' });
    await start();
    for (const { path, query } of server.requests) {
      assert.equal(path, '/api/v1/namespaces/media/pods');
      assert.equal(query['labelSelector'], 'role=edge');
    }
    assert.equal(server.requests.length, 2);
  });

  test('the cache is read by namespace and by labels', async () => {
    const elsewhere = { ...POD, metadata: { name: 'a', namespace: 'other', uid: 'x', resourceVersion: '3' } };
    await start(
      pod('a', '1', 'a', { role: 'edge', app: 'x' }),
      pod('b', '2', 'b', { role: 'origin' }),
      elsewhere as never,
    );
    const names = (found: { metadata: { uid?: string } }[]) => found.map(({ metadata }) => metadata.uid).sort();
    assert.deepEqual(names(reflector.cache.list()), ['a', 'b', 'x']);
    assert.deepEqual(names(reflector.cache.list({ namespace: 'media' })), ['a', 'b']);
    assert.deepEqual(names(reflector.cache.list({ labels: { role: 'edge', app: 'x' } })), ['a']);
    assert.deepEqual(names(reflector.cache.list({ namespace: 'other', labels: { role: 'edge' } })), []);
  });

  test('a handler that comes later is told of what is there, and one taken off of nothing more', async () => {
    const first = await start(pod('a', '1'));
    const late: string[] = [];
    const takeOff = reflector.addHandler({ onAdd: (object) => late.push(object.metadata.name) });
    assert.deepEqual(late, ['a']);
    takeOff();
    first.send('ADDED', pod('b', '11'));
    await sawTold(2);
    assert.deepEqual(late, ['a']);
  });

  test('a handler that throws is logged; the others, and the reflector, go on', async () => {
    const boom = () => {
      throw new Error('boom');
    };
    reflector = reflect();
    reflector.addHandler({ onAdd: boom, onUpdate: boom, onDelete: boom });
    const after: string[] = [];
    reflector.addHandler({ onAdd: (object) => after.push(object.metadata.name) });
    const first = await start(pod('a', '1'));
    first.send('MODIFIED', pod('a', '11'));
    first.send('DELETED', pod('a', '12'));
    first.send('ADDED', pod('b', '13'));
    await sawTold(4);
    assert.deepEqual(after, ['a', 'b']);
    assert.equal(logged.filter((message) => message === 'a handler of the reflector threw').length, 4);
  });
});

describe('an object made anew under its name', () => {
  test('comes as delete and add when the watch shows it as one change', async () => {
    const first = await start(pod('a', '1', 'old'));
    first.send('MODIFIED', pod('a', '11', 'new'));
    await sawTold(3);
    assert.deepEqual(told, ['add old', 'delete old', 'add new']);
  });

  test('comes as delete and add when it happened between two lists', async () => {
    const first = await start(pod('a', '1', 'old'), pod('gone', '2'), pod('same', '3'), pod('changed', '4'));
    server.next(list([pod('a', '20', 'new'), pod('same', '3'), pod('changed', '21'), pod('fresh', '22')], '30'));
    first.send('ERROR', statusBody(410, 'Expired'));
    await watch(2);
    assert.deepEqual(told.slice(4), ['delete gone', 'delete old', 'add new', 'update changed 4→21', 'add fresh']);
  });

  test('a late DELETED names what the cache had, and leaves nothing behind', async () => {
    const first = await start(pod('a', '1', 'old'));
    first.send('DELETED', pod('a', '11', 'new'));
    first.send('DELETED', pod('never-seen', '12'));
    first.send('ADDED', pod('b', '13'));
    await sawTold(3);
    assert.deepEqual(told, ['add old', 'delete old', 'add b']);
    assert.equal(reflector.cache.get('media/a'), undefined);
  });
});

describe('failures, after each of which the informer of the client library stops for good', () => {
  const failures: [string, Answer, number][] = [
    ['a reset connection', reset, 800],
    ['a 500', status(500, 'InternalError'), 800],
    ['a 429 that asks for 7 s', status(429, 'TooManyRequests', { 'retry-after': '7' }), 7000],
    ['a 403', status(403, 'Forbidden'), 800],
    ['an answer that is not JSON', (response) => response.writeHead(200).end('<html>'), 800],
  ];
  for (const [name, failure, delayMs] of failures) {
    test(`the first list fails with ${name}: it is tried again`, async () => {
      server.next(failure, list([pod('a', '1')], '10'));
      reflector.start();
      await until('the log line', () => logged.length === 1);
      assert.deepEqual(clock.delaysMs, [delayMs]);
      assert.equal(server.requests.length, 1);
      await clock.advance(delayMs);
      await watch(1);
      assert.deepEqual(told, ['add a']);
    });

    test(`the watch is refused with ${name}: it goes on from where it was, without a list`, async () => {
      server.next(list([], '10'), failure);
      reflector.start();
      await until('the log line', () => logged.length === 1);
      assert.deepEqual(clock.delaysMs, [delayMs]);
      await clock.advance(delayMs);
      (await watch(1)).send('ADDED', pod('a', '11'));
      await sawTold(1);
      assert.deepEqual(seen(), ['list', 'watch 10', 'watch 10']);
    });
  }

  test('the list after a 410 fails: it is tried again, and the cache stays meanwhile', async () => {
    const first = await start(pod('a', '1'));
    server.next(status(500, 'InternalError'), list([pod('b', '20')], '30'));
    first.send('ERROR', statusBody(410, 'Expired'));
    await until('the log lines', () => logged.length === 2);
    assert.deepEqual([...reflector.cache.keys()], ['media/a']);
    await clock.advance(30_000);
    await watch(2);
    assert.deepEqual(told, ['add a', 'delete a', 'add b']);
  });

  test('failures in a row wait from 0.8 s up to 30 s, and start again after an event', async () => {
    server.otherwise = status(500, 'InternalError');
    reflector.start();
    const delays: number[] = [];
    for (let failure = 1; failure <= 8; failure += 1) {
      await until('a failure', () => logged.length === failure && clock.delaysMs.length === 1);
      delays.push(...clock.delaysMs);
      if (failure === 8) server.next(list([], '10'));
      await clock.advance(30_000);
    }
    assert.deepEqual(delays, [800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000]);
    const first = await watch(1);
    first.send('ADDED', pod('a', '11'));
    await sawTold(1);
    first.response.socket?.resetAndDestroy();
    await until('the next failure', () => logged.length === 9 && clock.delaysMs.includes(800));
  });

  test('the delays are spread by lot', async () => {
    reflector = reflect({ random: () => 0 });
    server.otherwise = status(500, 'InternalError');
    reflector.start();
    await until('a delay at the lower end', () => clock.delaysMs.includes(600));
  });

  test('a connection that breaks during the watch is taken up from the last bookmark', async () => {
    const first = await start();
    first.send('ADDED', pod('a', '11'));
    first.send('BOOKMARK', bookmark('500'));
    await sawTold(1);
    first.response.socket?.end();
    await until('the end of the watch', () => first.isOver);
    await until('the delay', () => clock.delaysMs.includes(800));
    await clock.advance(800);
    await watch(2);
    assert.deepEqual(seen(), ['list', 'watch 10', 'watch 500']);
    assert.deepEqual(told, ['add a']);
  });

  for (const [name, tooOld] of Object.entries({
    'an ERROR event': (first: SeenWatch) => first.send('ERROR', statusBody(410, 'Gone')),
    'the answer to the next watch': (first: SeenWatch) => {
      server.next(status(410, 'Expired'), list([pod('a', '20')], '30'));
      first.response.end();
    },
  })) {
    test(`a 410 in ${name} leads to a new list at once`, async () => {
      const first = await start(pod('a', '1'));
      await clock.advance(20_000);
      if (name === 'an ERROR event') server.next(list([pod('a', '20')], '30'));
      tooOld(first);
      const second = await watch(2);
      assert.equal(second.request.query['resourceVersion'], '30');
      assert.deepEqual(told, ['add a', 'update a 1→20']);
    });
  }

  test('a server that answers every watch with 410 is not asked without pause', async () => {
    server.otherwise = (response, request) =>
      (request.query['watch'] ? status(410, 'Expired') : list([], '10'))(response, request);
    server.openWatch = () => status(410, 'Expired');
    reflector.start();
    await until('the pause', () => clock.delaysMs.includes(1600));
    assert.deepEqual(seen(), ['list', 'watch 10', 'list', 'watch 10']);
  });

  test('a server that ends every watch at once is not asked without pause', async () => {
    server.openWatch = () => (response) => response.writeHead(200).end();
    server.next(list([], '10'));
    reflector.start();
    await until('the pause', () => clock.delaysMs.includes(800));
    assert.deepEqual(seen(), ['list', 'watch 10']);
  });

  test('a watch that ends as asked for, after minutes, is taken up at once', async () => {
    const first = await start();
    for (let minute = 0; minute < 5; minute += 1) {
      await clock.advance(60_000);
      first.send('BOOKMARK', bookmark(String(100 + minute)));
      await until('the bookmark', () => clock.delaysMs.filter((delayMs) => delayMs === 90_000).length === 1);
    }
    first.response.end();
    await watch(2);
    assert.equal(seen().length, 3);
  });
});

describe('silence', () => {
  test('90 s without a line: the connection is dropped and the watch goes on from where it was', async () => {
    const first = await start(pod('a', '1'));
    await clock.advance(89_999);
    assert.equal(first.isOver, false);
    await clock.advance(1);
    await watch(2);
    await until('the end of the silent connection', () => first.isOver);
    assert.deepEqual(seen(), ['list', 'watch 10', 'watch 10']);
    assert.deepEqual(told, ['add a']);
  });

  test('a bookmark a minute keeps a quiet watch', async () => {
    const first = await start();
    for (let minute = 1; minute <= 10; minute += 1) {
      await clock.advance(60_000);
      const before = clock.delaysMs.length;
      first.send('BOOKMARK', bookmark(String(100 + minute)));
      first.send('ADDED', pod(`p${minute}`, String(200 + minute)));
      await sawTold(minute);
      assert.equal(clock.delaysMs.length, before);
    }
    assert.equal(first.isOver, false);
    assert.equal(server.watches.length, 1);
  });

  test('a list that never answers is given up after 30 s', async () => {
    server.next(silence, list([pod('a', '1')], '10'));
    reflector.start();
    await until('the list', () => server.requests.length === 1);
    await clock.advance(30_000);
    await until('the log line', () => logged.length === 1);
    await clock.advance(800);
    await watch(1);
    assert.deepEqual(told, ['add a']);
  });
});

describe('the end', () => {
  test('start twice opens one watch', async () => {
    server.next(list([], '10'));
    reflector.start();
    reflector.start();
    (await watch(1)).send('ADDED', pod('a', '11'));
    await sawTold(1);
    assert.deepEqual(seen(), ['list', 'watch 10']);
  });

  test('close ends the watch, and nothing brings it back', async () => {
    const first = await start(pod('a', '1'));
    await Promise.all([reflector.close('lost leadership'), reflector.close('again')]);
    await until('the end of the watch', () => first.isOver);
    reflector.start();
    await clock.advance(3_600_000);
    assert.deepEqual(seen(), ['list', 'watch 10']);
    assert.deepEqual([clock.delaysMs, logged], [[], []], 'no timer, and no error of its own making');
  });

  test('close during a list leaves no watch behind', async () => {
    let answer = () => {};
    server.next((response, request) => {
      answer = () => list([pod('a', '1')], '10')(response, request);
    });
    reflector.start();
    await until('the list', () => server.requests.length === 1);
    const closed = reflector.close('lost leadership');
    answer();
    await closed;
    await clock.advance(3_600_000);
    assert.deepEqual([seen(), told, await reflector.hasSynced], [['list'], [], false]);
  });

  test('close during a pause ends it', async () => {
    server.next(reset);
    reflector.start();
    await until('the pause', () => clock.delaysMs.includes(800));
    await reflector.close('lost leadership');
    assert.deepEqual([clock.delaysMs, seen()], [[], ['list']]);
  });

  test('close in a handler: no further change is told', async () => {
    reflector = reflect();
    reflector.addHandler({ onAdd: () => void reflector.close('enough') });
    server.next(list([pod('a', '1'), pod('b', '2')], '10'));
    reflector.start();
    assert.equal(await reflector.hasSynced, false);
    await reflector.close('done');
    assert.deepEqual(told, ['add a']);
    assert.deepEqual(seen(), ['list']);
  });
});
