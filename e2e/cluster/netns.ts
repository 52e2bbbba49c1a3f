/**
 * The network namespace in which the whole cluster runs, so that it touches nothing of the machine's own network and sends no packet
 * out of the machine.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { run } from './processes.ts';
import { addresses, networkNamespacePath, rigName, veth } from './rig.ts';

/**
 * Put before a command, runs it inside the cluster's network: `[...netnsPrefix, 'ffmpeg', …]`.
 * (`ip netns exec` would also remount /sys and hide the cgroups.)
 */
export const netnsPrefix: readonly string[] = ['nsenter', `--net=${networkNamespacePath}`, '--'];

/** Makes the namespace: loopback, and a veth pair with both ends inside that carries the node's address and the default route. */
export function makeNetns(): void {
  run(['ip', 'netns', 'add', rigName]);
  const [near, far] = veth;
  // kube-proxy answers for LoadBalancer addresses before a packet leaves; all they need is a route.
  const inside = [
    'set -e',
    'ip link set lo up',
    `ip link add ${near} type veth peer name ${far}`,
    `ip address add ${addresses.node}/24 dev ${near}`,
    `ip link set ${near} up`,
    `ip link set ${far} up`,
    `ip route add default dev ${near}`,
    'echo 1 > /proc/sys/net/ipv4/ip_forward',
  ];
  run([...netnsPrefix, 'sh', '-c', inside.join('\n')]);
}

/** Removes the namespace with its links, routes and rules; its processes have to be gone. */
export function removeNetns(): void {
  if (existsSync(networkNamespacePath)) run(['ip', 'netns', 'delete', rigName]);
  // ip(8) mounts the folder on itself when it makes the first one, and leaves that.
  const folder = dirname(networkNamespacePath);
  if (existsSync(folder) && readdirSync(folder).length === 0) spawnSync('umount', [folder]);
}

if (import.meta.main) console.log(netnsPrefix.join(' '));
