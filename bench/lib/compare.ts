import { setTimeout as delay } from 'node:timers/promises';
import type { Figure } from './figure.ts';
import { median } from './figure.ts';
import type { PublisherReport, ViewersOptions, ViewersReport } from './load.ts';
import { Publisher, Viewers } from './load.ts';
import { disturbance, SchedulerSpan } from './processes.ts';
import type { MediaServer, StartServer } from './servers.ts';
import { ATTEMPTS, IS_QUICK, MEASURE_MS, RUNS, SETTLE_MS } from './settings.ts';

/*
 * One measurement: a fresh server, one publisher, viewers that check what they get, CPU of the server in between. A
 * comparison: several servers, each in its turn, again and again, so that what else the machine does hits them alike.
 */

const WARM_UP_STREAMS = 40;
const WARM_UP_VIEWERS = 2 * WARM_UP_STREAMS;
const WARM_UP_MS = 5_000;
/** Until what the warm-up has left behind is collected and its last functions are compiled. */
const WARM_SETTLE_MS = IS_QUICK ? SETTLE_MS : 10_000;

/**
 * A node in service has run long; a fresh one would spend its time, in a run of seconds, on code not yet compiled: one
 * stream is 72 messages a second, and a viewer's window three flushes. So it gets more streams than the run has, all of them with
 * viewers of each kind, for a while before.
 */
export async function warmUp(server: MediaServer): Promise<void> {
  const source = await Publisher.start(server, WARM_UP_STREAMS);
  try {
    for (const protocol of ['rtmp', 'flv'] as const) {
      const viewers = await Viewers.start(server, { viewers: WARM_UP_VIEWERS, streams: WARM_UP_STREAMS, protocol });
      await delay(WARM_UP_MS);
      await viewers.process.close();
    }
  } finally {
    await source.process.close();
  }
}

/** One run of one server. */
export interface Sample {
  /** CPU of the server a viewer and second, in microseconds; NaN where the run failed. */
  readonly cpuUs: number;
  /** Share of its core that the server used, and of the time that it waited for it. */
  readonly cpuShare: number;
  readonly waitShare: number;
  readonly viewers?: ViewersReport;
  readonly publisher?: PublisherReport;
  /** What `inspect` answered. */
  readonly inspected?: unknown;
  /** Why the run does not count. */
  readonly fault?: string;
}

export interface RunOptions extends ViewersOptions {
  /** Called at the end of the measured span, and at its begin with what it answered thrown away. */
  readonly inspect?: (server: MediaServer) => Promise<unknown>;
  /** Resolves when the server does what it will go on doing, with all viewers there; the run counts from then on. */
  readonly settled?: (server: MediaServer) => Promise<void>;
}

export async function measure<S extends MediaServer>(
  start: () => Promise<S>,
  options: RunOptions & { readonly inspect?: (server: S) => Promise<unknown> },
): Promise<Sample> {
  let server: S | undefined;
  let source: Publisher | undefined;
  let viewers: Viewers | undefined;
  try {
    server = await start();
    if (server.warmsUp) await warmUp(server);
    source = await Publisher.start(server);
    viewers = await Viewers.start(server, options);
    await delay(server.warmsUp ? WARM_SETTLE_MS : SETTLE_MS);
    await options.settled?.(server);
    await options.inspect?.(server);
    viewers.begin();
    const span = new SchedulerSpan(server.process.pid);
    await delay(MEASURE_MS);
    const { cpuUs, waitShare } = span.end();
    const report = await viewers.end();
    const inspected = await options.inspect?.(server);
    const publisher = await source.end();
    const sample: Sample = {
      cpuUs: cpuUs / options.viewers,
      cpuShare: cpuUs / 1e6,
      waitShare,
      viewers: report,
      publisher,
      inspected,
    };
    const disturbed = disturbance(waitShare);
    if (disturbed !== undefined) return { ...sample, fault: disturbed };
    if (report.fault === null) return sample;
    return { ...sample, fault: `${report.viewers - report.full} of ${report.viewers} viewers: ${report.fault}` };
  } catch (error) {
    return { cpuUs: NaN, cpuShare: NaN, waitShare: NaN, fault: (error as Error).message };
  } finally {
    await viewers?.process.close();
    await source?.process.close();
    await server?.close();
  }
}

/** Like measure, again where other work on the machine disturbed it. */
export async function measureQuietly<S extends MediaServer>(
  start: () => Promise<S>,
  options: RunOptions & { readonly inspect?: (server: S) => Promise<unknown> },
): Promise<Sample> {
  for (let attempt = 1; ; attempt++) {
    const sample = await measure(start, options);
    if (attempt === ATTEMPTS || disturbance(sample.waitShare) === undefined) return sample;
    console.log(`  again: ${sample.fault}`);
  }
}

export type Samples<Name extends string> = Readonly<Record<Name, readonly Sample[]>>;

/** Runs every server in its turn, RUNS times, and prints each run. */
export async function interleave<Name extends string>(
  servers: Readonly<Record<Name, { readonly start: StartServer } & Partial<RunOptions>>>,
  options: RunOptions,
): Promise<Samples<Name>> {
  const names = Object.keys(servers) as Name[];
  const samples = Object.fromEntries(names.map((name) => [name, [] as Sample[]])) as Record<Name, Sample[]>;
  for (let run = 0; run < RUNS; run++) {
    for (const name of names) {
      const { start, ...own } = servers[name];
      const sample = await measureQuietly(start, { ...options, ...own });
      samples[name].push(sample);
      const { viewers } = sample;
      const latency = viewers === undefined ? '' : `, latency ${viewers.latencyMs.p50}/${viewers.latencyMs.p95} ms`;
      const gap =
        viewers === undefined
          ? ''
          : `, gap ${viewers.worstGapMs} ms, client ${viewers.cpuShare}, waited ${sample.waitShare.toFixed(3)}`;
      const doubt = sample.fault === undefined ? '' : ` FAULT ${sample.fault}`;
      console.log(
        `  ${name}: ${sample.cpuUs.toFixed(1)} µs, core ${sample.cpuShare.toFixed(2)}${latency}${gap}${doubt}`,
      );
    }
  }
  return samples;
}

/** The first fault of any of the samples. */
export function faultOf(...lists: readonly (readonly Sample[])[]): string | undefined {
  return lists.flat().find(({ fault }) => fault !== undefined)?.fault;
}

/** Without the fault where there is none. */
export function withFault(figure: Figure, fault: string | undefined): Figure {
  return fault === undefined ? figure : { ...figure, fault };
}

/** One figure of each server: microseconds of CPU a viewer-second. */
export function costs(what: string, chart: string, samples: Samples<string>): Figure[] {
  return Object.entries(samples).map(([name, list]) => {
    const runs = list.map(({ cpuUs: us }) => us);
    return withFault(
      { what: `${what}: ${name}`, value: median(runs), unit: 'µs of CPU a viewer-second', runs, chart },
      faultOf(list),
    );
  });
}

/** The ratio of two servers, run by run; its median counts, if every viewer of both got every frame. */
export function ratio(what: string, ours: readonly Sample[], theirs: readonly Sample[], atMost?: number): Figure {
  const runs = ours.map(({ cpuUs: us }, run) => us / (theirs[run]?.cpuUs ?? NaN));
  const figure: Figure = { what, value: median(runs), unit: '', runs, ...(atMost !== undefined && { atMost }) };
  return withFault(figure, faultOf(ours, theirs));
}

/** The median of a figure of the viewers' reports. */
export function ofViewers(
  what: string,
  unit: string,
  samples: readonly Sample[],
  read: (report: ViewersReport) => number,
  atMost?: number,
): Figure {
  const runs = samples.map(({ viewers }) => (viewers === undefined ? NaN : read(viewers)));
  const figure: Figure = { what, value: median(runs), unit, runs, ...(atMost !== undefined && { atMost }) };
  return withFault(figure, faultOf(samples));
}
