import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { HttpError } from './http-error.ts';

/** The last chunk of a chunked body (RFC 9112 §7.1). */
const LAST_CHUNK = Buffer.from('0\r\n\r\n');
const CRLF = Buffer.from('\r\n');
/** How long a client may take to read the rest when we end. */
const LINGER_MS = 2_000;

const taken = new WeakSet<Socket>();

/** Whether a socket carries an endless body: nothing else may be answered on it. */
export function isTaken(socket: Socket): boolean {
  return taken.has(socket);
}

/** Bytes as one chunk of a chunked body (RFC 9112 §7.1); they must not be empty. */
export function httpChunk(bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`, 'latin1'), bytes, CRLF]);
}

/**
 * The body of an answer that goes on until one side ends it, written straight to the socket behind node:http, which
 * would frame each write for each client again: many clients can be given the same Buffer. Whoever writes brings the
 * bytes in the framing of `isChunked`.
 */
export class EndlessBody {
  /** HTTP/1.1: what is written has to be whole chunks. HTTP/1.0: bytes as they are, up to the connection's end. */
  readonly isChunked: boolean;
  readonly #socket: Socket;
  readonly #response: ServerResponse;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #isHead: boolean;
  #hasBegun = false;
  #hasEnded = false;

  /** Throws HttpError 400 for a request behind another one on its connection. Nothing is sent before `begin`. */
  constructor(request: IncomingMessage, response: ServerResponse, headers: Readonly<Record<string, string>>) {
    const { socket } = response;
    if (socket === null) {
      throw new HttpError(400, 'this answer has no end: ask on a connection of its own');
    }
    this.#socket = socket;
    this.#response = response;
    this.#headers = headers;
    this.#isHead = request.method === 'HEAD';
    this.isChunked = request.httpVersionMajor === 1 && request.httpVersionMinor >= 1;
  }

  /** Until then another answer may be given. */
  get hasBegun(): boolean {
    return this.#hasBegun;
  }

  /** Sends the head with status 200, which the first bytes do as well; to HEAD nothing more than that. Idempotent. */
  begin(): void {
    if (this.#hasBegun) return;
    this.#hasBegun = true;
    if (this.#response.headersSent) {
      // The request was answered otherwise.
      this.#hasEnded = true;
      return;
    }
    if (this.#isHead) {
      this.#hasEnded = true;
      this.#response.writeHead(200, { ...this.#headers, Connection: 'close' });
      this.#response.end();
      return;
    }
    this.#response.writeHead(200, {
      ...this.#headers,
      ...(this.isChunked && { 'Transfer-Encoding': 'chunked' }),
      // Nothing is to follow on this connection.
      Connection: 'close',
    });
    this.#response.flushHeaders();
    taken.add(this.#socket);
    // It may have nothing to say for as long as it likes; dead sockets are found by TCP's keep-alive.
    this.#socket.setTimeout(0);
  }

  /** Bytes written and not yet taken by the kernel. */
  get writableLength(): number {
    return this.#socket.writableLength;
  }

  /** What the bytes go to, once the head is sent. */
  get socket(): Socket | undefined {
    return this.#hasBegun && !this.#hasEnded ? this.#socket : undefined;
  }

  /** Queues bytes, which are shared and never changed; ignored after the end. */
  write(bytes: Buffer): void {
    if (!this.#hasBegun) this.begin();
    if (!this.#hasEnded && this.#socket.writable) this.#socket.write(bytes);
  }

  /** Ends the body after what is queued, and the connection with it; idempotent. */
  end(): void {
    this.begin();
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    const socket = this.#socket;
    if (this.isChunked && socket.writable) socket.end(LAST_CHUNK);
    else socket.end();
    const linger = setTimeout(() => socket.destroy(), LINGER_MS);
    socket.once('close', () => clearTimeout(linger));
  }
}
