/** One measured figure with its target, if it has one. */
export interface Figure {
  readonly what: string;
  readonly value: number;
  readonly unit: string;
  readonly atMost?: number;
  /** All runs, in their order; `value` is their median. */
  readonly runs?: readonly number[];
}

export const isMissed = ({ value, atMost }: Figure) => atMost !== undefined && !(value <= atMost);

/** One line: what, the value, its runs, the target and whether it was reached. */
export function describe(figure: Figure): string {
  const { what, value, unit, atMost, runs } = figure;
  const suffix = unit === '' ? '' : ` ${unit}`;
  const target =
    atMost === undefined ? '' : `, target ≤ ${atMost}${suffix}: ${isMissed(figure) ? 'MISSED' : 'reached'}`;
  const each = runs ? ` [${runs.map((run) => run.toFixed(2)).join(' ')}]` : '';
  return `${what}: ${value.toFixed(2)}${suffix}${each}${target}`;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
