import { durationMs } from '#contract/duration.ts';
import type { LiveClusterManifest, VhostManifest } from '#contract/manifest.ts';
import { DEFAULT_VHOST } from '#contract/names.ts';
import type { Role } from '#contract/names.ts';
import { VHOST_DEFAULTS } from '#contract/node-config.ts';
import type { NodeConfig, VhostConfig } from '#contract/node-config.ts';

/** What rendering reads of a LiveCluster. */
export interface LiveClusterView {
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly spec: LiveClusterManifest['spec'];
}
/** What rendering reads of a Vhost; a manifest from a file, or the object of the API server. */
export interface VhostView {
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    /** RFC 3339, when the API server wrote it. */
    readonly creationTimestamp?: unknown;
  };
  readonly spec: VhostManifest['spec'];
}

/** Why a Vhost is left out of the configuration. */
export type RefusalReason =
  | 'HostConflict' // an older Vhost of the cluster has one of its hosts
  | 'TooManyVhosts'; // the cluster has its most Vhosts already

/** A Vhost that is left out whole: half of its hosts would surprise more than none. */
export interface RefusedVhost<V extends VhostView = VhostView> {
  readonly vhost: V;
  readonly reason: RefusalReason;
  /** Says what to do. */
  readonly message: string;
}

/** Which Vhosts of a cluster are in force. */
export interface VhostVerdicts<V extends VhostView = VhostView> {
  /** Oldest first. */
  readonly accepted: readonly V[];
  readonly refused: readonly RefusedVhost<V>[];
}

/** Most Vhosts of one cluster, the built-in one left room for. */
export const MOST_VHOSTS = 999;

/**
 * Decides which Vhosts of the namespace are in force in a cluster. Those of other clusters and namespaces are passed
 * over. A host belongs to the Vhost with the oldest creationTimestamp, then the first name; a manifest without a
 * timestamp counts as the newest.
 */
export function judgeVhosts<V extends VhostView>(cluster: LiveClusterView, vhosts: readonly V[]): VhostVerdicts<V> {
  const accepted: V[] = [];
  const refused: RefusedVhost<V>[] = [];
  const ownerOf = new Map<string, string>();
  for (const vhost of vhosts.filter((each) => belongsTo(each, cluster)).sort(byAge)) {
    const taken = vhost.spec.hosts.find((host) => ownerOf.has(hostKey(host)));
    if (taken !== undefined) {
      const owner = ownerOf.get(hostKey(taken)) ?? '';
      const message = `host ${taken} belongs to the older Vhost ${owner}: remove it from one of the two`;
      refused.push({ vhost, reason: 'HostConflict', message });
    } else if (accepted.length >= MOST_VHOSTS) {
      const message = `LiveCluster ${cluster.metadata.name} has ${MOST_VHOSTS} older Vhosts, its most: delete some or put several hosts into one`;
      refused.push({ vhost, reason: 'TooManyVhosts', message });
    } else {
      for (const host of vhost.spec.hosts) ownerOf.set(hostKey(host), vhost.metadata.name);
      accepted.push(vhost);
    }
  }
  return { accepted, refused };
}

/**
 * The configuration of a cluster's nodes of one role: its settings and the Vhosts in force, with the built-in
 * catch-all unless a Vhost claims that host. The same input in any order gives the same output. Pure.
 */
export function renderNodeConfig(cluster: LiveClusterView, role: Role, vhosts: readonly VhostView[]): NodeConfig {
  const { spec } = cluster;
  const own = judgeVhosts(cluster, vhosts).accepted.map(renderVhost);
  const hasDefault = own.some((vhost) => vhost.hosts.includes(DEFAULT_VHOST));
  const rendered = hasDefault ? own : [...own, builtInVhost()];
  return {
    version: 1,
    logLevel: spec[role].logLevel,
    maxConnections: spec[role].maxConnections,
    pullHoldMs: durationMs(spec.edge.pull.hold),
    drainMs: durationMs(spec.drain[role]),
    vhosts: rendered.sort((a, b) => compare(a.name, b.name)),
  };
}

/**
 * The vhost's part in the names of its streams. Whoever has the catch-all host has its name too, so that a Vhost made
 * for it takes the running streams over instead of leaving them under a name that no new viewer asks for.
 */
export function vhostName(name: string, hosts: readonly string[]): string {
  return hosts.includes(DEFAULT_VHOST) ? DEFAULT_VHOST : name;
}

/** A Vhost as its nodes see it. */
function renderVhost({ metadata, spec }: VhostView): VhostConfig {
  return {
    name: vhostName(metadata.name, spec.hosts),
    hosts: [...spec.hosts].sort(compare),
    enabled: spec.enabled,
    publish: {
      takeover: spec.publish.takeover,
      firstPacketTimeoutMs: durationMs(spec.publish.firstPacketTimeout),
      idleTimeoutMs: durationMs(spec.publish.idleTimeout),
      graceMs: durationMs(spec.publish.grace),
    },
    play: {
      gopCache: spec.play.gopCache,
      queueLengthMs: durationMs(spec.play.queueLength),
      mwLatency: mwLatency(spec.play.mwLatency),
      atc: spec.play.atc,
      mixCorrect: spec.play.mixCorrect,
    },
    httpRemux: { enabled: spec.httpRemux.enabled, mount: spec.httpRemux.mount },
    hls: {
      enabled: spec.hls.enabled,
      container: spec.hls.container ?? (spec.hls.lowLatency.enabled ? 'fmp4' : 'ts'),
      fragmentMs: durationMs(spec.hls.fragment),
      windowMs: durationMs(spec.hls.window),
      cleanup: spec.hls.cleanup,
      disposeMs: durationMs(spec.hls.dispose),
      ctx: spec.hls.ctx,
      m3u8File: spec.hls.m3u8File,
      tsFile: spec.hls.tsFile,
      fmp4File: spec.hls.fmp4File,
      lowLatency: { enabled: spec.hls.lowLatency.enabled, partMs: durationMs(spec.hls.lowLatency.part) },
      keys: {
        enabled: spec.hls.keys.enabled,
        fragmentsPerKey: spec.hls.keys.fragmentsPerKey,
        keyFile: spec.hls.keys.keyFile,
        keyUrl: spec.hls.keys.keyURL,
      },
    },
    dash: { enabled: spec.dash.enabled, mpdFile: spec.dash.mpdFile },
    dvr: {
      enabled: spec.dvr.enabled,
      plan: spec.dvr.plan,
      durationMs: durationMs(spec.dvr.duration),
      waitKeyframe: spec.dvr.waitKeyframe,
      path: spec.dvr.path,
      applyTo: [...spec.dvr.applyTo],
    },
    security: { cors: { allowOrigins: [...spec.security.cors.allowOrigins] } },
    limits: { ...spec.limits },
    cluster: { edgePublish: spec.cluster.edgePublish },
  };
}

/** The schema has let through nothing but these and durations. */
function mwLatency(text: string): VhostConfig['play']['mwLatency'] {
  return text === 'auto' || text === 'realtime' ? text : durationMs(text);
}

function builtInVhost(): VhostConfig {
  const { security, dvr, ...rest } = VHOST_DEFAULTS;
  return {
    ...structuredClone(rest),
    dvr: { ...dvr, applyTo: [...dvr.applyTo] },
    name: DEFAULT_VHOST,
    hosts: [DEFAULT_VHOST],
    security: { cors: { allowOrigins: [...security.cors.allowOrigins] } },
  };
}

function belongsTo(vhost: VhostView, cluster: LiveClusterView): boolean {
  return (
    vhost.spec.clusterRef.name === cluster.metadata.name && vhost.metadata.namespace === cluster.metadata.namespace
  );
}

function byAge(a: VhostView, b: VhostView): number {
  return compare(createdOf(a), createdOf(b)) || compare(a.metadata.name, b.metadata.name);
}

// RFC 3339 in UTC with whole seconds, as the API server writes it, sorts as text; "~" sorts after every digit.
function createdOf({ metadata }: VhostView): string {
  const { creationTimestamp } = metadata;
  return typeof creationTimestamp === 'string' ? creationTimestamp : '~';
}

// Host names know no case (RFC 4343).
const hostKey = (host: string) => host.toLowerCase();

const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
