import type { Figure } from './lib/figure.ts';

/* What viewers of HLS behind edges cost their origin. */

export function hlsOriginLoad(): Promise<Figure[]> {
  return Promise.resolve([
    { what: 'origin requests a segment', value: NaN, unit: '', needs: 'its benchmark, which is being written' },
  ]);
}
