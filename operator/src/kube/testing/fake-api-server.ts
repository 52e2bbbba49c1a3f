import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { KubeConfig } from '@kubernetes/client-node';
import type { Clock } from '../../runtime/clock.ts';
import { createKubeClient } from '../client.ts';
import type { KubeClient } from '../client.ts';

/** A request as the fake server got it. */
export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly headers: IncomingMessage['headers'];
  /** Parsed JSON, undefined without a body. */
  readonly body: unknown;
}

/** How one request is answered; one that does nothing leaves it without an answer. */
export type Answer = (response: ServerResponse, request: SeenRequest) => void;

/** A watch that is connected to the fake server. */
export interface SeenWatch {
  readonly request: SeenRequest;
  readonly response: ServerResponse;
  /** Sends one event. */
  send(type: string, object: unknown): void;
  /** The client is gone, or the watch was ended. */
  readonly isOver: boolean;
}

/**
 * An API server for tests, on loopback: each request is answered by the next answer of the script; without one, a watch
 * is opened and kept in `watches`, and everything else gets `otherwise`.
 */
export class FakeApiServer {
  readonly requests: SeenRequest[] = [];
  readonly watches: SeenWatch[] = [];
  /** Sockets that were ever opened. */
  connections = 0;
  otherwise: Answer = status(404, 'NotFound');
  readonly #script: Answer[] = [];
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((request, response) => void this.#take(request, response));
    this.#server.on('connection', () => {
      this.connections += 1;
    });
  }

  static async start(): Promise<FakeApiServer> {
    const fake = new FakeApiServer();
    await new Promise<void>((resolve) => fake.#server.listen(0, '127.0.0.1', resolve));
    return fake;
  }

  /** The next requests are answered by these, one each. */
  next(...answers: Answer[]): void {
    this.#script.push(...answers);
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  client(clock?: Clock): KubeClient {
    return createKubeClient({ config: kubeConfigFor(this.url), ...(clock ? { clock } : {}) });
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const url = new URL(request.url ?? '/', 'http://fake');
    const text = Buffer.concat(parts).toString();
    const seen: SeenRequest = {
      method: request.method ?? '',
      path: url.pathname,
      query: Object.fromEntries(url.searchParams),
      headers: request.headers,
      body: text ? JSON.parse(text) : undefined,
    };
    this.requests.push(seen);
    const answer = this.#script.shift() ?? (seen.query['watch'] ? this.openWatch() : this.otherwise);
    answer(response, seen);
  }

  /** Opens a watch and keeps it in `watches`; sends nothing yet but the head. */
  openWatch(): Answer {
    return (response, request) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.flushHeaders();
      const watch = {
        request,
        response,
        isOver: false,
        send: (type: string, object: unknown) => void response.write(`${JSON.stringify({ type, object })}\n`),
      };
      response.on('close', () => {
        watch.isOver = true;
      });
      this.watches.push(watch);
    };
  }
}

/** A kubeconfig for a server without TLS. */
export function kubeConfigFor(server: string, user: Record<string, unknown> = {}): KubeConfig {
  const config = new KubeConfig();
  config.loadFromOptions({
    clusters: [{ name: 'fake', server, skipTLSVerify: true }],
    users: [{ name: 'tester', token: 'first-token', ...user }],
    contexts: [{ name: 'fake', cluster: 'fake', user: 'tester' }],
    currentContext: 'fake',
  });
  return config;
}

/** Answers JSON. */
export function json(body: unknown, code = 200, headers: Record<string, string> = {}): Answer {
  return (response) => {
    response.writeHead(code, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
  };
}

/** Answers a Status (meta/v1) of failure. */
export function status(code: number, reason: string, headers: Record<string, string> = {}, details = {}): Answer {
  return json(statusBody(code, reason, details), code, headers);
}

/** The Status that goes with a failure, for ERROR events too. */
export function statusBody(code: number, reason: string, details = {}): Record<string, unknown> {
  const message = `the fake says ${reason}`;
  return { kind: 'Status', apiVersion: 'v1', status: 'Failure', code, reason, message, details };
}

/** Breaks the connection off (RST). */
export const reset: Answer = (response) => void response.socket?.resetAndDestroy();

/** Never answers. */
export const silence: Answer = () => {};

/** Answers with a list of these objects. */
export function list(items: readonly unknown[], resourceVersion: string, next = ''): Answer {
  const metadata = { resourceVersion, ...(next ? { continue: next } : {}) };
  return json({ kind: 'List', apiVersion: 'v1', metadata, items });
}
