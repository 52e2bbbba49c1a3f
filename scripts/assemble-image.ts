/**
 * Runs in the image's build stage (see Containerfile): `node assemble-image.ts APP ROOTFS`.
 * Takes what no run needs out of APP, fills Node's compile cache with both programs, and puts into ROOTFS all that the image holds:
 * Node, the libraries that it loads, the program, a user.
 */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  rmSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';

/** The user that the programs run as; the official Node image's `node`. */
const USER_ID = 1000;

/** Where both stages have the compile cache; equal to NODE_COMPILE_CACHE in the Containerfile. */
const COMPILE_CACHE = '.compile-cache';

const ENTRY_POINTS = ['operator/src/main.ts', 'media-node/src/main.ts'];

/** An entry point only has to load its modules; without configuration it ends by itself. */
const WARM_UP_MS = 20_000;

const isTest = (name: string) => /\.(test|conformance)\.[cm]?[jt]s$|^(testing(-.*)?|corpus)\.ts$/.test(name);
const isForHumans = (name: string) => /\.(map|md|markdown|d\.[cm]?ts)$/i.test(name) && !/^licen[cs]e/i.test(name);
const dependencySurplus = new Set([
  'test',
  'tests',
  '__tests__',
  'docs',
  'doc',
  'example',
  'examples',
  '.github',
  'bench',
  'benchmark',
]);
const ownSurplus = new Set(['testing', 'corpus', 'fixtures', 'testdata']);

/** What is needed of packages that browsers load: one file each. Their other builds are 10 MB. */
const BROWSER_FILES: Readonly<Record<string, string>> = { 'hls.js': 'hls.min.js', 'mpegts.js': 'mpegts.js' };

function pruneBrowserPackages(modules: string): void {
  for (const [name, file] of Object.entries(BROWSER_FILES)) {
    const folder = join(modules, name);
    if (!existsSync(join(folder, 'dist', file))) throw new Error(`assemble-image: ${name} has no dist/${file}`);
    for (const each of readdirSync(folder)) {
      if (!['dist', 'package.json', 'LICENSE'].includes(each)) rmSync(join(folder, each), { recursive: true });
    }
    for (const each of readdirSync(join(folder, 'dist'))) {
      if (each !== file) rmSync(join(folder, 'dist', each), { recursive: true });
    }
  }
}

/** Removes tests, types, source maps and texts, then the folders left empty. */
function prune(folder: string, isDependency: boolean): void {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    const status = lstatSync(path);
    if (status.isSymbolicLink()) continue;
    if (status.isDirectory()) {
      const isPackage = existsSync(join(path, 'package.json'));
      if (isDependency ? isDependencySurplus(name, folder, isPackage) : ownSurplus.has(name))
        rmSync(path, { recursive: true });
      else prune(path, isDependency);
    } else if (isTest(name) || isForHumans(name) || (isDependency && /\.[cm]?ts$/.test(name))) {
      rmSync(path);
    }
  }
  if (readdirSync(folder).length === 0) rmdirSync(folder);
}

/** Names like `test` count at a package's top only: deeper they may be part of the program. A package may be called so, too. */
function isDependencySurplus(name: string, parent: string, isPackage: boolean): boolean {
  if (name === '@types' || name === '.bin') return true;
  return dependencySurplus.has(name) && !isPackage && existsSync(join(parent, 'package.json'));
}

/** Leaves of media-node/native the module for this platform, without which viewers cost more: not its source, nor what else was built. */
function pruneNative(folder: string): void {
  const suffix = `-${process.platform}-${process.arch}.node`;
  const modules = existsSync(join(folder, 'build')) ? readdirSync(join(folder, 'build')) : [];
  if (!modules.some((name) => name.endsWith(suffix)))
    throw new Error(`assemble-image: ${folder}/build has no *${suffix}`);
  for (const name of modules) if (!name.endsWith(suffix)) rmSync(join(folder, 'build', name), { recursive: true });
  for (const name of readdirSync(folder)) if (name !== 'build') rmSync(join(folder, name), { recursive: true });
}

/** Runs each entry point once as the image's user: the cache's folder is named by Node's version and by the user. */
function warmUp(app: string): void {
  const cache = join(app, COMPILE_CACHE);
  mkdirSync(cache);
  chmodSync(cache, 0o777);
  for (const entry of ENTRY_POINTS) {
    const result = spawnSync(process.execPath, [entry], {
      cwd: app,
      uid: USER_ID,
      gid: USER_ID,
      env: { PATH: process.env['PATH'], NODE_ENV: 'production', NODE_COMPILE_CACHE: cache },
      encoding: 'utf8',
      timeout: WARM_UP_MS,
      killSignal: 'SIGTERM',
    });
    const words = `${result.stdout}${result.stderr}`;
    if (/MODULE_NOT_FOUND|SyntaxError|ERR_UNSUPPORTED|ERR_UNKNOWN_FILE_EXTENSION/.test(words)) {
      throw new Error(`assemble-image: ${entry} does not load:\n${words}`);
    }
  }
  // Node writes the files for their owner alone, and the image's files are root's.
  const files = readdirSync(cache, { recursive: true, withFileTypes: true });
  for (const file of files) chmodSync(join(file.parentPath, file.name), file.isDirectory() ? 0o755 : 0o644);
  chmodSync(cache, 0o755);
  if (files.length === 0) throw new Error(`assemble-image: Node wrote no compile cache into ${cache}`);
}

/** Copies a file to the same path under `rootfs`, links followed. */
function copyIn(rootfs: string, path: string): void {
  const target = join(rootfs, path);
  mkdirSync(dirname(target), { recursive: true });
  cpSync(realpathSync(path), target, { preserveTimestamps: true });
}

function assemble(app: string, rootfs: string): void {
  cpSync(realpathSync(process.execPath), join(rootfs, 'usr/local/bin/node'));
  const report = process.report.getReport() as { sharedObjects?: string[] };
  // The loader and every library of this very process; the first ones are not files (linux-vdso).
  const libraries = (report.sharedObjects ?? []).filter(
    (path) => path.startsWith('/') && basename(path).includes('.so'),
  );
  if (libraries.length === 0)
    throw new Error('assemble-image: Node reports no shared libraries; the base has to be a glibc one');
  for (const library of libraries) copyIn(rootfs, library);

  for (const folder of ['etc', 'home/node', 'tmp']) mkdirSync(join(rootfs, folder), { recursive: true });
  chmodSync(join(rootfs, 'tmp'), 0o1777);
  writeFileSync(
    join(rootfs, 'etc/passwd'),
    `root:x:0:0::/:/sbin/nologin\nnode:x:${USER_ID}:${USER_ID}::/home/node:/sbin/nologin\n`,
  );
  writeFileSync(join(rootfs, 'etc/group'), `root:x:0:\nnode:x:${USER_ID}:\n`);
  writeFileSync(join(rootfs, 'etc/nsswitch.conf'), 'passwd: files\ngroup: files\nhosts: files dns\n');
  cpSync(app, join(rootfs, app), { recursive: true, verbatimSymlinks: true, preserveTimestamps: true });
}

const [app, rootfs] = process.argv.slice(2);
if (app === undefined || rootfs === undefined) {
  console.error('usage: node assemble-image.ts APP ROOTFS');
  process.exit(2);
}
pruneBrowserPackages(join(app, 'node_modules'));
prune(join(app, 'node_modules'), true);
for (const own of ['contract', 'operator', 'media-node']) prune(join(app, own), false);
pruneNative(join(app, 'media-node/native'));
rmSync(join(app, 'package-lock.json'));
warmUp(app);
assemble(app, rootfs);
