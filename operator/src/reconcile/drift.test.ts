import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LABELS } from '#contract/names.ts';
import { until } from '#contract/testing/until.ts';
import { OWNED_TYPES } from '../desired/objects.ts';
import type { KubeObject } from '../kube/object.ts';
import { events, fake, quiet, readyCluster, registry } from './testing/test-operator.ts';
import type { Json } from './testing/test-operator.ts';

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
    await until('the edit is undone', () => isSame(fake.find(kind, name), wanted));
    await until('an event of the edit', () =>
      events().some((each) => each.includes(`${kind} ${name} had been edited`)),
    );
    fake.delete(kind, name);
    await until('it is made again', () => isSame(fake.find(kind, name), wanted));
    await until('an event of it', () => events().some((each) => each.includes(`${kind} ${name} had been deleted`)));
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
