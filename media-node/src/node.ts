import { readFileSync } from 'node:fs';
import type { Logger } from 'pino';
import type { NodeState, NodeStatus } from '#contract/admin-api.ts';
import { newNodeId } from '#contract/directory-keys.ts';
import { NodeMetrics } from './admin/node-metrics.ts';
import { VHOST_DEFAULTS } from '#contract/node-config.ts';
import { AdminServer } from './admin/admin-server.ts';
import { ApiMedia } from './admin/api-media.ts';
import { ApiHandler, ApiServer, newApiIdentity } from './admin/api-server.ts';
import { DrainGate } from './admin/drain-gate.ts';
import { PLAYER_PATHS, PlayerPage } from './admin/player-page.ts';
import { SessionLedger } from './admin/session-ledger.ts';
import { SystemFigures } from './admin/system-figures.ts';
import { Traffic } from './admin/traffic.ts';
import type { SharedState } from './cluster/shared-state.ts';
import { enterCluster } from './cluster-side.ts';
import type { ClusterSide } from './cluster-side.ts';
import { ConfigStore } from './config/config-store.ts';
import { chain } from './http/chain.ts';
import type { HttpRequest } from './http/http-request.ts';
import { HttpServer } from './http/http-server.ts';
import { ConnectionLimit } from './lib/connection-limit.ts';
import { loadSendToAll } from './lib/send-to-all.ts';
import { TlsIdentity } from './lib/tls-identity.ts';
import { NodeStartError } from './node-options.ts';
import type { Listener, ListenerPorts, MediaNodeOptions } from './node-options.ts';
import { nodeSamples } from './node-samples.ts';
import type { MeasuredParts } from './node-samples.ts';
import { makePackaging } from './packaging-side.ts';
import type { PackagingSide } from './packaging-side.ts';
import { makeRecording } from './recording-side.ts';
import type { RecordingSide } from './recording-side.ts';
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

/** Wires a node; nothing listens before `start`. */
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
      sendToAll: loadSendToAll((reason) =>
        logger.warn({ reason }, 'viewers are written to one by one, which costs up to a third more CPU'),
      ),
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
      witnesses: () => this.#side?.witnesses,
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
    const measured: MeasuredParts = {
      role: identity.role,
      version: VERSION,
      state: () => this.#state,
      config: this.config,
      streams: this.#streams,
      limit: this.#limit,
      limits: this.#limits,
      tls: this.#tls,
      rtmp: this.#rtmp,
      rtmps: this.#rtmps,
      http: this.#http,
      viewers: this.#packagedHttp.viewers,
      packagings: this.#packaging.own,
      recording: this.#recording,
      shared: this.#shared,
      side: () => this.#side,
    };
    this.#metrics = new NodeMetrics({
      streams: () => this.#allStreams(),
      samples: () => nodeSamples(measured),
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
        settle: async (key) => this.#streams.get(key)?.settle(),
        peerPublisher: (key) => this.#entered().peers.peerPublisher(key),
        peerYield: (key, epoch, by) => this.#entered().peers.peerYield(key, epoch, by),
      },
      packaging: {
        own: this.#packaging.own,
        fetched: (key, file) => this.#entered().fetchedFile(key, file),
        told: (key) => this.#side?.toldPackaging(key),
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
      notices: this.#packaging.own.notices(),
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
      packaged: (key) => (this.#packaging.own.find(key)?.snapshot ?? this.#side?.toldPackaging(key))?.tracks,
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
    const mayBeSegment = (request: HttpRequest) => this.#packagedHttp.isFile(request);
    const remux = new HttpRemux({ gate, log: this.#log, mayBeSegment });
    this.#http.fallback(chain(this.#packagedHttp.handlers, (request, response) => remux.handle(request, response)));
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
