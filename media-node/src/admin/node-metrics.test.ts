import assert from 'node:assert/strict';
import { test } from 'node:test';
import { METRIC_LABELS, METRICS } from '#contract/metrics.ts';
import type { StreamStats } from '../stream/stream.ts';
import { NodeMetrics } from './node-metrics.ts';
import type { MeasuredStream, MetricSources } from './node-metrics.ts';

const SOURCES: MetricSources = {
  ready: true,
  draining: false,
  configHash: 'abc',
  directoryUp: true,
  connections: { rtmp: 4, flv: 5 },
  pulls: 1,
  forwards: 2,
  counts: { pullsStarted: 3, takeovers: 1, fences: 0, claimsGranted: 6, claimsBusy: 1, claimsUnavailable: 0 },
};

function stream(
  stats: Partial<StreamStats>,
  kind?: 'encoder' | 'relay',
): MeasuredStream & { grow(stats: Partial<StreamStats>): void } {
  let current = {
    framesIn: 0,
    bytesIn: 0,
    bytesOut: 0,
    framesDropped: 0,
    skips: 0,
    framesSkipped: 0,
    seams: 0,
    discontinuities: 0,
    viewers: { rtmp: 0, flv: 0 },
    relays: 0,
    ...stats,
  };
  return {
    publisher: kind === undefined ? undefined : { kind, protocol: 'rtmp' },
    stats: () => current,
    grow: (more) => (current = { ...current, ...more }),
  };
}

/** The value of one series in Prometheus' text; undefined when it is not there. */
function value(text: string, series: string): number | undefined {
  const line = text.split('\n').find((each) => each.startsWith(`${series} `));
  return line === undefined ? undefined : Number(line.slice(series.length + 1));
}

test('streams are summed at a scrape, and what a dropped stream counted stays', async (t) => {
  const a = stream({ bytesIn: 10, framesIn: 1, viewers: { rtmp: 1, flv: 2 }, relays: 1 }, 'encoder');
  const b = stream({ bytesIn: 5, bytesOut: 7 }, 'relay');
  let streams = [a, b, stream({})];
  const metrics = new NodeMetrics({
    role: 'edge',
    version: '1.0.0',
    processMetrics: false,
    streams: () => streams,
    sources: () => SOURCES,
  });
  t.after(() => metrics.close());
  let text = await metrics.render();
  assert.equal(value(text, 'livecluster_received_bytes_total'), 15);
  assert.equal(value(text, 'livecluster_sent_bytes_total'), 7);
  assert.equal(value(text, 'livecluster_streams'), 2);
  assert.equal(value(text, 'livecluster_publishers{protocol="rtmp"}'), 1);
  assert.equal(value(text, 'livecluster_players{protocol="flv"}'), 2);
  assert.equal(value(text, 'livecluster_relay_players'), 1);
  a.grow({ bytesIn: 30 });
  streams = [a];
  text = await metrics.render();
  assert.equal(value(text, 'livecluster_received_bytes_total'), 35);
  streams = [];
  text = await metrics.render();
  assert.equal(value(text, 'livecluster_received_bytes_total'), 35);
  assert.equal(value(text, 'livecluster_players{protocol="flv"}'), 0);
});

test('counts of the sources are taken once', async (t) => {
  let sources = SOURCES;
  const metrics = new NodeMetrics({
    role: 'origin',
    version: '1.0.0',
    processMetrics: false,
    streams: () => [],
    sources: () => sources,
  });
  t.after(() => metrics.close());
  await metrics.render();
  let text = await metrics.render();
  assert.equal(value(text, 'livecluster_pulls_started_total'), 3);
  assert.equal(value(text, 'livecluster_claims_total{result="granted"}'), 6);
  assert.equal(value(text, 'livecluster_config_info{hash="abc"}'), 1);
  sources = { ...SOURCES, configHash: 'def', counts: { ...SOURCES.counts, pullsStarted: 5 } };
  text = await metrics.render();
  assert.equal(value(text, 'livecluster_pulls_started_total'), 5);
  assert.equal(value(text, 'livecluster_config_info{hash="def"}'), 1);
  assert.equal(
    value(text, 'livecluster_config_info{hash="abc"}'),
    undefined,
    'one series, whatever was in force before',
  );
});

test('every metric is in the contract, with the labels that the contract allows', async (t) => {
  const metrics = new NodeMetrics({
    role: 'origin',
    version: '1.0.0',
    processMetrics: false,
    streams: () => [stream({}, 'encoder')],
    sources: () => SOURCES,
  });
  t.after(() => metrics.close());
  metrics.connectionAccepted('flv');
  metrics.connectionRefused('max-connections');
  metrics.sessionEnded('rtmp', 'timeout');
  metrics.configRejected();
  const text = await metrics.render();
  assert.equal(value(text, 'livecluster_sessions_ended_total{protocol="rtmp",code="timeout"}'), 1);
  assert.equal(value(text, 'livecluster_connections_refused_total{reason="max-connections"}'), 1);
  assert.equal(value(text, 'livecluster_config_rejected_total'), 1);
  const known = new Map(
    Object.values(METRICS).map((metric) => [metric.name as string, metric.labels as readonly string[]]),
  );
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  for (const line of lines) {
    const [, name = '', labels = ''] = /^([a-z_]+)(?:\{(.*)\})? /.exec(line) ?? [];
    assert.deepEqual(
      [...labels.matchAll(/([a-z]+)="/g)].map((match) => match[1]),
      known.get(name),
      line,
    );
    for (const [, label = '', labelValue = ''] of labels.matchAll(/([a-z]+)="([^"]*)"/g)) {
      const allowed = (METRIC_LABELS as Record<string, readonly string[]>)[label];
      assert.ok(allowed === undefined || allowed.includes(labelValue), line);
    }
  }
  for (const name of known.keys()) assert.match(text, new RegExp(`^${name}[ {]`, 'm'));
});

test('two nodes in one process have metrics of their own', async (t) => {
  const make = (framesIn: number) =>
    new NodeMetrics({
      role: 'edge',
      version: '1.0.0',
      processMetrics: true,
      streams: () => [stream({ framesIn })],
      sources: () => SOURCES,
    });
  const [first, second] = [make(1), make(2)];
  t.after(() => (first.close(), second.close()));
  assert.equal(value(await first.render(), 'livecluster_received_frames_total'), 1);
  assert.equal(value(await second.render(), 'livecluster_received_frames_total'), 2);
  assert.match(await first.render(), /process_cpu_seconds_total/);
});
