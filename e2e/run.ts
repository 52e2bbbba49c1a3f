import { mkdtempSync, existsSync, globSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openTarget } from './cluster/target.ts';
import { ensurePythonTools } from './lib/python.ts';

/*
 * The end-to-end step of `make test`: a cluster (the rig's own, or E2E_KUBECONFIG's), the tests inside its network, the
 * logs kept on a failure, everything taken down again unless E2E_KEEP=1.
 */

interface Counts {
  readonly ok: boolean;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly note: string;
}

type NodeTest = (prefix: readonly string[], files: readonly string[], flags?: readonly string[]) => Promise<Counts>;

/** Runs all of e2e/*.test.ts one after the other; resolves with their counts. */
export async function endToEnd(nodeTest: NodeTest): Promise<Counts> {
  await ensurePythonTools();
  const scratch = mkdtempSync(join(tmpdir(), 'livecluster-e2e-'));
  const figures = join(scratch, 'figures');
  const target = await openTarget();
  let ok = false;
  try {
    process.env.KUBECONFIG = target.kubeconfig;
    process.env.E2E_FIGURES = figures;
    const only = process.env.ONLY ? ['--test-name-pattern', process.env.ONLY] : [];
    const counts = await nodeTest(target.prefix, globSync('e2e/*.test.ts').sort(), [
      '--test-concurrency=1',
      '--test-timeout=900000',
      ...only,
    ]);
    ok = counts.ok;
    if (existsSync(figures)) console.log(readFileSync(figures, 'utf8').trim());
    return counts;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
    await target.close({ keepLogs: !ok });
  }
}
