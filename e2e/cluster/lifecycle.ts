/** Brings the cluster up and takes it down. */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ensureImages } from '../images/build.ts';
import type { ImageArchive } from '../images/build.ts';
import { commandsOf, dnsObjects, writeConfiguration } from './components.ts';
import { makeCredentials } from './credentials.ts';
import { withLock } from './lock.ts';
import { insidePrefix, removeMounts, startMountNamespace } from './mounts.ts';
import { makeNetns, netnsPrefix, removeNetns } from './netns.ts';
import { killAll, makeCgroups, run, startDaemon } from './processes.ts';
import type { Daemon } from './processes.ts';
import { addresses, containerdSocket, kubeconfigPath, logFolder, nodeName, ports, rigName, runFolder } from './rig.ts';
import { stateFolder } from './rig.ts';
import { ensureTools } from './tools.ts';
import type { Tools } from './tools.ts';

type Print = (line: string) => void;

const toConsole: Print = (line) => console.error(line);
const lockPath = join('/run/lock', `${rigName}.lock`);

/** A loaded machine may take this long for a step that takes seconds. */
const STEP_LIMIT_MS = 300_000;

const neededCommands =
  'containerd ctr runc nft iptables conntrack ip nsenter unshare buildah openssl redis-server'.split(' ');

export class RigError extends Error {
  readonly code: 'NOT_ROOT' | 'PACKAGES_MISSING' | 'COMPONENT_ENDED' | 'NOT_IN_TIME';
  constructor(code: RigError['code'], message: string) {
    super(message);
    this.name = 'RigError';
    this.code = code;
  }
}

/**
 * Brings a cluster up from nothing, after removing what an earlier one left, and waits until pods can run on it.
 *
 * @param options.reuse a cluster that is up already is kept and only gets the images of now
 * @throws RigError, ToolsError; what was started stays for a look at the logs until `takeDown` or the next `bringUp`
 */
export async function bringUp(options: { reuse?: boolean } = {}, print: Print = toConsole): Promise<void> {
  checkMachine();
  const tools = await ensureTools(print);
  const archives = await ensureImages(print);
  await withLock(lockPath, print, async () => {
    const started = performance.now();
    if (options.reuse && isUp(tools)) {
      await Promise.all(archives.map(importImage));
      print(`e2e: the cluster ${rigName} is up already; its images are those of now`);
      return;
    }
    await clean();
    await start(tools, archives);
    print(`e2e: the cluster ${rigName} is ready after ${((performance.now() - started) / 1000).toFixed(1)} s`);
  });
}

/** Removes the cluster: processes, pods, network, mounts, files. Nothing to remove is fine. */
export async function takeDown(print: Print = toConsole): Promise<void> {
  checkMachine();
  await withLock(lockPath, print, clean);
}

/** Pods first lose their life, then their files: nothing is mounted any more when folders are removed. */
async function clean(): Promise<void> {
  await killAll();
  removeNetns();
  removeMounts();
  rmSync(stateFolder, { recursive: true, force: true });
  rmSync(runFolder, { recursive: true, force: true });
}

function checkMachine(): void {
  if (process.getuid?.() !== 0) {
    const advice = 'run as root, or set E2E_KUBECONFIG to an existing cluster, or leave it out with E2E=0';
    throw new RigError(
      'NOT_ROOT',
      `e2e: a Kubernetes on this machine needs root (network namespace, mounts): ${advice}`,
    );
  }
  const folders = searchPath.split(':');
  const missing = neededCommands.filter((name) => !folders.some((folder) => existsSync(join(folder, name))));
  if (missing.length > 0) {
    const advice = 'scripts/system-packages.sh e2e installs what is missing';
    throw new RigError('PACKAGES_MISSING', `e2e: not on this machine: ${missing.join(', ')}; ${advice}`);
  }
}

/** Root's own PATH may lack the folders of system programs. */
const searchPath = `${process.env['PATH'] ?? ''}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin`;

function isUp(tools: Tools): boolean {
  return existsSync(kubeconfigPath) && attempt(kubectl(tools, ['get', '--raw', '/readyz'])) === 'ok';
}

async function start(tools: Tools, archives: readonly ImageArchive[]): Promise<void> {
  for (const folder of [stateFolder, runFolder, logFolder]) mkdirSync(folder, { recursive: true });
  makeCgroups();
  makeNetns();
  makeCredentials();
  writeConfiguration();

  const daemons: Daemon[] = [];
  const { holder, isReady } = startMountNamespace();
  daemons.push(holder);
  await until('the mount namespace', daemons, isReady);
  const commands = commandsOf(tools);
  const launch = (...names: (keyof typeof commands)[]) => {
    const env = { ...process.env, PATH: searchPath };
    for (const name of names) daemons.push(startDaemon(name, [...insidePrefix(holder), ...commands[name]], env));
  };

  launch('etcd', 'kube-apiserver', 'containerd');
  const imported = until('containerd', daemons, () => existsSync(containerdSocket)).then(() =>
    Promise.all(archives.map(importImage)),
  );
  // Awaited below; a failure before that must not end the process as an unhandled one.
  imported.catch(() => {});
  await until('the API server', daemons, () => attempt(kubectl(tools, ['get', '--raw', '/readyz'])) === 'ok');
  launch('kube-controller-manager', 'kube-scheduler', 'kubelet', 'kube-proxy', 'coredns', 'load-balancer');

  const objects = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: dnsObjects() });
  await until('the objects of the cluster DNS', daemons, () => {
    return attempt(kubectl(tools, ['apply', '-f', '-']), objects) !== undefined;
  });
  const readyStatus = `jsonpath={.status.conditions[?(@.type=="Ready")].status}`;
  await until(`node ${nodeName}`, daemons, () => {
    return attempt(kubectl(tools, ['get', 'node', nodeName, '-o', readyStatus])) === 'True';
  });
  await until('the service account of new pods', daemons, () => {
    return attempt(kubectl(tools, ['-n', 'default', 'get', 'serviceaccount', 'default', '-o', 'name'])) !== undefined;
  });
  const dnsProbe = `exec 3<>/dev/tcp/${addresses.node}/${ports.dnsReady} && printf 'GET /ready HTTP/1.0\\r\\n\\r\\n' >&3 && head -1 <&3`;
  await until('the cluster DNS', daemons, () => {
    return attempt([...netnsPrefix, 'bash', '-c', dnsProbe])?.includes(' 200 ') ?? false;
  });
  await imported;
}

function kubectl(tools: Tools, args: readonly string[]): string[] {
  return [...netnsPrefix, tools.kubectl, `--kubeconfig=${kubeconfigPath}`, '--request-timeout=5s', ...args];
}

/** Standard output of a command, or undefined when it fails. */
function attempt(argv: readonly string[], input?: string): string | undefined {
  try {
    return run(argv, input === undefined ? {} : { input }).trim();
  } catch {
    return undefined;
  }
}

/** Waits for a condition; a component that ends meanwhile fails it at once, with the end of its log. */
async function until(what: string, daemons: readonly Daemon[], condition: () => boolean): Promise<void> {
  const deadline = Date.now() + STEP_LIMIT_MS;
  let failure: string | undefined;
  const watch = async ({ name, logPath, ended }: Daemon) => {
    const how = await ended;
    failure ??= `${name} ended (${how}); the end of ${logPath}:\n${endOf(logPath)}`;
  };
  for (const daemon of daemons) void watch(daemon);
  while (!condition()) {
    if (failure !== undefined) throw new RigError('COMPONENT_ENDED', `e2e: waiting for ${what}: ${failure}`);
    if (Date.now() > deadline) {
      throw new RigError(
        'NOT_IN_TIME',
        `e2e: ${what}: not ready after ${STEP_LIMIT_MS / 1000} s; logs are in ${logFolder}`,
      );
    }
    await delay(100);
  }
}

function endOf(path: string): string {
  return readFileSync(path, 'utf8').split('\n').slice(-20).join('\n');
}

async function importImage({ name, path }: ImageArchive): Promise<void> {
  const args = ['--address', containerdSocket, '--namespace', 'k8s.io', 'images', 'import', path];
  const child = spawn('ctr', args, { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, PATH: searchPath } });
  let words = '';
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (words += chunk));
  const status = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  if (status !== 0) throw new Error(`e2e: importing ${name} ended with ${status}: ${words}`);
}
