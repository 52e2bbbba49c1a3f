import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/*
 * The benchmark's own programs (bench/load/*.c), built when their source changes, into the cache.
 */

const SOURCES = join(import.meta.dirname, '..', 'load');
const CACHE = join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'livecluster', 'bench');
const CFLAGS = ['-O2', '-std=gnu17', '-Wall', '-Wextra', '-Werror'];
/** OpenSSL's headers may be missing where the packages came by hand; only RTMPS needs them. */
const TLS_HEADER = '/usr/include/openssl/ssl.h';

const PROGRAMS = { 'load-client': true, publisher: false, floor: false, 'hls-client': false } as const satisfies Record<
  string,
  boolean
>;
export type Tools = Readonly<Record<keyof typeof PROGRAMS, string>>;

let built: Tools | undefined;

/** Installs what the benchmark needs of Debian, and builds its programs; answers their paths. */
export function tools(): Tools {
  if (built !== undefined) return built;
  execFileSync(join(import.meta.dirname, '..', '..', 'scripts', 'system-packages.sh'), ['bench'], { stdio: 'inherit' });
  const hasTls = existsSync(TLS_HEADER);
  const hash = createHash('sha256').update(JSON.stringify([CFLAGS, hasTls]));
  for (const file of readdirSync(SOURCES).sort()) hash.update(file).update(readFileSync(join(SOURCES, file)));
  const folder = join(CACHE, hash.digest('hex').slice(0, 16));
  mkdirSync(folder, { recursive: true });
  const build = (program: keyof Tools): string => {
    const path = join(folder, program);
    if (existsSync(path)) return path;
    const withTls = PROGRAMS[program] && hasTls;
    const unfinished = `${path}.${process.pid}`;
    execFileSync(
      'gcc',
      [
        ...CFLAGS,
        ...(withTls ? ['-DWITH_TLS'] : []),
        '-o',
        unfinished,
        join(SOURCES, `${program}.c`),
        ...(withTls ? ['-lssl', '-lcrypto'] : []),
      ],
      { stdio: 'inherit' },
    );
    renameSync(unfinished, path);
    return path;
  };
  const programs = Object.keys(PROGRAMS) as (keyof Tools)[];
  built = Object.fromEntries(programs.map((program) => [program, build(program)])) as Tools;
  return built;
}
