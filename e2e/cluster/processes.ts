/**
 * The rig's processes. All of them, and all their children, live in one cgroup of the rig's own: that is how `down` finds every one
 * of them, also after the process that started them was killed, and never one that somebody else started.
 */
import { spawn, spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { logFolder, rigName } from './rig.ts';

const CGROUP_ROOT = '/sys/fs/cgroup';

/** cgroup v2 has one tree; v1 one a controller, each a folder of the root. */
const isUnified = existsSync(join(CGROUP_ROOT, 'cgroup.controllers'));

function cgroupTrees(): string[] {
  if (isUnified) return [CGROUP_ROOT];
  return readdirSync(CGROUP_ROOT, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && existsSync(join(CGROUP_ROOT, entry.name, 'cgroup.procs')))
    .map((entry) => join(CGROUP_ROOT, entry.name));
}

/** The tree in which membership is looked up: every container runtime puts its containers into `pids`. */
const memberTree = isUnified ? CGROUP_ROOT : join(CGROUP_ROOT, 'pids');

/** The rig's cgroup in the member tree: `daemons` beside the kubelet's `kubepods`. */
export const cgroupFolder = join(memberTree, rigName);

/** Start time of a process in clock ticks since boot (proc_pid_stat(5), field 22); with the pid it names one process for good. */
export function startTimeOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field is the command in parentheses and may hold anything; fields are counted from behind it.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}

/** Makes the rig's cgroup in every tree; kubelet (`cgroupRoot`) wants it there before it starts. */
export function makeCgroups(): void {
  for (const tree of cgroupTrees()) {
    const folder = join(tree, rigName);
    mkdirSync(folder, { recursive: true });
    // A cpuset of v1 starts empty and takes no process until it has CPUs and memory nodes.
    for (const file of ['cpuset.cpus', 'cpuset.mems']) {
      if (!isUnified && existsSync(join(folder, file)))
        writeFileSync(join(folder, file), readFileSync(join(tree, file)));
    }
  }
  mkdirSync(join(cgroupFolder, 'daemons'), { recursive: true });
}

/** Folders below `folder`, deepest first, then `folder` itself. */
function cgroupsBelow(folder: string): string[] {
  if (!existsSync(folder)) return [];
  const below = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return [...below.flatMap((entry) => cgroupsBelow(join(folder, entry.name))), folder];
}

function processesIn(folder: string): number[] {
  return cgroupsBelow(folder).flatMap((cgroup) => {
    try {
      return readFileSync(join(cgroup, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean).map(Number);
    } catch {
      return []; // the cgroup went away meanwhile
    }
  });
}

/** Ends every process of the rig, pods included, at once, and removes its cgroups. */
export async function killAll(): Promise<void> {
  const deadline = Date.now() + 30_000;
  for (let left = processesIn(cgroupFolder); left.length > 0; left = processesIn(cgroupFolder)) {
    if (Date.now() > deadline)
      throw new Error(`e2e: processes ${left.join(', ')} of ${cgroupFolder} do not end on SIGKILL`);
    for (const pid of left) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // gone already
      }
    }
    await delay(20);
  }
  for (const tree of cgroupTrees()) {
    for (const cgroup of cgroupsBelow(join(tree, rigName))) await removeCgroup(cgroup, deadline);
  }
}

/** A cgroup is busy for a moment after its last process died. */
async function removeCgroup(cgroup: string, deadline: number): Promise<void> {
  for (;;) {
    try {
      rmdirSync(cgroup);
      return;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT') return;
      if (code !== 'EBUSY' || Date.now() > deadline) throw error;
      await delay(20);
    }
  }
}

/** A running component. */
export interface Daemon {
  readonly name: string;
  readonly pid: number;
  readonly logPath: string;
  /** Resolves with how it ended, when it ends. */
  readonly ended: Promise<string>;
}

/**
 * Starts a component in the rig's cgroup, detached from this process, its output in a log file of its own.
 *
 * @param name names the log
 * @param argv the command, entering whatever namespaces it needs
 */
export function startDaemon(name: string, argv: readonly string[], env: NodeJS.ProcessEnv = process.env): Daemon {
  mkdirSync(logFolder, { recursive: true });
  const logPath = join(logFolder, `${name}.log`);
  const log = openSync(logPath, 'a');
  const join_ = 'echo $$ > "$0" && exec "$@"';
  const child = spawn('/bin/sh', ['-c', join_, join(cgroupFolder, 'daemons', 'cgroup.procs'), ...argv], {
    cwd: '/',
    env,
    stdio: ['ignore', log, log],
    detached: true,
  });
  closeSync(log);
  const ended = new Promise<string>((resolve) => {
    child.on('error', (error) => resolve(error.message));
    child.on('exit', (status, signal) => resolve(signal ?? `status ${status}`));
  });
  child.unref();
  return { name, pid: child.pid ?? 0, logPath, ended };
}

/** A process of a pod, as the machine sees it. */
export interface PodProcess {
  readonly pid: number;
  readonly commandLine: readonly string[];
}

/**
 * The processes of a pod's containers, the pause process left out. For tests that need a real SIGKILL: from inside a container,
 * `kill -9 1` does nothing.
 *
 * @param uid the pod's metadata.uid
 */
export function podProcesses(uid: string): PodProcess[] {
  return cgroupsBelow(cgroupFolder)
    .filter((folder) => folder.endsWith(`pod${uid}`))
    .flatMap(processesIn)
    .map((pid) => ({ pid, commandLine: commandLineOf(pid) }))
    .filter(({ commandLine }) => commandLine.length > 0 && commandLine[0] !== '/pause');
}

function commandLineOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').filter(Boolean);
  } catch {
    return [];
  }
}

/** Runs a command to its end and gives its standard output. Throws with the command's own words when it fails. */
export function run(
  argv: readonly string[],
  options: { input?: string; env?: NodeJS.ProcessEnv; cwd?: string } = {},
): string {
  const [command, ...args] = argv as [string, ...string[]];
  const result = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024, ...options });
  if (result.error) throw new Error(`e2e: ${command}: ${result.error.message}`, { cause: result.error });
  if (result.status !== 0) {
    throw new Error(`e2e: ${argv.join(' ')}: ended with ${result.signal ?? result.status}\n${result.stderr.trim()}`);
  }
  return result.stdout;
}
