import { randomBytes } from 'node:crypto';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Logger } from 'pino';
import { listen } from '../lib/listen.ts';
import type { ListenAddress } from '../lib/listen.ts';
import { closeServer, createSmallServer, sendJson } from './http-listener.ts';
import type { ApiMedia, Page } from './api-media.ts';

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
const URLS = {
  versions: 'the version of the server',
  summaries: 'the summary(pid, argv, pwd, cpu, mem) of the server',
  vhosts: 'manage all vhosts or specified vhost',
  streams: 'manage all streams or specified stream',
  clients: 'manage all clients or specified client, default query top 10 clients',
} as const;

/** SRS's codes for what is not there; its answers have the HTTP status 200 all the same. */
const NO_VHOST = 2014;
const NO_STREAM = 2048;
const NO_CLIENT = 2049;

/** A page of a list has at least so many, and as many where the request does not say. */
const MIN_PAGE = 10;
const MAX_PAGE = 10_000;

/** What the API tells of its node. */
export interface ApiNode {
  readonly media: ApiMedia;
  /** The `data` of summaries. */
  summaries(): Promise<object>;
}

/**
 * SRS's HTTP API (`/api/v1/…`), as far as it is served. Answers what its own server, and the HTTP server beside the
 * media, route to it.
 */
export class ApiHandler {
  readonly #identity: ApiIdentity;
  readonly #node: ApiNode;
  readonly #log: Logger;

  constructor(identity: ApiIdentity, node: ApiNode, logger: Logger) {
    this.#identity = identity;
    this.#node = node;
    this.#log = logger.child({ component: 'api' });
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
    const [path = '', query = ''] = (request.url ?? '/').replace(/#.*$/s, '').split(/\?(.*)/s);
    const [root, version, name, id, ...rest] = path.replace(/^\//, '').replace(/\/$/, '').split('/');
    const answer = (status: number, body: object): void => sendJson(response, status, body, cors);
    if (root !== 'api' || (version ?? 'v1') !== 'v1' || rest.length > 0) {
      answer(404, this.#nothing());
    } else if (version === undefined) {
      answer(200, this.#ok({ urls: { v1: 'the api version 1.0' } }));
    } else if (name === undefined) {
      answer(200, this.#ok({ urls: URLS }));
    } else if (name === 'versions' && id === undefined) {
      answer(200, this.#ok({ data: versionData(this.#identity.version) }));
    } else if (name === 'summaries' && id === undefined) {
      this.#node.summaries().then(
        (data) => answer(200, this.#ok({ data })),
        (error: unknown) => {
          this.#log.error({ err: error }, 'the summary of the node failed');
          answer(500, this.#envelope(500));
        },
      );
    } else if (name === 'vhosts' || name === 'streams' || name === 'clients') {
      const isKick = name === 'clients' && request.method === 'DELETE';
      if (request.method === 'GET' || request.method === 'HEAD' || isKick) {
        answer(200, this.#media(name, decoded(id), new URLSearchParams(query), isKick));
      } else {
        response.setHeader('allow', name === 'clients' ? 'GET, DELETE' : 'GET');
        answer(405, { ...this.#envelope(405), data: `${request.method} is nothing that ${name} can do` });
      }
    } else {
      answer(404, this.#nothing());
    }
  }

  #media(name: 'vhosts' | 'streams' | 'clients', id: string | undefined, query: URLSearchParams, isKick: boolean) {
    const { media } = this.#node;
    if (isKick) {
      const isEnded = id !== undefined && media.kick(id);
      if (isEnded) this.#log.info({ client: id }, 'client ended by the API');
      return this.#envelope(isEnded ? 0 : NO_CLIENT);
    }
    switch (name) {
      case 'vhosts': {
        if (id === undefined) return this.#ok({ vhosts: media.vhosts() });
        const vhost = media.vhost(id);
        return vhost === undefined ? this.#envelope(NO_VHOST) : this.#ok({ vhost });
      }
      case 'streams': {
        if (id === undefined) return this.#ok({ streams: media.streams(pageOf(query)) });
        const stream = media.stream(id);
        return stream === undefined ? this.#envelope(NO_STREAM) : this.#ok({ stream });
      }
      case 'clients': {
        if (id === undefined) return this.#ok({ clients: media.clients(pageOf(query)) });
        const client = media.client(id);
        return client === undefined ? this.#envelope(NO_CLIENT) : this.#ok({ client });
      }
    }
  }

  #ok<T extends object>(body: T): T & { code: number } {
    return { ...this.#envelope(0), ...body };
  }

  #nothing(): object {
    return { ...this.#envelope(404), data: 'no such path; GET /api/v1/ lists those there are' };
  }

  #envelope(code: number): { code: number; server: string; service: string; pid: string } {
    const { server, service, pid } = this.#identity;
    return { code, server, service, pid };
  }
}

function decoded(segment: string | undefined): string | undefined {
  if (segment === undefined) return undefined;
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

function pageOf(query: URLSearchParams): Page {
  const number = (name: string): number => Math.max(0, Number.parseInt(query.get(name) ?? '', 10) || 0);
  return { start: number('start'), count: Math.min(MAX_PAGE, Math.max(MIN_PAGE, number('count'))) };
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
