import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { METRIC_LABELS, METRICS } from '#contract/metrics.ts';
import { perProtocol } from '../stream/publisher.ts';
import type { StreamStats } from '../stream/stream-stats.ts';
import { NodeMetrics } from './node-metrics.ts';
import type { MeasuredStream, MetricSample, NodeMetricsOptions } from './node-metrics.ts';

type FakeStream = MeasuredStream & { grow(stats: Partial<StreamStats>): void };

function stream(stats: Partial<StreamStats>, kind?: 'encoder' | 'relay'): FakeStream {
  let current: StreamStats = {
    framesIn: 0,
    bytesIn: 0,
    bytesOut: 0,
    framesDropped: 0,
    skips: 0,
    framesSkipped: 0,
    seams: 0,
    discontinuities: 0,
    viewers: perProtocol(),
    relays: 0,
    ...stats,
  };
  return {
    publisher: kind === undefined ? undefined : { kind, protocol: 'rtmp' },
    gauge: { gopMs: 0, avSkewMs: undefined },
    playbacks: () => [],
    stats: () => current,
    grow: (more) => (current = { ...current, ...more }),
  };
}

function measure(t: TestContext, options: Partial<NodeMetricsOptions>): NodeMetrics {
  const metrics = new NodeMetrics({ streams: () => [], samples: () => [], processMetrics: false, ...options });
  t.after(() => metrics.close());
  return metrics;
}

/** The value of one series in Prometheus' text; undefined when it is not there. */
function value(text: string, series: string): number | undefined {
  const line = text.split('\n').find((each) => each.startsWith(`${series} `));
  return line === undefined ? undefined : Number(line.slice(series.length + 1));
}

test('streams are summed at a scrape, and what a dropped stream counted stays', async (t) => {
  const a = stream({ bytesIn: 10, framesIn: 1, viewers: { ...perProtocol(), rtmp: 1, flv: 2 }, relays: 1 }, 'encoder');
  const b = stream({ bytesIn: 5, bytesOut: 7 }, 'relay');
  let streams = [a, b, stream({})];
  const metrics = measure(t, { streams: () => streams });
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

test('a count is taken once, and a gauge’s series goes when its sample goes', async (t) => {
  let samples: MetricSample[] = [
    { metric: 'pullsStarted', value: 3 },
    { metric: 'rtmpConnectionsEnded', labels: { code: 'timeout' }, value: 2 },
    { metric: 'configInfo', labels: { hash: 'abc' }, value: 1 },
  ];
  const metrics = measure(t, { samples: () => samples });
  await metrics.render();
  let text = await metrics.render();
  assert.equal(value(text, 'livecluster_pulls_started_total'), 3);
  assert.equal(value(text, 'livecluster_rtmp_connections_ended_total{code="timeout"}'), 2);
  assert.equal(value(text, 'livecluster_rtmp_connections_ended_total{code="socket"}'), 0);
  assert.equal(value(text, 'livecluster_config_info{hash="abc"}'), 1);
  samples = [
    { metric: 'pullsStarted', value: 5 },
    { metric: 'configInfo', labels: { hash: 'def' }, value: 1 },
  ];
  text = await metrics.render();
  assert.equal(value(text, 'livecluster_pulls_started_total'), 5);
  assert.equal(value(text, 'livecluster_config_info{hash="def"}'), 1);
  assert.equal(value(text, 'livecluster_config_info{hash="abc"}'), undefined);
});

test('every series has the labels and label values of the contract', async (t) => {
  const text = await measure(t, { streams: () => [stream({}, 'encoder')] }).render();
  const labelsOf = new Map<string, readonly string[]>(
    Object.values(METRICS).map(({ name, labels }) => [name, labels] as const),
  );
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  assert.ok(lines.length > METRIC_LABELS.code.length);
  for (const line of lines) {
    const [, name = '', labels = ''] = /^([a-z_]+)(?:\{(.*)\})? /.exec(line) ?? [];
    const pairs = [...labels.matchAll(/([a-z]+)="([^"]*)"/g)].map(
      ([, label = '', text = '']) => [label, text] as const,
    );
    assert.deepEqual(
      pairs.map(([label]) => label),
      labelsOf.get(name),
      line,
    );
    for (const [label, text] of pairs) {
      const allowed = (METRIC_LABELS as Record<string, readonly string[]>)[label];
      assert.ok(allowed === undefined || allowed.includes(text), line);
    }
  }
  for (const name of labelsOf.keys()) assert.match(text, new RegExp(`^# TYPE ${name} `, 'm'));
});

test('two nodes in one process have metrics of their own', async (t) => {
  const make = (framesIn: number) => measure(t, { processMetrics: true, streams: () => [stream({ framesIn })] });
  const [first, second] = [make(1), make(2)];
  assert.equal(value(await first.render(), 'livecluster_received_frames_total'), 1);
  assert.equal(value(await second.render(), 'livecluster_received_frames_total'), 2);
  assert.match(await first.render(), /process_cpu_seconds_total/);
});

test('queues, GOPs and skews are told as quantiles over the node, whatever the number of streams', async (t) => {
  const streams = [1, 2, 3].map((index) =>
    Object.assign(stream({ skips: index, seams: 1, discontinuities: 2 }, 'encoder'), {
      gauge: { gopMs: index * 1_000, avSkewMs: index === 3 ? undefined : index * -100 },
      playbacks: () => [{ queuedMs: index * 10 }, { queuedMs: 0 }],
    }),
  );
  const lost = { ...stream({}), gauge: { gopMs: 9_000, avSkewMs: 9_000 } };
  const text = await measure(t, { streams: () => [...streams, lost] }).render();
  const seen = (name: string): (number | undefined)[] =>
    METRIC_LABELS.quantile.map((each) => value(text, `${name}{quantile="${each}"}`));
  assert.deepEqual(seen('livecluster_player_queue_seconds'), [0, 0.03, 0.03]);
  assert.deepEqual(seen('livecluster_gop_seconds'), [2, 3, 3]);
  assert.deepEqual(seen('livecluster_av_skew_seconds'), [0.1, 0.2, 0.2]);
  assert.equal(value(text, 'livecluster_player_skips_total'), 6);
  assert.equal(value(text, 'livecluster_seams_total'), 3);
  assert.equal(value(text, 'livecluster_discontinuities_total'), 6);
});
