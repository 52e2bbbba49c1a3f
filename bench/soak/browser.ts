import type { IncomingMessage } from 'node:http';
import { Agent, request } from 'node:http';

/** A node did what it must not; the message goes into the soak's last words. */
export class SoakFault extends Error {
  override readonly name = 'SoakFault';
}

/** What a viewer may be told of a stream that comes and goes. */
const LAWFUL = new Set([200, 206, 304, 400, 403, 404, 503]);
const MOST_REDIRECTS = 2;
/** Longer than anything is let wait: blocking reloads end after three target durations. */
const MOST_WAIT_MS = 45_000;

export interface Answer {
  readonly status: number;
  readonly url: URL;
  readonly text: string;
}

/**
 * One viewer's HTTP client: keeps its connections, follows redirects, and drops everything at once when its stay is over. What
 * it gets after that is `undefined`.
 */
export class Browser {
  readonly signal: AbortSignal;
  readonly #root: URL;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 6 });

  constructor(port: number, signal: AbortSignal) {
    this.#root = new URL(`http://127.0.0.1:${port}`);
    this.signal = signal;
    signal.addEventListener('abort', () => this.#agent.destroy(), { once: true });
  }

  url(path: string): URL {
    return new URL(path, this.#root);
  }

  /** Rejects with SoakFault where the answer is none that a viewer may get, or none comes. */
  async get(url: URL, redirects = 0): Promise<Answer | undefined> {
    const response = await this.open(url);
    if (response === undefined) return undefined;
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
    } catch (cause) {
      if (this.signal.aborted) return undefined;
      throw new SoakFault(`an answer broke off: ${kindOf(url)}`, { cause });
    }
    const status = response.statusCode ?? 0;
    if (status === 302 && redirects < MOST_REDIRECTS) {
      return this.get(new URL(response.headers.location ?? '', url), redirects + 1);
    }
    if (!LAWFUL.has(status)) throw new SoakFault(`${status} for ${kindOf(url)}`);
    return { status, url, text: Buffer.concat(chunks).toString('latin1') };
  }

  /** The answer before its body was read. */
  open(url: URL): Promise<IncomingMessage | undefined> {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage | undefined>();
    if (this.signal.aborted) return Promise.resolve(undefined);
    const sent = request(url, { agent: this.#agent, signal: this.signal, timeout: MOST_WAIT_MS });
    sent.on('timeout', () => sent.destroy(new Error('no answer came')));
    sent.on('response', (response) => {
      response.on('error', () => undefined);
      resolve(response);
    });
    sent.on('error', (cause: NodeJS.ErrnoException) => {
      if (this.signal.aborted) resolve(undefined);
      // A kept connection that the server ends while a request is on its way: RFC 9112 §9.3.1 lets clients ask again.
      else if (sent.reusedSocket && cause.code === 'ECONNRESET') this.open(url).then(resolve, reject);
      else reject(new SoakFault(`${cause.message}: ${kindOf(url)}`, { cause }));
    });
    sent.end();
    return promise;
  }
}

/** Faults of a kind are told once: what they were about, without names and numbers. */
function kindOf({ pathname, searchParams }: URL): string {
  return `${searchParams.get('vhost') ?? ''} *${/\.\w+$/.exec(pathname)?.[0] ?? ''}`;
}
