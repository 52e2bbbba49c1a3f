import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, test } from 'node:test';

/*
 * In a copy of what it needs, so that the module of this repository stays.
 */

const repository = join(import.meta.dirname, '../..');
const work = mkdtempSync(join(tmpdir(), 'native-build-'));
const folder = join(work, 'media-node/native');
const moduleName = `send-to-all-${process.platform}-${process.arch}.node`;
const modulePath = join(folder, 'build', moduleName);

beforeEach(() => {
  rmSync(work, { recursive: true });
  for (const path of ['package.json', 'media-node/src/lib/send-to-all.ts', 'media-node/native/send-to-all.c']) {
    cpSync(join(repository, path), join(work, path));
  }
  cpSync(join(import.meta.dirname, 'build.ts'), join(folder, 'build.ts'));
  symlinkSync(join(repository, 'node_modules'), join(work, 'node_modules'));
});

after(() => rmSync(work, { recursive: true }));

function build(env: NodeJS.ProcessEnv, ...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(folder, 'build.ts'), ...args], {
    env,
    encoding: 'utf8',
  });
  return { status, stdout, stderr };
}

const here = () => build(process.env, '--require');
const built = { status: 0, stdout: `built ${moduleName}\n`, stderr: '' };
const upToDate = { status: 0, stdout: '', stderr: '' };

test('it builds once, and says nothing when that is up to date, with or without a compiler', () => {
  assert.deepEqual(here(), built);
  const { ino, mode } = statSync(modulePath);
  assert.equal(mode & 0o777, 0o755);
  assert.deepEqual(here(), upToDate);
  assert.deepEqual(build({ PATH: '/nonexistent' }, '--require'), upToDate);
  assert.equal(statSync(modulePath).ino, ino);
  assert.deepEqual(readdirSync(join(folder, 'build')), [moduleName]);
});

test('another source, a file that does not load and what a killed build left are replaced', () => {
  assert.deepEqual(here(), built);
  appendFileSync(join(folder, 'send-to-all.c'), '/* changed */\n');
  assert.deepEqual(here(), built);

  rmSync(modulePath);
  writeFileSync(modulePath, 'of another machine');
  const left = join(folder, 'build', 'send-to-all.1.unfinished.node');
  writeFileSync(left, 'half');
  utimesSync(left, 0, 0);
  assert.deepEqual(here(), built);
  assert.deepEqual(readdirSync(join(folder, 'build')), [moduleName]);
  assert.deepEqual(here(), upToDate);
});

test('without a compiler it says what that costs and how to mend it, and fails only where the module is required', () => {
  const env = { PATH: '/nonexistent', CC: '/nonexistent/cc' };
  const told = build(env);
  assert.equal(told.status, 0);
  assert.match(told.stderr, /^send-to-all is not built; .* no C compiler .* apt-get install gcc libc6-dev\n$/);
  assert.deepEqual(build(env, '--require'), { ...told, status: 1 });
  assert.throws(() => statSync(modulePath), { code: 'ENOENT' });
});

test('a source that the compiler refuses leaves what was built before', () => {
  assert.deepEqual(here(), built);
  const before = readFileSync(modulePath);
  appendFileSync(join(folder, 'send-to-all.c'), 'this is no C\n');
  const { status, stderr } = here();
  assert.equal(status, 1);
  assert.match(stderr, /send-to-all is not built; .*fails:/);
  assert.deepEqual(readFileSync(modulePath), before);
  assert.deepEqual(readdirSync(join(folder, 'build')), [moduleName]);
});

test('$CC names the compiler, with its arguments', () => {
  mkdirSync(join(work, 'bin'));
  const compiler = join(work, 'bin/compiler');
  writeFileSync(compiler, `#!/bin/sh\necho "$1" >>${work}/first\nshift\nexec cc "$@"\n`, { mode: 0o755 });
  assert.deepEqual(build({ ...process.env, CC: `${compiler} --own` }, '--require'), built);
  assert.deepEqual([...new Set(readFileSync(join(work, 'first'), 'utf8').trim().split('\n'))], ['--own']);
});
