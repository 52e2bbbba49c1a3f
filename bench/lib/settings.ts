import { availableParallelism } from 'node:os';

/** BENCH_QUICK=1: one short run of everything, for a look; its figures prove nothing. */
export const IS_QUICK = process.env['BENCH_QUICK'] === '1';
/**
 * BENCH_SHARED=1: the machine has other work meanwhile; what is measured runs under real-time scheduling (root only), so that
 * it need not wait for its core. Caches are still shared: better is a quiet machine.
 */
export const IS_SHARED = process.env['BENCH_SHARED'] === '1';
/** Interleaved runs of each server; their median counts. */
export const RUNS = Number(process.env['BENCH_RUNS'] ?? (IS_QUICK ? 1 : 5));
/** How long a run counts, and how long it settles before: Node compiles its hot functions meanwhile. */
export const MEASURE_MS = Number(process.env['BENCH_SECONDS'] ?? (IS_QUICK ? 4 : 6)) * 1_000;
export const SETTLE_MS = IS_QUICK ? 2_000 : 3_000;

/** How often a run is tried that other work on the machine disturbs. */
export const ATTEMPTS = IS_QUICK ? 2 : 4;

/** The measured server has a core of its own; whoever feeds and watches it has the other. */
export const SERVER_CORE = 0;
export const LOAD_CORE = 1;

/** Throws where the machine has too few cores to tell server and load apart. */
export function checkCores(): void {
  if (availableParallelism() < 2)
    throw new Error('the benchmark needs two cores: one for the server, one for the load');
}
