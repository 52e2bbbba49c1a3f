import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LABELS } from '#contract/names.ts';
import { until } from '#contract/testing/until.ts';
import { OWNED_TYPES } from '../desired/objects.ts';
import { RBAC_RULES } from '../kube-rbac.ts';
import { status } from '../kube/testing/fake-api-server.ts';
import type { KubeObject } from '../kube/object.ts';
import { pathOf } from '../kube/resource.ts';
import {
  condition,
  create,
  events,
  fake,
  isReady,
  live,
  NAMESPACE,
  node,
  quiet,
  readyCluster,
  registry,
  startOperator,
  stopOperator,
  verbs,
  vhost,
} from './testing/test-operator.ts';
import type { Json } from './testing/test-operator.ts';

test('six lines become a Ready cluster whose status tells its addresses and pods', async () => {
  await readyCluster();
  const { status: is, metadata } = live() ?? assert.fail();
  assert.equal(is?.observedGeneration, metadata.generation);
  assert.deepEqual(is?.origin, { replicas: 2, ready: 2, updated: 2 });
  assert.equal(is?.edge?.selector, 'livecluster.io/cluster=live,livecluster.io/role=edge');
  assert.equal(is?.address, '203.0.113.7');
  assert.deepEqual(is?.endpoints, {
    rtmp: 'rtmp://203.0.113.7:1935',
    rtmpPlay: 'rtmp://203.0.113.7:1935',
    flv: 'http://203.0.113.7:8080',
  });
  assert.deepEqual(
    is?.pods?.map(({ name, role, state }) => [name, role, state]),
    [
      ['live-edge-0', 'edge', 'Ready'],
      ['live-edge-1', 'edge', 'Ready'],
      ['live-origin-0', 'origin', 'Ready'],
      ['live-origin-1', 'origin', 'Ready'],
    ],
  );
  assert.deepEqual(
    is?.conditions?.map(({ type, status: value }) => [type, value]),
    [
      ['Ready', 'True'],
      ['Progressing', 'False'],
      ['Degraded', 'False'],
      ['ObjectsApplied', 'True'],
      ['RedisReady', 'True'],
      ['OriginsReady', 'True'],
      ['EdgesReady', 'True'],
      ['ConfigProgrammed', 'True'],
      ['AddressReady', 'True'],
    ],
  );
  await until('an event says that it is ready', () => events().some((each) => each.startsWith('Ready: ')));
  assert.match(await registry.metrics(), /livecluster_cluster_ready\{namespace="tv",cluster="live"\} 1/);
});

test('once all is as it should be nothing more is written', async () => {
  await readyCluster();
  await quiet();
  const before = fake.writes.length;
  await quiet();
  assert.deepEqual(fake.writes.slice(before), []);
});

test('streams and viewers of the nodes are counted in the status', async () => {
  await readyCluster();
  node('live-origin-0').streams = 2;
  node('live-edge-0').viewers = 3;
  node('live-edge-1').viewers = 4;
  await until('the counts', () => live()?.status?.viewers === 7 && live()?.status?.streams === 2);
});

test('replicas of the LiveCluster reach the StatefulSet', async () => {
  await readyCluster();
  fake.edit('LiveCluster', 'live', (object) => (((object['spec'] as Json)['edge'] as Json)['replicas'] = 3));
  await until('three edges', () => live()?.status?.edge?.ready === 3 && fake.find('Pod', 'live-edge-2') !== undefined);
});

test('a Vhost is pushed to every node and Programmed by what they report', async () => {
  await readyCluster();
  create('Vhost', 'tv', '{clusterRef: {name: live}, hosts: [tv.example]}');
  const programmed = () => condition(vhost('tv'), 'Programmed')?.status === 'True';
  await until('Programmed', programmed);
  const pods = ['live-origin-0', 'live-origin-1', 'live-edge-0', 'live-edge-1'];
  for (const pod of pods)
    assert.ok(
      node(pod).config.vhosts.some((each) => each.name === 'tv'),
      pod,
    );
  const { podsProgrammed, podsTotal, observedGeneration } = vhost('tv')?.status ?? {};
  assert.deepEqual([podsProgrammed, podsTotal, observedGeneration], [4, 4, 1]);

  node('live-edge-1').isDead = true;
  fake.edit('Vhost', 'tv', (object) => ((object['spec'] as Json)['enabled'] = false));
  await until('three of four run it', () => vhost('tv')?.status?.podsProgrammed === 3);
  assert.equal(condition(vhost('tv'), 'Programmed')?.status, 'False');
  assert.match(condition(vhost('tv'), 'Programmed')?.message ?? '', /waiting for live-edge-1/);
  node('live-edge-1').isDead = false;
  await until('Programmed again', () => vhost('tv')?.status?.observedGeneration === 2 && programmed());
  assert.equal(node('live-edge-1').config.vhosts.find((each) => each.name === 'tv')?.enabled, false);
});

test('a pod that refuses a configuration is named with its reason, and is not asked again', async () => {
  await readyCluster();
  node('live-edge-0').refusal = 'vhosts[1].hosts: not here';
  create('Vhost', 'tv', '{clusterRef: {name: live}, hosts: [tv.example]}');
  await until('the Vhost says so', () => condition(vhost('tv'), 'Programmed')?.reason === 'ConfigRejected');
  assert.match(
    condition(vhost('tv'), 'Programmed')?.message ?? '',
    /live-edge-0 refused.*vhosts\[1\]\.hosts: not here/,
  );
  await until('the LiveCluster says so', () => condition(live(), 'Degraded')?.reason === 'ConfigRejected');
  assert.equal(isReady(), true, 'what runs goes on');
  await quiet();
  assert.equal(node('live-edge-0').pushes, 1);
  node('live-edge-0').refusal = undefined;
  fake.delete('Vhost', 'tv');
  await until('recovered', () => condition(live(), 'Degraded')?.status === 'False');
});

test('the conditions of a Vhost tell what is wrong with it', async () => {
  create('Vhost', 'lost', '{clusterRef: {name: nowhere}, hosts: [lost.example]}');
  create('Vhost', 'first', '{clusterRef: {name: live}, hosts: [x.example]}', '2026-01-01T00:00:00Z');
  await readyCluster();
  await until('no LiveCluster', () => condition(vhost('lost'), 'ResolvedRefs')?.status === 'False');
  assert.match(condition(vhost('lost'), 'ResolvedRefs')?.message ?? '', /no LiveCluster nowhere.*create it/);
  create('Vhost', 'second', '{clusterRef: {name: live}, hosts: [x.example]}', '2026-01-02T00:00:00Z');
  await until('a conflict', () => condition(vhost('second'), 'Accepted')?.status === 'False');
  assert.equal(condition(vhost('second'), 'Accepted')?.reason, 'HostConflict');
  assert.equal(condition(vhost('first'), 'Accepted')?.status, 'True');
  await until('an event', () => events().some((each) => each.startsWith('HostConflict: ')));
  fake.edit('Vhost', 'first', (object) => ((object['spec'] as Json)['hosts'] = ['y.example']));
  await until('the host is free', () => condition(vhost('second'), 'Programmed')?.status === 'True');
  fake.edit('Vhost', 'first', (object) => ((object['spec'] as Json)['hosts'] = 7));
  await until('what no schema lets through', () => condition(vhost('first'), 'Accepted')?.reason === 'Invalid');
  await until('the other goes on', () => condition(vhost('second'), 'Programmed')?.status === 'True');
});

test('an operator that is stopped in the middle is resumed by the next one, with the same secrets', async () => {
  create('LiveCluster', 'live', '{edge: {replicas: 1}}');
  fake.refuse = ({ path }) => (path.includes('/statefulsets') ? status(500, 'InternalError') : undefined);
  const first = await startOperator();
  await until('the fault is told', () => condition(live(), 'ObjectsApplied')?.status === 'False');
  assert.equal(isReady(), false);
  await stopOperator(first);
  const auth = fake.find('Secret', 'live-auth')?.['data'];
  assert.ok(auth);
  fake.refuse = () => undefined;
  await startOperator();
  await until('Ready', isReady);
  assert.deepEqual(fake.find('Secret', 'live-auth')?.['data'], auth);
});

test('an operator that starts on a settled cluster writes nothing that changes anything', async () => {
  const first = await readyCluster();
  await quiet();
  await stopOperator(first);
  const versions = () => fake.all('StatefulSet').map(({ metadata }) => metadata.resourceVersion);
  const before = versions();
  await startOperator();
  await quiet();
  assert.deepEqual(versions(), before);
  assert.deepEqual(
    events().filter((each) => each.startsWith('DriftRepaired')),
    [],
  );
});

test('an object that the API server refuses is told with its words and holds up no other', async () => {
  create('LiveCluster', 'live', '{}');
  fake.refuse = ({ path }) => (path.endsWith('/services/live-playback') ? status(422, 'Invalid') : undefined);
  await startOperator();
  await until('the fault is told', () => condition(live(), 'ObjectsApplied')?.status === 'False');
  assert.match(condition(live(), 'ObjectsApplied')?.message ?? '', /Service\/live-playback was refused.*the fake says/);
  assert.equal(condition(live(), 'Degraded')?.status, 'True');
  assert.ok(fake.find('StatefulSet', 'live-edge'));
});

test("an object of somebody else's with a wanted name is left alone and named", async () => {
  const path = '/api/v1/namespaces/tv/services/live-ingest';
  const theirs = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'live-ingest', namespace: NAMESPACE },
    spec: {},
  };
  fake.create(path, theirs);
  create('LiveCluster', 'live', '{}');
  await startOperator();
  await until('the fault is told', () => condition(live(), 'ObjectsApplied')?.status === 'False');
  assert.match(condition(live(), 'ObjectsApplied')?.message ?? '', /Service live-ingest exists and is not part of/);
  assert.deepEqual(fake.find('Service', 'live-ingest')?.spec, {});
});

test('an external Redis is awaited with the mend, and what the embedded one left is removed', async () => {
  await readyCluster();
  const wanted = { mode: 'External', external: { urlSecretRef: { name: 'redis', key: 'url' } } };
  fake.edit('LiveCluster', 'live', (object) => ((object['spec'] as Json)['redis'] = { ...wanted, resources: {} }));
  await until('the reference is told', () => condition(live(), 'RedisReady')?.status === 'False');
  assert.match(
    condition(live(), 'RedisReady')?.message ?? '',
    /Secret redis does not exist: create it in namespace tv/,
  );
  assert.equal(isReady(), true, 'what runs goes on with the Redis it has');
  assert.ok(fake.find('StatefulSet', 'live-redis'));
  const data = { url: Buffer.from('rediss://:pw@redis.example').toString('base64') };
  fake.create('/api/v1/namespaces/tv/secrets/redis', {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'redis', namespace: NAMESPACE },
    data,
  } as KubeObject);
  fake.edit('LiveCluster', 'live', (object) => (((object['spec'] as Json)['edge'] as Json)['replicas'] = 1));
  await until('the embedded Redis is gone', () => fake.find('StatefulSet', 'live-redis') === undefined);
  await until('the reference holds', () => condition(live(), 'RedisReady')?.status === 'True');
  const files = fake.find('Secret', 'live-edge-config')?.['data'] as Record<string, string>;
  assert.equal(files['redis-url'], data.url);
  assert.equal(fake.find('Secret', 'live-redis'), undefined);
  assert.ok(fake.find('Secret', 'redis'), "the user's Secret stays");
});

test('what the cluster owns and nothing wants any more is deleted, of every kind', async () => {
  await readyCluster();
  const ownerReferences = fake.find('Service', 'live-ingest')?.metadata.ownerReferences ?? [];
  const labels = { [LABELS.cluster]: 'live' };
  for (const type of Object.values(OWNED_TYPES)) {
    const metadata = { name: 'live-old', namespace: NAMESPACE, labels, ownerReferences };
    const spec = type.kind === 'StatefulSet' ? { replicas: 0, template: { metadata: {}, spec: {} } } : {};
    fake.create(pathOf(type, { namespace: NAMESPACE, name: 'live-old' }), { ...type, metadata, spec });
  }
  await until('all of them are gone', () =>
    Object.keys(OWNED_TYPES).every((kind) => fake.find(kind, 'live-old') === undefined),
  );
});

test('a volume for Redis is had by making its StatefulSet anew', async () => {
  await readyCluster();
  const before = fake.find('StatefulSet', 'live-redis')?.metadata.uid;
  fake.edit('LiveCluster', 'live', (object) => {
    ((object['spec'] as Json)['redis'] as Json)['persistence'] = { size: '1Gi' };
  });
  await until('another StatefulSet', () => {
    const set = fake.find('StatefulSet', 'live-redis');
    return set !== undefined && set.metadata.uid !== before;
  });
  const spec = (fake.find('StatefulSet', 'live-redis') ?? assert.fail()).spec as Json;
  assert.ok(spec['volumeClaimTemplates']);
});

test('a LiveCluster that this operator cannot read is told so and left alone', async () => {
  await readyCluster();
  fake.edit('LiveCluster', 'live', (object) => ((object['spec'] as Json)['edge'] = { replicas: 'many' }));
  await until('the fault is told', () => condition(live(), 'Ready')?.reason === 'SpecUnreadable');
  assert.match(condition(live(), 'Ready')?.message ?? '', /spec\.edge\.replicas: .*install the CRDs/);
  assert.ok(fake.find('StatefulSet', 'live-edge'));
});

test('no test above made a call without a right, and no right is without a call', () => {
  // Not asked of a fake: an admission plugin's, and the second write of an event, a minute after the first.
  const unasked = new Set(['livecluster.io/liveclusters/finalizers update', 'events.k8s.io/events patch']);
  const allowed = new Set(
    RBAC_RULES.flatMap(({ apiGroups, resources, verbs: of }) =>
      apiGroups.flatMap((group) => resources.flatMap((resource) => of.map((verb) => `${group}/${resource} ${verb}`))),
    ),
  );
  assert.deepEqual(
    [...verbs].filter((verb) => !allowed.has(verb)),
    [],
    'calls without a right',
  );
  assert.deepEqual(
    [...allowed].filter((verb) => !verbs.has(verb) && !unasked.has(verb)),
    [],
    'rights without a call',
  );
});
