import type { Figure } from '../lib/figure.ts';
import { median } from '../lib/figure.ts';
import type { NodeSample, Table } from './node-watch.ts';
import { TABLES } from './node-watch.ts';

/*
 * What must not grow. Two nodes at rest, before and after, are compared in what they hold; where many come and go, the last quarter
 * of the time with the second one.
 */

/** Some hundred bytes a session, of thousands of them. */
const MOST_HEAP_MIB = 3;
const MOST_EXTERNAL_MIB = 3;
/** Fragments of a heap that has been larger; nothing that grows on. */
const MOST_RSS_MIB = 40;
const MOST_FILES = 3;
const MOST_HANDLES = 3;
const MOST_GROWTH = 1.25;
/** Segments are kept a while after they were listed: what is in memory goes up and down with the streams of the last minute. */
const MOST_BUFFER_GROWTH = 1.5;
const MOST_BUSY_GROWTH_MS = 10;
/** How long one viewer's packet may have to wait for the node's own work, seldom and ever. */
const MOST_BUSY_P99_MS = 40;
const MOST_BUSY_MS = 500;
/** Below this, a growth is noise: of handles, milliseconds, MiB. */
const FLOOR = 1;

/** One time that a node was looked at, with the sessions that had begun by then and the CPU that this process took for them. */
export interface Look {
  readonly sample: NodeSample;
  readonly begun: number;
  readonly ownCpuMs: number;
}

/** At rest before, while it was busy, and at rest afterwards. */
export interface NodeLooks {
  readonly before: NodeSample;
  readonly busy: readonly Look[];
  readonly after: NodeSample;
}

type Field = 'rssMiB' | 'heapMiB' | 'externalMiB' | 'files' | 'handles' | 'busyP99Ms';

export function boundsOf(name: string, { before, busy, after }: NodeLooks): Figure[] {
  const more = (what: string, field: Field, unit: string, atMost: number): Figure => ({
    what: `${name} at rest: more ${what} than before`,
    value: after[field] - before[field],
    unit,
    atMost,
  });
  const growth = (what: string, field: Field, atMost = MOST_GROWTH): Figure => ({
    what: `${name} busy: ${what}, last quarter against second`,
    value: (part(busy, 0.75, 1, field) + FLOOR) / (part(busy, 0.25, 0.5, field) + FLOOR),
    unit: 'times',
    atMost,
  });
  const slowdown = cpuASession(busy, 0.75, 1, ownCpu) / cpuASession(busy, 0.25, 0.5, ownCpu);
  const tables = (Object.keys(TABLES) as Table[]).filter((table) => after.tables[table] > 0);
  return [
    more('heap', 'heapMiB', 'MiB', MOST_HEAP_MIB),
    more('memory of buffers', 'externalMiB', 'MiB', MOST_EXTERNAL_MIB),
    more('resident memory', 'rssMiB', 'MiB', MOST_RSS_MIB),
    more('open files', 'files', '', MOST_FILES),
    more('handles and timers', 'handles', '', MOST_HANDLES),
    {
      what: `${name} at rest: tables that are not empty${tables.length === 0 ? '' : `: ${tables.join(', ')}`}`,
      value: tables.length,
      unit: '',
      atMost: 0,
    },
    growth('resident memory', 'rssMiB'),
    growth('heap', 'heapMiB'),
    growth('memory of buffers', 'externalMiB', MOST_BUFFER_GROWTH),
    growth('open files', 'files'),
    growth('handles and timers', 'handles'),
    {
      what: `${name} busy: CPU a session, last quarter against second`,
      value: cpuASession(busy, 0.75, 1, nodeCpu) / cpuASession(busy, 0.25, 0.5, nodeCpu) / slowdown,
      unit: 'times',
      atMost: MOST_GROWTH,
    },
    {
      what: `${name} busy: event loop taken at a stretch, p99`,
      value: part(busy, 0, 1, 'busyP99Ms'),
      unit: 'ms',
      atMost: MOST_BUSY_P99_MS,
    },
    {
      what: `${name} busy: the same, longer in the last quarter than in the second`,
      value: part(busy, 0.75, 1, 'busyP99Ms') / slowdown - part(busy, 0.25, 0.5, 'busyP99Ms'),
      unit: 'ms',
      atMost: MOST_BUSY_GROWTH_MS,
    },
    {
      what: `${name} busy: event loop taken at a stretch, longest`,
      value: busy.reduce((most, { sample }) => Math.max(most, sample.busyMostMs), 0),
      unit: 'ms',
      atMost: MOST_BUSY_MS,
    },
  ];
}

/** The looks from and to shares of the whole. */
function slice(looks: readonly Look[], from: number, to: number): readonly Look[] {
  return looks.slice(Math.floor(looks.length * from), Math.ceil(looks.length * to));
}

function part(looks: readonly Look[], from: number, to: number, field: Field): number {
  return median(slice(looks, from, to).map(({ sample }) => sample[field]));
}

const nodeCpu = ({ sample }: Look): number => sample.cpuMs;
/** The machine may be slower for a while than it was: this process does the same for each session, and is slower by as much. */
const ownCpu = ({ ownCpuMs }: Look): number => ownCpuMs;

function cpuASession(looks: readonly Look[], from: number, to: number, cpuMs: (look: Look) => number): number {
  const own = slice(looks, from, to);
  const [first, last] = [own[0], own.at(-1)];
  if (first === undefined || last === undefined) return NaN;
  return (cpuMs(last) - cpuMs(first)) / (last.begun - first.begun);
}
