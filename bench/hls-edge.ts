import type { Figure } from './lib/figure.ts';

/* An edge that serves segments of HLS, against nginx with the same files. */

export function hlsEdge(): Promise<Figure[]> {
  return Promise.resolve([
    { what: 'HLS edge against nginx', value: NaN, unit: '', needs: 'its benchmark, which is being written' },
  ]);
}
