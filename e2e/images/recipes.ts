/**
 * What goes into each image: the product's, by the repository's Containerfile on a base assembled here from Node and npm; Redis from
 * Debian's package; the pause image.
 */
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { run } from '../cluster/processes.ts';
import { images } from '../cluster/rig.ts';
import { buildah } from './buildah.ts';
import { addFile, addProgram, addShell, addUser, pack, pathOf } from './rootfs.ts';

const repository = resolve(import.meta.dirname, '../..');

export interface Recipe {
  /** Short name, for the archive's file. */
  readonly label: string;
  /** Full image name. */
  readonly name: string;
  /** Changes with everything that goes into the image. */
  readonly key: string;
  /** Builds the image under `name` in buildah's storage. `folder` is empty and goes away afterwards. */
  readonly build: (folder: string) => Promise<void>;
}

export function pauseRecipe(pause: string): Recipe {
  return {
    label: 'pause',
    name: images.pause,
    key: keyOf(stampOf(pause), images.pause),
    async build(folder) {
      const root = join(folder, 'root');
      addFile(root, pause, '/pause');
      await fromRoot(root, images.pause, ['--entrypoint', '["/pause"]', '--user', '65535:65535']);
    },
  };
}

/** The user's and the port's numbers are the official Redis image's. */
export function redisRecipe(): Recipe {
  const programs = ['redis-server', 'redis-cli'].map(pathOf);
  return {
    label: 'redis',
    name: images.redis,
    key: keyOf(...programs.map(stampOf), images.redis),
    async build(folder) {
      const root = join(folder, 'root');
      for (const program of programs) addProgram(root, program, join('/usr/local/bin', basename(program)));
      addShell(root);
      addUser(root, 'redis', 999);
      mkdirSync(join(root, 'data'));
      await fromRoot(root, images.redis, [
        '--user',
        '999:999',
        '--workingdir',
        '/data',
        '--port',
        '6379',
        '--env',
        'PATH=/usr/local/bin:/usr/bin:/bin',
        '--cmd',
        'redis-server',
      ]);
    },
  };
}

/** The product's image, by the Containerfile that users build. */
export function productRecipe(print: (line: string) => void): Recipe {
  const node = join(repository, 'node_modules/node/bin/node');
  const npm = npmFolder();
  const baseKey = keyOf(
    readFileSync(join(repository, 'node_modules/node/package.json'), 'utf8'),
    readFileSync(join(npm, 'package.json'), 'utf8'),
  );
  const base = `localhost/livecluster-e2e/node:${baseKey}`;
  // The base has no compiler: the module comes with media-node.
  run([process.execPath, 'media-node/native/build.ts', '--require'], { cwd: repository });
  const sources = [
    'Containerfile',
    '.containerignore',
    'package.json',
    'package-lock.json',
    'scripts/assemble-image.ts',
  ];
  return {
    label: 'livecluster',
    name: images.livecluster,
    key: keyOf(baseKey, images.livecluster, contentOf([...sources, 'contract', 'operator', 'media-node'])),
    async build(folder) {
      if ((await buildah(['images', '--quiet', '--filter', `reference=${base}`])) === '') {
        print('e2e: assembling a base image of Node and npm');
        await buildBase(join(folder, 'root'), base, node, npm);
      }
      const npmrc = join(folder, 'npmrc');
      const npmCache = run(['npm', 'config', 'get', 'cache'], { cwd: repository }).trim();
      mkdirSync(npmCache, { recursive: true });
      writeFileSync(npmrc, npmSettings(), { mode: 0o600 });
      await buildah(
        [
          'build',
          '--layers',
          '--pull-never',
          '--build-arg',
          `BASE=${base}`,
          // The machine's npm settings come as a secret, its npm cache as a mount: neither gets into a layer.
          '--secret',
          `id=npmrc,src=${npmrc}`,
          '--volume',
          `${npmCache}:${MOUNTED_NPM_CACHE}:rw`,
          '--ignorefile',
          '.containerignore',
          '-f',
          'Containerfile',
          '-t',
          images.livecluster,
          '.',
        ],
        { cwd: repository },
      );
    },
  };
}

const MOUNTED_NPM_CACHE = '/var/cache/npm';
const CA_BUNDLE = '/etc/ssl/certs/ca-certificates.crt';

/** The user's own npm settings and those of this machine that a build needs. */
function npmSettings(): string {
  const own = join(homedir(), '.npmrc');
  const settings = existsSync(own) ? [readFileSync(own, 'utf8')] : [];
  settings.push(`registry=${run(['npm', 'config', 'get', 'registry'], { cwd: repository }).trim()}`);
  settings.push(`cache=${MOUNTED_NPM_CACHE}`, 'prefer-offline=true', 'fetch-retries=5', 'update-notifier=false');
  if (existsSync(CA_BUNDLE)) settings.push(`cafile=${CA_BUNDLE}`);
  return `${settings.join('\n')}\n`;
}

/** Node and npm where the official image has them, and no more than a build needs. */
async function buildBase(root: string, name: string, node: string, npm: string): Promise<void> {
  addProgram(root, node, '/usr/local/bin/node');
  addShell(root);
  addUser(root, 'node', 1000);
  if (existsSync(CA_BUNDLE)) addFile(root, CA_BUNDLE);
  cpSync(npm, join(root, 'usr/local/lib/node_modules/npm'), { recursive: true });
  symlinkSync('../lib/node_modules/npm/bin/npm-cli.js', join(root, 'usr/local/bin/npm'));
  await fromRoot(root, name, ['--env', 'PATH=/usr/local/bin:/usr/bin:/bin', '--cmd', 'node']);
}

/** The folder of the npm that is on the PATH. */
function npmFolder(): string {
  const command = run(['sh', '-c', 'readlink -f "$(command -v npm)"']).trim();
  for (let folder = dirname(command); folder !== '/'; folder = dirname(folder)) {
    const manifest = join(folder, 'package.json');
    if (existsSync(manifest) && (JSON.parse(readFileSync(manifest, 'utf8')) as { name?: string }).name === 'npm') {
      return folder;
    }
  }
  throw new Error(`e2e: ${command} is of no npm package that could go into an image; install Node.js with its own npm`);
}

/** Image of one layer: everything in `root`. */
async function fromRoot(root: string, name: string, settings: readonly string[]): Promise<void> {
  const tarPath = `${root}.tar`;
  pack(root, tarPath);
  const container = await buildah(['from', 'scratch']);
  try {
    await buildah(['add', '--quiet', container, tarPath, '/']);
    await buildah(['config', ...settings, container]);
    await buildah(['commit', '--quiet', container, name]);
  } finally {
    await buildah(['rm', container]);
  }
}

function keyOf(...parts: readonly string[]): string {
  const hash = createHash('sha256');
  // How the images are made goes into every key.
  for (const name of ['recipes.ts', 'rootfs.ts']) hash.update(readFileSync(join(import.meta.dirname, name)));
  for (const part of parts) hash.update(`${part}\0`);
  return hash.digest('hex').slice(0, 16);
}

/** Hash of names and content of files; folders are walked. */
function contentOf(paths: readonly string[]): string {
  const hash = createHash('sha256');
  const add = (path: string) => {
    const absolute = join(repository, path);
    if (statSync(absolute).isDirectory()) {
      for (const name of readdirSync(absolute).sort()) add(join(path, name));
    } else if (!path.endsWith('.test.ts')) {
      hash.update(`${path}\0`).update(createHash('sha256').update(readFileSync(absolute)).digest());
    }
  };
  paths.forEach(add);
  return hash.digest('hex');
}

/** A program of the machine's by its version: size and time change with the package that it is from. */
function stampOf(path: string): string {
  const { size, mtimeMs } = statSync(path);
  return `${path} ${size} ${mtimeMs}`;
}
