import { readFileSync } from 'node:fs';
import type { Logger } from 'pino';
import type { NodeState, NodeStatus } from '#contract/admin-api.ts';
import { newNodeId } from '#contract/directory-keys.ts';
import type { MetricSample } from './admin/node-metrics.ts';
import { NodeMetrics } from './admin/node-metrics.ts';
import type { PORTS, Role } from '#contract/names.ts';
import { VHOST_DEFAULTS } from '#contract/node-config.ts';
import type { NodeConfig } from '#contract/node-config.ts';
import { AdminServer } from './admin/admin-server.ts';
import { ApiMedia } from './admin/api-media.ts';
import { ApiHandler, ApiServer, newApiIdentity } from './admin/api-server.ts';
import { DrainGate } from './admin/drain-gate.ts';
import { PLAYER_PATHS, PlayerPage } from './admin/player-page.ts';
import { SessionLedger } from './admin/session-ledger.ts';
import { SystemFigures } from './admin/system-figures.ts';
import { Traffic } from './admin/traffic.ts';
import type { Directory, NodeInfo } from './cluster/directory.ts';
import type { SharedState } from './cluster/shared-state.ts';
import { enterCluster, packagedSamples } from './cluster-side.ts';
import type { ClusterSide } from './cluster-side.ts';
import { ConfigStore } from './config/config-store.ts';
import { chain } from './http/chain.ts';
import { HttpServer } from './http/http-server.ts';
import { ConnectionLimit } from './lib/connection-limit.ts';
import { TlsIdentity } from './lib/tls-identity.ts';
import { makePackaging } from './packaging-side.ts';
import type { PackagingSide } from './packaging-side.ts';
import { makeRecording } from './recording-side.ts';
import type { RecordingPlace, RecordingSide } from './recording-side.ts';
import { LocalViewerSessions } from './packaging/viewer-sessions.ts';
import { HttpRemux } from './protocols/http-remux/http-remux.ts';
import { PackagedHttp } from './protocols/packaged/packaged-http.ts';
import { RelayVerifier } from './protocols/rtmp/relay-credential.ts';
import { RtmpServer } from './protocols/rtmp/server.ts';
import type { Gate } from './stream/gate.ts';
import { allProtocols } from './stream/publisher.ts';
import { LimitGate } from './stream/limit-gate.ts';
import type { Stream } from './stream/stream.ts';
import { StreamRegistry } from './stream/stream-registry.ts';

/** The product's version, from the package that the program came in. */
export const VERSION = (
  JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }
).version;

/** The listeners of a node. */
export type Listener = keyof typeof PORTS;
/** Without a port for RTMPS a node does not listen for it. */
export type ListenerPorts = Readonly<Record<Exclude<Listener, 'rtmps'>, number>> & {
  readonly rtmps?: number;
};

/** Who a node is; it stays so as long as it runs. */
export interface NodeIdentity {
  readonly role: Role;
  readonly namespace: string;
  readonly cluster: string;
  readonly podName: string;
  readonly podUid: string;
  /** Address under which the other nodes reach it. */
  readonly host: string;
  readonly ordinal: number;
}

/** What a node tells whoever makes its directory. */
export interface DirectoryRequest {
  readonly node: NodeInfo;
  readonly logger: Logger;
  readonly load: () => number;
}

/** What a node tells whoever makes its shared state. */
export type SharedStateRequest = Pick<MediaNode, 'nodeId'> & Pick<MediaNodeOptions, 'logger'>;

export interface MediaNodeOptions {
  readonly identity: NodeIdentity;
  /** 0 is any free port. */
  readonly ports: ListenerPorts;
  /** Address to listen on; default every one. */
  readonly listenHost?: string;
  readonly config: NodeConfig;
  /** Certificates of RTMPS; whoever gives it may change them while the node runs. */
  readonly tls?: TlsIdentity;
  /** Bearer token of the admin port, here and of the other nodes; asked at each use. */
  readonly adminToken: () => string;
  /** The cluster's shared secret for relay connections. */
  readonly relayKey: Buffer;
  readonly directory: (request: DirectoryRequest) => Directory;
  /** Headless Service of the origins, for when the directory is away; left out, only nodes seen there are known. */
  readonly originsDns?: { readonly host: string; readonly adminPort: number };
  /**
   * Where the nodes leave each other what goes on with their playlists, and agree on viewers without a connection. Left out:
   * nothing of that is shared.
   */
  readonly shared?: (request: SharedStateRequest) => SharedState;
  /** Left out: nothing is recorded. */
  readonly recording?: RecordingPlace;
  /** See LIVECLUSTER_HLS_FOLDER in contract/node-env.ts. */
  readonly hlsFolder?: string | undefined;
  /** Bytes that it may hold; no limit when left out. */
  readonly hlsMostBytes?: number | undefined;
  readonly logger: Logger;
  /** Told the configuration's log level, at the start and after each change. */
  readonly setLogLevel?: (level: string) => void;
  /** Adds the figures of the process to the metrics: for the one node of a process. */
  readonly processMetrics: boolean;
}

/** A node that cannot start. */
export class NodeStartError extends Error {
  override readonly name = 'NodeStartError';
  readonly code: 'port-taken' | 'cannot-listen';
  readonly listener: Listener;
  readonly port: number;
  constructor(code: NodeStartError['code'], listener: Listener, port: number, options?: ErrorOptions) {
    const reason =
      code === 'port-taken' ? 'another program has it' : ((options?.cause as Error | undefined)?.message ?? '');
    super(`cannot listen on port ${port} for ${listener}: ${reason}`, options);
    this.code = code;
    this.listener = listener;
    this.port = port;
  }
}

/** One media node: everything between its sockets. See docs/CLOSING.md for who closes whom. */
export interface MediaNode {
  readonly nodeId: string;
  readonly state: NodeState;
  readonly config: ConfigStore;
  /** Opens the sockets and enters the directory; answers the ports. Rejects with NodeStartError. */
  start(): Promise<ListenerPorts>;
  status(): NodeStatus;
  /**
   * Takes no new session, and resolves when the last one has left; after `mostMs` (default: the configuration's drainMs)
   * the rest is ended. The node stays up, not ready, until it is closed. Idempotent: a second call can only shorten it.
   */
  drain(mostMs?: number): Promise<void>;
  /** Ends every session at once and takes no new one; the admin port stays. Idempotent. */
  endSessions(reason: string): void;
  /** Ends everything; idempotent. */
  close(reason: string): Promise<void>;
}

export function createNode(options: MediaNodeOptions): MediaNode {
  return new WiredNode(options);
}

/** How often a drain looks whether the last session has left. */
const DRAIN_LOOK_MS = 50;
/** How long a drain waits, after the last session, for recordings to be written and uploaded. */
const DRAIN_RECORDINGS_MS = 300_000;

class WiredNode implements MediaNode {
  readonly nodeId: string;
  readonly config: ConfigStore;
  readonly #options: MediaNodeOptions;
  readonly #log: Logger;
  readonly #limit: ConnectionLimit;
  readonly #limits: LimitGate;
  readonly #streams: StreamRegistry;
  readonly #packaging: PackagingSide;
  readonly #shared: SharedState | undefined;
  readonly #packagedHttp: PackagedHttp;
  readonly #recording: RecordingSide;
  readonly #rtmp: RtmpServer;
  readonly #rtmps: RtmpServer;
  readonly #tls: TlsIdentity;
  readonly #http: HttpServer;
  readonly #api: ApiServer;
  readonly #admin: AdminServer;
  readonly #metrics: NodeMetrics;
  readonly #traffic: Traffic;
  readonly #unsubscribe: () => void;
  #state: NodeState = 'starting';
  #side: ClusterSide | undefined;
  #ports: ListenerPorts;
  #drain: { readonly promise: Promise<void>; endMs: number } | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: MediaNodeOptions) {
    const { identity, relayKey, logger } = options;
    this.#options = options;
    this.#ports = options.ports;
    this.nodeId = newNodeId(identity.podUid);
    this.config = new ConfigStore(options.config);
    this.#log = logger;
    this.#streams = new StreamRegistry({
      rules: (vhost) => (this.config.vhosts.named(vhost) ?? VHOST_DEFAULTS).play,
    });
    this.#recording = makeRecording({
      config: this.config,
      registry: this.#streams,
      place: options.recording,
      logger,
    });
    this.#shared = options.shared?.({ nodeId: this.nodeId, logger });
    this.#packaging = makePackaging({
      nodeId: this.nodeId,
      config: this.config,
      registry: this.#streams,
      ledger: this.#shared?.ledger,
      cluster: () => this.#side?.packagings,
      secret: relayKey,
      folder: options.hlsFolder,
      folderMostBytes: options.hlsMostBytes,
      logger,
    });
    this.#limit = new ConnectionLimit(this.config.config.maxConnections);
    this.#limits = new LimitGate({
      inner: new DrainGate(
        () => this.#side?.gate,
        () => (this.#state === 'draining' || this.#state === 'closed' ? this.#state : 'open'),
      ),
      limitsOf: (vhost) => this.config.vhosts.named(vhost)?.limits,
    });
    const ledger = new SessionLedger(this.#limits);
    const gate = ledger;
    this.#tls = options.tls ?? new TlsIdentity();
    const rtmp = { gate, limit: this.#limit, relayVerifier: new RelayVerifier(relayKey, this.nodeId) };
    this.#rtmp = new RtmpServer({ ...rtmp, log: logger.child({ protocol: 'rtmp' }) });
    this.#rtmps = new RtmpServer({ ...rtmp, log: logger.child({ protocol: 'rtmps' }), tls: this.#tls });
    this.#http = new HttpServer({
      limit: this.#limit,
      log: logger.child({ protocol: 'http' }),
      allowOrigins: (host) => this.config.vhosts.find(host)?.security.cors.allowOrigins ?? ['*'],
    });
    this.#packagedHttp = new PackagedHttp({
      gate,
      streams: this.#packaging.streams,
      sessions: this.#shared?.sessions ?? new LocalViewerSessions(),
      secret: relayKey,
      isDraining: () => this.#state === 'draining',
      log: logger,
    });
    this.#traffic = new Traffic({
      streams: () => this.#allStreams(),
      visitors: () => this.#packagedHttp.viewers.visitors(),
      onSessions: (present) => ledger.sweep(present),
    });
    const api = this.#makeApi(ledger, this.#traffic);
    this.#route(gate, api);
    this.#api = new ApiServer(api, logger);
    this.#metrics = new NodeMetrics({
      streams: () => this.#allStreams(),
      samples: () => this.#samples(),
      processMetrics: options.processMetrics,
    });
    this.#admin = new AdminServer({
      node: {
        status: () => this.status(),
        notReady: () => (this.#state === 'ready' ? [] : [NOT_READY[this.#state]]),
        drain: () => void this.drain(),
        close: (reason) => this.endSessions(reason),
      },
      config: this.config,
      peers: {
        peerPublisher: (key) => this.#entered().peers.peerPublisher(key),
        peerYield: (key, epoch, by) => this.#entered().peers.peerYield(key, epoch, by),
      },
      packaging: {
        own: this.#packaging.own,
        fetched: (key, file) => this.#entered().fetchedFile(key, file),
      },
      metrics: this.#metrics,
      token: options.adminToken,
      logger,
    });
    options.setLogLevel?.(this.config.config.logLevel);
    this.#unsubscribe = this.config.subscribe((config) => {
      this.#limit.max = config.maxConnections;
      options.setLogLevel?.(config.logLevel);
      logger.info({ hash: this.config.hash, vhosts: config.vhosts.length }, 'configuration in force');
    });
  }

  get state(): NodeState {
    return this.#state;
  }

  async start(): Promise<ListenerPorts> {
    const host = this.#options.listenHost;
    const { rtmp, rtmps, http, api, admin } = this.#options.ports;
    this.#ports = {
      // The admin port first: while the rest comes up, probes learn what is awaited.
      admin: await opened('admin', admin, this.#admin.listen({ host, port: admin })),
      rtmp: await opened('rtmp', rtmp, this.#rtmp.listen(rtmp, host)),
      ...(rtmps !== undefined && { rtmps: await opened('rtmps', rtmps, this.#rtmps.listen(rtmps, host)) }),
      http: await opened('http', http, this.#http.listen(http, host)),
      api: await opened('api', api, this.#api.listen({ host, port: api })),
    };
    const side = enterCluster({
      options: this.#options,
      version: VERSION,
      nodeId: this.nodeId,
      ports: this.#ports,
      config: this.config,
      streams: this.#streams,
      ownPackagings: this.#packaging.own,
      ledger: this.#shared?.ledger,
      load: () => this.#sessions(),
    });
    this.#side = side;
    await Promise.all([side.start(), this.#shared?.start()]);
    this.#recording.start();
    if (this.#state === 'starting') this.#state = 'ready';
    this.#log.info(
      { nodeId: this.nodeId, version: VERSION, ...this.#ports, configHash: this.config.hash },
      'media node ready',
    );
    return this.#ports;
  }

  status(): NodeStatus {
    let streams = 0;
    let viewers = 0;
    for (const stream of this.#streams.streams()) {
      if (stream.publisher?.kind === 'encoder') streams += 1;
      viewers += allProtocols(stream.stats().viewers);
    }
    return {
      nodeId: this.nodeId,
      role: this.#options.identity.role,
      state: this.#state,
      software: VERSION,
      config: { hash: this.config.hash, rejected: this.config.rejected ?? null },
      sessions: this.#sessions(),
      streams,
      viewers,
      pulls: this.#side?.stats().pulls ?? 0,
    };
  }

  drain(mostMs: number = this.config.config.drainMs): Promise<void> {
    const endMs = Date.now() + mostMs;
    if (this.#drain !== undefined) {
      this.#drain.endMs = Math.min(this.#drain.endMs, endMs);
      return this.#drain.promise;
    }
    if (this.#state !== 'closed') this.#state = 'draining';
    this.#side?.drain();
    this.#log.info({ sessions: this.#sessions(), mostMs }, 'drain begins');
    this.#rtmp.requestReconnect();
    this.#rtmps.requestReconnect();
    const { promise, resolve } = Promise.withResolvers<void>();
    const drain = { promise, endMs };
    this.#drain = drain;
    let emptyAtMs: number | undefined;
    const look = () => {
      const left = this.#sessions();
      const nowMs = Date.now();
      if (left === 0) emptyAtMs ??= nowMs;
      const isStoring = emptyAtMs !== undefined && nowMs - emptyAtMs < DRAIN_RECORDINGS_MS && this.#recording.isBusy();
      const isOver = nowMs >= drain.endMs;
      if ((left > 0 || isStoring) && !isOver && this.#state !== 'closed') return;
      clearInterval(timer);
      this.#log.info({ ended: left }, 'drain is over');
      if (left > 0) this.endSessions('the node drains and its time is over');
      resolve();
    };
    const timer = setInterval(look, DRAIN_LOOK_MS);
    look();
    return promise;
  }

  endSessions(reason: string): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#side?.drain();
    this.#log.info({ reason, sessions: this.#sessions() }, 'every session ends');
    this.#packagedHttp.close(reason);
    this.#streams.close(reason);
    this.#rtmp.close(reason);
    this.#rtmps.close(reason);
    this.#http.close();
  }

  close(reason: string): Promise<void> {
    this.#closing ??= this.#close(reason);
    return this.#closing;
  }

  async #close(reason: string): Promise<void> {
    this.endSessions(reason);
    this.#unsubscribe();
    this.#limits.close();
    await this.#packaging.close();
    await Promise.all([this.#side?.close(reason), this.#recording.close()]);
    // Last words of packaging and viewers are told.
    await this.#shared?.close();
    await Promise.all([this.#api.close(), this.#admin.close()]);
    this.#metrics.close();
    this.#traffic.close();
    this.#log.info({ reason }, 'media node closed');
  }

  #entered(): ClusterSide {
    if (this.#side === undefined) throw new Error('the node has not entered its cluster yet');
    return this.#side;
  }

  /** RTMP connections and viewers over HTTP; idle HTTP connections are no sessions. */
  #sessions(): number {
    let sessions = this.#rtmp.sessions.size + this.#rtmps.sessions.size;
    for (const stream of this.#streams.streams()) {
      const { viewers } = stream.stats();
      sessions += allProtocols(viewers) - viewers.rtmp;
    }
    return sessions;
  }

  /** Those that viewers play, and those that encoders publish here for an origin. */
  *#allStreams(): Iterable<Stream> {
    yield* this.#streams.streams();
    yield* this.#side?.handedOver() ?? [];
  }

  #makeApi(ledger: SessionLedger, traffic: Traffic): ApiHandler {
    const media = new ApiMedia({
      streams: () => this.#allStreams(),
      visitors: () => this.#packagedHttp.viewers.visitors(),
      vhosts: () => this.config.config.vhosts,
      traffic,
      session: (id) => ledger.get(id),
    });
    const system = new SystemFigures();
    const summaries = (): Promise<object> => {
      const { recv_bytes: receivedBytes, send_bytes: sentBytes } = media.traffic();
      return system.summaries({ version: VERSION, receivedBytes, sentBytes, connections: this.#limit.used });
    };
    return new ApiHandler(newApiIdentity(VERSION), { media, summaries }, this.#log);
  }

  #route(gate: Gate, api: ApiHandler): void {
    const page = new PlayerPage({ rtmpPort: () => this.#ports.rtmp });
    for (const path of PLAYER_PATHS) {
      this.#http.route('GET', path, ({ raw }, response) => page.serve(path, raw, response));
    }
    // Viewers reach this port: what tells of streams and clients, or ends them, is on the API's own port alone.
    for (const path of ['/api/v1/versions', '/api/v1/versions/']) {
      this.#http.route('*', path, ({ raw }, response) => api.handle(raw, response));
    }
    const remux = new HttpRemux({ gate, log: this.#log });
    this.#http.fallback(chain(this.#packagedHttp.handlers, (request, response) => remux.handle(request, response)));
  }

  *#samples(): Iterable<MetricSample> {
    const { role } = this.#options.identity;
    yield { metric: 'info', labels: { role, version: VERSION }, value: 1 };
    yield { metric: 'configInfo', labels: { hash: this.config.hash }, value: 1 };
    yield { metric: 'configRejected', value: this.config.rejections };
    yield { metric: 'ready', value: this.#state === 'ready' ? 1 : 0 };
    yield { metric: 'draining', value: this.#state === 'draining' ? 1 : 0 };
    const http = this.#http.stats();
    const ends = new Map<string, number>();
    const ignored = new Map<string, number>();
    let httpNow = this.#limit.used;
    for (const [protocol, server] of [
      ['rtmp', this.#rtmp],
      ['rtmps', this.#rtmps],
    ] as const) {
      const stats = server.stats();
      httpNow -= server.sessions.size;
      yield { metric: 'connections', labels: { protocol }, value: server.sessions.size };
      yield { metric: 'connectionsAccepted', labels: { protocol }, value: stats.accepted };
      for (const [code, count] of stats.ends) ends.set(code, (ends.get(code) ?? 0) + count);
      for (const [reason, count] of Object.entries(stats.ignored))
        ignored.set(reason, (ignored.get(reason) ?? 0) + count);
    }
    yield { metric: 'connections', labels: { protocol: 'http' }, value: Math.max(0, httpNow) };
    yield { metric: 'connectionsAccepted', labels: { protocol: 'http' }, value: http.accepted };
    yield { metric: 'connectionsRefused', value: this.#limit.refused };
    for (const [limit, value] of Object.entries(this.#limits.reached)) {
      yield { metric: 'limitsReached', labels: { limit }, value };
    }
    for (const [code, value] of ends) yield { metric: 'rtmpConnectionsEnded', labels: { code }, value };
    for (const [reason, value] of ignored) yield { metric: 'mediaIgnored', labels: { reason }, value };
    const { validUntilMs } = this.#tls;
    if (validUntilMs !== undefined) yield { metric: 'certificateNotAfter', value: validUntilMs / 1_000 };
    const byClass = new Map<string, number>();
    for (const [status, count] of http.statuses) {
      const label = `${Math.floor(status / 100)}xx`;
      byClass.set(label, (byClass.get(label) ?? 0) + count);
    }
    for (const [status, value] of byClass) yield { metric: 'httpResponses', labels: { status }, value };
    const recording = this.#recording.stats();
    yield { metric: 'recordings', value: recording.recordings };
    yield { metric: 'recordedBytes', value: recording.bytes };
    yield { metric: 'recordedFiles', value: recording.files };
    yield { metric: 'recordingErrors', value: recording.errors };
    yield { metric: 'recordingDroppedFrames', value: recording.droppedFrames };
    yield { metric: 'recordingWaiting', value: recording.waitingBytes };
    yield { metric: 'sentBytes', value: this.#packagedHttp.viewers.sentToNobody };
    const packaging = this.#packaging.own.stats();
    yield { metric: 'packagings', value: packaging.packagings };
    yield { metric: 'packagedSegments', value: packaging.segments };
    yield { metric: 'packagedBytes', value: packaging.bytes };
    yield { metric: 'packagedForcedCuts', value: packaging.forcedCuts };
    yield { metric: 'packagedDropped', value: packaging.droppedSegments };
    yield { metric: 'packagedDiskErrors', value: packaging.diskErrors };
    yield { metric: 'packagedFramesDropped', value: packaging.droppedFrames };
    yield { metric: 'packagingTakeovers', value: packaging.takeOvers };
    yield { metric: 'autoWindow', value: this.#streams.autoWindowMs / 1_000 };
    const side = this.#side?.stats();
    if (side === undefined) return;
    yield { metric: 'pulls', value: side.pulls };
    yield { metric: 'pullsStarted', value: side.pullsStarted };
    yield { metric: 'forwards', value: side.forwards };
    yield { metric: 'takeovers', value: side.takeovers };
    yield { metric: 'publishersAwaited', value: side.awaited };
    yield { metric: 'publishersResumed', value: side.resumed };
    yield { metric: 'claims', value: side.directory.claims };
    yield { metric: 'fences', value: side.directory.fences };
    yield { metric: 'directoryHeals', value: side.directory.heals };
    yield { metric: 'directoryMalformed', value: side.directory.malformed };
    yield { metric: 'directoryUp', value: side.directoryUp ? 1 : 0 };
    yield* packagedSamples(side);
    if (this.#shared !== undefined) yield { metric: 'sharedFailures', value: this.#shared.failures };
  }
}

const NOT_READY: Readonly<Record<NodeState, string>> = {
  starting: 'the node is starting: it waits for its sockets and the first word of the directory',
  ready: '',
  draining: 'the node drains and takes no new session',
  closed: 'the node has ended its sessions and is about to stop',
};

/** Waits for a listener; tells apart what its user can mend. */
async function opened(listener: Listener, port: number, listening: Promise<number>): Promise<number> {
  try {
    return await listening;
  } catch (cause) {
    const isTaken = (cause as NodeJS.ErrnoException).code === 'EADDRINUSE';
    throw new NodeStartError(isTaken ? 'port-taken' : 'cannot-listen', listener, port, { cause });
  }
}
