import { Agent, createServer, request as sendRequest } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** One request that went through. */
export interface Passed {
  readonly target: string;
  /** Path and query. */
  readonly path: string;
  /** 0: the target did not answer. */
  readonly status: number;
  /** performance.now() of the request. */
  readonly atMs: number;
}

/**
 * A load balancer at its worst: each request of a player goes to another pod than the one before, whatever its connection.
 * Nothing is retried, so what a pod refuses, the player meets.
 */
export class RoundRobin {
  readonly passed: Passed[] = [];
  readonly #targets: readonly string[];
  readonly #host: string | undefined;
  readonly #agent = new Agent({ keepAlive: true });
  readonly #server: Server;
  readonly #asked = new Map<string, number>();
  #next = 0;

  private constructor(targets: readonly string[], host: string | undefined) {
    this.#targets = targets;
    this.#host = host;
    this.#server = createServer((request, response) => this.#pass(request, response));
  }

  /**
   * Listens on loopback, on a port of its own, since browsers open six connections a host and port.
   *
   * @param targets host:port of each pod
   * @param options.host sent as Host in place of the client's, to name a Vhost
   */
  static async open(targets: readonly string[], { host }: { host?: string } = {}): Promise<RoundRobin> {
    const proxy = new RoundRobin(targets, host);
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  /** http://127.0.0.1:port */
  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** How many requests each target got, those that are not answered yet among them. */
  get spread(): Record<string, number> {
    return Object.fromEntries(this.#targets.map((target) => [target, this.#asked.get(target) ?? 0]));
  }

  /** Requests that were answered with 400 or more, or not at all. */
  get refused(): readonly Passed[] {
    return this.passed.filter(({ status }) => status === 0 || status >= 400);
  }

  #pass(request: IncomingMessage, response: ServerResponse): void {
    const target = this.#targets[this.#next++ % this.#targets.length]!;
    this.#asked.set(target, (this.#asked.get(target) ?? 0) + 1);
    const atMs = performance.now();
    const path = request.url ?? '/';
    const note = (status: number) => this.passed.push({ target, path, status, atMs });
    const [hostname, port] = target.split(':');
    const { connection: _, ...headers } = request.headers;
    const outgoing = sendRequest(
      {
        agent: this.#agent,
        hostname,
        port,
        path,
        method: request.method,
        headers: this.#host === undefined ? headers : { ...headers, host: this.#host },
      },
      (answer) => {
        note(answer.statusCode ?? 0);
        const { connection: _, 'transfer-encoding': __, ...passedOn } = answer.headers;
        response.writeHead(answer.statusCode ?? 502, passedOn);
        answer.pipe(response);
        answer.once('error', () => response.destroy());
      },
    );
    outgoing.once('error', () => {
      // A player that left has broken its request itself.
      if (response.destroyed || response.headersSent) return response.destroy();
      note(0);
      response.writeHead(502).end();
    });
    request.pipe(outgoing);
    response.once('close', () => outgoing.destroy());
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#agent.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
