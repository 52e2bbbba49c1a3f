import { spawn, spawnSync } from 'node:child_process';
import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { shortFailure } from './failure-report.ts';

/*
 * What `make test` runs, step by step, with one summary at the end. `node scripts/test.ts STEP…` runs some of it;
 * `unit PATH…` narrows the unit tests.
 */

const root = join(import.meta.dirname, '..');
process.chdir(root);

interface Outcome {
  readonly name: string;
  readonly seconds: number;
  readonly ok: boolean;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly note: string;
}

/** What failed so far, told again before the summary. */
const failures: string[] = [];

/** Runs a command with its output shown; resolves with its exit code and what it printed. */
function run(command: string, args: readonly string[]): Promise<{ code: number; output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const [from, to] of [[child.stdout, process.stdout] as const, [child.stderr, process.stderr] as const]) {
      from.on('data', (chunk: Buffer) => {
        to.write(chunk);
        output += chunk.toString();
      });
    }
    child.once('error', reject);
    child.once('close', (code) => resolve({ code: code ?? 1, output }));
  });
}

/** One command that passes or fails as a whole. */
async function check(command: string, ...args: string[]): Promise<Omit<Outcome, 'name' | 'seconds'>> {
  const { code, output } = await run(command, args);
  if (code !== 0) failures.push(shortFailure([command, ...args].join(' '), output));
  return { ok: code === 0, passed: code === 0 ? 1 : 0, failed: code === 0 ? 0 : 1, skipped: 0, note: '' };
}

/** node:test over files; the counts are those of its own summary. */
async function nodeTest(prefix: readonly string[], files: readonly string[], flags: readonly string[] = []) {
  if (files.length === 0) throw new Error('no test file found: that cannot be right');
  const folder = mkdtempSync(join(tmpdir(), 'livecluster-test-'));
  const report = join(folder, 'failures');
  const reporters = [
    ...['--test-reporter=spec', '--test-reporter-destination=stdout'],
    ...['--test-reporter=./scripts/failure-report.ts', `--test-reporter-destination=${report}`],
  ];
  const [command, ...args] = [...prefix, process.execPath, '--test', ...reporters, ...flags, ...files];
  const { code, output } = await run(command!, args).finally(() => {
    failures.push(readText(report));
    rmSync(folder, { recursive: true });
  });
  const count = (word: string) => Number(new RegExp(`^ℹ ${word} (\\d+)`, 'm').exec(output)?.[1] ?? 0);
  const counts = {
    passed: count('pass'),
    failed: count('fail') + count('cancelled'),
    skipped: count('skipped') + count('todo'),
  };
  return { ...counts, ok: code === 0 && counts.failed === 0 && counts.passed > 0, note: '' };
}

/** Empty where there is none. */
function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

const testFiles = (pattern: string) => globSync(pattern, { exclude: (path) => path.includes('node_modules') }).sort();

const narrowed = process.argv.slice(2);
const STEPS: Record<string, () => Promise<Omit<Outcome, 'name' | 'seconds'>>> = {
  types: () => check('tsc', '--noEmit'),
  lint: () => check('oxlint', '--type-aware', '--deny-warnings'),
  format: () => check('prettier', '--check', '--log-level', 'warn', '.'),
  generated: () => check(process.execPath, 'scripts/gen.ts', '--check'),
  native: () => check(process.execPath, 'media-node/native/build.ts', '--require'),
  unit: () => {
    const files = narrowed[0] === 'unit' && narrowed.length > 1 ? narrowed.slice(1) : unitFiles();
    return nodeTest([], files, ['--test-concurrency=2', '--test-timeout=300000']);
  },
  manifests: () => check(process.execPath, 'scripts/check-manifests.ts'),
  e2e: async () => {
    if (process.env.E2E === '0') {
      return { ok: true, passed: 0, failed: 0, skipped: 1, note: 'E2E=0: the real Kubernetes was left out' };
    }
    const { endToEnd } = await import('../e2e/run.ts');
    return endToEnd(nodeTest);
  },
};
const GROUPS: Record<string, string[]> = {
  checks: ['types', 'lint', 'format', 'generated'],
  // Their tests fail without the compiled module.
  unit: ['native', 'unit'],
  e2e: ['native', 'e2e'],
};

function unitFiles(): string[] {
  return ['contract', 'operator', 'media-node', 'local', 'scripts', 'charts', 'bench', 'e2e/cluster'].flatMap(
    (folder) => testFiles(`${folder}/**/*.test.ts`),
  );
}

const wanted = narrowed.length === 0 ? Object.keys(STEPS) : narrowed[0] === 'unit' ? ['unit'] : narrowed;
const names = [...new Set(wanted.flatMap((name) => GROUPS[name] ?? [name]))];
const unknown = names.filter((name) => !(name in STEPS));
if (unknown.length > 0) {
  console.error(
    `unknown step ${unknown.join(', ')}; there are: ${[...Object.keys(GROUPS), ...Object.keys(STEPS)].join(', ')}`,
  );
  process.exit(2);
}

const outcomes: Outcome[] = [];
for (const name of names) {
  console.log(`\n== ${name}`);
  const started = performance.now();
  let outcome: Omit<Outcome, 'name' | 'seconds'>;
  try {
    outcome = await STEPS[name]!();
  } catch (error) {
    console.error(error);
    failures.push(shortFailure(name, (error as Error).message));
    outcome = { ok: false, passed: 0, failed: 1, skipped: 0, note: (error as Error).message };
  }
  outcomes.push({ name, seconds: (performance.now() - started) / 1000, ...outcome });
}

const told = failures.filter((text) => text !== '');
if (told.length > 0) console.log(`\n== what failed\n${told.join('').trim()}`);
console.log('\n== summary');
for (const { name, ok, seconds, passed, failed, skipped, note } of outcomes) {
  const counts = `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
  console.log(
    `${ok ? 'ok  ' : 'FAIL'}  ${name.padEnd(10)} ${seconds.toFixed(1).padStart(7)} s  ${counts}${note ? `  (${note})` : ''}`,
  );
}
const sum = (field: 'passed' | 'failed' | 'skipped') => outcomes.reduce((total, outcome) => total + outcome[field], 0);
const total = outcomes.reduce((seconds, outcome) => seconds + outcome.seconds, 0);
const commit = spawnSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).stdout.trim();
console.log(`whole run ${(total / 60).toFixed(1)} min (target: 40 cold, 10 warm)${commit ? ` at ${commit}` : ''}`);
console.log(`${sum('passed')} passed, ${sum('failed')} failed, ${sum('skipped')} skipped`);
process.exit(outcomes.every(({ ok }) => ok) ? 0 : 1);
