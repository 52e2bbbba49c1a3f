import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';

/** Options of the health server. */
export interface HealthServerOptions {
  /** OPERATOR_ADMIN_PORT in production, 0 in tests: any free one. */
  readonly port: number;
  /** All addresses unless told. */
  readonly host?: string;
  readonly registry: Registry;
  readonly log: Logger;
  /** Whether this replica does its part: as leader its caches are filled, otherwise it stands by. */
  readonly isReady: () => boolean;
  /** False asks the kubelet for a restart. True unless told: a process that answers at all is alive. */
  readonly isHealthy?: () => boolean;
}

/** A health server that listens. */
export interface HealthServer {
  readonly port: number;
  /** Stops listening and cuts what is connected. Idempotent. */
  close(): Promise<void>;
}

/**
 * Serves GET /healthz, /readyz (200 `ok`, else 503) and /metrics (Prometheus text). Rejects when the port can't be had.
 */
export async function startHealthServer(options: HealthServerOptions): Promise<HealthServer> {
  const { port, host, log } = options;
  const server = createServer({ requestTimeout: 10_000, headersTimeout: 10_000 }, (request, response) => {
    answer(options, request, response).catch((error: unknown) => {
      log.error({ err: error }, 'the health server could not answer');
      if (!response.headersSent) reply(response, 500, 'error\n');
    });
  });
  server.maxConnections = 100;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, host }, () => {
      server.off('error', reject);
      resolve();
    });
  });
  server.on('error', (error) => log.error({ err: error }, 'the health server failed'));
  let closing: Promise<void> | undefined;
  return {
    port: (server.address() as AddressInfo).port,
    close() {
      closing ??= new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
      return closing;
    },
  };
}

async function answer(options: HealthServerOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('allow', 'GET, HEAD');
    reply(response, 405, 'only GET and HEAD\n');
    return;
  }
  const path = (request.url ?? '/').split('?', 1)[0];
  if (path === '/healthz') replyState(response, options.isHealthy?.() ?? true);
  else if (path === '/readyz') replyState(response, options.isReady());
  else if (path === '/metrics') {
    const text = await options.registry.metrics();
    reply(response, 200, text, options.registry.contentType);
  } else reply(response, 404, 'try /healthz, /readyz or /metrics\n');
}

function replyState(response: ServerResponse, isGood: boolean): void {
  reply(response, isGood ? 200 : 503, isGood ? 'ok\n' : 'not ok\n');
}

function reply(response: ServerResponse, status: number, text: string, contentType = 'text/plain'): void {
  response.writeHead(status, { 'content-type': contentType, 'content-length': Buffer.byteLength(text) }).end(text);
}
