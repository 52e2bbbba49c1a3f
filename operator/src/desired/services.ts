import type { LiveClusterSpec } from '#contract/crd/live-cluster.ts';
import { PORTS, REDIS_PORT } from '#contract/names.ts';
import type { Role } from '#contract/names.ts';
import type { Manifest } from '../kube/object.ts';
import type { Cluster } from './cluster.ts';
import { ownedMetadata, selectRedis, selectRole } from './labels.ts';
import { names } from './names.ts';

type Exposure = LiveClusterSpec['exposure']['ingest'];
type PortName = keyof typeof PORTS;

/** The ports of a media pod by name, RTMPS's where it is on; the admin port is fixed. */
export function portsOf(spec: LiveClusterSpec): Record<Exclude<PortName, 'rtmps'>, number> & { rtmps?: number } {
  const { rtmp, rtmps, http, api } = spec.protocols;
  return {
    rtmp: rtmp.port,
    ...(rtmps.enabled ? { rtmps: rtmps.port } : {}),
    http: http.port,
    api: api.port,
    admin: PORTS.admin,
  };
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
      ports: servicePorts(cluster.spec, ['rtmp', 'rtmps', 'http', 'api', 'admin']),
    },
  };
}

/** Where encoders push to: RTMP and RTMPS of the origins. Players are served there too. */
export function ingestService(cluster: Cluster): Manifest {
  const { metadata, spec } = cluster;
  return exposedService(cluster, 'origin', names.ingest(metadata.name), spec.exposure.ingest, ['rtmp', 'rtmps']);
}

/** Where viewers play from: RTMP, RTMPS and HTTP of the edges. Publishes there are handed on to an origin. */
export function playbackService(cluster: Cluster): Manifest {
  const { name } = cluster.metadata;
  const { playback } = cluster.spec.exposure;
  return exposedService(cluster, 'edge', names.playback(name), playback, ['rtmp', 'rtmps', 'http']);
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
  return wanted.flatMap((name) => {
    const port = ports[name];
    return port === undefined ? [] : [{ name, port, protocol: 'TCP', targetPort: name }];
  });
}
