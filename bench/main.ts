import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Figure } from './lib/figure.ts';
import { describe, isMissed } from './lib/figure.ts';
import { goFirst } from './lib/processes.ts';
import { plot } from './lib/plot.ts';
import { checkCores, IS_QUICK } from './lib/settings.ts';
import { tools } from './lib/tools.ts';

/*
 * `make bench`: every figure with its target, one run. `node bench/main.ts NAME…` runs some. Exits 1 when a target is
 * missed. Absolute times mean little on shared machines; where there is a peer, it ran interleaved and the ratio counts.
 * BENCH_QUICK=1 runs everything once and shortly, for a look.
 */

const BENCHES: Record<string, () => Promise<Figure[]>> = {
  startup: async () => (await import('./startup.ts')).startup(),
  sends: async () => (await import('./sends.ts')).sends(),
  'rtmp-1000': async () => (await import('./fan-out.ts')).rtmp1000(),
  'flv-1000': async () => (await import('./fan-out.ts')).flv1000(),
  'rtmp-3000': async () => (await import('./fan-out.ts')).rtmp3000(),
  'flv-100ms': async () => (await import('./fan-out.ts')).flvWindow100(),
  realtime: async () => (await import('./fan-out.ts')).realtime(),
  auto: async () => (await import('./fan-out.ts')).auto(),
  publishers: async () => (await import('./ingest.ts')).publishers(),
  'loop-delay': async () => (await import('./loop-delay.ts')).loopDelay(),
  waiting: async () => (await import('./waiting.ts')).waiting(),
  'never-read': async () => (await import('./never-read.ts')).neverRead(),
  edge: async () => (await import('./edge.ts')).edge(),
  rtmps: async () => (await import('./rtmps.ts')).rtmps(),
  'hls-edge': async () => (await import('./hls-edge.ts')).hlsEdge(),
  'hls-packaging': async () => (await import('./hls-packaging.ts')).hlsPackaging(),
  'hls-origin-load': async () => (await import('./hls-origin-load.ts')).hlsOriginLoad(),
};

const names = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(BENCHES);
const unknown = names.filter((name) => !(name in BENCHES));
if (unknown.length > 0) {
  console.error(`unknown benchmark ${unknown.join(', ')}; there are: ${Object.keys(BENCHES).join(', ')}`);
  process.exit(2);
}
checkCores();
goFirst();
tools();

const figures: Figure[] = [];
for (const name of names) {
  console.log(`== ${name}`);
  for (const figure of await BENCHES[name]!()) {
    console.log(describe(figure));
    figures.push(figure);
  }
}

const folder = join(import.meta.dirname, 'out');
mkdirSync(folder, { recursive: true });
writeFileSync(join(folder, 'figures.json'), `${JSON.stringify(figures, null, 2)}\n`);
writeFileSync(join(folder, 'figures.svg'), plot(figures));
const lacking = figures.filter(({ needs }) => needs !== undefined);
if (lacking.length > 0) console.log(`not measured: ${lacking.map(({ what }) => what).join('; ')}`);
const missed = figures.filter(isMissed);
if (missed.length > 0) console.log(`missed: ${missed.map(({ what }) => what).join('; ')}`);
else console.log(lacking.length > 0 ? 'every target that was measured is reached' : 'every target reached');
if (IS_QUICK) console.log('BENCH_QUICK: these figures prove nothing');
process.exit(missed.length === 0 ? 0 : 1);
