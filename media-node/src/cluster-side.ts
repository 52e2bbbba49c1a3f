import type { MetricSample } from './admin/node-metrics.ts';
import type { NodeInfo } from './cluster/directory.ts';
import { ClusterPackagings } from './cluster/cluster-packagings.ts';
import { EdgeGate } from './cluster/edge-gate.ts';
import { OriginGate } from './cluster/origin-gate.ts';
import { PackagingClient } from './cluster/packaging-client.ts';
import type { RelayCounts } from './cluster/packaging-files.ts';
import { originAddresses, PeerClient, PeerOriginFinder } from './cluster/peer-client.ts';
import type { PeerAnswers } from './cluster/ports.ts';
import { RelayManager } from './cluster/relay.ts';
import { PeerWitnesses } from './cluster/packaging-witnesses.ts';
import { RemotePackagings } from './cluster/remote-packagings.ts';
import type { ConfigStore } from './config/config-store.ts';
import type { ListenerPorts, MediaNodeOptions } from './node-options.ts';
import { RtmpPullClient, RtmpPushClient } from './protocols/rtmp/relay-clients.ts';
import type { PackagedStreams, PackagingLedger, PackagingWitnesses } from './packaging/packaged-stream.ts';
import type { PackagingSnapshot } from '#contract/packaging.ts';
import type { Gate } from './stream/gate.ts';
import type { StreamKey } from './stream/stream-key.ts';
import type { StreamRegistry } from './stream/stream-registry.ts';
import type { Stream } from './stream/stream.ts';

/** What a node has of its cluster: the part of node.ts's wiring that differs by role. */
export interface ClusterSide {
  readonly gate: Gate;
  readonly peers: PeerAnswers;
  /** Packaged streams, of this node and of the others. */
  readonly packagings: PackagedStreams;
  /** A file of a packaged stream that was fetched from another node and is in memory still. */
  fetchedFile(key: StreamKey, file: string): Buffer | undefined;
  /** What was told last of a packaged stream that is followed. */
  toldPackaging(key: StreamKey): PackagingSnapshot | undefined;
  /** Whom to ask how to go on with a stream's playlist. */
  readonly witnesses: PackagingWitnesses;
  /** Streams of encoders here that an origin carries: an edge's. */
  handedOver(): Iterable<Stream>;
  /** Enters the directory; resolves also when that is away. */
  start(): Promise<void>;
  stats(): ClusterStats;
  /** Nobody publishes here any more: whoever lost the connection comes back to another node. Idempotent. */
  drain(): void;
  /** Ends publishers, pulls and hand-overs and leaves the directory; idempotent. */
  close(reason: string): Promise<void>;
}

/** Gauges and counts as the metrics want them. */
export interface ClusterStats {
  readonly pulls: number;
  readonly pullsStarted: number;
  readonly forwards: number;
  readonly takeovers: number;
  readonly awaited: number;
  readonly resumed: number;
  /** Streams followed that other nodes package, and bytes of their files in memory. */
  readonly packaged: { readonly followed: number; readonly bytes: number } & Readonly<RelayCounts>;
  readonly directoryUp: boolean;
  readonly directory: Readonly<Record<'claims' | 'fences' | 'heals' | 'malformed', number>>;
}

/** What metrics tell of packaged streams of other nodes. */
export function* packagedSamples({ packaged }: ClusterStats): Iterable<MetricSample> {
  yield { metric: 'packagedFollowed', value: packaged.followed };
  yield { metric: 'packagedFetchedBytes', value: packaged.bytes };
  yield { metric: 'packagedPolls', value: packaged.polls };
  yield { metric: 'packagedFetched', labels: { source: 'owner' }, value: packaged.fetched };
  yield { metric: 'packagedFetched', labels: { source: 'others' }, value: packaged.fetchedElsewhere };
  yield { metric: 'packagedFetched', labels: { source: 'parts' }, value: packaged.assembled };
  yield { metric: 'packagedFetched', labels: { source: 'nobody' }, value: packaged.failed };
}

/** The parts of the node that the cluster's meet. */
export interface ClusterEntry {
  readonly options: MediaNodeOptions;
  readonly version: string;
  readonly nodeId: string;
  readonly ports: ListenerPorts;
  readonly config: ConfigStore;
  readonly streams: StreamRegistry;
  /** What this node packages itself. */
  readonly ownPackagings: PackagedStreams;
  /** Where playlists go on; left out: nothing is shared. */
  readonly ledger?: PackagingLedger | undefined;
  readonly load: () => number;
}

/** Wires the directory, the gate of the node's role and the relay. */
export function enterCluster(entry: ClusterEntry): ClusterSide {
  const { options, version, nodeId, ports, config, streams, ownPackagings, ledger, load } = entry;
  const { identity, logger, adminToken, relayKey } = options;
  const node: NodeInfo = {
    nodeId,
    role: identity.role,
    host: identity.host,
    rtmpPort: ports.rtmp,
    httpPort: ports.http,
    adminPort: ports.admin,
    ordinal: identity.ordinal,
    software: version,
  };
  const directory = options.directory({ node, logger, load });
  const probe = new PeerClient({ nodeId, token: adminToken });
  const finder = new PeerOriginFinder({
    nodeId,
    client: probe,
    addresses: originAddresses({
      known: () => directory.knownNodes('origin'),
      ...(options.originsDns !== undefined && { dns: options.originsDns }),
    }),
  });
  const relayLog = logger.child({ protocol: 'relay' });
  const relay = new RelayManager({
    nodeId,
    directory,
    finder,
    pullClient: new RtmpPullClient({ relayKey, log: relayLog }),
    config,
    logger,
  });
  streams.setDemand(relay);
  const packagingPeer = new PackagingClient({ token: adminToken });
  const remote = new RemotePackagings({
    nodeId,
    directory,
    finder,
    peer: packagingPeer,
    named: () => witnesses.named,
    own: node,
    config,
    ledger,
    logger,
  });
  const witnesses = new PeerWitnesses({
    peer: packagingPeer,
    told: (key) => remote.told(key),
    // Edges follow what is watched.
    known: () => [...directory.knownNodes('edge'), ...directory.knownNodes('origin')],
    names: [options.edgesDns, options.originsDns].filter((each) => each !== undefined),
    own: node,
  });
  const parts = { node, config, registry: streams, directory, probe, finder, logger };
  const gate =
    identity.role === 'origin'
      ? new OriginGate(parts)
      : new EdgeGate({ ...parts, pushClient: new RtmpPushClient({ relayKey, log: relayLog }) });
  const origin = gate instanceof OriginGate ? gate : undefined;
  const edge = gate instanceof EdgeGate ? gate : undefined;
  return {
    gate,
    peers: gate,
    packagings: new ClusterPackagings(ownPackagings, remote),
    fetchedFile: (key, file) => remote.inMemory(key, file),
    toldPackaging: (key) => remote.told(key),
    witnesses,
    handedOver: () => edge?.handedOver() ?? [],
    start: () => directory.start(),
    stats: () => ({
      pulls: relay.counts.pullsActive,
      pullsStarted: relay.counts.pullsStarted,
      forwards: edge?.counts.pushesActive ?? 0,
      takeovers: origin?.takeovers ?? 0,
      awaited: origin?.awaited ?? 0,
      resumed: origin?.resumed ?? 0,
      packaged: { ...remote.stats, ...remote.counts },
      directoryUp: directory.state === 'up',
      directory: directory.counts,
    }),
    drain: () => gate.drain(),
    close: async (reason) => {
      gate.close(reason);
      relay.close(reason);
      remote.close(reason);
      packagingPeer.close();
      await directory.close(reason);
    },
  };
}
