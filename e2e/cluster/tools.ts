/**
 * The Go tools of the rig, of the chart's checks and of the tests: built from Go modules once, kept in the user's cache folder.
 *
 * `node e2e/cluster/tools.ts` builds what is missing; with a tool's name it prints that tool's path alone on stdout.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, utimesSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { withLock } from './lock.ts';

/** The project's folder in the user's cache: built tools, image archives. Nothing in it is needed to be kept. */
export const cacheFolder = join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'livecluster');

/** The Kubernetes that is built; equal to the module's version in go/go.mod. */
const KUBERNETES_VERSION = 'v1.34.4';

/** Names that the one program of go/main.go answers to. */
const COMPONENTS = [
  'etcd',
  'kube-apiserver',
  'kube-controller-manager',
  'kube-scheduler',
  'kube-proxy',
  'kubelet',
  'kubectl',
  'coredns',
] as const;

const PROGRAMS = ['helm', 'kubeconform', 'pause', 'kube-score', 'hls-client', 'versitygw'] as const;

export type ToolName = (typeof COMPONENTS)[number] | (typeof PROGRAMS)[number];

/** Absolute path of each tool. */
export type Tools = Record<ToolName, string>;

export class ToolsError extends Error {
  readonly code: 'GO_MISSING' | 'BUILD_FAILED';
  constructor(code: ToolsError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ToolsError';
    this.code = code;
  }
}

interface GoModule {
  /** What the progress lines call it. */
  readonly title: string;
  /** Folder beside this file. */
  readonly folder: string;
  readonly packages: readonly string[];
  readonly ldflags: string;
  /** Binaries that the build leaves. */
  readonly binaries: readonly string[];
}

const [major, minor] = KUBERNETES_VERSION.slice(1).split('.');
const versionPackage = 'k8s.io/component-base/version';

const MODULES: readonly GoModule[] = [
  {
    title: 'kube-score',
    folder: 'go-lint',
    packages: ['github.com/zegl/kube-score/cmd/kube-score'],
    ldflags: '-s -w',
    binaries: ['kube-score'],
  },
  {
    title: "gohlslib's client",
    folder: 'go-hls',
    packages: ['.'],
    ldflags: '-s -w',
    binaries: ['hls-client'],
  },
  {
    title: 'versitygw, an S3 server',
    folder: 'go-s3',
    packages: ['github.com/versity/versitygw/cmd/versitygw'],
    ldflags: '-s -w',
    binaries: ['versitygw'],
  },
  {
    title: `Kubernetes ${KUBERNETES_VERSION}, CoreDNS, Helm`,
    folder: 'go',
    packages: ['.', './pause', 'helm.sh/helm/v3/cmd/helm', 'github.com/yannh/kubeconform/cmd/kubeconform'],
    // Clients check these; without them every component says v0.0.0.
    ldflags: [
      '-s -w',
      `-X ${versionPackage}.gitVersion=${KUBERNETES_VERSION}`,
      `-X ${versionPackage}.gitMajor=${major}`,
      `-X ${versionPackage}.gitMinor=${minor}`,
    ].join(' '),
    binaries: ['cluster', 'pause', 'helm', 'kubeconform'],
  },
];

/** A progress line goes to `print` at least this often while a build runs. */
const PROGRESS_INTERVAL_MS = 15_000;

/** Go's own client of module proxies gives up at the first fault. */
const NETWORK_FAULT =
  /dial tcp|i\/o timeout|connection re(set|fused)|TLS handshake|unexpected EOF|no such host|: 5\d\d /;
const MOST_TRIES = 4;
const RETRY_MS = 10_000;

/** Folders of builds that nobody used for this long are removed by the next build. */
const UNUSED_BUILD_MS = 7 * 24 * 3600 * 1000;

/**
 * Builds what isn't in the cache yet and gives the tools' paths. A first build takes minutes; later calls some milliseconds.
 *
 * @param print where progress lines go; stderr by default, so that stdout stays for results
 * @throws ToolsError GO_MISSING without Go on the PATH; BUILD_FAILED when Go doesn't build it (the last lines are in the message)
 */
export async function ensureTools(print: (line: string) => void = (line) => console.error(line)): Promise<Tools> {
  const tools: Partial<Tools> = {};
  for (const module of MODULES) {
    const folder = await ensureModule(module, print);
    for (const name of [...COMPONENTS, ...PROGRAMS]) {
      if (
        module.binaries.includes(name) ||
        (module.folder === 'go' && (COMPONENTS as readonly string[]).includes(name))
      )
        tools[name] = join(folder, name);
    }
  }
  return tools as Tools;
}

async function ensureModule(module: GoModule, print: (line: string) => void): Promise<string> {
  const folder = join(cacheFolder, 'tools', `${module.folder}-${moduleKey(module)}`);
  if (isBuilt(folder)) return folder;
  mkdirSync(dirname(folder), { recursive: true });
  await withLock(join(cacheFolder, 'tools', `${module.folder}.lock`), print, async () => {
    if (!isBuilt(folder)) await build(module, folder, print);
  });
  return folder;
}

function isBuilt(folder: string): boolean {
  try {
    const now = new Date();
    utimesSync(folder, now, now);
    return true;
  } catch {
    return false;
  }
}

/** The same sources, modules and Go give the same key. */
function moduleKey(module: GoModule): string {
  const hash = createHash('sha256');
  const source = join(import.meta.dirname, module.folder);
  for (const name of readdirSync(source, { recursive: true, encoding: 'utf8' }).sort()) {
    if (/\.(go|mod|sum)$/.test(name)) hash.update(`${name}\0`).update(readFileSync(join(source, name)));
  }
  hash.update(goVersion()).update(module.packages.join(' ')).update(module.ldflags);
  return hash.digest('hex').slice(0, 16);
}

let knownGoVersion: string | undefined;

function goVersion(): string {
  knownGoVersion ??= spawnSync('go', ['version'], { encoding: 'utf8' }).stdout?.trim();
  if (!knownGoVersion) {
    throw new ToolsError(
      'GO_MISSING',
      'e2e: no `go` on the PATH; the Kubernetes tools are built by Go 1.26 or newer: install it',
    );
  }
  return knownGoVersion;
}

async function build(module: GoModule, folder: string, print: (line: string) => void): Promise<void> {
  removeUnused(dirname(folder));
  const started = performance.now();
  const elapsed = () => formatDuration(performance.now() - started);
  const staging = `${folder}.building-${process.pid}`;
  mkdirSync(staging, { recursive: true });
  print(`e2e: building ${module.title} from Go modules; the first time this takes some minutes`);

  let latest = 'fetching modules';
  let count = 0;
  const timer = setInterval(
    () => print(`e2e: building ${module.title}: ${elapsed()} so far, ${count} packages compiled, now at ${latest}`),
    PROGRESS_INTERVAL_MS,
  );
  const onLine = (line: string) => {
    if (isPackage(line)) count++;
    latest = line;
  };
  try {
    let failure = await goBuild(module, staging, onLine);
    for (let tries = 1; tries < MOST_TRIES && failure !== undefined && NETWORK_FAULT.test(failure); tries++) {
      print(`e2e: building ${module.title}: modules could not be fetched, it is tried again in ${RETRY_MS / 1000} s`);
      await delay(RETRY_MS);
      failure = await goBuild(module, staging, onLine);
    }
    if (failure !== undefined) throw new ToolsError('BUILD_FAILED', `e2e: building ${module.title}: ${failure}`);
    if (module.binaries.includes('cluster')) {
      for (const component of COMPONENTS) symlinkSync('cluster', join(staging, component));
    }
    renameSync(staging, folder);
  } finally {
    clearInterval(timer);
    rmSync(staging, { recursive: true, force: true });
  }
  print(`e2e: built ${module.title} in ${elapsed()}`);
}

const isPackage = (line: string) => /^[\w.-]+(\/[\w.~-]+)*$/.test(line);

/** Builds into a folder; resolves with why it failed, if it did. `onLine`: a package compiled, or a module fetched. */
function goBuild(module: GoModule, folder: string, onLine: (line: string) => void): Promise<string | undefined> {
  // Without cgo the result is the same with and without a C compiler on the machine.
  const env = { ...process.env, CGO_ENABLED: '0', GOFLAGS: '-buildvcs=false' };
  const args = ['build', '-v', '-o', `${folder}/`, '-ldflags', module.ldflags, ...module.packages];
  const go = spawn('go', args, {
    cwd: join(import.meta.dirname, module.folder),
    env,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const tail: string[] = [];
  createInterface({ input: go.stderr }).on('line', (line) => {
    if (isPackage(line)) return onLine(line);
    if (line.startsWith('go: downloading ')) onLine(line.slice('go: '.length));
    tail.push(line);
    if (tail.length > 40) tail.shift();
  });
  return new Promise((resolve) => {
    go.on('error', (error) => resolve(error.message));
    go.on('close', (status, signal) =>
      resolve(status === 0 ? undefined : `go build ended with ${signal ?? status}\n${tail.join('\n')}`),
    );
  });
}

function removeUnused(folder: string): void {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    const status = statSync(path, { throwIfNoEntry: false });
    if (status?.isDirectory() && Date.now() - status.mtimeMs > UNUSED_BUILD_MS)
      rmSync(path, { recursive: true, force: true });
  }
}

function formatDuration(ms: number): string {
  const seconds = Math.round(ms / 1000);
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

if (import.meta.main) {
  const tools = await ensureTools();
  const [name] = process.argv.slice(2);
  if (name === undefined) {
    for (const [tool, path] of Object.entries(tools)) console.log(`${tool}\t${path}`);
  } else if (name in tools) {
    console.log(tools[name as ToolName]);
  } else {
    console.error(
      `${basename(process.argv[1] ?? '')}: no tool named '${name}'; the tools: ${Object.keys(tools).join(' ')}`,
    );
    process.exitCode = 2;
  }
}
