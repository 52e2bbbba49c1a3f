/**
 * Compiles send-to-all.c into build/, unless what is there is made from the same source with the same flags and loads.
 *
 *   node media-node/native/build.ts [--require]
 *
 * Without a C compiler it says so and exits 0, since the media node runs without the module; with --require it exits 1.
 * Runs in the image's build stage too, where npm's development packages are not.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { sendToAllPath } from '../src/lib/send-to-all.ts';

const require = createRequire(import.meta.url);
const source = join(import.meta.dirname, 'send-to-all.c');

const FLAGS = [
  ...['-std=gnu11', '-O2', '-fPIC', '-fvisibility=hidden', '-Wall', '-Wextra', '-Werror'],
  // Node itself has the functions of Node-API.
  ...(process.platform === 'darwin' ? ['-bundle', '-undefined', 'dynamic_lookup'] : ['-shared', '-s']),
];

/** What a killed build has left is removed after this. */
const UNFINISHED_MS = 60_000;

/** What a build depends on, compiled into it. */
const builtFrom = createHash('sha256').update(readFileSync(source)).update(FLAGS.join(' ')).digest('hex').slice(0, 16);

/** Why it could not be built: what is missing, and how to mend it. */
class BuildError extends Error {}

function isUpToDate(path: string): boolean {
  if (!existsSync(path)) return false;
  try {
    return (require(path) as { builtFrom?: unknown }).builtFrom === builtFrom;
  } catch {
    return false; // Of another libc, say.
  }
}

/** The compiler with its own arguments: $CC may be `ccache gcc`. */
function compiler(): string[] {
  for (const command of [process.env['CC'] ?? '', 'cc', 'gcc']) {
    const [program, ...options] = command.split(' ').filter((word) => word !== '');
    if (program !== undefined && spawnSync(program, [...options, '--version'], { stdio: 'ignore' }).status === 0) {
      return [program, ...options];
    }
  }
  throw new BuildError('there is no C compiler ($CC, cc, gcc): on Debian, apt-get install gcc libc6-dev');
}

/** The folder of node_api.h: npm's package, or what came with Node. */
function headers(): string {
  const besideNode = join(dirname(process.execPath), '../include/node');
  const fromNpm = () => (require('node-api-headers') as { include_dir: string }).include_dir;
  for (const folder of [fromNpm, () => besideNode]) {
    try {
      if (existsSync(join(folder(), 'node_api.h'))) return folder();
    } catch {
      // Not installed: an image's build stage has no development packages.
    }
  }
  throw new BuildError(`node_api.h is neither in the npm package node-api-headers nor in ${besideNode}: run npm ci`);
}

/** Whoever has the old file loaded keeps it: the new one takes its name when it is whole and has been loaded here. */
function build(path: string): void {
  const [program, ...options] = compiler();
  const unfinished = path.replace(/\.node$/, `.${process.pid}.unfinished.node`);
  const args = [...options, ...FLAGS, `-DBUILT_FROM="${builtFrom}"`, '-I', headers(), '-o', unfinished, source];
  mkdirSync(dirname(path), { recursive: true });
  removeLeftOver(dirname(path));
  try {
    const { status, stderr, error } = spawnSync(program!, args, { encoding: 'utf8' });
    if (status !== 0) throw new BuildError(`${program} fails:\n${error?.message ?? stderr}`);
    if (!isUpToDate(unfinished)) throw new BuildError(`what ${program} made does not load in ${process.execPath}`);
    chmodSync(unfinished, 0o755); // Whatever the umask: an image runs as another user.
    renameSync(unfinished, path);
  } finally {
    rmSync(unfinished, { force: true });
  }
}

function removeLeftOver(folder: string): void {
  for (const name of readdirSync(folder).filter((each) => each.includes('.unfinished.'))) {
    const path = join(folder, name);
    const age = Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
    if (age > UNFINISHED_MS) rmSync(path, { force: true });
  }
}

if (!isUpToDate(sendToAllPath)) {
  try {
    build(sendToAllPath);
    process.stdout.write(`built ${basename(sendToAllPath)}\n`);
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    const cost = 'send-to-all is not built; the media node runs without it, and a viewer costs 20 to 40 % more CPU';
    process.stderr.write(`${cost}: ${error.message.trimEnd()}\n`);
    if (process.argv.includes('--require')) process.exitCode = 1;
  }
}
