import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { DEFAULT_VHOST } from '#contract/names.ts';
import { planFrom, PlanError } from './plan.ts';

const cluster = (spec: string, name = 'live') => `
apiVersion: livecluster.io/v1alpha1
kind: LiveCluster
metadata: {name: ${name}}
spec: ${spec}
`;
const vhost = (name: string, host: string, of = 'live') => `
apiVersion: livecluster.io/v1alpha1
kind: Vhost
metadata: {name: ${name}}
spec: {clusterRef: {name: ${of}}, hosts: [${host}]}
`;

test('the six lines of the example give two origins and two edges', () => {
  const plan = planFrom(readFileSync(new URL('../examples/livecluster.yaml', import.meta.url), 'utf8'));
  assert.deepEqual(
    plan.nodes.map(({ name, role, ordinal }) => [name, role, ordinal]),
    [
      ['origin-0', 'origin', 0],
      ['origin-1', 'origin', 1],
      ['edge-0', 'edge', 0],
      ['edge-1', 'edge', 1],
    ],
  );
  assert.deepEqual(
    plan.nodes.map(({ config }) => config.vhosts.map(({ name }) => name)),
    Array.from({ length: 4 }, () => [DEFAULT_VHOST]),
  );
  assert.deepEqual(plan.notes, []);
});

test('a Vhost of the cluster is in every node’s configuration, one of another is told', () => {
  const text = [
    cluster('{edge: {replicas: 1}}'),
    vhost('shop', 'shop.example'),
    vhost('other', 'o.example', 'else'),
  ].join('---');
  const plan = planFrom(text);
  for (const { config } of plan.nodes) {
    assert.deepEqual(config.vhosts.map(({ name }) => name).sort(), [DEFAULT_VHOST, 'shop']);
  }
  assert.equal(plan.notes.length, 1);
  assert.match(plan.notes[0] ?? '', /Vhost other is left out: its clusterRef is not default\/live/);
});

test('two Vhosts with one host, and a second LiveCluster, are told', () => {
  const text = [cluster('{}'), cluster('{}', 'two'), vhost('a', 'x.example'), vhost('b', 'x.example')].join('---');
  const { cluster: name, notes } = planFrom(text);
  assert.equal(name, 'live');
  assert.equal(notes.length, 2);
  assert.match(notes.join('\n'), /LiveCluster two is left out/);
  assert.match(notes.join('\n'), /Vhost b is left out: host x\.example/);
});

test('a file that cannot be run is refused with each fault and its place', () => {
  const bad: [string, string, RegExp][] = [
    ['an empty file', '', /no LiveCluster; examples\/livecluster\.yaml shows/],
    ['broken YAML', cluster('{edge: {replicas: 2}'), /line \d+/],
    ['a wrong field', cluster('{edgge: {replicas: 2}}'), /edgge/],
    ['a wrong value', cluster('{edge: {replicas: two}}'), /spec\.edge\.replicas/],
    ['another kind', 'apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n', /v1 Pod is unknown here/],
    ['too many nodes', cluster('{edge: {replicas: 31}}'), /33 nodes are more than one process runs \(32\)/],
    ['a NUL', '\u0000', /./],
  ];
  for (const [what, text, message] of bad) {
    assert.throws(
      () => planFrom(text),
      (error) => error instanceof PlanError && message.test(error.faults.join('\n')),
      what,
    );
  }
});

test('recordings go where the file has storage for them; a Vhost that asks in vain is told', () => {
  const text = (storage: string) => `
apiVersion: livecluster.io/v1alpha1
kind: LiveCluster
metadata: {name: live}
spec: {origin: {storage: ${storage}}}
---
apiVersion: livecluster.io/v1alpha1
kind: Vhost
metadata: {name: tv}
spec: {clusterRef: {name: live}, hosts: [tv.example.com], dvr: {enabled: true}}
`;
  const none = planFrom(text('{}'));
  assert.equal(none.records, false);
  assert.match(none.notes.join(), /Vhost tv .* is not recorded: set spec\.origin\.storage\.dvr\.type/);
  const pvc = planFrom(text('{dvr: {type: PVC}}'));
  assert.equal(pvc.records, true);
  assert.deepEqual(pvc.notes, []);
  assert.equal(pvc.keepsSegments, false);
  assert.equal(planFrom(text('{dvr: {type: PVC}, hls: {type: EmptyDir}}')).keepsSegments, true);
});
