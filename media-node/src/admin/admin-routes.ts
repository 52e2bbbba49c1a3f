import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Logger } from 'pino';
import { ADMIN_PATHS, MAX_CONFIG_BYTES } from '#contract/admin-api.ts';
import type { ConfigPushed, ConfigState, NodeStatus } from '#contract/admin-api.ts';
import { PACKAGING_PATHS } from '#contract/packaging.ts';
import { PEER_PATHS, PeerYield } from '#contract/peer-api.ts';
import type { PeerPublisher } from '#contract/peer-api.ts';
import { ConfigError } from '../config/config-error.ts';
import type { ConfigStore } from '../config/config-store.ts';
import type { StreamKey } from '../stream/stream-key.ts';
import { AdminRequestError } from './admin-error.ts';
import { readText, send, sendJson } from './http-listener.ts';
import { PackagingRoutes } from './packaging-routes.ts';
import type { PackagingService } from './packaging-routes.ts';
import { streamQuery } from './stream-query.ts';

/** What the admin port can ask of its node. */
export interface NodeControl {
  status(): NodeStatus;
  /** Why the node takes no new sessions now; empty when it does. */
  notReady(): readonly string[];
  /** Begins a drain and returns at once; idempotent. */
  drain(): void;
  /** Begins to end everything and returns at once; idempotent. */
  close(reason: string): void;
}

/** What other nodes ask of this one; see contract/peer-api.ts. The cluster's gates answer it. */
export interface PeerService {
  /** Resolves when the publisher's end is known, should it be gone: it may wait in a socket, not read yet. Never rejects. */
  settle(key: StreamKey): Promise<void>;
  peerPublisher(key: StreamKey): PeerPublisher;
  peerYield(key: StreamKey, epoch: number, by: string): PeerPublisher;
}

/** What the admin port's answers are made of. */
export interface AdminSources {
  readonly node: NodeControl;
  readonly config: ConfigStore;
  readonly peers: PeerService;
  readonly packaging: PackagingService;
  readonly metrics: { readonly contentType: string; render(): Promise<string> };
  readonly logger: Logger;
}

/** Answers one request; what it throws is an answer as well, see AdminRequestError. */
export type AdminHandler = (request: IncomingMessage, response: ServerResponse, url: URL) => Promise<void> | void;

/** What a path of the admin port takes. */
export interface AdminRoute {
  /** Answers without the bearer token. */
  readonly open: boolean;
  /** By method; GET answers HEAD as well. */
  readonly methods: Readonly<Record<string, AdminHandler>>;
}

type Routes = Iterable<readonly [path: string, route: AdminRoute]>;

const MAX_YIELD_BYTES = 4_096;

/** The admin port's paths: probes and metrics for everybody, the operator's, and those that other nodes ask. */
export function adminRoutes(sources: AdminSources): ReadonlyMap<string, AdminRoute> {
  return new Map([
    ...probeRoutes(sources),
    ...operatorRoutes(sources),
    ...peerRoutes(sources.peers),
    ...packagingRoutes(sources.packaging),
  ]);
}

function* probeRoutes({ node, metrics }: AdminSources): Routes {
  yield [ADMIN_PATHS.health, open({ GET: (_, response) => send(response, 200, 'text/plain', 'ok\n') })];
  yield [
    ADMIN_PATHS.ready,
    open({
      GET: (_, response) => {
        const reasons = node.notReady();
        if (reasons.length === 0) send(response, 200, 'text/plain', 'ready\n');
        else send(response, 503, 'text/plain', reasons.map((reason) => `${reason}\n`).join(''));
      },
    }),
  ];
  yield [
    ADMIN_PATHS.metrics,
    open({ GET: async (_, response) => send(response, 200, metrics.contentType, await metrics.render()) }),
  ];
}

function* operatorRoutes({ node, config, logger }: AdminSources): Routes {
  yield [
    ADMIN_PATHS.config,
    guarded({
      GET: (_, response) => {
        const state: ConfigState = { hash: config.hash, rejected: config.rejected ?? null };
        sendJson(response, 200, state);
      },
      PUT: async (request, response) => {
        const text = await readText(request, MAX_CONFIG_BYTES);
        const pushed = pushConfig(config, text);
        if (pushed.changed) logger.info({ hash: pushed.hash }, 'configuration pushed and in force');
        sendJson(response, 200, pushed);
      },
    }),
  ];
  yield [ADMIN_PATHS.status, guarded({ GET: (_, response) => sendJson(response, 200, node.status()) })];
  yield [
    ADMIN_PATHS.drain,
    guarded({
      POST: (_, response) => {
        node.drain();
        sendJson(response, 202, node.status());
      },
    }),
  ];
  yield [
    ADMIN_PATHS.close,
    guarded({
      POST: (_, response) => {
        // The answer goes out first: closing ends this connection too.
        response.once('close', () => node.close('closed by the operator'));
        sendJson(response, 202, node.status(), { connection: 'close' });
      },
    }),
  ];
}

function* peerRoutes(peers: PeerService): Routes {
  yield [
    PEER_PATHS.publisher,
    guarded({
      GET: async (_, response, url) => {
        const key = streamQuery(url);
        await peers.settle(key);
        sendJson(response, 200, peers.peerPublisher(key));
      },
    }),
  ];
  yield [
    PEER_PATHS.yield,
    guarded({
      POST: async (request, response, url) => {
        const query = streamQuery(url);
        const body = PeerYield.safeParse(parseBody(await readText(request, MAX_YIELD_BYTES)));
        if (!body.success) throw new AdminRequestError('bad-request', 'the body is no yield of contract/peer-api.ts');
        await peers.settle(query);
        sendJson(response, 200, peers.peerYield(query, body.data.epoch, body.data.by));
      },
    }),
  ];
}

function* packagingRoutes(service: PackagingService): Routes {
  const packagings = new PackagingRoutes(service);
  yield [PACKAGING_PATHS.snapshot, guarded({ GET: (_, response, url) => packagings.snapshot(response, url) })];
  yield [PACKAGING_PATHS.file, guarded({ GET: (_, response, url) => packagings.file(response, url) })];
  yield [PACKAGING_PATHS.state, guarded({ GET: (_, response, url) => packagings.state(response, url) })];
}

function open(methods: AdminRoute['methods']): AdminRoute {
  return { open: true, methods };
}

function guarded(methods: AdminRoute['methods']): AdminRoute {
  return { open: false, methods };
}

function pushConfig(config: ConfigStore, text: string): ConfigPushed {
  try {
    const changed = config.push(text);
    return { hash: config.hash, changed };
  } catch (cause) {
    if (!(cause instanceof ConfigError)) throw cause;
    throw new AdminRequestError('config-refused', `configuration refused, the one before stays: ${cause.message}`, {
      cause,
    });
  }
}

function parseBody(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new AdminRequestError('bad-request', 'the body is not JSON');
  }
}
