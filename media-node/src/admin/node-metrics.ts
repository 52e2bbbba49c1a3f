import { monitorEventLoopDelay } from 'node:perf_hooks';
import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';
import { METRIC_LABELS, METRICS } from '#contract/metrics.ts';
import { perProtocol, PROTOCOLS } from '../stream/publisher.ts';
import type { Protocol } from '../stream/publisher.ts';
import type { StreamStats } from '../stream/stream-stats.ts';
import { quantile, rising } from './quantiles.ts';

/** Name of a metric in the contract's table. */
export type MetricName = keyof typeof METRICS;

/** One stream as the metrics need it. */
export interface MeasuredStream {
  readonly publisher: { readonly kind: 'encoder' | 'relay'; readonly protocol: Protocol } | undefined;
  readonly gauge: { readonly gopMs: number; readonly avSkewMs: number | undefined };
  stats(): StreamStats;
  playbacks(): readonly { readonly queuedMs: number }[];
}

/** A figure of the rest of the node: of a counter its whole count since the start, of a gauge its value now. */
export interface MetricSample {
  readonly metric: MetricName;
  readonly labels?: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface NodeMetricsOptions {
  readonly streams: () => Iterable<MeasuredStream>;
  /** Read at each scrape. A gauge's series that a later reading lacks is dropped. */
  readonly samples: () => Iterable<MetricSample>;
  /** Adds prom-client's `process_*` and `nodejs_*`: for the one node of a process. */
  readonly processMetrics: boolean;
}

/** Counts of a stream → the counter that sums them over streams. */
const SUMMED = {
  framesIn: 'receivedFrames',
  bytesIn: 'receivedBytes',
  bytesOut: 'sentBytes',
  framesDropped: 'droppedFrames',
  framesSkipped: 'skippedFrames',
  skips: 'playerSkips',
  seams: 'seams',
  discontinuities: 'discontinuities',
} as const satisfies Partial<Record<keyof StreamStats, MetricName>>;
const SUMMED_NAMES = Object.keys(SUMMED) as (keyof typeof SUMMED)[];

/**
 * The histogram measures from timer to timer: its own period is in every value. Each timer wakes a process that may have
 * nothing else to do: at 10 ms it costs an idle node 15 ms of CPU a second, at 100 ms one or two.
 */
const LAG_RESOLUTION_MS = 100;
/** Of prom-client's own histogram, which can't be left out: livecluster_event_loop_lag_seconds tells it better. */
const OTHER_LAG_FIGURES = ['min', 'max', 'mean', 'stddev', 'p50', 'p90', 'p99'];

/** How often counts are taken from streams: well below the time after which the registry drops an idle one. */
const SAMPLE_MS = 3_000;

/**
 * The metrics of one node, in a registry of its own: `make run` has several nodes in a process. The hot path is not
 * touched: streams are read at each scrape, and every few seconds so that a dropped one takes nothing with it.
 */
export class NodeMetrics {
  readonly #registry = new Registry();
  readonly #options: NodeMetricsOptions;
  readonly #gauges = new Map<MetricName, Gauge>();
  readonly #counters = new Map<MetricName, Counter>();
  readonly #taken = new WeakMap<MeasuredStream, StreamStats>();
  /** What the counters hold already of the samples, by metric and labels. */
  readonly #counted = new Map<string, number>();
  readonly #lag = monitorEventLoopDelay({ resolution: LAG_RESOLUTION_MS });
  readonly #timer: NodeJS.Timeout;

  constructor(options: NodeMetricsOptions) {
    this.#options = options;
    for (const [key, { name, help, labels, type }] of Object.entries(METRICS)) {
      const configuration = { name, help, labelNames: [...labels], registers: [this.#registry] };
      if (type === 'gauge') this.#gauges.set(key as MetricName, new Gauge(configuration));
      else this.#counters.set(key as MetricName, new Counter(configuration));
    }
    // A series exists from the start: a rate over its first event would miss it otherwise.
    for (const protocol of ['rtmp', 'rtmps', 'http']) this.#counter('connectionsAccepted').inc({ protocol }, 0);
    for (const limit of METRIC_LABELS.limit) this.#counter('limitsReached').inc({ limit }, 0);
    for (const code of METRIC_LABELS.code) this.#counter('rtmpConnectionsEnded').inc({ code }, 0);
    for (const reason of METRIC_LABELS.reason) this.#counter('mediaIgnored').inc({ reason }, 0);
    for (const status of METRIC_LABELS.status) this.#counter('httpResponses').inc({ status }, 0);
    if (options.processMetrics) {
      collectDefaultMetrics({ register: this.#registry, eventLoopMonitoringPrecision: 1_000 });
      for (const figure of OTHER_LAG_FIGURES)
        this.#registry.removeSingleMetric(`nodejs_eventloop_lag_${figure}_seconds`);
    }
    this.#lag.enable();
    this.#timer = setInterval(() => this.#sampleStreams(), SAMPLE_MS);
    this.#timer.unref();
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** All metrics in Prometheus' text format. */
  render(): Promise<string> {
    this.#sampleStreams();
    this.#sampleMedia();
    this.#sampleOthers();
    this.#sampleLag();
    return this.#registry.metrics();
  }

  /** Idempotent. */
  close(): void {
    clearInterval(this.#timer);
    this.#lag.disable();
    this.#registry.clear();
  }

  #sampleStreams(): void {
    let withSource = 0;
    let relays = 0;
    const publishers = perProtocol();
    const players = perProtocol();
    for (const stream of this.#options.streams()) {
      const stats = stream.stats();
      const before = this.#taken.get(stream);
      this.#taken.set(stream, stats);
      for (const name of SUMMED_NAMES) {
        this.#counter(SUMMED[name]).inc(Math.max(0, stats[name] - (before?.[name] ?? 0)));
      }
      if (stream.publisher !== undefined) withSource += 1;
      if (stream.publisher?.kind === 'encoder') publishers[stream.publisher.protocol] += 1;
      for (const protocol of PROTOCOLS) players[protocol] += stats.viewers[protocol];
      relays += stats.relays;
    }
    this.#gauge('streams').set(withSource);
    this.#gauge('relayPlayers').set(relays);
    for (const protocol of PROTOCOLS) {
      this.#gauge('publishers').set({ protocol }, publishers[protocol]);
      this.#gauge('players').set({ protocol }, players[protocol]);
    }
  }

  /** What has a distribution: only where somebody asks, for it reads every player. */
  #sampleMedia(): void {
    const queuesMs: number[] = [];
    const gopsMs: number[] = [];
    const skewsMs: number[] = [];
    for (const stream of this.#options.streams()) {
      for (const { queuedMs } of stream.playbacks()) queuesMs.push(queuedMs);
      if (stream.publisher === undefined) continue;
      const { gopMs, avSkewMs } = stream.gauge;
      if (gopMs > 0) gopsMs.push(gopMs);
      if (avSkewMs !== undefined) skewsMs.push(Math.abs(avSkewMs));
    }
    this.#setQuantiles('playerQueue', queuesMs);
    this.#setQuantiles('gop', gopsMs);
    this.#setQuantiles('avSkew', skewsMs);
  }

  #setQuantiles(metric: MetricName, valuesMs: readonly number[]): void {
    const sorted = rising(valuesMs);
    for (const label of METRIC_LABELS.quantile) {
      this.#gauge(metric).set({ quantile: label }, quantile(sorted, Number(label)) / 1_000);
    }
  }

  #sampleOthers(): void {
    const reset = new Set<MetricName>();
    for (const { metric, labels = {}, value } of this.#options.samples()) {
      const gauge = this.#gauges.get(metric);
      if (gauge !== undefined) {
        if (!reset.has(metric)) gauge.reset();
        reset.add(metric);
        gauge.set({ ...labels }, value);
        continue;
      }
      const key = `${metric} ${JSON.stringify(labels)}`;
      this.#counter(metric).inc({ ...labels }, Math.max(0, value - (this.#counted.get(key) ?? 0)));
      this.#counted.set(key, value);
    }
  }

  #sampleLag(): void {
    const gauge = this.#gauge('eventLoopLag');
    const isCounted = this.#lag.count > 0;
    for (const label of METRIC_LABELS.quantile) {
      const seconds = this.#lag.percentile(Number(label) * 100) / 1e9 - LAG_RESOLUTION_MS / 1e3;
      gauge.set({ quantile: label }, isCounted ? Math.max(0, seconds) : 0);
    }
    this.#lag.reset();
  }

  #gauge(metric: MetricName): Gauge {
    const gauge = this.#gauges.get(metric);
    if (gauge === undefined) throw new Error(`${metric} is no gauge`);
    return gauge;
  }

  #counter(metric: MetricName): Counter {
    const counter = this.#counters.get(metric);
    if (counter === undefined) throw new Error(`${metric} is no counter`);
    return counter;
  }
}
