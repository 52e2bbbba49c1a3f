import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { shortFailure } from './failure-report.ts';

const FILE = `
import { before, describe, test } from 'node:test';
describe('suite', () => {
  test('is well', () => {});
  test('fails', () => { throw new Error('said\\nmore', { cause: new Error('inner') }); });
  test('is to do', { todo: true }, () => { throw new Error('not yet'); });
});
describe('other suite', () => {
  before(() => { throw new Error('no ground to stand on'); });
  test('never runs', () => {});
});
`;

test('a report names each failure once, with what was said, and nothing else', () => {
  const folder = mkdtempSync(join(tmpdir(), 'livecluster-report-'));
  try {
    const file = join(folder, 'x.test.mjs');
    writeFileSync(file, FILE);
    const reporter = join(import.meta.dirname, 'failure-report.ts');
    // A test that is run by another one reports to that one.
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    const args = ['--test', `--test-reporter=${reporter}`, file];
    const { stdout } = spawnSync(process.execPath, args, { encoding: 'utf8', cwd: folder, env });
    const lines = ['fails (x.test.mjs:5)', '  said', '  more', '  caused by: inner'];
    assert.equal(stdout, [...lines, 'other suite (x.test.mjs:8)', '  no ground to stand on', ''].join('\n'));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('a long failure is told in its first lines, and long lines are cut', () => {
  const said = Array.from({ length: 20 }, (_, index) => `line ${index}`).join('\n\n');
  const lines = shortFailure('name', `${'x'.repeat(400)}\n${said}`).split('\n');
  assert.deepEqual([lines[0], lines[1]?.length, lines[2], lines[15]], ['name', 303, '  line 0', '  line 13']);
  assert.deepEqual(lines.slice(16), ['  … and 6 lines more', '']);
});
