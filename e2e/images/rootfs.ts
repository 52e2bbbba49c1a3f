/** Root file systems assembled from files of this machine: programs with the libraries that they load. */
import { chmodSync, copyFileSync, existsSync, mkdirSync, realpathSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { run } from '../cluster/processes.ts';

/** Absolute path of a program on the PATH. */
export function pathOf(program: string): string {
  return run(['sh', '-c', `command -v ${program}`]).trim();
}

/** Copies a file, links followed, to `target` (its own path when left out) below `root`. */
export function addFile(root: string, path: string, target = path): void {
  const destination = join(root, target);
  if (existsSync(destination)) return;
  mkdirSync(dirname(destination), { recursive: true });
  copyFileSync(realpathSync(path), destination);
}

/** Copies a program and every library that ldd(1) says it loads, the dynamic loader included. */
export function addProgram(root: string, path: string, target = path): void {
  addFile(root, path, target);
  chmodSync(join(root, target), 0o755);
  for (const line of run(['ldd', realpathSync(path)]).split('\n')) {
    const library = /(?:=> )?(\/\S+) \(0x/.exec(line)?.[1];
    if (library !== undefined) addFile(root, library);
  }
}

/** What probes and build steps call: a shell and a few programs. */
export function addShell(root: string): void {
  addProgram(root, '/bin/sh');
  for (const name of ['env', 'cat', 'sleep', 'ls', 'id']) addProgram(root, pathOf(name), `/usr/bin/${name}`);
}

/** Writes /etc/passwd and /etc/group with root and one user, a home and a /tmp. */
export function addUser(root: string, name: string, id: number): void {
  for (const folder of ['etc', 'root', 'tmp', join('home', name)]) mkdirSync(join(root, folder), { recursive: true });
  chmodSync(join(root, 'tmp'), 0o1777);
  writeFileSync(join(root, 'etc/passwd'), `root:x:0:0::/root:/bin/sh\n${name}:x:${id}:${id}::/home/${name}:/bin/sh\n`);
  writeFileSync(join(root, 'etc/group'), `root:x:0:\n${name}:x:${id}:\n`);
}

/** Packs a folder so that the same files give the same bytes. */
export function pack(root: string, tarPath: string): void {
  const reproducible = ['--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner'];
  run(['tar', ...reproducible, '-C', root, '-cf', tarPath, '.']);
}
