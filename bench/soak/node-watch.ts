import { readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { schedulerTimes } from '../lib/processes.ts';
import type { Product } from '../lib/product.ts';

export const SOAK_PROBE = join(import.meta.dirname, '..', 'load', 'soak-probe.mjs');

const MIB = 2 ** 20;
/** pino's level of errors. */
const ERROR_LEVEL = 50;
const LOG_LINES_KEPT = 5;

/** The node's tables, by the metric that counts their entries. All of them are empty when nobody is there. */
export const TABLES = {
  streams: 'livecluster_streams',
  publishers: 'livecluster_publishers',
  players: 'livecluster_players',
  'pulls of others': 'livecluster_relay_players',
  connections: 'livecluster_connections',
  pulls: 'livecluster_pulls',
  forwards: 'livecluster_forwards',
  'awaited publishers': 'livecluster_publishers_awaited',
  packagings: 'livecluster_packagings',
  'packaged bytes': 'livecluster_packaged_bytes',
  'followed playlists': 'livecluster_packaged_followed',
  'fetched bytes': 'livecluster_packaged_fetched_bytes',
  recordings: 'livecluster_recordings',
} as const;
export type Table = keyof typeof TABLES;

/** What a node holds at a moment, after garbage was collected. */
export interface NodeSample {
  readonly rssMiB: number;
  readonly heapMiB: number;
  /** Memory of buffers and of C++ objects. */
  readonly externalMiB: number;
  /** Open files, sockets among them. */
  readonly files: number;
  readonly sockets: number;
  /** Node's own: sockets, timers, requests that keep it running. */
  readonly handles: number;
  readonly resources: Readonly<Record<string, number>>;
  /** How long its own work kept the event loop at a stretch, since the sample before. */
  readonly busyP99Ms: number;
  readonly busyMostMs: number;
  /** CPU since the start. */
  readonly cpuMs: number;
  readonly tables: Readonly<Record<Table, number>>;
}

interface ProbeAnswer {
  readonly heapBytes: number;
  readonly externalBytes: number;
  readonly rssBytes: number;
  readonly resources: Readonly<Record<string, number>>;
  readonly busyP99Ms: number;
  readonly busyMostMs: number;
}

/** One node of the soak: samples of it, and what its log complained of. */
export class NodeWatch {
  readonly name: string;
  readonly node: Product;
  readonly #errors: string[];

  /** `errors`: lines of its log, filled as they come; see {@link errorLines}. */
  constructor(name: string, node: Product, errors: string[]) {
    this.name = name;
    this.node = node;
    this.#errors = errors;
  }

  /** Lines of the log at level error or above. */
  get errors(): readonly string[] {
    return this.#errors;
  }

  /** Throws where the node is not there any more. */
  async sample(): Promise<NodeSample> {
    const { process } = this.node;
    if (process.hasExited) throw process.error('ended in the middle');
    const [answer, lines] = await Promise.all([process.ask('collect') as Promise<ProbeAnswer>, this.node.metrics()]);
    const { heapBytes, externalBytes, rssBytes, resources, busyP99Ms, busyMostMs } = answer;
    const folder = `/proc/${process.pid}/fd`;
    const files = readdirSync(folder).map((file) => targetOf(join(folder, file)));
    return {
      rssMiB: rssBytes / MIB,
      heapMiB: heapBytes / MIB,
      externalMiB: externalBytes / MIB,
      files: files.length,
      sockets: files.filter((target) => target.startsWith('socket:')).length,
      handles: Object.values(resources).reduce((sum, count) => sum + count, 0),
      resources,
      busyP99Ms,
      busyMostMs,
      cpuMs: schedulerTimes(process.pid).cpuUs / 1_000,
      tables: Object.fromEntries(
        Object.entries(TABLES).map(([table, metric]) => [table, sumOf(lines, metric)]),
      ) as Record<Table, number>,
    };
  }

  /** Writes what the heap holds to a file that Chromium's developer tools read. */
  async snapshot(file: string): Promise<void> {
    await this.node.process.ask(file);
  }
}

/** Keeps lines of a node's log at level error or above, few of them whole. */
export function errorLines(): { readonly errors: string[]; readonly onLog: (line: string) => void } {
  const errors: string[] = [];
  const onLog = (line: string): void => {
    const level = Number(/"level":(\d+)/.exec(line)?.[1] ?? 0);
    if (level >= ERROR_LEVEL) errors.push(errors.length < LOG_LINES_KEPT ? line : '');
  };
  return { errors, onLog };
}

/** A file that was closed meanwhile has none. */
function targetOf(link: string): string {
  try {
    return readlinkSync(link);
  } catch {
    return '';
  }
}

/** All series of a metric together. */
function sumOf(lines: readonly string[], metric: string): number {
  const own = lines.filter((line) => line.startsWith(`${metric} `) || line.startsWith(`${metric}{`));
  return own.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
}
