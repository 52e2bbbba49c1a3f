/** How each component is called, and the configuration files they read. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { certificates, kubeconfigOf } from './credentials.ts';
import { addresses, containerdSocket, images, nodeName, ports, rigName, runFolder, stateFolder } from './rig.ts';
import type { Tools } from './tools.ts';

const configFolder = join(stateFolder, 'config');
const file = (name: string) => join(configFolder, name);
const state = (name: string) => join(stateFolder, name);

/** Writes every configuration file. */
export function writeConfiguration(): void {
  mkdirSync(join(configFolder, 'cni'), { recursive: true });
  writeFileSync(file('containerd.toml'), containerdConfig());
  writeFileSync(file('cni/10-pods.conflist'), JSON.stringify(cniConfig(), undefined, 2));
  writeFileSync(file('kubelet.yaml'), JSON.stringify(kubeletConfig(), undefined, 2));
  writeFileSync(file('kube-proxy.yaml'), JSON.stringify(proxyConfig(), undefined, 2));
  writeFileSync(file('Corefile'), corefile());
  // Pods ask the cluster's DNS alone; the machine's resolvers are not reachable from the namespace.
  writeFileSync(file('resolv.conf'), '');
}

/** argv of each component. */
export function commandsOf(tools: Tools) {
  return {
    etcd: [
      tools.etcd,
      `--data-dir=${state('etcd')}`,
      `--listen-client-urls=http://127.0.0.1:${ports.etcd}`,
      `--advertise-client-urls=http://127.0.0.1:${ports.etcd}`,
      `--listen-peer-urls=http://127.0.0.1:${ports.etcdPeer}`,
      `--initial-advertise-peer-urls=http://127.0.0.1:${ports.etcdPeer}`,
      `--initial-cluster=default=http://127.0.0.1:${ports.etcdPeer}`,
      '--unsafe-no-fsync',
    ],
    'kube-apiserver': [
      tools['kube-apiserver'],
      `--etcd-servers=http://127.0.0.1:${ports.etcd}`,
      `--advertise-address=${addresses.node}`,
      `--secure-port=${ports.api}`,
      `--cert-dir=${state('api')}`,
      `--tls-cert-file=${certificates.api}`,
      `--tls-private-key-file=${certificates.apiKey}`,
      `--client-ca-file=${certificates.ca}`,
      `--token-auth-file=${certificates.tokens}`,
      '--authorization-mode=Node,RBAC',
      '--enable-admission-plugins=NodeRestriction',
      '--allow-privileged=true',
      `--service-cluster-ip-range=${addresses.services}`,
      '--service-account-issuer=https://kubernetes.default.svc.cluster.local',
      `--service-account-key-file=${certificates.serviceAccountKey}`,
      `--service-account-signing-key-file=${certificates.serviceAccountKey}`,
      `--kubelet-client-certificate=${certificates.kubeletClient}`,
      `--kubelet-client-key=${certificates.kubeletClientKey}`,
      '--kubelet-preferred-address-types=InternalIP',
    ],
    'kube-controller-manager': [
      tools['kube-controller-manager'],
      `--kubeconfig=${kubeconfigOf('kube-controller-manager')}`,
      `--root-ca-file=${certificates.ca}`,
      `--service-account-private-key-file=${certificates.serviceAccountKey}`,
      '--use-service-account-credentials=true',
      '--leader-elect=false',
      `--cert-dir=${state('controller-manager')}`,
    ],
    'kube-scheduler': [
      tools['kube-scheduler'],
      `--kubeconfig=${kubeconfigOf('kube-scheduler')}`,
      '--leader-elect=false',
      `--cert-dir=${state('scheduler')}`,
    ],
    containerd: ['containerd', '--config', file('containerd.toml')],
    kubelet: [
      tools.kubelet,
      `--config=${file('kubelet.yaml')}`,
      `--kubeconfig=${kubeconfigOf('kubelet')}`,
      `--hostname-override=${nodeName}`,
      `--node-ip=${addresses.node}`,
    ],
    'kube-proxy': [tools['kube-proxy'], `--config=${file('kube-proxy.yaml')}`],
    coredns: [tools.coredns, '-conf', file('Corefile')],
    'load-balancer': [process.execPath, join(import.meta.dirname, 'load-balancer.ts')],
  } as const satisfies Record<string, readonly string[]>;
}

function containerdConfig(): string {
  const q = JSON.stringify;
  return `version = 2
root = ${q(state('containerd'))}
state = ${q(join(runFolder, 'containerd'))}
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.opt", "io.containerd.internal.v1.tracing",
]
[grpc]
  address = ${q(containerdSocket)}
[ttrpc]
  address = ${q(`${containerdSocket}.ttrpc`)}
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = ${q(images.pause)}
  # A machine that lends no CAP_SYS_RESOURCE can't lower oom_score_adj; runc would end there.
  restrict_oom_score_adj = true
  # Pods' network namespaces then go with the mount namespace of the rig and leave no file in /run/netns.
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = ${q(file('cni'))}
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
`;
}

/** Point-to-point links: between two pods, too, packets pass the node's netfilter, where a Service's address is translated. */
function cniConfig(): object {
  const ranges = [[{ subnet: addresses.pods }]];
  return {
    cniVersion: '0.4.0',
    name: 'pods',
    plugins: [
      {
        type: 'ptp',
        ipMasq: false,
        ipam: { type: 'host-local', dataDir: state('ipam'), ranges, routes: [{ dst: '0.0.0.0/0' }] },
      },
      { type: 'portmap', capabilities: { portMappings: true } },
    ],
  };
}

function kubeletConfig(): object {
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    containerRuntimeEndpoint: `unix://${containerdSocket}`,
    cgroupDriver: 'cgroupfs',
    cgroupRoot: `/${rigName}`,
    failSwapOn: false,
    oomScoreAdj: 0,
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: certificates.ca },
    },
    authorization: { mode: 'Webhook' },
    clusterDNS: [addresses.dns],
    clusterDomain: 'cluster.local',
    resolvConf: file('resolv.conf'),
    podLogsDir: state('pod-logs'),
    // A nearly full disk of the machine is none of the tests' business.
    evictionHard: { 'imagefs.available': '0%', 'nodefs.available': '0%', 'memory.available': '50Mi' },
    imageGCHighThresholdPercent: 100,
    makeIPTablesUtilChains: false,
    serializeImagePulls: false,
    registerWithTaints: [],
  };
}

function proxyConfig(): object {
  return {
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    mode: 'nftables',
    clientConnection: { kubeconfig: kubeconfigOf('kube-proxy') },
    clusterCIDR: addresses.pods,
    hostnameOverride: nodeName,
    oomScoreAdj: 0,
    conntrack: { maxPerCore: 0, min: 0 },
    // Endpoints count at once; the default of a second spares large clusters.
    nftables: { minSyncPeriod: '100ms' },
  };
}

function corefile(): string {
  return `.:53 {
  bind ${addresses.node}
  errors
  ready ${addresses.node}:${ports.dnsReady}
  cache 5
  loadbalance
  kubernetes cluster.local in-addr.arpa {
    kubeconfig ${kubeconfigOf('coredns')}
    pods insecure
    ttl 5
  }
}
`;
}

/** Service and endpoint of the cluster's DNS, which runs outside a pod, on the node's address. */
export function dnsObjects(): object[] {
  const metadata = { name: 'kube-dns', namespace: 'kube-system' };
  return [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata,
      spec: {
        clusterIP: addresses.dns,
        ports: [
          { name: 'dns', port: 53, protocol: 'UDP' },
          { name: 'dns-tcp', port: 53, protocol: 'TCP' },
        ],
      },
    },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { ...metadata, labels: { 'kubernetes.io/service-name': 'kube-dns' } },
      addressType: 'IPv4',
      endpoints: [{ addresses: [addresses.node], conditions: { ready: true } }],
      ports: [
        { name: 'dns', port: 53, protocol: 'UDP' },
        { name: 'dns-tcp', port: 53, protocol: 'TCP' },
      ],
    },
  ];
}
