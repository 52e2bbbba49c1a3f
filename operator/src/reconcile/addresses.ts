import type { LiveClusterSpec } from '#contract/crd/live-cluster.ts';
import { names, serviceHost } from '../desired/names.ts';
import type { Cluster } from '../desired/cluster.ts';
import type { ServiceObject } from './api-objects.ts';

/** How clients reach one of the two Services. */
export interface ServiceAddress {
  /** Host for URLs, IPv6 in brackets; undefined while there is none. */
  readonly host?: string;
  /** Port by name, as clients use it. */
  readonly ports: Readonly<Record<string, number>>;
  /** What is missing and what to do, while there is no host. */
  readonly missing?: string;
}

/** Addresses of a cluster as its status tells them. */
export interface Addresses {
  readonly endpoints: Readonly<Partial<Record<'rtmp' | 'rtmpPlay' | 'rtmps' | 'rtmpsPlay' | 'flv', string>>>;
  readonly address?: string;
  /** What holds the addresses up; empty when all are there. */
  readonly missing: readonly string[];
}

/** Stands for the address of any node of the Kubernetes cluster: which of them clients reach, they know. */
const ANY_NODE = '<node>';

/** Addresses for the status, and why one is not there; by the Services as they are in the world. */
export function addressesOf(
  cluster: Cluster,
  ingest: ServiceObject | undefined,
  playback: ServiceObject | undefined,
): Addresses {
  const { exposure } = cluster.spec;
  const { name } = cluster.metadata;
  const push = addressOf(cluster, ingest, names.ingest(name), exposure.ingest.type, 'ingest');
  const play = addressOf(cluster, playback, names.playback(name), exposure.playback.type, 'playback');
  const url = (of: ServiceAddress, scheme: string, port: string) =>
    of.host && of.ports[port] !== undefined ? `${scheme}://${of.host}:${of.ports[port]}` : undefined;
  const rtmp = url(push, 'rtmp', 'rtmp');
  const rtmpPlay = url(play, 'rtmp', 'rtmp');
  const rtmps = url(push, 'rtmps', 'rtmps');
  const rtmpsPlay = url(play, 'rtmps', 'rtmps');
  const flv = url(play, 'http', 'http');
  // What `kubectl get lc` shows is for copying into an encoder: with the port only where it is not RTMP's own.
  const address = push.host && (push.ports['rtmp'] === 1935 ? push.host : `${push.host}:${push.ports['rtmp'] ?? ''}`);
  return {
    endpoints: {
      ...(rtmp ? { rtmp } : {}),
      ...(rtmpPlay ? { rtmpPlay } : {}),
      ...(rtmps ? { rtmps } : {}),
      ...(rtmpsPlay ? { rtmpsPlay } : {}),
      ...(flv ? { flv } : {}),
    },
    ...(address ? { address } : {}),
    missing: [push.missing, play.missing].filter((each) => each !== undefined),
  };
}

function addressOf(
  cluster: Cluster,
  service: ServiceObject | undefined,
  name: string,
  type: LiveClusterSpec['exposure']['ingest']['type'],
  field: string,
): ServiceAddress {
  const ports = (pick: (port: { port: number; nodePort?: number }) => number | undefined) =>
    Object.fromEntries(
      (service?.spec?.ports ?? []).flatMap((port) => {
        const number = pick(port);
        return number === undefined ? [] : [[port.name ?? '', number] as const];
      }),
    );
  if (!service) return { ports: {}, missing: `Service ${name} is not there yet` };
  if (type === 'ClusterIP') return { host: serviceHost(name, cluster.metadata.namespace), ports: ports((p) => p.port) };
  if (type === 'NodePort') {
    const nodePorts = ports((p) => p.nodePort);
    if (Object.keys(nodePorts).length > 0) return { host: ANY_NODE, ports: nodePorts };
    return { ports: {}, missing: `Service ${name} has no node port yet` };
  }
  const [first] = service.status?.loadBalancer?.ingress ?? [];
  const host = first?.ip ?? first?.hostname;
  if (host) return { host: host.includes(':') ? `[${host}]` : host, ports: ports((p) => p.port) };
  const mend = `if this Kubernetes has no load balancer, set spec.exposure.${field}.type to NodePort or ClusterIP`;
  return { ports: {}, missing: `Service ${name} waits for an address from the load balancer; ${mend}` };
}
