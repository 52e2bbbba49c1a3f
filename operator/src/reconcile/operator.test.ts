import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { GROUP_VERSION, LABELS } from '#contract/names.ts';
import { readManifests } from '#contract/manifest.ts';
import { OWNED_TYPES } from '../desired/objects.ts';
import { RBAC_RULES } from '../kube-rbac.ts';
import { status, until } from '../kube/fake-api-server.ts';
import type { KubeObject } from '../kube/object.ts';
import { pathOf } from '../kube/resource.ts';
import type { LiveClusterObject, PodObject, VhostObject } from './api-objects.ts';
import { findCondition } from './conditions.ts';
import { FakeCluster } from './fake-cluster.ts';
import { FakeNodes } from './fake-nodes.ts';
import type { FakeNode } from './fake-nodes.ts';
import { createNodeAdmin } from './node-admin.ts';
import type { NodeAdmin } from './node-admin.ts';
import { Operator } from './operator.ts';

type Json = Record<string, unknown>;

const NAMESPACE = 'tv';
/** What all tests together asked of the API server. */
const verbs = new Set<string>();

let fake: FakeCluster;
let nodes: FakeNodes;
let admin: NodeAdmin;
let registry: Registry;
const operators = new Set<Operator>();

async function startOperator(): Promise<Operator> {
  registry = new Registry();
  const operator = new Operator({
    client: fake.client(),
    admin,
    settings: { image: 'livecluster:1', redisImage: 'redis:7', namespace: 'system' },
    namespaces: [],
    instance: 'operator-0',
    registry,
    log: pino({ level: 'silent' }),
    pollMs: 200,
  });
  operators.add(operator);
  await operator.start();
  return operator;
}

async function stopOperator(operator: Operator): Promise<void> {
  operators.delete(operator);
  await operator.stop('test');
}

beforeEach(async () => {
  fake = await FakeCluster.start();
  nodes = await FakeNodes.start();
  admin = createNodeAdmin(nodes.urlOf);
  fake.onPodsChanged = () => {
    nodes.follow(fake.all('Pod') as PodObject[], (pod) => {
      const role = pod.metadata.labels?.[LABELS.role] ?? '';
      const secret = fake.find('Secret', `${pod.metadata.labels?.[LABELS.cluster]}-${role}-config`);
      const data = (secret?.['data'] ?? {}) as Record<string, string>;
      const file = (key: string) => Buffer.from(data[key] ?? '', 'base64');
      return { config: file('config.json').toString(), token: file('admin-token').toString() };
    });
  };
});

afterEach(async () => {
  for (const operator of operators) await stopOperator(operator);
  for (const verb of fake.verbs) verbs.add(verb);
  await admin.close();
  await nodes.close();
  await fake.close();
});

/** Creates a LiveCluster `live` or a Vhost as the API server stores it, defaults filled in. */
function create(kind: 'LiveCluster' | 'Vhost', name: string, spec: string, creationTimestamp = '2026-01-01T00:00:00Z') {
  const text = `{apiVersion: ${GROUP_VERSION}, kind: ${kind}, metadata: {name: ${name}, namespace: ${NAMESPACE}}, spec: ${spec}}`;
  const read = readManifests(text);
  const manifest = read.liveClusters[0] ?? read.vhosts[0];
  assert.ok(manifest, read.errors.join());
  const metadata = { name, namespace: NAMESPACE, creationTimestamp };
  const { apiVersion } = manifest;
  fake.create(pathOf({ apiVersion, kind }, { namespace: NAMESPACE, name }), {
    apiVersion,
    kind,
    metadata,
    spec: manifest.spec,
  });
}

const live = () => fake.find('LiveCluster', 'live') as LiveClusterObject | undefined;
const vhost = (name: string) => fake.find('Vhost', name) as VhostObject | undefined;
const condition = (object: LiveClusterObject | VhostObject | undefined, type: string) =>
  findCondition(object?.status?.conditions, type);
const isReady = () => condition(live(), 'Ready')?.status === 'True';
const events = () => fake.all('Event').map((each) => `${each['reason'] as string}: ${each['note'] as string}`);
const node = (pod: string): FakeNode => {
  const found = nodes.nodes.get((fake.find('Pod', pod) as PodObject | undefined)?.status?.podIP ?? '');
  assert.ok(found, `node of ${pod}`);
  return found;
};

async function readyCluster(spec = '{edge: {replicas: 2}}'): Promise<Operator> {
  create('LiveCluster', 'live', spec);
  const operator = await startOperator();
  await until(isReady, 'the cluster is Ready');
  return operator;
}

/** Waits until every node was asked twice more: whatever was to be done in the meantime, is done. */
async function quiet(): Promise<void> {
  const calls = [...nodes.nodes.values()].map((each) => [each, each.statusCalls] as const);
  await until(() => calls.every(([each, before]) => each.statusCalls >= before + 2), 'nodes are polled');
}

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
  await until(() => events().some((each) => each.startsWith('Ready: ')), 'an event says that it is ready');
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
  await until(() => live()?.status?.viewers === 7 && live()?.status?.streams === 2, 'the counts');
});

const DRIFT: { kind: keyof typeof OWNED_TYPES; name: string; edit: (object: Json) => void }[] = [
  { kind: 'ServiceAccount', name: 'live-media', edit: (object) => (object['automountServiceAccountToken'] = true) },
  { kind: 'Secret', name: 'live-edge-config', edit: (object) => ((object['data'] as Json)['config.json'] = 'e30=') },
  { kind: 'Secret', name: 'live-auth', edit: (object) => delete (object['data'] as Json)['relay-key'] },
  {
    kind: 'Service',
    name: 'live-ingest',
    edit: (object) => (((object['spec'] as Json)['selector'] as Json)[LABELS.role] = 'edge'),
  },
  {
    kind: 'PodDisruptionBudget',
    name: 'live-edge',
    edit: (object) => ((object['spec'] as Json)['maxUnavailable'] = 9),
  },
  { kind: 'NetworkPolicy', name: 'live-origin', edit: (object) => ((object['spec'] as Json)['ingress'] = [{}]) },
  { kind: 'StatefulSet', name: 'live-edge', edit: (object) => ((object['spec'] as Json)['replicas'] = 5) },
  {
    kind: 'Service',
    name: 'live-playback',
    edit: (object) => ((object['metadata'] as Json)['labels'] = { other: 'label' }),
  },
];

for (const { kind, name, edit } of DRIFT) {
  test(`${kind} ${name} comes back when it is edited and when it is deleted, each with an event`, async () => {
    await readyCluster();
    // Copies, and the state after the first write of all, not while that is still under way.
    await quiet();
    const wanted = contentOf(fake.find(kind, name));
    fake.edit(kind, name, edit);
    await until(() => isSame(fake.find(kind, name), wanted), 'the edit is undone');
    await until(
      () => events().some((each) => each.includes(`${kind} ${name} had been edited`)),
      'an event of the edit',
    );
    fake.delete(kind, name);
    await until(() => isSame(fake.find(kind, name), wanted), 'it is made again');
    await until(() => events().some((each) => each.includes(`${kind} ${name} had been deleted`)), 'an event of it');
    assert.match(await registry.metrics(), new RegExp(`livecluster_drift_repaired_total\\{kind="${kind}"\\} 2`));
  });
}

/** An object but for what the API server counts, and labels that others gave it. */
function contentOf(object: KubeObject | undefined): unknown {
  if (!object) return undefined;
  const { status: _status, metadata, ...rest } = object as KubeObject & Json;
  const labels = Object.entries(metadata.labels ?? {}).filter(([label]) => label !== 'other');
  return structuredClone({ rest, labels: labels.sort(), owners: metadata.ownerReferences });
}
const isSame = (object: KubeObject | undefined, wanted: unknown) =>
  JSON.stringify(sorted(contentOf(object))) === JSON.stringify(sorted(wanted));
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort()
      .map(([key, each]) => [key, sorted(each)]),
  );
}

test("what others add to an object stays, and is nobody's drift", async () => {
  await readyCluster();
  fake.edit('Service', 'live-ingest', (object) => {
    (object['metadata'] as Json)['annotations'] = { 'cloud.example/id': '7' };
  });
  await quiet();
  assert.deepEqual(fake.find('Service', 'live-ingest')?.metadata.annotations, { 'cloud.example/id': '7' });
  assert.deepEqual(
    events().filter((each) => each.startsWith('DriftRepaired')),
    [],
  );
});

test('replicas of the LiveCluster reach the StatefulSet', async () => {
  await readyCluster();
  fake.edit('LiveCluster', 'live', (object) => (((object['spec'] as Json)['edge'] as Json)['replicas'] = 3));
  await until(() => live()?.status?.edge?.ready === 3 && fake.find('Pod', 'live-edge-2') !== undefined, 'three edges');
});

test('a Vhost is pushed to every node and Programmed by what they report', async () => {
  await readyCluster();
  create('Vhost', 'tv', '{clusterRef: {name: live}, hosts: [tv.example]}');
  const programmed = () => condition(vhost('tv'), 'Programmed')?.status === 'True';
  await until(programmed, 'Programmed');
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
  await until(() => vhost('tv')?.status?.podsProgrammed === 3, 'three of four run it');
  assert.equal(condition(vhost('tv'), 'Programmed')?.status, 'False');
  assert.match(condition(vhost('tv'), 'Programmed')?.message ?? '', /waiting for live-edge-1/);
  node('live-edge-1').isDead = false;
  await until(() => vhost('tv')?.status?.observedGeneration === 2 && programmed(), 'Programmed again');
  assert.equal(node('live-edge-1').config.vhosts.find((each) => each.name === 'tv')?.enabled, false);
});

test('a pod that refuses a configuration is named with its reason, and is not asked again', async () => {
  await readyCluster();
  node('live-edge-0').refusal = 'vhosts[1].hosts: not here';
  create('Vhost', 'tv', '{clusterRef: {name: live}, hosts: [tv.example]}');
  await until(() => condition(vhost('tv'), 'Programmed')?.reason === 'ConfigRejected', 'the Vhost says so');
  assert.match(
    condition(vhost('tv'), 'Programmed')?.message ?? '',
    /live-edge-0 refused.*vhosts\[1\]\.hosts: not here/,
  );
  await until(() => condition(live(), 'Degraded')?.reason === 'ConfigRejected', 'the LiveCluster says so');
  assert.equal(isReady(), true, 'what runs goes on');
  await quiet();
  assert.equal(node('live-edge-0').pushes, 1);
  node('live-edge-0').refusal = undefined;
  fake.delete('Vhost', 'tv');
  await until(() => condition(live(), 'Degraded')?.status === 'False', 'recovered');
});

test('the conditions of a Vhost tell what is wrong with it', async () => {
  create('Vhost', 'lost', '{clusterRef: {name: nowhere}, hosts: [lost.example]}');
  create('Vhost', 'first', '{clusterRef: {name: live}, hosts: [x.example]}', '2026-01-01T00:00:00Z');
  await readyCluster();
  await until(() => condition(vhost('lost'), 'ResolvedRefs')?.status === 'False', 'no LiveCluster');
  assert.match(condition(vhost('lost'), 'ResolvedRefs')?.message ?? '', /no LiveCluster nowhere.*create it/);
  create('Vhost', 'second', '{clusterRef: {name: live}, hosts: [x.example]}', '2026-01-02T00:00:00Z');
  await until(() => condition(vhost('second'), 'Accepted')?.status === 'False', 'a conflict');
  assert.equal(condition(vhost('second'), 'Accepted')?.reason, 'HostConflict');
  assert.equal(condition(vhost('first'), 'Accepted')?.status, 'True');
  await until(() => events().some((each) => each.startsWith('HostConflict: ')), 'an event');
  fake.edit('Vhost', 'first', (object) => ((object['spec'] as Json)['hosts'] = ['y.example']));
  await until(() => condition(vhost('second'), 'Programmed')?.status === 'True', 'the host is free');
  fake.edit('Vhost', 'first', (object) => ((object['spec'] as Json)['hosts'] = 7));
  await until(() => condition(vhost('first'), 'Accepted')?.reason === 'Invalid', 'what no schema lets through');
  await until(() => condition(vhost('second'), 'Programmed')?.status === 'True', 'the other goes on');
});

test('an operator that is stopped in the middle is resumed by the next one, with the same secrets', async () => {
  create('LiveCluster', 'live', '{edge: {replicas: 1}}');
  fake.refuse = ({ path }) => (path.includes('/statefulsets') ? status(500, 'InternalError') : undefined);
  const first = await startOperator();
  await until(() => condition(live(), 'ObjectsApplied')?.status === 'False', 'the fault is told');
  assert.equal(isReady(), false);
  await stopOperator(first);
  const auth = fake.find('Secret', 'live-auth')?.['data'];
  assert.ok(auth);
  fake.refuse = () => undefined;
  await startOperator();
  await until(isReady, 'Ready');
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
  await until(() => condition(live(), 'ObjectsApplied')?.status === 'False', 'the fault is told');
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
  await until(() => condition(live(), 'ObjectsApplied')?.status === 'False', 'the fault is told');
  assert.match(condition(live(), 'ObjectsApplied')?.message ?? '', /Service live-ingest exists and is not part of/);
  assert.deepEqual(fake.find('Service', 'live-ingest')?.spec, {});
});

test('an external Redis is awaited with the mend, and what the embedded one left is removed', async () => {
  await readyCluster();
  const wanted = { mode: 'External', external: { urlSecretRef: { name: 'redis', key: 'url' } } };
  fake.edit('LiveCluster', 'live', (object) => ((object['spec'] as Json)['redis'] = { ...wanted, resources: {} }));
  await until(() => condition(live(), 'RedisReady')?.status === 'False', 'the reference is told');
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
  await until(() => fake.find('StatefulSet', 'live-redis') === undefined, 'the embedded Redis is gone');
  await until(() => condition(live(), 'RedisReady')?.status === 'True', 'the reference holds');
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
  await until(
    () => Object.keys(OWNED_TYPES).every((kind) => fake.find(kind, 'live-old') === undefined),
    'all of them are gone',
  );
});

test('a volume for Redis is had by making its StatefulSet anew', async () => {
  await readyCluster();
  const before = fake.find('StatefulSet', 'live-redis')?.metadata.uid;
  fake.edit('LiveCluster', 'live', (object) => {
    ((object['spec'] as Json)['redis'] as Json)['persistence'] = { size: '1Gi' };
  });
  await until(() => {
    const set = fake.find('StatefulSet', 'live-redis');
    return set !== undefined && set.metadata.uid !== before;
  }, 'another StatefulSet');
  const spec = (fake.find('StatefulSet', 'live-redis') ?? assert.fail()).spec as Json;
  assert.ok(spec['volumeClaimTemplates']);
});

test('on deletion every node is told to close, again after its container came back, and nothing is made again', async () => {
  await readyCluster();
  const closed = new Map<string, number>();
  nodes.onClose = (host) => {
    const times = (closed.get(host) ?? 0) + 1;
    closed.set(host, times);
    // The first time the kubelet starts the container again; then the pod is on its way out, and ends.
    const pod = (fake.all('Pod') as PodObject[]).find((each) => each.status?.podIP === host);
    if (times === 2 && pod) fake.delete('Pod', pod.metadata.name);
  };
  fake.delete('LiveCluster', 'live');
  await until(() => fake.all('Pod').filter((pod) => pod.metadata.labels?.[LABELS.role]).length === 0, 'all pods ended');
  assert.deepEqual([...closed.values()], [2, 2, 2, 2]);
  for (const kind of Object.keys(OWNED_TYPES)) assert.deepEqual(fake.all(kind), [], kind);
  assert.doesNotMatch(await registry.metrics(), /livecluster_cluster_ready\{/);
});

test('a pod of a deleted cluster that does not close has its grace period cut', async () => {
  await readyCluster('{origin: {replicas: 1}, edge: {replicas: 0}}');
  node('live-origin-0').isDead = true;
  fake.delete('LiveCluster', 'live');
  await until(() => fake.find('Pod', 'live-origin-0') === undefined, 'the pod is gone');
  assert.ok(fake.writes.some((write) => write === 'DELETE /api/v1/namespaces/tv/pods/live-origin-0'));
});

test('a leaving pod that never heard the signal to stop is drained, and closed when its last session has left', async () => {
  await readyCluster();
  const leaving = node('live-edge-1');
  leaving.viewers = 1;
  fake.edit('Pod', 'live-edge-1', (object) => {
    Object.assign(object['metadata'] as Json, { deletionTimestamp: '2026-01-02T00:00:00Z' });
  });
  await until(() => leaving.drains === 1, 'told to drain');
  await quiet();
  assert.equal(leaving.closes, 0, 'not while somebody watches');
  leaving.viewers = 0;
  await until(() => leaving.closes > 0, 'told to close');
  assert.equal(leaving.drains, 1);
  assert.equal(node('live-edge-0').drains, 0);
});

test('a LiveCluster deleted without what it owns leaves the pods running', async () => {
  await readyCluster();
  fake.edit('LiveCluster', 'live', (object) => {
    Object.assign(object['metadata'] as Json, { deletionTimestamp: '2026-01-02T00:00:00Z', finalizers: ['orphan'] });
  });
  for (const each of Object.values(OWNED_TYPES).flatMap((type) => fake.all(type.kind))) {
    fake.edit(each.kind, each.metadata.name, (object) => delete (object['metadata'] as Json)['ownerReferences']);
  }
  fake.delete('LiveCluster', 'live');
  create('LiveCluster', 'other', '{}');
  await until(() => fake.find('StatefulSet', 'other-edge') !== undefined, 'the operator has gone on');
  assert.ok(fake.find('Pod', 'live-edge-0'));
  assert.equal(node('live-edge-0').closes, 0);
});

test('a LiveCluster that this operator cannot read is told so and left alone', async () => {
  await readyCluster();
  fake.edit('LiveCluster', 'live', (object) => ((object['spec'] as Json)['edge'] = { replicas: 'many' }));
  await until(() => condition(live(), 'Ready')?.reason === 'SpecUnreadable', 'the fault is told');
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
