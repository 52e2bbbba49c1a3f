import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import * as fc from 'fast-check';
import { until } from '#contract/testing/until.ts';
import { FakeClock } from '../runtime/testing/fake-clock.ts';
import type { KubeClient } from './client.ts';
import { FakeApiServer, silence, status, statusBody } from './testing/fake-api-server.ts';
import { LineSplitter } from './json-lines.ts';
import { isKubeError } from './kube-error.ts';
import type { WatchEvent } from './object.ts';

const POD = { apiVersion: 'v1', kind: 'Pod' } as const;

let server: FakeApiServer;
let client: KubeClient;
beforeEach(async () => {
  server = await FakeApiServer.start();
  client = server.client();
});
afterEach(async () => {
  client.close('the test is over');
  await server.close();
});

function pod(name: string, resourceVersion: string) {
  return { ...POD, metadata: { name, namespace: 'media', uid: `uid-${name}`, resourceVersion } };
}

async function collect(watch: AsyncIterable<WatchEvent>): Promise<string[]> {
  const seen: string[] = [];
  for await (const { type, object } of watch) seen.push(`${type} ${object.metadata.resourceVersion}`);
  return seen;
}

test('any split of the bytes gives the same lines', () => {
  const text = fc.string({ unit: 'grapheme' }).map((line) => line.replaceAll(/\s/g, ''));
  const property = fc.property(fc.array(text), fc.array(fc.nat(40)), (lines, sizes) => {
    const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''));
    const splitter = new LineSplitter(1000);
    const got: string[] = [];
    let start = 0;
    for (const size of sizes) {
      got.push(...splitter.push(bytes.subarray(start, start + size)));
      start += size;
    }
    got.push(...splitter.push(bytes.subarray(start)));
    assert.deepEqual(
      got,
      lines.filter((line) => line !== ''),
    );
  });
  fc.assert(property);
});

test('a line without end is refused before it fills the memory', () => {
  const splitter = new LineSplitter(10);
  splitter.push(Buffer.from('12345\n6789012345'));
  assert.throws(() => splitter.push(Buffer.from('6')), RangeError);
});

test('a watch asks for bookmarks and gives events however the bytes arrive', async () => {
  const events = collect(client.watch(POD, { resourceVersion: '7', timeoutSeconds: 400, labelSelector: 'a=b' }));
  await until('the watch', () => server.watches.length === 1);
  const [watch] = server.watches;
  assert.deepEqual(watch?.request.query, {
    watch: 'true',
    allowWatchBookmarks: 'true',
    resourceVersion: '7',
    timeoutSeconds: '400',
    labelSelector: 'a=b',
  });
  const bytes = Buffer.from(
    [
      { type: 'ADDED', object: { ...pod('방송', '8'), note: '한국어' } },
      { type: 'BOOKMARK', object: { ...POD, metadata: { resourceVersion: '9' } } },
      { type: 'DELETED', object: pod('방송', '10') },
    ]
      .map((event) => JSON.stringify(event))
      .join('\n'),
  );
  for (const byte of bytes) watch?.response.write(Buffer.from([byte]));
  watch?.response.end('\n');
  assert.deepEqual(await events, ['ADDED 8', 'BOOKMARK 9', 'DELETED 10']);
});

test('a line cut off by the end of the stream is left out', async () => {
  const events = collect(client.watch(POD, { resourceVersion: '7' }));
  await until('the watch', () => server.watches.length === 1);
  server.watches[0]?.send('ADDED', pod('a', '8'));
  server.watches[0]?.response.end('{"type":"MODIFIED","object":');
  assert.deepEqual(await events, ['ADDED 8']);
});

const faults: [string, (response: { write(text: string): unknown }) => unknown, string][] = [
  [
    'an ERROR event with 410',
    (r) => r.write(`${JSON.stringify({ type: 'ERROR', object: statusBody(410, 'Expired') })}\n`),
    'gone',
  ],
  ['an ERROR event of another kind', (r) => r.write('{"type":"ERROR","object":null}\n'), 'unavailable'],
  ['a line that is not JSON', (r) => r.write('{"type":\n'), 'bad-response'],
  ['a line that is no event', (r) => r.write('{"type":"ADDED"}\n'), 'bad-response'],
  [
    'an event of an unknown type',
    (r) => r.write('{"type":"PING","object":{"metadata":{"resourceVersion":"1"}}}\n'),
    'bad-response',
  ],
  [
    'an object without uid',
    (r) => r.write('{"type":"ADDED","object":{"metadata":{"name":"a","resourceVersion":"1"}}}\n'),
    'bad-response',
  ],
];
for (const [name, fault, code] of faults) {
  test(`${name} ends the watch as ${code} and closes its connection`, async () => {
    const events = collect(client.watch(POD, { resourceVersion: '7' })).catch((error: unknown) => error);
    await until('the watch', () => server.watches.length === 1);
    const [watch] = server.watches;
    assert(watch);
    fault(watch.response);
    const error = await events;
    assert(isKubeError(error), String(error));
    assert.equal(error.code, code);
    await until('the end of the connection', () => watch.isOver);
  });
}

test('a reset connection ends the watch as unavailable', async () => {
  const events = collect(client.watch(POD, { resourceVersion: '7' })).catch((error: unknown) => error);
  await until('the watch', () => server.watches.length === 1);
  server.watches[0]?.response.socket?.resetAndDestroy();
  assert(isKubeError(await events, 'unavailable'));
});

test('a refusal comes as its code', async () => {
  server.next(status(429, 'TooManyRequests', { 'retry-after': '3' }));
  const error = await collect(client.watch(POD, { resourceVersion: '7' })).catch((caught: unknown) => caught);
  assert(isKubeError(error, 'throttled'));
  assert.equal(error.retryAfterMs, 3000);
});

test('leaving the loop, and aborting, close the connection', async () => {
  const leaving = (async () => {
    for await (const event of client.watch(POD, { resourceVersion: '7' })) return event.object.metadata.name;
    return 'none';
  })();
  await until('the first watch', () => server.watches.length === 1);
  server.watches[0]?.send('ADDED', pod('a', '8'));
  assert.equal(await leaving, 'a');
  await until('the end of the first watch', () => server.watches[0]?.isOver === true);

  const stopping = new AbortController();
  const aborted = collect(client.watch(POD, { resourceVersion: '7', signal: stopping.signal })).catch(
    (error: unknown) => error,
  );
  await until('the second watch', () => server.watches.length === 2);
  stopping.abort();
  assert(isKubeError(await aborted, 'aborted'));
  await until('the end of the second watch', () => server.watches[1]?.isOver === true);
});

test('the deadline is for the head of the answer: a quiet watch outlives it', async () => {
  const clock = new FakeClock();
  const timed = server.client(clock);
  server.next(silence);
  const refused = collect(timed.watch(POD, { resourceVersion: '7' })).catch((error: unknown) => error);
  await until('the first request', () => server.requests.length === 1);
  await clock.advance(30_000);
  assert(isKubeError(await refused, 'timeout'));

  const events = collect(timed.watch(POD, { resourceVersion: '7' }));
  await until('the watch', () => server.watches.length === 1);
  server.watches[0]?.send('ADDED', pod('a', '8'));
  await clock.waiting(0);
  await until('the end of the deadline', () => clock.delaysMs.length === 0);
  await clock.advance(3_600_000);
  server.watches[0]?.send('ADDED', pod('b', '9'));
  server.watches[0]?.response.end();
  assert.deepEqual(await events, ['ADDED 8', 'ADDED 9']);
  timed.close('done');
});
