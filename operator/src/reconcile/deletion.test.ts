import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LABELS } from '#contract/names.ts';
import { until } from '#contract/testing/until.ts';
import { OWNED_TYPES } from '../desired/objects.ts';
import type { PodObject } from './api-objects.ts';
import { create, fake, node, nodes, quiet, readyCluster, registry } from './testing/test-operator.ts';
import type { Json } from './testing/test-operator.ts';

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
  await until('all pods ended', () => fake.all('Pod').filter((pod) => pod.metadata.labels?.[LABELS.role]).length === 0);
  assert.deepEqual([...closed.values()], [2, 2, 2, 2]);
  for (const kind of Object.keys(OWNED_TYPES)) assert.deepEqual(fake.all(kind), [], kind);
  assert.doesNotMatch(await registry.metrics(), /livecluster_cluster_ready\{/);
});

test('a leaving pod that never heard the signal to stop is drained, and closed when its last session has left', async () => {
  await readyCluster();
  const leaving = node('live-edge-1');
  leaving.viewers = 1;
  fake.edit('Pod', 'live-edge-1', (object) => {
    Object.assign(object['metadata'] as Json, { deletionTimestamp: '2026-01-02T00:00:00Z' });
  });
  await until('told to drain', () => leaving.drains === 1);
  await quiet();
  assert.equal(leaving.closes, 0, 'not while somebody watches');
  leaving.viewers = 0;
  await until('told to close', () => leaving.closes > 0);
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
  await until('the operator has gone on', () => fake.find('StatefulSet', 'other-edge') !== undefined);
  assert.ok(fake.find('Pod', 'live-edge-0'));
  assert.equal(node('live-edge-0').closes, 0);
});
