import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { test } from 'node:test';

/*
 * The rank table of docs/ARCHITECTURE.md, held against the imports as they are.
 */

const root = join(import.meta.dirname, '..');
const MEDIA_RANKS: Record<string, number> = {
  lib: 0,
  media: 1,
  config: 1,
  formats: 2,
  stream: 2,
  http: 2,
  packaging: 3,
  recording: 3,
  protocols: 4,
  cluster: 4,
  admin: 4,
};

interface Import {
  readonly from: string;
  /** Path inside the repository, or the bare name of a package. */
  readonly to: string;
}

function imports(): Import[] {
  const files = globSync('{contract,operator,media-node,local}/**/*.ts', { cwd: root });
  assert.ok(files.length > 10, 'the scan found the sources');
  return files.flatMap((from) => {
    const text = readFileSync(join(root, from), 'utf8');
    return [
      ...text.matchAll(/(?:^import\s[^;]*?from\s|^import\s|^export\s[^;]*?from\s|\bimport\()\s*['"]([^'"]+)['"]/gms),
    ].map(([, to = '']) => {
      if (to.startsWith('#contract/')) return { from, to: to.slice(1) };
      return { from, to: to.startsWith('.') ? relative(root, join(root, dirname(from), to)) : to };
    });
  });
}

/** The folder under media-node/src, or undefined for node.ts, main.ts and what lies outside. */
const mediaFolder = (path: string) => /^media-node\/src\/([^/]+)\//.exec(path)?.[1];
const isTest = (path: string) => /\.(test|conformance|bench)\.ts$|test-helper|testing\//.test(path);

test('a folder of the media node imports lower ranks only, and every folder has a rank', () => {
  const wrong = imports().filter(({ from, to }) => {
    const [source, target] = [mediaFolder(from), mediaFolder(to)];
    if (source === undefined || isTest(from)) return false;
    if (to.startsWith('media-node/src/') && target === undefined) return true; // node.ts wires, nobody imports it
    if (target === undefined || source === target) return false;
    const [a, b] = [MEDIA_RANKS[source], MEDIA_RANKS[target]];
    if (a === undefined || b === undefined) return true;
    return b >= a;
  });
  assert.deepEqual(wrong, []);
});

test('operator and media node meet only in the contract, and only local/ imports both', () => {
  const top = (path: string) => path.split('/')[0]!;
  const allowed: Record<string, string[]> = {
    contract: ['contract'],
    operator: ['operator', 'contract'],
    'media-node': ['media-node', 'contract'],
    local: ['local', 'operator', 'media-node', 'contract'],
  };
  const wrong = imports().filter(
    ({ from, to }) =>
      top(to) in allowed && to.includes('/') && !to.startsWith('@') && !allowed[top(from)]!.includes(top(to)),
  );
  assert.deepEqual(wrong, []);
});

test('only the operator imports the Kubernetes client', () => {
  const wrong = imports().filter(({ from, to }) => to.startsWith('@kubernetes/') && !from.startsWith('operator/'));
  assert.deepEqual(wrong, []);
});

test('the contract needs zod and yaml alone', () => {
  const packages = imports()
    .filter(({ from, to }) => from.startsWith('contract/') && !isTest(from) && !to.startsWith('contract/'))
    .map(({ to }) => to)
    .filter((name) => !name.startsWith('node:'));
  assert.deepEqual([...new Set(packages)].sort(), ['yaml', 'zod']);
});
