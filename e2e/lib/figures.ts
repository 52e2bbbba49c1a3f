import { appendFileSync } from 'node:fs';

export interface Target {
  readonly atMost?: number;
  readonly unit: string;
}

/** Prints a measured figure beside its target and keeps it for the run's summary; never fails a test. */
export function figure(what: string, value: number, { atMost, unit }: Target): void {
  const target = atMost === undefined ? '' : ` (target ≤ ${atMost} ${unit}${value <= atMost ? '' : ', MISSED'})`;
  const line = `figure: ${what}: ${value.toFixed(2)} ${unit}${target}`;
  console.log(line);
  const file = process.env.E2E_FIGURES;
  if (file) appendFileSync(file, `${line}\n`);
}
