/** Debian's buildah as the rig uses it: its own storage in the cache folder, no daemon, no user namespaces, no mounts left. */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../cluster/processes.ts';
import { cacheFolder } from '../cluster/tools.ts';

const storage = join(cacheFolder, 'buildah');

/** In a mount namespace of its own: buildah's overlay driver leaves mounts, and so does a build that is killed. */
const unshare = ['--mount', '--propagation', 'private', '--'];

/**
 * Runs buildah to its end and gives its standard output, trimmed.
 *
 * @throws Error with buildah's last words when it fails
 */
export function buildah(args: readonly string[], options: { cwd?: string } = {}): Promise<string> {
  const env = { ...process.env, BUILDAH_ISOLATION: 'chroot', STORAGE_DRIVER: storageDriver() };
  const driver = join(storage, storageDriver());
  const places = ['--storage-driver', storageDriver(), '--root', driver, '--runroot', `${driver}-run`];
  const child = spawn('unshare', [...unshare, 'buildah', ...places, ...args], {
    ...options,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  return new Promise((resolve, reject) => {
    let output = '';
    let words = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => (output += chunk));
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => (words = (words + chunk).slice(-8000)));
    child.on('error', reject);
    child.on('close', (status) => {
      if (status === 0) resolve(output.trim());
      else reject(new Error(`e2e: buildah ${args.join(' ')}: ended with ${status}\n${output.slice(-4000)}${words}`));
    });
  });
}

let knownDriver: 'overlay' | 'vfs' | undefined;

/** overlay where the cache folder's file system carries it; else vfs, which holds each layer in full and takes far longer. */
function storageDriver(): 'overlay' | 'vfs' {
  if (knownDriver !== undefined) return knownDriver;
  mkdirSync(storage, { recursive: true });
  const probe = mkdtempSync(join(storage, 'probe-'));
  const [lower, upper, work, merged] = ['lower', 'upper', 'work', 'merged'].map((name) => join(probe, name));
  for (const folder of [lower, upper, work, merged]) mkdirSync(folder!);
  const layers = `lowerdir=${lower},upperdir=${upper},workdir=${work}`;
  const mount = ['mount', '-t', 'overlay', 'overlay', '-o', layers, merged!];
  knownDriver = spawnSync('unshare', [...unshare, ...mount]).status === 0 ? 'overlay' : 'vfs';
  rmSync(probe, { recursive: true, force: true });
  return knownDriver;
}

/** Empties buildah's storage when it is larger than `limitMib`: every build leaves layers. */
export function limitStorage(limitMib: number): void {
  if (!existsSync(storage)) return;
  const sizeMib = Number(run(['du', '-sm', storage]).split('\t')[0]);
  if (sizeMib > limitMib) rmSync(storage, { recursive: true, force: true });
}
