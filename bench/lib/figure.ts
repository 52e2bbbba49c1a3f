/** One measured figure with its target, if it has one. */
export interface Figure {
  readonly what: string;
  /** NaN where nothing was measured. */
  readonly value: number;
  readonly unit: string;
  readonly atMost?: number;
  /** All runs, in their order; `value` is their median. */
  readonly runs?: readonly number[];
  /** Why the value does not count: a target is missed by that. */
  readonly fault?: string;
  /** What the product lacks for this to be measured; neither reached nor missed. */
  readonly needs?: string;
  /** Key of the chart that shows it. */
  readonly chart?: string;
}

export const isMissed = ({ value, atMost, fault, needs }: Figure) =>
  atMost !== undefined && needs === undefined && (fault !== undefined || !(value <= atMost));

/** One line: what, the value, its runs, the target and whether it was reached. */
export function describe(figure: Figure): string {
  const { what, value, unit, atMost, runs, fault, needs } = figure;
  const suffix = unit === '' ? '' : ` ${unit}`;
  if (needs !== undefined) {
    return `${what}: not measured: needs ${needs}${atMost === undefined ? '' : ` (target ≤ ${atMost}${suffix})`}`;
  }
  const target =
    atMost === undefined ? '' : `, target ≤ ${atMost}${suffix}: ${isMissed(figure) ? 'MISSED' : 'reached'}`;
  const each = runs && runs.length > 1 ? ` [${runs.map((run) => run.toFixed(2)).join(' ')}]` : '';
  const doubt = fault === undefined ? '' : ` (does not count: ${fault})`;
  return `${what}: ${value.toFixed(2)}${suffix}${each}${target}${doubt}`;
}

export function median(values: readonly number[]): number {
  if (values.length === 0) return NaN;
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
