/** One measured figure with its target, if it has one. */
export interface Figure {
  readonly what: string;
  /** NaN where nothing was measured. */
  readonly value: number;
  readonly unit: string;
  readonly atMost?: number;
  readonly atLeast?: number;
  /** All runs, in their order; `value` is their median. */
  readonly runs?: readonly number[];
  /** Why the value does not count: a target is missed by that. */
  readonly fault?: string;
  /** What the product lacks for this to be measured; neither reached nor missed. */
  readonly needs?: string;
  /** Key of the chart that shows it. */
  readonly chart?: string;
}

export function isMissed({ value, atMost, atLeast, fault, needs }: Figure): boolean {
  if ((atMost === undefined && atLeast === undefined) || needs !== undefined) return false;
  return fault !== undefined || !(value <= (atMost ?? Infinity) && value >= (atLeast ?? -Infinity));
}

/** One line: what, the value, its runs, the target and whether it was reached. */
export function describe(figure: Figure): string {
  const { what, value, unit, atMost, atLeast, runs, fault, needs } = figure;
  const suffix = unit === '' ? '' : ` ${unit}`;
  const bounds = [
    ...(atLeast === undefined ? [] : [`≥ ${atLeast}${suffix}`]),
    ...(atMost === undefined ? [] : [`≤ ${atMost}${suffix}`]),
  ].join(' and ');
  if (needs !== undefined) return `${what}: not measured: needs ${needs}${bounds && ` (target ${bounds})`}`;
  const target = bounds && `, target ${bounds}: ${isMissed(figure) ? 'MISSED' : 'reached'}`;
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
