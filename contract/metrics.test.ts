import assert from 'node:assert/strict';
import { test } from 'node:test';
import { METRIC_LABELS, METRICS } from './metrics.ts';

/* What Prometheus asks of names: https://prometheus.io/docs/practices/naming/ */

const metrics = Object.values(METRICS);

test('metrics have names of their own, in the product’s name, and counters alone end in _total', () => {
  assert.equal(new Set(metrics.map(({ name }) => name)).size, metrics.length);
  for (const { name, type } of metrics) {
    assert.match(name, /^livecluster(_[a-z]+)+$/);
    assert.equal(name.endsWith('_total'), type === 'counter', name);
  }
});

test('metrics are in base units, which their names say', () => {
  const other = /_(ms|milliseconds|minutes|kb|kib|mb|mib|kilobytes|megabytes|kbps|percent|bits)(_|$)/;
  for (const { name } of metrics) assert.doesNotMatch(name, other);
});

test('each metric has a sentence, and each list of label values a metric', () => {
  for (const { name, help } of metrics) assert.match(help, /^[A-Z1].*\.$/, name);
  const used = new Set<string>(metrics.flatMap(({ labels }) => labels));
  assert.deepEqual(
    Object.keys(METRIC_LABELS).filter((label) => !used.has(label)),
    [],
  );
});
