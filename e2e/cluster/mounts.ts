/**
 * The rig's mount namespace. Pods' root file systems, volumes and network namespaces are mounted in it alone: nothing shows on the
 * machine, and all of it is gone with the rig's last process, however that ended.
 */
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { netnsPrefix } from './netns.ts';
import { run, startDaemon } from './processes.ts';
import type { Daemon } from './processes.ts';
import { runFolder, stateFolder } from './rig.ts';

/** Folders whose paths components have built in, each with what the rig puts over it. */
const overlaid: Readonly<Record<string, string>> = {
  '/run/containerd': join(runFolder, 'shims'),
  '/var/lib/cni': join(stateFolder, 'cni'),
  '/var/lib/kubelet': join(stateFolder, 'kubelet'),
  '/var/log/containers': join(stateFolder, 'container-logs'),
};

/** Names the folders that were made on the machine to mount over. */
const madeRecord = join(stateFolder, 'made-folders');

const readyMark = join(runFolder, 'mounts-ready');

/** Starts the process that holds the namespace; `isReady` says when it may be entered. */
export function startMountNamespace(): { holder: Daemon; isReady: () => boolean } {
  const missing = Object.keys(overlaid).flatMap(missingFolders);
  writeFileSync(madeRecord, missing.join('\n'));
  const script = ['set -e', 'mount --make-rshared /'];
  for (const [place, source] of Object.entries(overlaid)) {
    mkdirSync(place, { recursive: true });
    mkdirSync(source, { recursive: true });
    script.push(`mount --bind ${source} ${place}`);
  }
  script.push(`: > ${readyMark}`, 'exec sleep infinity');
  // Private first, so that no mount goes back to the machine; shared then, so that the kubelet's reach the containers'.
  const unshare = ['unshare', '--mount', '--propagation', 'private', '--', 'sh', '-c', script.join('\n')];
  const holder = startDaemon('mounts', [...netnsPrefix, ...unshare]);
  return { holder, isReady: () => existsSync(readyMark) };
}

/** Put before a command, runs it inside the rig's network and mount namespaces. */
export function insidePrefix(holder: Daemon): string[] {
  return ['nsenter', netnsPrefix[1]!, `--mount=/proc/${holder.pid}/ns/mnt`, '--'];
}

/** The folder and its parents that aren't there, the deepest first. */
function missingFolders(path: string): string[] {
  return existsSync(path) ? [] : [path, ...missingFolders(dirname(path))];
}

/** Removes what a dead rig left on the machine's own file system: folders made to mount over, mounts below the rig's folders. */
export function removeMounts(): void {
  const mountPoints = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((path) => [stateFolder, runFolder].some((folder) => path.startsWith(`${folder}/`)));
  for (const path of mountPoints.toReversed()) run(['umount', '--lazy', path]);
  if (!existsSync(madeRecord)) return;
  for (const path of readFileSync(madeRecord, 'utf8').split('\n').filter(Boolean)) {
    try {
      rmdirSync(path);
    } catch {
      // somebody else uses it now
    }
  }
}
