import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { pino } from 'pino';
import { until } from '#contract/testing/until.ts';
import { FakeClock } from '../runtime/testing/fake-clock.ts';
import { LeaderLease } from '../runtime/leader-lease.ts';
import type { KubeClient } from './client.ts';
import { FakeApiServer, json, reset, silence, status } from './testing/fake-api-server.ts';
import { isKubeError } from './kube-error.ts';
import { KubeLeaseStore } from './lease-store.ts';

const CALL = { timeoutMs: 5000 };
const RECORD = {
  holderIdentity: 'me',
  leaseDurationSeconds: 15,
  acquireTime: '2026-01-01T00:00:00.000000Z',
  renewTime: '2026-01-01T00:00:00.000000Z',
  leaseTransitions: 0,
};
const PATH = '/apis/coordination.k8s.io/v1/namespaces/system/leases';

let server: FakeApiServer;
let clock: FakeClock;
let client: KubeClient;
let store: KubeLeaseStore;
beforeEach(async () => {
  server = await FakeApiServer.start();
  clock = new FakeClock();
  client = server.client(clock);
  store = new KubeLeaseStore(client, 'system', 'operator');
});
afterEach(async () => {
  client.close('the test is over');
  await server.close();
});

function lease(version: string, spec: unknown = RECORD, labels = {}) {
  const metadata = { name: 'operator', namespace: 'system', resourceVersion: version, uid: 'u', labels };
  return { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata, spec };
}

test('a lease that is not there is created', async () => {
  assert.equal(await store.read(CALL), undefined);
  server.next(json(lease('1'), 201));
  assert.deepEqual(await store.write(RECORD, undefined, CALL), { record: RECORD, version: '1' });
  const seen = server.requests[1];
  assert(seen);
  assert.deepEqual([seen.method, seen.path], ['POST', PATH]);
  assert.deepEqual((seen.body as { spec: unknown }).spec, RECORD);
});

test('a write is a PUT with the version that was read; what others put on the lease stays', async () => {
  server.next(json(lease('7', { ...RECORD, strategy: 'x' }, { team: 'media' })), json(lease('8')));
  const stored = await store.read(CALL);
  assert.deepEqual(stored, { record: RECORD, version: '7' });
  const next = { ...RECORD, renewTime: '2026-01-01T00:00:02.000000Z' };
  await store.write(next, '7', CALL);
  const seen = server.requests[1];
  assert.deepEqual([seen?.method, seen?.path], ['PUT', `${PATH}/operator`]);
  assert.deepEqual(seen?.body, lease('7', { ...next, strategy: 'x' }, { team: 'media' }));
});

for (const [code, reason] of [
  [409, 'Conflict'],
  [409, 'AlreadyExists'],
  [404, 'NotFound'],
] as const) {
  test(`a ${code} ${reason} is a conflict: another write came first`, async () => {
    server.next(status(code, reason), status(code, reason));
    assert.equal(await store.write(RECORD, '7', CALL), 'conflict');
    assert.equal(await store.write(RECORD, undefined, CALL), 'conflict');
  });
}

test('a lease without a spec is one that nobody holds', async () => {
  server.next(json({ ...lease('3'), spec: undefined }));
  const stored = await store.read(CALL);
  assert.deepEqual([stored?.record.holderIdentity, stored?.version], ['', '3']);
});

test('a leader keeps its lease over a reset and a 500, and loses it to a silent server after 10 s', async () => {
  let version = 1;
  let stored: ReturnType<typeof lease> | undefined;
  server.otherwise = (response, request) => {
    if (request.method !== 'GET') {
      version += 1;
      stored = lease(String(version), (request.body as { spec: unknown }).spec);
    }
    (stored ? json(stored) : status(404, 'NotFound'))(response, request);
  };
  const log = pino({ level: 'silent' });
  const leader = new LeaderLease({ store, identity: 'me', log, clock, random: () => 0 });
  leader.start();
  assert.equal(await leader.acquired, true);
  for (const fault of [reset, status(500, 'InternalError')]) {
    server.next(fault);
    for (let renewal = 0; renewal < 2; renewal += 1) {
      const before = server.requests.length;
      await until('the wait for the next renewal', () => clock.delaysMs.includes(2000));
      await clock.advance(2000);
      await until('a call', () => server.requests.length > before);
    }
  }
  await until('the last renewal', () => clock.delaysMs.includes(2000));
  assert.equal(leader.isWriteAllowed(), true);

  server.otherwise = silence;
  await clock.advance(2000);
  await until('the call that hangs', () => clock.delaysMs.includes(5000));
  await clock.advance(8000);
  assert.deepEqual([(await leader.ended).kind, leader.isWriteAllowed()], ['lost', false]);
  await leader.release('done');
});

test('other failures reach the caller', async () => {
  server.next(status(403, 'Forbidden'));
  await assert.rejects(store.write(RECORD, '7', CALL), (error) => isKubeError(error, 'forbidden'));
});
