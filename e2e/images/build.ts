/**
 * The rig's images, each kept as an archive in the cache folder under a key of what goes into it, so that a second run builds nothing.
 *
 * `node e2e/images/build.ts` builds what is missing and prints each archive with its unpacked size.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync, utimesSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { withLock } from '../cluster/lock.ts';
import { cacheFolder, ensureTools } from '../cluster/tools.ts';
import { buildah, limitStorage } from './buildah.ts';
import { pauseRecipe, productRecipe, redisRecipe } from './recipes.ts';
import type { Recipe } from './recipes.ts';

const archiveFolder = join(cacheFolder, 'images');

/** Archives beyond this many of an image are removed, the longest unused first. */
const KEPT_ARCHIVES = 3;

/** buildah's storage is emptied before a build that finds it larger. */
const STORAGE_LIMIT_MIB = 6 * 1024;

export interface ImageArchive {
  /** Full name with tag, as pods ask for it. */
  readonly name: string;
  /** docker-archive (tar) of it. */
  readonly path: string;
}

/**
 * Gives the archives of all images, building those that changed.
 *
 * @param print where progress lines go
 */
export async function ensureImages(
  print: (line: string) => void = (line) => console.error(line),
): Promise<ImageArchive[]> {
  const { pause } = await ensureTools(print);
  mkdirSync(archiveFolder, { recursive: true });
  const archives: ImageArchive[] = [];
  await withLock(join(archiveFolder, 'lock'), print, async () => {
    for (const recipe of [pauseRecipe(pause), redisRecipe(), productRecipe(print)]) {
      archives.push({ name: recipe.name, path: await ensureArchive(recipe, print) });
    }
  });
  return archives;
}

async function ensureArchive(recipe: Recipe, print: (line: string) => void): Promise<string> {
  const path = join(archiveFolder, `${recipe.label}-${recipe.key}.tar`);
  if (existsSync(path)) {
    utimesSync(path, new Date(), new Date());
    return path;
  }
  const started = performance.now();
  print(`e2e: building the image ${recipe.name}`);
  limitStorage(STORAGE_LIMIT_MIB);
  const folder = mkdtempSync(join(tmpdir(), 'livecluster-image-'));
  const staging = `${path}.${process.pid}`;
  try {
    await recipe.build(folder);
    await buildah(['push', '--quiet', recipe.name, `docker-archive:${staging}:${recipe.name}`]);
    renameSync(staging, path);
  } finally {
    rmSync(folder, { recursive: true, force: true });
    rmSync(staging, { force: true });
  }
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  print(`e2e: built ${recipe.name} in ${seconds} s, ${sizeMb(path)} MB unpacked`);
  removeOldArchives(recipe.label);
  return path;
}

/** Unpacked size of an archive's layers in MB (10^6 bytes); buildah writes them uncompressed. */
function sizeMb(path: string): number {
  return Math.round(statSync(path).size / 1e6);
}

function removeOldArchives(label: string): void {
  const archives = readdirSync(archiveFolder)
    .filter((name) => name.startsWith(`${label}-`) && name.endsWith('.tar'))
    .map((name) => ({ path: join(archiveFolder, name), used: statSync(join(archiveFolder, name)).mtimeMs }))
    .sort((a, b) => b.used - a.used);
  for (const { path } of archives.slice(KEPT_ARCHIVES)) rmSync(path);
}

if (import.meta.main) {
  for (const { name, path } of await ensureImages()) console.log(`${name}\t${sizeMb(path)} MB unpacked\t${path}`);
}
