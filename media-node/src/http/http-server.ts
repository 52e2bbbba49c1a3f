import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { Socket } from 'node:net';
import type { Logger } from 'pino';
import type { ConnectionLimit } from '../lib/connection-limit.ts';
import { BURST_BACKLOG, listen } from '../lib/listen.ts';
import { setCors } from './cors.ts';
import { isTaken } from './endless-body.ts';
import { HttpError } from './http-error.ts';
import type { HttpRequest } from './http-request.ts';
import { readRequest } from './http-request.ts';
import type { HttpHandler } from './routes.ts';
import { RouteTable } from './routes.ts';

/** Connections over the limit that are told so; more are dropped at once. */
const MAX_REFUSALS = 100;
/** How long a client may take for its request's headers, from the connection on; looked at every fifth of it. */
const HEADERS_MS = 10_000;
const REQUEST_MS = 30_000;
const KEEP_ALIVE_MS = 15_000;
/** A socket on which nothing moves; streams that wait for a publisher lift it for themselves. */
const SOCKET_IDLE_MS = 60_000;
const MAX_HEADER_BYTES = 16 * 1024;
const MAX_HEADERS = 100;
/**
 * Requests of one connection whose answers are not all written (RFC 9112 §9.3.2). Browsers send one at a time; node:http takes
 * as many as come, and each may wait for a playlist or hold its answer for a client that reads nothing.
 */
const MAX_PIPELINED = 16;

export interface HttpServerOptions {
  readonly limit: ConnectionLimit;
  readonly log: Logger;
  /** Default 10 s. */
  readonly headersMs?: number;
  /** Origins that may read answers to requests of a host, or of the Vhost in the query; default all. A handler may decide otherwise by setCors. */
  readonly allowOrigins?: (host: string) => readonly string[];
}

/**
 * One HTTP port: routes, CORS, limits. Whatever a client does ends its own connection at most; whatever a handler
 * throws is an answer.
 */
export class HttpServer {
  readonly #options: HttpServerOptions;
  readonly #server: Server;
  readonly #routes = new RouteTable();
  readonly #statuses = new Map<number, number>();
  /** Sockets over the limit: their requests are answered 503. */
  readonly #refused = new WeakSet<Socket>();
  /** Answers that each connection still owes. */
  readonly #owed = new WeakMap<Socket, number>();
  #fallback: HttpHandler | undefined;
  #accepted = 0;
  #refusals = 0;
  #isClosed = false;

  constructor(options: HttpServerOptions) {
    this.#options = options;
    const { headersMs = HEADERS_MS } = options;
    this.#server = createServer({
      headersTimeout: headersMs,
      requestTimeout: REQUEST_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connectionsCheckingInterval: headersMs / 5,
      maxHeaderSize: MAX_HEADER_BYTES,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: 30_000,
    });
    this.#server.maxHeadersCount = MAX_HEADERS;
    this.#server.timeout = SOCKET_IDLE_MS;
    this.#server.on('connection', (socket) => this.#accept(socket));
    this.#server.on('request', (raw, response) => this.#answer(raw, response));
    this.#server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
      if (!socket.writable || error.code === 'ECONNRESET' || isTaken(socket as Socket)) socket.destroy();
      else socket.end(`HTTP/1.1 ${clientErrorLine(error.code)}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
    });
  }

  /** Adds a handler; see RouteTable for patterns. */
  route(method: string, pattern: string, handler: HttpHandler): void {
    this.#routes.add(method, pattern, handler);
  }

  /** Who answers GET and HEAD for paths that no route has; should throw HttpError 404 for what it does not know. */
  fallback(handler: HttpHandler): void {
    this.#fallback = handler;
  }

  /** Begins to listen; resolves with the port, which tells what 0 became. */
  async listen(port: number, host?: string): Promise<number> {
    const opened = await listen(this.#server, { port, host, backlog: BURST_BACKLOG });
    this.#server.on('error', (err) => this.#options.log.error({ err }, 'accepting an HTTP connection failed'));
    return opened;
  }

  /** Connections and answers by status so far. */
  stats(): { readonly accepted: number; readonly statuses: ReadonlyMap<number, number> } {
    return { accepted: this.#accepted, statuses: this.#statuses };
  }

  /** Takes no new connections; answers under way go on. Idempotent. */
  stopListening(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#server.close();
    this.#server.closeIdleConnections();
  }

  /** Cuts every connection; idempotent. Players are closed in order by their streams before. */
  close(): void {
    this.stopListening();
    this.#server.closeAllConnections();
  }

  #accept(socket: Socket): void {
    const hasPlace = this.#options.limit.enter();
    if (!hasPlace && this.#refusals >= MAX_REFUSALS) {
      socket.destroy();
      return;
    }
    this.#accepted++;
    if (!hasPlace) {
      this.#refusals++;
      this.#refused.add(socket);
    }
    socket.once('close', () => {
      if (hasPlace) this.#options.limit.leave();
      else this.#refusals--;
    });
  }

  #answer(raw: IncomingMessage, response: ServerResponse): void {
    if (isTaken(raw.socket)) {
      // Its answer would never come.
      raw.socket.destroy();
      return;
    }
    response.on('error', (err) => this.#options.log.debug({ err }, 'writing an HTTP answer failed'));
    const { socket } = raw;
    const owed = (this.#owed.get(socket) ?? 0) + 1;
    if (owed > MAX_PIPELINED) {
      socket.destroy();
      return;
    }
    this.#owed.set(socket, owed);
    response.once('close', () => {
      this.#owed.set(socket, (this.#owed.get(socket) ?? 1) - 1);
      const { statusCode } = response;
      this.#statuses.set(statusCode, (this.#statuses.get(statusCode) ?? 0) + 1);
    });
    try {
      const done = this.#dispatch(raw, response);
      if (done instanceof Promise) done.catch((error: unknown) => this.#fail(raw, response, error));
    } catch (error) {
      this.#fail(raw, response, error);
    }
  }

  #dispatch(raw: IncomingMessage, response: ServerResponse): unknown {
    if (this.#refused.has(raw.socket)) {
      throw new HttpError(503, 'this node has all the connections it may have; try another or later', {
        retryAfterS: 1,
      });
    }
    const request = readRequest(raw);
    // A preflight has the address of the request that is to follow.
    const host = request.query.get('vhost') || request.query.get('domain') || request.host;
    setCors(raw, response, this.#options.allowOrigins?.(host) ?? ['*']);
    const match = this.#routes.find(request.method, request.segments);
    if (match !== undefined && 'handler' in match) {
      const routed: HttpRequest = { ...request, params: match.params };
      return match.handler(routed, response);
    }
    if (request.method === 'OPTIONS') {
      response.writeHead(200, { 'Content-Length': 0 });
      response.end();
      return undefined;
    }
    if (match !== undefined) {
      response.setHeader('Allow', match.allow.join(', '));
      throw new HttpError(405, `this path takes ${match.allow.join(', ')}, not ${request.method}`);
    }
    if (this.#fallback === undefined) throw new HttpError(404, 'there is nothing at this path');
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('Allow', 'GET, HEAD, OPTIONS');
      throw new HttpError(405, `this path takes GET, HEAD, OPTIONS, not ${request.method}`);
    }
    return this.#fallback({ ...request, params: {} }, response);
  }

  #fail(raw: IncomingMessage, response: ServerResponse, error: unknown): void {
    const isKnown = error instanceof HttpError;
    if (!isKnown) this.#options.log.error({ err: error }, 'an HTTP handler failed by a fault of this program');
    if (response.headersSent || response.destroyed) {
      response.destroy();
      return;
    }
    const status = isKnown ? error.status : 500;
    const body = Buffer.from(`${isKnown ? error.message : 'internal error, see the log of the node'}\n`);
    if (isKnown && error.retryAfterS !== undefined) response.setHeader('Retry-After', error.retryAfterS);
    // What was not read of the request can't be skipped safely.
    if (!raw.complete || this.#refused.has(raw.socket)) response.setHeader('Connection', 'close');
    response.writeHead(status, {
      'Content-Type': 'text/plain; charset=utf-8',
      'Content-Length': body.length,
      'Cache-Control': 'no-store',
    });
    response.end(raw.method === 'HEAD' ? undefined : body);
  }
}

function clientErrorLine(code: string | undefined): string {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return '431 Request Header Fields Too Large';
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return '408 Request Timeout';
    default:
      return '400 Bad Request';
  }
}
