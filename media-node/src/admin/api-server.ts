import { randomBytes } from 'node:crypto';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Logger } from 'pino';
import { closeServer, createSmallServer, listen, sendJson } from './http-listener.ts';
import type { ListenAddress } from './http-listener.ts';

/** Who answers, as SRS's envelope names it. */
export interface ApiIdentity {
  /** Stays the same over restarts: of a pod, from its name. */
  readonly server: string;
  /** Another one at each start. */
  readonly service: string;
  readonly pid: string;
  /** `major.minor.revision` */
  readonly version: string;
}

/** An identity as SRS makes them: `vid-` and seven characters, eight characters, the process id. */
export function newApiIdentity(version: string, pid: number = process.pid): ApiIdentity {
  return { server: `vid-${randomId(7)}`, service: randomId(8), pid: String(pid), version };
}

function randomId(length: number): string {
  const alphabet = '0123456789abcdefghijklmnopqrstuvwxyz';
  return Array.from(randomBytes(length), (byte) => alphabet[byte % alphabet.length]).join('');
}

/** What `/api/v1/` lists: name → what it is. Grows with the endpoints that work. */
const URLS = { versions: 'the version of the server' } as const;

/**
 * SRS's HTTP API (`/api/v1/…`), as far as it is served. Answers what its own server, and the HTTP server beside the
 * media, route to it.
 */
export class ApiHandler {
  readonly #identity: ApiIdentity;

  constructor(identity: ApiIdentity) {
    this.#identity = identity;
  }

  /** Answers one request; never throws. */
  handle(request: IncomingMessage, response: ServerResponse): void {
    // SRS allows every page to read its API; it does so only when the request has an Origin.
    const cors: Record<string, string> =
      request.headers.origin === undefined
        ? {}
        : {
            'access-control-allow-origin': '*',
            'access-control-allow-methods': '*',
            'access-control-allow-headers': '*',
            'access-control-expose-headers': '*, Location, ETag, Link',
          };
    if (request.method === 'OPTIONS') {
      sendJson(response, 200, this.#envelope(0), cors);
      return;
    }
    // SRS redirects to the form with a slash at the end; here both answer.
    const path = (request.url ?? '/').replace(/[?#].*$/, '').replace(/\/$/, '');
    switch (path) {
      case '/api/v1/versions':
        sendJson(response, 200, { ...this.#envelope(0), data: versionData(this.#identity.version) }, cors);
        return;
      case '/api/v1':
        sendJson(response, 200, { ...this.#envelope(0), urls: URLS }, cors);
        return;
      case '/api':
        sendJson(response, 200, { ...this.#envelope(0), urls: { v1: 'the api version 1.0' } }, cors);
        return;
      default:
        sendJson(
          response,
          404,
          { ...this.#envelope(404), data: 'no such path; GET /api/v1/ lists those there are' },
          cors,
        );
    }
  }

  #envelope(code: number): { code: number; server: string; service: string; pid: string } {
    const { server, service, pid } = this.#identity;
    return { code, server, service, pid };
  }
}

function versionData(version: string): { major: number; minor: number; revision: number; version: string } {
  const [major = 0, minor = 0, revision = 0] = version.split('.').map((part) => Number.parseInt(part, 10) || 0);
  return { major, minor, revision, version };
}

/** The API's own port. */
export class ApiServer {
  readonly #server: Server;

  constructor(handler: ApiHandler, logger: Logger) {
    this.#server = createSmallServer((request, response) => {
      // Bodies have no meaning here: read and dropped, so that the connection stays usable.
      request.on('error', (error) => logger.debug({ err: error }, 'API request broke off'));
      request.resume();
      handler.handle(request, response);
    });
  }

  /** Answers the port it listens on. */
  listen(address: ListenAddress): Promise<number> {
    return listen(this.#server, address);
  }

  close(): Promise<void> {
    return closeServer(this.#server);
  }
}
