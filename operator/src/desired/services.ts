import type { LiveClusterSpec } from '#contract/crd/live-cluster.ts';
import { PORTS, REDIS_PORT } from '#contract/names.ts';
import type { Role } from '#contract/names.ts';
import type { Manifest } from '../kube/object.ts';
import type { Cluster } from './cluster.ts';
import { ownedMetadata, selectRedis, selectRole } from './labels.ts';
import { names } from './names.ts';

type Exposure = LiveClusterSpec['exposure']['ingest'];
type PortName = 'rtmp' | 'http' | 'api' | 'admin';

/** The ports of a media pod by name; the admin port is fixed. */
export function portsOf(spec: LiveClusterSpec): Record<PortName, number> {
  const { rtmp, http, api } = spec.protocols;
  return { rtmp: rtmp.port, http: http.port, api: api.port, admin: PORTS.admin };
}

/** Gives each pod of a role a name of its own in DNS, before it is ready too: nodes and the operator ask single pods. */
export function headlessService(cluster: Cluster, role: Role): Manifest {
  const { name } = cluster.metadata;
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: ownedMetadata(cluster, role, names.role(name, role)),
    spec: {
      type: 'ClusterIP',
      clusterIP: 'None',
      publishNotReadyAddresses: true,
      selector: selectRole(name, role),
      ports: servicePorts(cluster.spec, ['rtmp', 'http', 'api', 'admin']),
    },
  };
}

/** Where encoders push to: RTMP of the origins. Players are served there too. */
export function ingestService(cluster: Cluster): Manifest {
  return exposedService(cluster, 'origin', names.ingest(cluster.metadata.name), cluster.spec.exposure.ingest, ['rtmp']);
}

/** Where viewers play from: RTMP and HTTP of the edges. Publishes there are handed on to an origin. */
export function playbackService(cluster: Cluster): Manifest {
  const { name } = cluster.metadata;
  return exposedService(cluster, 'edge', names.playback(name), cluster.spec.exposure.playback, ['rtmp', 'http']);
}

/** The HTTP API of the origins, for clients inside the Kubernetes cluster only. */
export function apiService(cluster: Cluster): Manifest {
  const { name } = cluster.metadata;
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: ownedMetadata(cluster, 'origin', names.api(name)),
    spec: { type: 'ClusterIP', selector: selectRole(name, 'origin'), ports: servicePorts(cluster.spec, ['api']) },
  };
}

/**
 * The embedded Redis. With an address of its own, not headless: it stays the same when the pod is replaced, and without
 * a pod connections are refused at once instead of going to an address that DNS still remembers.
 */
export function redisService(cluster: Cluster): Manifest {
  const { name } = cluster.metadata;
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: ownedMetadata(cluster, 'redis', names.redis(name)),
    spec: {
      type: 'ClusterIP',
      selector: selectRedis(name),
      ports: [{ name: 'redis', port: REDIS_PORT, protocol: 'TCP', targetPort: 'redis' }],
    },
  };
}

function exposedService(
  cluster: Cluster,
  role: Role,
  name: string,
  exposure: Exposure,
  ports: readonly PortName[],
): Manifest {
  const isOutside = exposure.type !== 'ClusterIP';
  const isBalanced = exposure.type === 'LoadBalancer';
  const { loadBalancerClass, sourceRanges } = exposure;
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: ownedMetadata(cluster, role, name, exposure.annotations),
    spec: {
      type: exposure.type,
      selector: selectRole(cluster.metadata.name, role),
      ports: servicePorts(cluster.spec, ports),
      // The API server refuses these fields for the types that have no use for them.
      ...(isOutside ? { externalTrafficPolicy: exposure.externalTrafficPolicy } : {}),
      ...(isBalanced && loadBalancerClass ? { loadBalancerClass } : {}),
      ...(isBalanced && sourceRanges ? { loadBalancerSourceRanges: [...sourceRanges] } : {}),
    },
  };
}

function servicePorts(spec: LiveClusterSpec, wanted: readonly PortName[]): Record<string, unknown>[] {
  const ports = portsOf(spec);
  return wanted.map((name) => ({ name, port: ports[name], protocol: 'TCP', targetPort: name }));
}
