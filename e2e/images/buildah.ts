/** Debian's buildah as the rig uses it: its own storage in the cache folder, no daemon, no user namespaces. */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../cluster/processes.ts';
import { cacheFolder } from '../cluster/tools.ts';

const storage = join(cacheFolder, 'buildah');

/**
 * Runs buildah to its end and gives its standard output, trimmed.
 *
 * @throws Error with buildah's last words when it fails
 */
export function buildah(args: readonly string[], options: { cwd?: string } = {}): Promise<string> {
  mkdirSync(storage, { recursive: true });
  // vfs copies where overlayfs would stack: slower, and it works in every container and on every file system.
  const env = { ...process.env, STORAGE_DRIVER: 'vfs', BUILDAH_ISOLATION: 'chroot' };
  const places = ['--root', join(storage, 'root'), '--runroot', join(storage, 'run')];
  const child = spawn('buildah', [...places, ...args], { ...options, env, stdio: ['ignore', 'pipe', 'pipe'] });
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

/** Empties buildah's storage when it is larger than `limitMib`: every build leaves layers, and vfs holds each in full. */
export function limitStorage(limitMib: number): void {
  if (!existsSync(storage)) return;
  const sizeMib = Number(run(['du', '-sm', storage]).split('\t')[0]);
  if (sizeMib > limitMib) rmSync(storage, { recursive: true, force: true });
}
