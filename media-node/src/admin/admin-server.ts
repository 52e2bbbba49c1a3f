import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Logger } from 'pino';
import { ADMIN_PATHS, MAX_CONFIG_BYTES } from '#contract/admin-api.ts';
import type { AdminError, ConfigPushed, ConfigState, NodeStatus } from '#contract/admin-api.ts';
import { PACKAGING_PATHS } from '#contract/packaging.ts';
import { PEER_PATHS, PeerYield } from '#contract/peer-api.ts';
import type { PeerPublisher } from '#contract/peer-api.ts';
import { ConfigError } from '../config/config-error.ts';
import type { ConfigStore } from '../config/config-store.ts';
import type { StreamKey } from '../stream/stream-key.ts';
import { AdminRequestError } from './admin-error.ts';
import { bearerMatches } from './bearer.ts';
import { closeServer, createSmallServer, listen, readText, send, sendJson } from './http-listener.ts';
import type { ListenAddress } from './http-listener.ts';
import { MAX_POLLS, PackagingRoutes } from './packaging-routes.ts';
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

export interface AdminServerOptions {
  readonly node: NodeControl;
  readonly config: ConfigStore;
  readonly peers: PeerService;
  readonly packaging: PackagingService;
  readonly metrics: { readonly contentType: string; render(): Promise<string> };
  /** The bearer token now; it may change while the node runs. */
  readonly token: () => string;
  readonly logger: Logger;
}

type Handler = (request: IncomingMessage, response: ServerResponse, url: URL) => Promise<void> | void;
interface Route {
  readonly open: boolean;
  readonly methods: Readonly<Record<string, Handler>>;
}

/** Besides those of other nodes that wait for a packaged stream to change. */
const MAX_CONNECTIONS = 256;

/** The admin port: probes and metrics for everybody, the rest for who has the token. */
export class AdminServer {
  readonly #options: AdminServerOptions;
  readonly #server: Server;
  readonly #routes: ReadonlyMap<string, Route>;

  constructor(options: AdminServerOptions) {
    this.#options = options;
    this.#routes = this.#makeRoutes();
    this.#server = createSmallServer(
      (request, response) => void this.#serve(request, response),
      MAX_CONNECTIONS + MAX_POLLS,
    );
  }

  /** Answers the port it listens on. */
  listen(address: ListenAddress): Promise<number> {
    return listen(this.#server, address);
  }

  close(): Promise<void> {
    return closeServer(this.#server);
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const url = URL.parse(request.url ?? '/', 'http://admin');
      const route = url === null ? undefined : this.#routes.get(url.pathname);
      const authorized = bearerMatches(request.headers.authorization, this.#options.token());
      // Unknown paths ask for the token as well: without it nobody learns which exist.
      if (route?.open !== true && !authorized) {
        throw new AdminRequestError('unauthorized', 'the admin port needs the bearer token of its cluster');
      }
      if (url === null || route === undefined)
        throw new AdminRequestError('not-found', 'no such path on the admin port');
      const handler = route.methods[request.method === 'HEAD' ? 'GET' : (request.method ?? '')];
      if (handler === undefined) {
        const allowed = Object.keys(route.methods).join(', ');
        response.setHeader('allow', allowed);
        throw new AdminRequestError('method-not-allowed', `${url.pathname} takes ${allowed}`);
      }
      await handler(request, response, url);
    } catch (error) {
      this.#fail(request, response, error);
    }
  }

  #fail(request: IncomingMessage, response: ServerResponse, error: unknown): void {
    const known = error instanceof AdminRequestError;
    if (!known) this.#options.logger.error({ err: error, method: request.method }, 'admin request failed');
    const body: AdminError = { error: known ? error.message : 'internal error; the log of the node has it' };
    const headers: Record<string, string> = {};
    if (known && error.code === 'unauthorized') headers['www-authenticate'] = 'Bearer realm="livecluster"';
    // What is left of a refused body is not read: the connection can't be used again.
    if (!request.complete) headers['connection'] = 'close';
    sendJson(response, known ? error.status : 500, body, headers);
  }

  #makeRoutes(): Map<string, Route> {
    const { node, config, peers, packaging, metrics, logger } = this.#options;
    const routes = new Map<string, Route>([
      [
        ADMIN_PATHS.health,
        { open: true, methods: { GET: (_, response) => send(response, 200, 'text/plain', 'ok\n') } },
      ],
      [
        ADMIN_PATHS.ready,
        {
          open: true,
          methods: {
            GET: (_, response) => {
              const reasons = node.notReady();
              if (reasons.length === 0) send(response, 200, 'text/plain', 'ready\n');
              else send(response, 503, 'text/plain', reasons.map((reason) => `${reason}\n`).join(''));
            },
          },
        },
      ],
      [
        ADMIN_PATHS.metrics,
        {
          open: true,
          methods: { GET: async (_, response) => send(response, 200, metrics.contentType, await metrics.render()) },
        },
      ],
      [
        ADMIN_PATHS.config,
        {
          open: false,
          methods: {
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
          },
        },
      ],
      [ADMIN_PATHS.status, { open: false, methods: { GET: (_, response) => sendJson(response, 200, node.status()) } }],
      [
        ADMIN_PATHS.drain,
        {
          open: false,
          methods: {
            POST: (_, response) => {
              node.drain();
              sendJson(response, 202, node.status());
            },
          },
        },
      ],
      [
        ADMIN_PATHS.close,
        {
          open: false,
          methods: {
            POST: (_, response) => {
              // The answer goes out first: closing ends this connection too.
              response.once('close', () => node.close('closed by the operator'));
              sendJson(response, 202, node.status(), { connection: 'close' });
            },
          },
        },
      ],
    ]);
    addPeerRoutes(routes, peers);
    const packagings = new PackagingRoutes(packaging);
    routes.set(PACKAGING_PATHS.snapshot, {
      open: false,
      methods: { GET: (_, response, url) => packagings.snapshot(response, url) },
    });
    routes.set(PACKAGING_PATHS.file, {
      open: false,
      methods: { GET: (_, response, url) => packagings.file(response, url) },
    });
    routes.set(PACKAGING_PATHS.state, {
      open: false,
      methods: { GET: (_, response, url) => packagings.state(response, url) },
    });
    return routes;
  }
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

const MAX_YIELD_BYTES = 4_096;

function addPeerRoutes(routes: Map<string, Route>, peers: PeerService): void {
  routes.set(PEER_PATHS.publisher, {
    open: false,
    methods: {
      GET: async (_, response, url) => {
        const key = streamQuery(url);
        await peers.settle(key);
        sendJson(response, 200, peers.peerPublisher(key));
      },
    },
  });
  routes.set(PEER_PATHS.yield, {
    open: false,
    methods: {
      POST: async (request, response, url) => {
        const query = streamQuery(url);
        const body = PeerYield.safeParse(parseBody(await readText(request, MAX_YIELD_BYTES)));
        if (!body.success) throw new AdminRequestError('bad-request', 'the body is no yield of contract/peer-api.ts');
        await peers.settle(query);
        sendJson(response, 200, peers.peerYield(query, body.data.epoch, body.data.by));
      },
    },
  });
}

function parseBody(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new AdminRequestError('bad-request', 'the body is not JSON');
  }
}
