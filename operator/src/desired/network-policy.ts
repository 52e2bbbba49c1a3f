import { PORTS, REDIS_PORT } from '#contract/names.ts';
import type { Role } from '#contract/names.ts';
import type { Manifest } from '../kube/object.ts';
import type { Cluster, OperatorSettings } from './cluster.ts';
import { ownedMetadata, selectMedia, selectRedis, selectRole } from './labels.ts';
import { names } from './names.ts';
import { portsOf } from './services.ts';

type Peer = Readonly<Record<string, unknown>>;
type IngressRule = { readonly from?: readonly Peer[]; readonly ports: readonly Record<string, unknown>[] };

/*
 * Who may reach which port. Egress stays open: nodes talk to Redis, to each other and to DNS, wherever those are.
 * An empty `from` would let everybody in, so a rule for nobody is left out.
 */

/** For the pods of a role: media from anywhere, the API and the admin port from whom the LiveCluster names. */
export function mediaNetworkPolicy(cluster: Cluster, role: Role, operator: OperatorSettings): Manifest {
  const { name } = cluster.metadata;
  const { networkPolicy, protocols } = cluster.spec;
  const ports = portsOf(cluster.spec);
  const nodes: Peer = { podSelector: selectMedia(name) };
  const anyPod: Peer = { namespaceSelector: {} };
  const operators: Peer[] = operator.namespace
    ? [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': operator.namespace } } }]
    : [];
  const isEdge = role === 'edge';
  const rtmp = ports.rtmps === undefined ? [ports.rtmp] : [ports.rtmp, ports.rtmps];
  const ingress = [
    { ports: tcp(isEdge ? [...rtmp, ports.http] : rtmp) },
    ...(isEdge ? [] : from([nodes], protocols.http.port)),
    ...from(networkPolicy.apiFrom ?? [{ podSelector: {} }], protocols.api.port),
    // Probes come from the kubelet, which no policy keeps out. /metrics shares the port with what needs the token.
    ...from([...operators, nodes, ...(networkPolicy.metricsFrom ?? [anyPod])], PORTS.admin),
  ];
  return policy(cluster, role, names.role(name, role), selectRole(name, role), ingress);
}

/** For the embedded Redis: the cluster's own nodes and nobody else. */
export function redisNetworkPolicy(cluster: Cluster): Manifest {
  const { name } = cluster.metadata;
  const ingress = from([{ podSelector: selectMedia(name) }], REDIS_PORT);
  return policy(cluster, 'redis', names.redis(name), selectRedis(name), ingress);
}

function policy(
  cluster: Cluster,
  component: Role | 'redis',
  name: string,
  matchLabels: Record<string, string>,
  ingress: readonly IngressRule[],
): Manifest {
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: ownedMetadata(cluster, component, name),
    spec: { podSelector: { matchLabels }, policyTypes: ['Ingress'], ingress },
  };
}

function from(peers: readonly Peer[], ...ports: readonly number[]): IngressRule[] {
  return peers.length === 0 ? [] : [{ from: peers, ports: tcp(ports) }];
}

function tcp(ports: readonly number[]): Record<string, unknown>[] {
  return ports.map((port) => ({ port, protocol: 'TCP' }));
}
