import { request } from 'undici';
import type { Dispatcher } from 'undici';
import type { Clock } from '../runtime/clock.ts';
import type { Connection } from './connection.ts';
import { errorOfAnswer, isKubeError, KubeError } from './kube-error.ts';

/** One request. */
export interface Call {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** From the server's root, not encoded any more. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** `application/json` unless told. */
  readonly contentType?: string;
  /** 30 s unless told. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** An answer whose head is there and whose body is not read yet. */
export interface OpenAnswer {
  readonly where: string;
  readonly body: Dispatcher.ResponseData['body'];
  /** Turns any failure while the body is read into the KubeError that it is. */
  readonly errorOf: (cause: unknown) => KubeError;
  /** Cuts the connection unless the body has ended; call it in any case. */
  readonly release: () => void;
}

const CALL_TIMEOUT_MS = 30_000;
const LONGEST_RETRY_AFTER_MS = 300_000;

// A page of 500 objects is 1 to 2 MB as a rule; an object is at most 1.5 MiB (etcd's limit).
const LARGEST_BODY_BYTES = 256 * 1024 * 1024;

/** HTTP to the API server: credentials, deadlines and errors; knows nothing of objects. */
export class HttpCaller {
  readonly #connection: Connection;
  readonly #clock: Clock;
  readonly #userAgent: string;
  readonly #closing = new AbortController();

  constructor(connection: Connection, clock: Clock, userAgent: string) {
    this.#connection = connection;
    this.#clock = clock;
    this.#userAgent = userAgent;
  }

  /** Sends a request and reads its JSON answer. Rejects with KubeError only. */
  async call(call: Call): Promise<unknown> {
    const where = `${call.method} ${call.path}`;
    const deadline = this.#deadline(call, where);
    try {
      const answer = await this.#send(call, deadline.signal);
      const text = await readText(answer.body, where);
      if (answer.statusCode >= 200 && answer.statusCode < 300) return parse(text, where);
      throw errorOfAnswer(where, answer.statusCode, parseOrUndefined(text), retryAfterMs(answer));
    } catch (cause) {
      throw toKubeError(cause, where, deadline.signal);
    } finally {
      deadline.cancel();
    }
  }

  /** Sends a GET and returns when the head is there: the deadline is the head's, the body may take for ever. */
  async open(call: Call): Promise<OpenAnswer> {
    const where = `${call.method} ${call.path}`;
    const deadline = this.#deadline(call, where);
    try {
      const answer = await this.#send(call, deadline.signal);
      if (answer.statusCode !== 200) {
        const text = await readText(answer.body, where);
        throw errorOfAnswer(where, answer.statusCode, parseOrUndefined(text), retryAfterMs(answer));
      }
      deadline.cancelTimer();
      const { body } = answer;
      return {
        where,
        body,
        errorOf: (cause) => toKubeError(cause, where, deadline.signal),
        release: () => {
          deadline.cancel();
          // Destroying a body that has not ended emits an error, which is nobody's any more.
          body.on('error', () => {});
          body.destroy();
        },
      };
    } catch (cause) {
      deadline.cancel();
      throw toKubeError(cause, where, deadline.signal);
    }
  }

  /** Ends every call under way with KubeError `aborted`, and refuses later ones. */
  close(reason: string): void {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort(new KubeError('aborted', `The Kubernetes client is closed: ${reason}`));
    this.#connection.close();
  }

  async #send(call: Call, signal: AbortSignal): Promise<Dispatcher.ResponseData> {
    const answer = await this.#sendOnce(call, signal);
    if (answer.statusCode !== 401 || !this.#connection.renew()) return answer;
    await answer.body.dump();
    return this.#sendOnce(call, signal);
  }

  async #sendOnce(call: Call, signal: AbortSignal): Promise<Dispatcher.ResponseData> {
    const { server, headers, dispatcher } = await orAborted(this.#connection.credentials(), signal);
    const query = new URLSearchParams(call.query).toString();
    return request(`${server}${call.path}${query ? `?${query}` : ''}`, {
      method: call.method,
      dispatcher,
      signal,
      headers: {
        ...headers,
        accept: 'application/json',
        'user-agent': this.#userAgent,
        ...(call.body === undefined ? {} : { 'content-type': call.contentType ?? 'application/json' }),
      },
      body: call.body === undefined ? null : JSON.stringify(call.body),
    });
  }

  /** One signal for the call's deadline, its caller and this client's end. */
  #deadline(call: Call, where: string) {
    const controller = new AbortController();
    const timeoutMs = call.timeoutMs ?? CALL_TIMEOUT_MS;
    const timer = this.#clock.after(timeoutMs, () => {
      controller.abort(new KubeError('timeout', `${where} had no answer within ${timeoutMs} ms`));
    });
    const onAbort = () => controller.abort(new KubeError('aborted', `${where} was called off`));
    const onClose = () => controller.abort(this.#closing.signal.reason);
    call.signal?.addEventListener('abort', onAbort, { once: true });
    this.#closing.signal.addEventListener('abort', onClose, { once: true });
    if (call.signal?.aborted) onAbort();
    if (this.#closing.signal.aborted) onClose();
    return {
      signal: controller.signal,
      cancelTimer: () => timer.cancel(),
      cancel: () => {
        timer.cancel();
        call.signal?.removeEventListener('abort', onAbort);
        this.#closing.signal.removeEventListener('abort', onClose);
      },
    };
  }
}

/** The promise, unless the signal aborts first: exec plugins and token files have no deadline of their own. */
function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason as Error);
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

async function readText(body: Dispatcher.ResponseData['body'], where: string): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of body as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > LARGEST_BODY_BYTES) {
      throw new KubeError('bad-response', `The answer of ${where} is larger than ${LARGEST_BODY_BYTES} bytes`);
    }
    parts.push(part);
  }
  return Buffer.concat(parts, bytes).toString('utf8');
}

function parse(text: string, where: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const message = `The answer of ${where} is not JSON: is this address an API server's, or a proxy's in between?`;
    throw new KubeError('bad-response', message, { cause });
  }
}

function parseOrUndefined(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function retryAfterMs(answer: Dispatcher.ResponseData): number | undefined {
  const seconds = Number(answer.headers['retry-after']);
  return seconds > 0 ? Math.min(seconds * 1000, LONGEST_RETRY_AFTER_MS) : undefined;
}

function toKubeError(cause: unknown, where: string, signal: AbortSignal): KubeError {
  if (signal.aborted && isKubeError(signal.reason)) return signal.reason;
  if (isKubeError(cause)) return cause;
  const said =
    cause instanceof Error ? cause.message || ((cause as { code?: string }).code ?? cause.name) : String(cause);
  return new KubeError('unavailable', `${where} failed on its way: ${said}`, { cause });
}
