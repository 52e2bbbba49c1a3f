import { monitorEventLoopDelay } from 'node:perf_hooks';
import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';
import { METRIC_LABELS, METRICS } from '#contract/metrics.ts';
import type { Role } from '#contract/names.ts';
import type { StreamStats } from '../stream/stream.ts';
import type { Protocol } from '../stream/publisher.ts';

type Definition = (typeof METRICS)[keyof typeof METRICS];
export type SessionEndCode = (typeof METRIC_LABELS.code)[number];
export type RefusalReason = (typeof METRIC_LABELS.reason)[number];

/** One stream as the metrics need it. */
export interface MeasuredStream {
  readonly publisher: { readonly kind: 'encoder' | 'relay'; readonly protocol: Protocol } | undefined;
  stats(): StreamStats;
}

/** What is read from the rest of the node at each scrape; gauges are as of now, counts grow only. */
export interface MetricSources {
  readonly ready: boolean;
  readonly draining: boolean;
  readonly configHash: string;
  readonly directoryUp: boolean;
  readonly connections: Readonly<Record<Protocol, number>>;
  readonly pulls: number;
  readonly forwards: number;
  readonly counts: Readonly<
    Record<'pullsStarted' | 'takeovers' | 'fences' | 'claimsGranted' | 'claimsBusy' | 'claimsUnavailable', number>
  >;
}

export interface NodeMetricsOptions {
  readonly role: Role;
  readonly version: string;
  readonly streams: () => Iterable<MeasuredStream>;
  readonly sources: () => MetricSources;
  /** Adds prom-client's `process_*` and `nodejs_*`: for the one node of a process. */
  readonly processMetrics: boolean;
}

const SUMMED = ['framesIn', 'bytesIn', 'bytesOut', 'framesDropped', 'framesSkipped'] as const;
type Sums = Record<(typeof SUMMED)[number], number>;

/** How often counts are taken from streams: well below the time after which the registry drops an idle one. */
const SAMPLE_MS = 3_000;

/**
 * The metrics of one node, in a registry of its own: `make run` has several nodes in a process. The hot path is not
 * touched: streams are read at each scrape, and every few seconds so that a dropped one takes nothing with it.
 */
export class NodeMetrics {
  readonly #registry = new Registry();
  readonly #options: NodeMetricsOptions;
  readonly #gauges = new Map<Definition, Gauge>();
  readonly #counters = new Map<Definition, Counter>();
  readonly #taken = new WeakMap<MeasuredStream, Sums>();
  readonly #lag: ReturnType<typeof monitorEventLoopDelay>;
  readonly #timer: NodeJS.Timeout;
  /** Counts of the sources that the counters hold already. */
  #sourceCounts: MetricSources['counts'] | undefined;

  constructor(options: NodeMetricsOptions) {
    this.#options = options;
    for (const definition of Object.values(METRICS)) {
      const { name, help, labels, type } = definition;
      const configuration = { name, help, labelNames: [...labels], registers: [this.#registry] };
      if (type === 'gauge') this.#gauges.set(definition, new Gauge(configuration));
      else this.#counters.set(definition, new Counter(configuration));
    }
    // A series exists from the start: a rate over its first event would miss it otherwise.
    for (const protocol of METRIC_LABELS.protocol) {
      this.#counter(METRICS.connectionsAccepted).inc({ protocol }, 0);
      for (const code of METRIC_LABELS.code) this.#counter(METRICS.sessionsEnded).inc({ protocol, code }, 0);
    }
    for (const reason of METRIC_LABELS.reason) this.#counter(METRICS.connectionsRefused).inc({ reason }, 0);
    for (const result of METRIC_LABELS.result) this.#counter(METRICS.claims).inc({ result }, 0);
    this.#gauge(METRICS.info).set({ role: options.role, version: options.version }, 1);
    if (options.processMetrics) collectDefaultMetrics({ register: this.#registry });
    this.#lag = monitorEventLoopDelay({ resolution: 10 });
    this.#lag.enable();
    this.#timer = setInterval(() => this.#sampleStreams(), SAMPLE_MS);
    this.#timer.unref();
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  connectionAccepted(protocol: Protocol): void {
    this.#counter(METRICS.connectionsAccepted).inc({ protocol });
  }

  connectionRefused(reason: RefusalReason): void {
    this.#counter(METRICS.connectionsRefused).inc({ reason });
  }

  sessionEnded(protocol: Protocol, code: SessionEndCode): void {
    this.#counter(METRICS.sessionsEnded).inc({ protocol, code });
  }

  configRejected(): void {
    this.#counter(METRICS.configRejected).inc();
  }

  /** All metrics in Prometheus' text format. */
  render(): Promise<string> {
    this.#sampleStreams();
    this.#sampleSources();
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
    const publishers = zeroes();
    const players = zeroes();
    for (const stream of this.#options.streams()) {
      const stats = stream.stats();
      this.#takeSums(stream, stats);
      if (stream.publisher !== undefined) withSource += 1;
      if (stream.publisher?.kind === 'encoder') publishers[stream.publisher.protocol] += 1;
      for (const protocol of METRIC_LABELS.protocol) players[protocol] += stats.viewers[protocol];
      relays += stats.relays;
    }
    this.#gauge(METRICS.streams).set(withSource);
    this.#gauge(METRICS.relayPlayers).set(relays);
    for (const protocol of METRIC_LABELS.protocol) {
      this.#gauge(METRICS.publishers).set({ protocol }, publishers[protocol]);
      this.#gauge(METRICS.players).set({ protocol }, players[protocol]);
    }
  }

  #takeSums(stream: MeasuredStream, stats: StreamStats): void {
    const before = this.#taken.get(stream);
    const now = Object.fromEntries(SUMMED.map((name) => [name, stats[name]])) as Sums;
    this.#taken.set(stream, now);
    const grown = (name: keyof Sums) => Math.max(0, now[name] - (before?.[name] ?? 0));
    this.#counter(METRICS.receivedFrames).inc(grown('framesIn'));
    this.#counter(METRICS.receivedBytes).inc(grown('bytesIn'));
    this.#counter(METRICS.sentBytes).inc(grown('bytesOut'));
    this.#counter(METRICS.droppedFrames).inc(grown('framesDropped'));
    this.#counter(METRICS.skippedFrames).inc(grown('framesSkipped'));
  }

  #sampleSources(): void {
    const sources = this.#options.sources();
    this.#gauge(METRICS.ready).set(sources.ready ? 1 : 0);
    this.#gauge(METRICS.draining).set(sources.draining ? 1 : 0);
    this.#gauge(METRICS.directoryUp).set(sources.directoryUp ? 1 : 0);
    this.#gauge(METRICS.pulls).set(sources.pulls);
    this.#gauge(METRICS.forwards).set(sources.forwards);
    this.#gauge(METRICS.configInfo).reset();
    this.#gauge(METRICS.configInfo).set({ hash: sources.configHash }, 1);
    for (const protocol of METRIC_LABELS.protocol) {
      this.#gauge(METRICS.connections).set({ protocol }, sources.connections[protocol]);
    }
    const before = this.#sourceCounts;
    const grown = (name: keyof MetricSources['counts']) => Math.max(0, sources.counts[name] - (before?.[name] ?? 0));
    this.#counter(METRICS.pullsStarted).inc(grown('pullsStarted'));
    this.#counter(METRICS.takeovers).inc(grown('takeovers'));
    this.#counter(METRICS.fences).inc(grown('fences'));
    this.#counter(METRICS.claims).inc({ result: 'granted' }, grown('claimsGranted'));
    this.#counter(METRICS.claims).inc({ result: 'busy' }, grown('claimsBusy'));
    this.#counter(METRICS.claims).inc({ result: 'unavailable' }, grown('claimsUnavailable'));
    this.#sourceCounts = { ...sources.counts };
  }

  #sampleLag(): void {
    const gauge = this.#gauge(METRICS.eventLoopLag);
    const seconds = (nanoseconds: number) => (Number.isFinite(nanoseconds) ? nanoseconds / 1e9 : 0);
    const counted = this.#lag.count > 0;
    gauge.set({ quantile: '0.5' }, counted ? seconds(this.#lag.percentile(50)) : 0);
    gauge.set({ quantile: '0.99' }, counted ? seconds(this.#lag.percentile(99)) : 0);
    gauge.set({ quantile: '1' }, counted ? seconds(this.#lag.max) : 0);
    this.#lag.reset();
  }

  #gauge(definition: Definition): Gauge {
    const gauge = this.#gauges.get(definition);
    if (gauge === undefined) throw new Error(`${definition.name} is no gauge`);
    return gauge;
  }

  #counter(definition: Definition): Counter {
    const counter = this.#counters.get(definition);
    if (counter === undefined) throw new Error(`${definition.name} is no counter`);
    return counter;
  }
}

function zeroes(): Record<Protocol, number> {
  return { rtmp: 0, flv: 0 };
}
