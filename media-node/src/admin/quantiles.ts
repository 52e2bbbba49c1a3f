/** The value at quantile `q` (0 to 1, nearest rank) of numbers in rising order; 0 of none. */
export function quantile(sorted: readonly number[], q: number): number {
  return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? 0;
}

/** Numbers in rising order. */
export function rising(values: readonly number[]): number[] {
  return values.toSorted((a, b) => a - b);
}
