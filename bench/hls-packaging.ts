import type { Figure } from './lib/figure.ts';

/* What it costs an origin to package a stream, against ffmpeg. */

export function hlsPackaging(): Promise<Figure[]> {
  return Promise.resolve([
    { what: 'packaging against ffmpeg', value: NaN, unit: '', needs: 'its benchmark, which is being written' },
  ]);
}
