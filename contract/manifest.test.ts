import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { readManifests } from './manifest.ts';

const live = `apiVersion: livecluster.io/v1alpha1
kind: LiveCluster
metadata: {name: live}
spec: {edge: {replicas: 2}}
`;
const vhost = `apiVersion: livecluster.io/v1alpha1
kind: Vhost
metadata: {name: tv}
spec: {clusterRef: {name: live}, hosts: [tv.example.com]}
`;

test('six lines become a cluster with every default filled in', () => {
  const [cluster, ...others] = readManifests(live).liveClusters;
  assert.equal(others.length, 0);
  assert.equal(cluster?.metadata.namespace, 'default');
  assert.deepEqual(
    { origins: cluster?.spec.origin.replicas, hold: cluster?.spec.edge.pull.hold, redis: cluster?.spec.redis.mode },
    { origins: 2, hold: '30s', redis: 'Embedded' },
  );
  assert.deepEqual(cluster?.spec.protocols, {
    rtmp: { port: 1935 },
    rtmps: { enabled: false, port: 1936 },
    http: { port: 8080 },
    api: { port: 1985 },
  });
});

test('a file of many documents is read whole, empty ones are passed over', () => {
  const { liveClusters, vhosts, errors } = readManifests(`---\n${live}---\n---\n# nothing\n---\n${vhost}---\n`);
  assert.deepEqual([liveClusters.length, vhosts.length, errors], [1, 1, []]);
});

test('a broken document is told with its line and leaves the others standing', () => {
  const text = `${live}---\n${vhost.replace('hosts', 'host')}---\n${vhost}`;
  const { liveClusters, vhosts, errors } = readManifests(text);
  assert.deepEqual([liveClusters.length, vhosts.length], [1, 1]);
  assert.deepEqual(errors, [
    'document at line 5: Vhost: spec.hosts: Invalid input: expected array, received undefined',
    'document at line 5: Vhost: spec: Unrecognized key: "host"',
  ]);
});

test('every fault of a document is told, not the first alone', () => {
  const { errors } = readManifests(
    live.replace('{edge: {replicas: 2}}', '{edge: {replicas: -1}, drain: {max: 1d}, x: 1}'),
  );
  assert.equal(errors.length, 3);
});

test('another kind is told what belongs here', () => {
  assert.deepEqual(readManifests('apiVersion: v1\nkind: ConfigMap\n').errors, [
    'document at line 1: v1 ConfigMap is unknown here; write livecluster.io/v1alpha1 LiveCluster or Vhost',
  ]);
});

test('a document that is no object is told what it needs', () => {
  for (const text of ['a', '[1]', '42', 'true']) {
    assert.match(readManifests(text).errors[0] ?? '', /needs apiVersion and kind/);
  }
});

test('an empty file has no manifest and no error', () => {
  for (const text of ['', '\n', '# only a comment\n', '---\n', '~\n']) {
    assert.deepEqual(readManifests(text), { liveClusters: [], vhosts: [], errors: [] });
  }
});

test('a bomb of aliases ends in an error', () => {
  const layers = (leaf: string) =>
    Array.from({ length: 9 }, (_, i) => `l${i}: &l${i} [${i === 0 ? leaf : `*l${i - 1},`.repeat(9)}]`).join('\n');
  assert.match(readManifests(`${layers('x')}\n`).errors[0] ?? '', /alias/i);
  assert.match(readManifests(`${layers('')}\n`).errors[0] ?? '', /more than 100000 values/);
  assert.match(readManifests(`[${'1,'.repeat(300_000)}]`).errors[0] ?? '', /more than 100000 values/);
});

test('no text makes the reader throw', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.string({ unit: 'binary' })), (text) => {
      readManifests(text);
    }),
  );
});

test('no text within a right manifest makes the reader throw, and a refusal is told', () => {
  fc.assert(
    fc.property(fc.nat(live.length), fc.string({ maxLength: 5 }), fc.nat(5), (at, put, cut) => {
      const { liveClusters, errors } = readManifests(live.slice(0, at) + put + live.slice(at + cut));
      if (liveClusters.length === 0 && errors.length === 0) {
        // Only a text that is all comment or empty may give neither.
        assert.ok(!/^\s*[^#\s-]/m.test(live.slice(0, at) + put + live.slice(at + cut)));
      }
    }),
    { numRuns: 300 },
  );
});
