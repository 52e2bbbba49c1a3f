/** Keys, certificates and tokens of one cluster's life: made anew by each `up`, gone with `down`. */
import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './processes.ts';
import { addresses, apiUrl, kubeconfigPath, nodeName, stateFolder } from './rig.ts';

const folder = join(stateFolder, 'pki');

export const certificates = {
  ca: join(folder, 'ca.crt'),
  api: join(folder, 'api.crt'),
  apiKey: join(folder, 'api.key'),
  /** With which the API server comes to the kubelet. */
  kubeletClient: join(folder, 'kubelet-client.crt'),
  kubeletClientKey: join(folder, 'kubelet-client.key'),
  /** Signs service account tokens. */
  serviceAccountKey: join(folder, 'service-account.key'),
  tokens: join(folder, 'tokens.csv'),
} as const;

/** Who comes to the API server by a token of its own: user name and groups as Kubernetes' default roles know them. */
const users = {
  admin: { name: 'admin', groups: 'system:masters' },
  'kube-controller-manager': { name: 'system:kube-controller-manager', groups: '' },
  'kube-scheduler': { name: 'system:kube-scheduler', groups: '' },
  'kube-proxy': { name: 'system:kube-proxy', groups: '' },
  kubelet: { name: `system:node:${nodeName}`, groups: 'system:nodes' },
  coredns: { name: 'system:coredns', groups: 'system:masters' },
  'load-balancer': { name: 'system:load-balancer', groups: 'system:masters' },
} as const;

export type User = keyof typeof users;

/** Kubeconfig with which a component, or the admin, comes to the API server. */
export function kubeconfigOf(user: User): string {
  return user === 'admin' ? kubeconfigPath : join(folder, `${user}.kubeconfig`);
}

export function tokenFileOf(user: User): string {
  return join(folder, `${user}.token`);
}

/** Writes all of it; takes some tenths of a second. */
export function makeCredentials(): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const caKey = join(folder, 'ca.key');
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const days = ['-days', '30'];
  run(['openssl', 'req', '-x509', ...newKey, ...days, '-keyout', caKey, '-out', certificates.ca, '-subj', '/CN=e2e']);

  const issue = (subject: string, certificate: string, key: string, extensions: string) => {
    const request = `${key}.csr`;
    const extensionFile = `${key}.ext`;
    writeFileSync(extensionFile, extensions);
    run(['openssl', 'req', '-new', ...newKey, '-keyout', key, '-out', request, '-subj', subject]);
    const by = ['-CA', certificates.ca, '-CAkey', caKey, '-CAcreateserial', '-extfile', extensionFile];
    run(['openssl', 'x509', '-req', '-in', request, '-out', certificate, ...by, ...days]);
  };
  const names = ['kubernetes', 'kubernetes.default', 'kubernetes.default.svc', 'kubernetes.default.svc.cluster.local'];
  const sans = [
    ...names.map((name) => `DNS:${name}`),
    ...[addresses.node, addresses.apiService, '127.0.0.1'].map((address) => `IP:${address}`),
  ];
  const serverExtensions = `subjectAltName=${sans.join(',')}\nextendedKeyUsage=serverAuth\n`;
  issue('/CN=kube-apiserver', certificates.api, certificates.apiKey, serverExtensions);
  const clientSubject = '/O=system:masters/CN=kube-apiserver-kubelet-client';
  issue(clientSubject, certificates.kubeletClient, certificates.kubeletClientKey, 'extendedKeyUsage=clientAuth\n');
  run(['openssl', 'ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', certificates.serviceAccountKey]);

  const lines = Object.entries(users).map(([user, { name, groups }]) => {
    const token = randomBytes(24).toString('hex');
    writeFileSync(tokenFileOf(user as User), token, { mode: 0o600 });
    writeFileSync(kubeconfigOf(user as User), kubeconfig(user, token), { mode: 0o600 });
    return `${token},${name},${name},"${groups}"`;
  });
  writeFileSync(certificates.tokens, `${lines.join('\n')}\n`, { mode: 0o600 });
}

function kubeconfig(user: string, token: string): string {
  // JSON is YAML. The CA goes in by path, so the file is small and readable by whoever looks at a failure.
  return JSON.stringify(
    {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'e2e', cluster: { server: apiUrl, 'certificate-authority': certificates.ca } }],
      users: [{ name: user, user: { token } }],
      contexts: [{ name: 'e2e', context: { cluster: 'e2e', user } }],
      'current-context': 'e2e',
    },
    undefined,
    2,
  );
}
