import assert from 'node:assert/strict';
import { afterEach, beforeEach } from 'node:test';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { GROUP_VERSION, LABELS } from '#contract/names.ts';
import { readManifests } from '#contract/manifest.ts';
import { until } from '#contract/testing/until.ts';
import { pathOf } from '../../kube/resource.ts';
import type { LiveClusterObject, PodObject, VhostObject } from '../api-objects.ts';
import { findCondition } from '../conditions.ts';
import { FakeCluster } from './fake-cluster.ts';
import { FakeNodes } from './fake-nodes.ts';
import type { FakeNode } from './fake-nodes.ts';
import { createNodeAdmin } from '../node-admin.ts';
import type { NodeAdmin } from '../node-admin.ts';
import { Operator } from '../operator.ts';

/*
 * What tests of the whole operator share: before each test a fake cluster with its nodes, after it everything is ended.
 */

export type Json = Record<string, unknown>;

export const NAMESPACE = 'tv';
/** What all tests together asked of the API server. */
export const verbs = new Set<string>();

export let fake: FakeCluster;
export let nodes: FakeNodes;
let admin: NodeAdmin;
export let registry: Registry;
const operators = new Set<Operator>();

export async function startOperator(): Promise<Operator> {
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

export async function stopOperator(operator: Operator): Promise<void> {
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
export function create(
  kind: 'LiveCluster' | 'Vhost',
  name: string,
  spec: string,
  creationTimestamp = '2026-01-01T00:00:00Z',
) {
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

export const live = () => fake.find('LiveCluster', 'live') as LiveClusterObject | undefined;
export const vhost = (name: string) => fake.find('Vhost', name) as VhostObject | undefined;
export const condition = (object: LiveClusterObject | VhostObject | undefined, type: string) =>
  findCondition(object?.status?.conditions, type);
export const isReady = () => condition(live(), 'Ready')?.status === 'True';
export const events = () => fake.all('Event').map((each) => `${each['reason'] as string}: ${each['note'] as string}`);
export const node = (pod: string): FakeNode => {
  const found = nodes.nodes.get((fake.find('Pod', pod) as PodObject | undefined)?.status?.podIP ?? '');
  assert.ok(found, `node of ${pod}`);
  return found;
};

export async function readyCluster(spec = '{edge: {replicas: 2}}'): Promise<Operator> {
  create('LiveCluster', 'live', spec);
  const operator = await startOperator();
  await until('the cluster is Ready', isReady);
  return operator;
}

/** Waits until every node was asked twice more: whatever was to be done in the meantime, is done. */
export async function quiet(): Promise<void> {
  const calls = [...nodes.nodes.values()].map((each) => [each, each.statusCalls] as const);
  await until('nodes are polled', () => calls.every(([each, before]) => each.statusCalls >= before + 2));
}
