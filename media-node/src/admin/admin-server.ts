import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AdminError } from '#contract/admin-api.ts';
import { AdminRequestError } from './admin-error.ts';
import { adminRoutes } from './admin-routes.ts';
import type { AdminRoute, AdminSources } from './admin-routes.ts';
import { bearerMatches } from './bearer.ts';
import { closeServer, createSmallServer, listen, sendJson } from './http-listener.ts';
import type { ListenAddress } from './http-listener.ts';
import { MAX_POLLS } from './packaging-routes.ts';

/** What an AdminServer is given. */
export interface AdminServerOptions extends AdminSources {
  /** The bearer token now; it may change while the node runs. */
  readonly token: () => string;
}

/** Besides those of other nodes that wait for a packaged stream to change. */
const MAX_CONNECTIONS = 256;

/** The admin port: probes and metrics for everybody, the rest for who has the token. */
export class AdminServer {
  readonly #options: AdminServerOptions;
  readonly #server: Server;
  readonly #routes: ReadonlyMap<string, AdminRoute>;

  constructor(options: AdminServerOptions) {
    this.#options = options;
    this.#routes = adminRoutes(options);
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
}
