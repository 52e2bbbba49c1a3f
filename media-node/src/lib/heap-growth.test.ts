import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';

/** How often what is alive fits into the heap's next limit, in a process that has 40 MB alive. */
function growth(before: string): number {
  const program = `
    ${before}
    const kept = Array.from({ length: 5_000 }, (_, index) => new Array(1_000).fill(index));
    for (let round = 0; round < 3; round++) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      gc();
    }
    console.log(kept.length);`;
  // A flag of the command line that the call has to overrule: by itself V8 may choose the same.
  const args = [
    '--heap-growing-percent=50',
    '--expose-gc',
    '--trace-gc-verbose',
    '--input-type=module',
    '--eval',
    program,
  ];
  const said = execFileSync(process.execPath, args, { encoding: 'utf8' });
  const [, size, limit] = [...said.matchAll(/HeapController\] Limit: old size: (\d+) KB, new limit: (\d+) KB/g)].at(
    -1,
  )!;
  return Number(limit) / Number(size);
}

test('this version of V8 still takes the flag while it runs, and lets the heap grow further with it', () => {
  const file = new URL('./heap-growth.ts', import.meta.url).href;
  const plain = growth('');
  const grown = growth(`(await import(${JSON.stringify(file)})).letHeapGrow();`);
  assert.ok(grown >= 4 && plain < 3, `${grown} against ${plain}`);
});
