import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '#contract/testing/until.ts';
import type { PodObject, VhostObject } from './api-objects.ts';
import { condition, create, fake, isReady, live, NAMESPACE, readyCluster } from './testing/test-operator.ts';
import type { Json } from './testing/test-operator.ts';

const setStorage = (dvr: Json) =>
  fake.edit('LiveCluster', 'live', (object) => {
    const spec = object['spec'] as Json;
    spec['origin'] = { ...(spec['origin'] as Json), storage: { dvr } };
  });
/** What is not told by a watch is looked at again after a change of the LiveCluster. */
const touch = (replicas: number) =>
  fake.edit('LiveCluster', 'live', (object) => (((object['spec'] as Json)['edge'] as Json)['replicas'] = replicas));
const filesOf = (name: string) => fake.find('Secret', name)?.['data'] as Record<string, string>;
const origins = () =>
  (fake.all('Pod') as PodObject[]).filter(({ metadata }) => metadata.name.startsWith('live-origin'));
const setUid = () => fake.find('StatefulSet', 'live-origin')?.metadata.uid;

test('recordings in a bucket await their credentials with the mend, and only origins get them', async () => {
  await readyCluster();
  setStorage({ type: 'S3', s3: { bucket: 'tapes', secretRef: { name: 'tapes-s3' } } });
  const message = () => condition(live(), 'RecordingStoreReady')?.message ?? '';
  const is = (status: string) => condition(live(), 'RecordingStoreReady')?.status === status;
  await until('the reference is told', () => is('False'));
  assert.match(
    message(),
    /Secret tapes-s3 does not exist: create it in namespace tv with the keys accessKeyId and secretAccessKey; recordings wait/,
  );
  assert.equal(isReady(), true);

  const path = `/api/v1/namespaces/${NAMESPACE}/secrets/tapes-s3`;
  const secretOf = (data: Record<string, string>) => ({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'tapes-s3', namespace: NAMESPACE },
    data: Object.fromEntries(Object.entries(data).map(([key, text]) => [key, btoa(text)])),
  });
  fake.create(path, secretOf({ AWS_ACCESS_KEY_ID: 'id' }));
  touch(1);
  await until('the lack is told', () => message().includes('has no secretAccessKey or AWS_SECRET_ACCESS_KEY: add it'));

  fake.edit('Secret', 'tapes-s3', (object) => {
    object['data'] = secretOf({ AWS_ACCESS_KEY_ID: 'id', secretAccessKey: 'sesame\n' }).data;
  });
  touch(2);
  await until('the credentials are taken', () => is('True'));
  const file = JSON.parse(atob(filesOf('live-origin-config')['s3.json'] ?? '')) as unknown;
  assert.deepEqual(file, { version: 1, accessKeyId: 'id', secretAccessKey: 'sesame' });
  assert.equal(filesOf('live-edge-config')['s3.json'], undefined);

  fake.edit('Secret', 'tapes-s3', (object) => (object['data'] = {}));
  touch(1);
  await until('the broken one is told', () => is('False'));
  assert.ok(filesOf('live-origin-config')['s3.json'], 'nodes keep the ones they have');
  assert.doesNotMatch(JSON.stringify(live()?.status), /sesame/);

  setStorage({ type: 'None' });
  await until('nothing needs credentials', () => condition(live(), 'RecordingStoreReady') === undefined);
  await until('nodes have none that they don’t need', () => filesOf('live-origin-config')['s3.json'] === undefined);
});

test('a Vhost that is to be recorded says whether there is storage, and what to set', async () => {
  await readyCluster();
  create('Vhost', 'tv', '{clusterRef: {name: live}, hosts: [tv.example.com], dvr: {enabled: true}}');
  const dvr = () => {
    const { status } = (fake.find('Vhost', 'tv') ?? {}) as VhostObject;
    return status?.conditions?.find(({ type }) => type === 'DvrReady');
  };
  await until('it is told', () => dvr()?.status === 'False');
  assert.match(
    dvr()?.message ?? '',
    /LiveCluster live has nowhere .*: set its spec\.origin\.storage\.dvr\.type to PVC/,
  );
  setStorage({ type: 'EmptyDir' });
  await until('there is storage', () => dvr()?.status === 'True');
  fake.edit('Vhost', 'tv', (object) => ((object['spec'] as Json)['dvr'] = { enabled: false }));
  await until('it records nothing', () => dvr() === undefined);
});

test('volumes are had by making the StatefulSet and its pods anew', async () => {
  await readyCluster();
  const before = setUid();
  setStorage({ type: 'PVC', size: '1Gi' });
  await until('another StatefulSet', () => setUid() !== undefined && setUid() !== before);
  assert.ok(origins().length > 0);
  assert.ok(
    origins().every(({ metadata }) => metadata.deletionTimestamp),
    'pods without the claims go',
  );
});

test('another size makes the StatefulSet anew and keeps the pods, for they have their claims', async () => {
  await readyCluster('{origin: {storage: {dvr: {type: PVC, size: 1Gi}}}}');
  const before = setUid();
  const pods = origins().map(({ metadata }) => metadata.uid);
  assert.equal(pods.length, 2);
  setStorage({ type: 'PVC', size: '2Gi' });
  await until('another StatefulSet', () => setUid() !== undefined && setUid() !== before);
  assert.deepEqual(
    origins().map(({ metadata }) => [metadata.uid, metadata.deletionTimestamp]),
    pods.map((uid) => [uid, undefined]),
  );
});
