import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { pino } from 'pino';
import { until } from '#contract/testing/until.ts';
import { FakeClock } from '../runtime/testing/fake-clock.ts';
import type { KubeClient } from './client.ts';
import { EventRecorder } from './events.ts';
import { FakeApiServer, json, reset, silence, status } from './testing/fake-api-server.ts';
import type { KubeObject } from './object.ts';

const CLUSTER: KubeObject = {
  apiVersion: 'livecluster.io/v1alpha1',
  kind: 'LiveCluster',
  metadata: { name: 'live', namespace: 'media', uid: 'u-1', resourceVersion: '5' },
};
const REPAIRED = { type: 'Normal', reason: 'DriftRepaired', action: 'Apply', note: 'Service live-ingest' } as const;

let server: FakeApiServer;
let clock: FakeClock;
let client: KubeClient;
let recorder: EventRecorder;

beforeEach(async () => {
  server = await FakeApiServer.start();
  server.otherwise = json({ metadata: { name: 'stored' } });
  clock = new FakeClock();
  client = server.client(clock);
  recorder = new EventRecorder({ client, log: pino({ level: 'silent' }), instance: 'operator-0', clock });
});
afterEach(async () => {
  await recorder.close('the test is over');
  client.close('the test is over');
  await server.close();
});

const body = (request: number) => server.requests[request]?.body as object;

test('an event is written as events.k8s.io/v1 asks for it', async () => {
  recorder.record(CLUSTER, REPAIRED);
  await recorder.flush();
  const [seen] = server.requests;
  assert.deepEqual([seen?.method, seen?.path], ['POST', '/apis/events.k8s.io/v1/namespaces/media/events']);
  const { metadata, ...rest } = body(0) as { metadata: { name: string; namespace: string } };
  assert.match(metadata.name, /^live\.[0-9a-f]{16}$/);
  assert.equal(metadata.namespace, 'media');
  assert.deepEqual(rest, {
    apiVersion: 'events.k8s.io/v1',
    kind: 'Event',
    eventTime: '2026-01-01T00:00:00.000000Z',
    reportingController: 'livecluster.io/operator',
    reportingInstance: 'operator-0',
    ...REPAIRED,
    regarding: {
      apiVersion: 'livecluster.io/v1alpha1',
      kind: 'LiveCluster',
      name: 'live',
      namespace: 'media',
      uid: 'u-1',
      resourceVersion: '5',
    },
  });
});

test('the same thing said again counts up one series, at most once a minute', async () => {
  recorder.record(CLUSTER, REPAIRED);
  await recorder.flush();
  for (let again = 0; again < 40; again += 1) {
    await clock.advance(1000);
    recorder.record(CLUSTER, REPAIRED);
  }
  assert.equal(server.requests.length, 1);
  await clock.advance(60_000);
  await until('the update', () => server.requests.length === 2);
  await recorder.flush();
  const [create, update] = server.requests;
  assert.equal(update?.method, 'PATCH');
  assert.equal(update.headers['content-type'], 'application/merge-patch+json');
  assert.equal(update.path, `${create?.path}/${(body(0) as { metadata: { name: string } }).metadata.name}`);
  assert.deepEqual(update.body, { series: { count: 41, lastObservedTime: '2026-01-01T00:00:40.000000Z' } });
});

test('another object, reason or note is another event; so is the same after six quiet minutes', async () => {
  recorder.record(CLUSTER, REPAIRED);
  recorder.record(CLUSTER, { ...REPAIRED, note: 'Service live-playback' });
  recorder.record({ ...CLUSTER, metadata: { ...CLUSTER.metadata, uid: 'u-2' } }, REPAIRED);
  await recorder.flush();
  await clock.advance(360_000);
  recorder.record(CLUSTER, REPAIRED);
  await recorder.flush();
  assert.deepEqual(
    server.requests.map(({ method }) => method),
    ['POST', 'POST', 'POST', 'POST'],
  );
});

test('a series whose event has run out is written anew with its count', async () => {
  recorder.record(CLUSTER, REPAIRED);
  await recorder.flush();
  recorder.record(CLUSTER, REPAIRED);
  server.next(status(404, 'NotFound'));
  await clock.advance(60_000);
  await until('the new event', () => server.requests.length === 3);
  assert.deepEqual((body(2) as { series: { count: number } }).series.count, 2);
});

test('what fails in passing is tried again; what is refused is dropped, and the next one is written', async () => {
  server.next(reset, status(500, 'InternalError'));
  recorder.record(CLUSTER, REPAIRED);
  for (let failure = 1; failure <= 2; failure += 1) {
    await until('a failure', () => server.requests.length === failure && clock.delaysMs.includes(2000 * failure));
    await clock.advance(2000 * failure);
  }
  await recorder.flush();
  assert.deepEqual([server.requests.length, recorder.dropped], [3, 0]);

  server.next(status(403, 'Forbidden'));
  recorder.record(CLUSTER, { ...REPAIRED, reason: 'Refused' });
  recorder.record(CLUSTER, { ...REPAIRED, reason: 'Written' });
  await recorder.flush();
  assert.deepEqual([server.requests.length, recorder.dropped], [5, 1]);
});

test('a flood is limited to a burst of 50 and 5 a second, and what waits to a queue of 256', async () => {
  for (let event = 0; event < 1000; event += 1) recorder.record(CLUSTER, { ...REPAIRED, note: `event ${event}` });
  assert.equal(recorder.dropped, 1000 - 256 - 1, 'one is under way');
  await until('the burst', () => server.requests.length === 50 && clock.delaysMs.length === 1);
  await clock.advance(200);
  await until('one more', () => server.requests.length === 51 && clock.delaysMs.length === 1);
});

test('a long note is cut at 1 KiB, between two characters', async () => {
  recorder.record(CLUSTER, { ...REPAIRED, note: `x${'방'.repeat(1000)}` });
  await recorder.flush();
  assert.equal((body(0) as { note: string }).note, `x${'방'.repeat(341)}`);
});

test('close drops what waits and ends a call under way', async () => {
  server.next(silence);
  recorder.record(CLUSTER, REPAIRED);
  recorder.record(CLUSTER, { ...REPAIRED, reason: 'Other' });
  await until('the first event', () => server.requests.length === 1);
  await Promise.all([recorder.close('shutdown'), recorder.close('again')]);
  recorder.record(CLUSTER, REPAIRED);
  await recorder.flush();
  await clock.advance(600_000);
  assert.equal(server.requests.length, 1);
});
