import type { Figure } from '../lib/figure.ts';
import { isMissed } from '../lib/figure.ts';
import type { NodeSample } from './node-watch.ts';

/* What the soak prints: a row for each node now and then, and at the end every figure beside its bound. */

const COLUMNS = [
  ['node', 8],
  ['RSS', 6],
  ['heap', 6],
  ['buffers', 8],
  ['files', 6],
  ['handles', 8],
  ['loop p99', 9],
  ['longest', 8],
  ['streams', 8],
  ['players', 8],
  ['pulls', 6],
  ['packaged', 9],
  ['followed', 9],
] as const;

export const LEGEND = [
  'RSS, heap and buffers in MiB, after garbage was collected; loop: ms that the node itself keeps its event loop at a stretch',
  COLUMNS.map(([name, width], index) => (index === 0 ? name.padEnd(width) : name.padStart(width))).join(''),
].join('\n');

/** One line, in the columns of the legend. */
export function row(name: string, sample: NodeSample): string {
  const { tables } = sample;
  const values = [
    sample.rssMiB.toFixed(0),
    sample.heapMiB.toFixed(1),
    sample.externalMiB.toFixed(1),
    sample.files,
    sample.handles,
    sample.busyP99Ms.toFixed(1),
    sample.busyMostMs.toFixed(1),
    tables.streams,
    tables.players,
    tables.pulls,
    tables.packagings,
    tables['followed playlists'],
  ];
  return (
    name.padEnd(COLUMNS[0][1]) + values.map((value, index) => String(value).padStart(COLUMNS[index + 1]![1])).join('')
  );
}

/** A line each: what, the value, its bound, and whether it holds. */
export function table(figures: readonly Figure[]): string {
  const cells = figures.map((figure) => {
    const { what, value, unit, atMost, atLeast } = figure;
    const bound = atMost === undefined ? `≥ ${atLeast ?? NaN}` : `≤ ${atMost}`;
    const suffix = unit === '' ? '' : ` ${unit}`;
    const digits = Number.isInteger(value) && unit === '' ? 0 : 2;
    return [
      what,
      `${value.toFixed(digits)}${suffix}`,
      `${bound}${suffix}`,
      isMissed(figure) ? 'MISSED' : 'ok',
    ] as const;
  });
  const width = (column: 0 | 1 | 2): number => Math.max(...cells.map((cell) => cell[column].length));
  const [first, second, third] = [width(0), width(1), width(2)];
  return cells
    .map(([what, value, bound, word]) =>
      [what.padEnd(first), value.padStart(second), bound.padEnd(third), word].join('  '),
    )
    .join('\n');
}

/** The last line: how it went in one sentence. */
export function verdict(figures: readonly Figure[], sessions: number, minutes: number): string {
  const missed = figures.filter(isMissed);
  const over = `${sessions} sessions in ${minutes} min`;
  if (missed.length === 0) return `soak: ${over}, all ${figures.length} figures are within their bounds`;
  const names = missed.map(({ what }) => `  ${what}`).join('\n');
  return `soak: ${over}, ${missed.length} of ${figures.length} figures are out of their bounds:\n${names}`;
}
