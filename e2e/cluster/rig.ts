/** What the rig is called and where it lives: every name, folder and address of the one-node Kubernetes. */
import { join } from 'node:path';

/**
 * Name of the network namespace, the cgroup and the folders. Another name gives another cluster beside the first:
 * each has a network namespace of its own, so addresses never clash.
 */
export const rigName = process.env['E2E_CLUSTER_NAME'] || 'livecluster-e2e';

if (!/^[a-z][a-z0-9-]{0,30}$/.test(rigName)) {
  throw new Error(
    `E2E_CLUSTER_NAME: '${rigName}' is no name for a cluster: up to 31 of a-z, 0-9 and -, a letter first`,
  );
}

/** Everything that a running cluster keeps on disk; gone after `down`. */
export const stateFolder = join('/var/lib', rigName);
/** Sockets: their paths have to be short. */
export const runFolder = join('/run', rigName);
export const logFolder = join(stateFolder, 'logs');
/** Kubeconfig of the cluster's admin; its server address is reachable inside the network namespace only. */
export const kubeconfigPath = join(stateFolder, 'kubeconfig');
export const containerdSocket = join(runFolder, 'containerd.sock');
export const networkNamespacePath = join('/run/netns', rigName);

export const nodeName = `${rigName}-1`;
/** The namespace's own veth pair, both ends inside; the node's address is on the first. */
export const veth = ['lc0', 'lc1'] as const;

export const addresses = {
  node: '10.99.0.1',
  /** Addresses of LoadBalancer Services: .1 to .254 of this prefix. */
  loadBalancerPrefix: '10.99.1.',
  pods: '10.244.0.0/24',
  services: '10.96.0.0/16',
  /** First of `services`: the Service `kubernetes`. */
  apiService: '10.96.0.1',
  dns: '10.96.0.10',
} as const;

/** The network namespace is the cluster's own, so these clash with nothing on the machine. */
export const ports = { etcd: 2379, etcdPeer: 2380, api: 6443, dnsReady: 8181 } as const;

export const apiUrl = `https://${addresses.node}:${ports.api}`;

/** Images as the chart names them by default; the rig's own builds are imported under these names. */
export const images = {
  livecluster: process.env['E2E_IMAGE'] || 'ghcr.io/livecluster/livecluster:0.1.0',
  redis: 'docker.io/library/redis:7.4-alpine',
  pause: 'localhost/livecluster-e2e/pause:1',
} as const;
