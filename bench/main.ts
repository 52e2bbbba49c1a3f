import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Figure } from './lib/figure.ts';
import { describe, isMissed } from './lib/figure.ts';

/*
 * `make bench`: every figure with its target, one run. `node bench/main.ts NAME…` runs some. Exits 1 when a target is
 * missed. Absolute times mean little on shared machines; where there is a peer, it ran interleaved and the ratio counts.
 */

const BENCHES: Record<string, () => Promise<Figure[]>> = {
  startup: async () => (await import('./startup.ts')).startup(),
};

const names = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(BENCHES);
const unknown = names.filter((name) => !(name in BENCHES));
if (unknown.length > 0) {
  console.error(`unknown benchmark ${unknown.join(', ')}; there are: ${Object.keys(BENCHES).join(', ')}`);
  process.exit(2);
}

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
const missed = figures.filter(isMissed);
console.log(missed.length === 0 ? 'every target reached' : `missed: ${missed.map(({ what }) => what).join('; ')}`);
process.exit(missed.length === 0 ? 0 : 1);
