import { Agent, request } from 'node:http';
import type { ClientRequest, IncomingMessage } from 'node:http';
import { isIPv6 } from 'node:net';
import { MAX_PACKAGING_STATE_BYTES, PACKAGING_PATHS, PackagingSnapshot } from '#contract/packaging.ts';
import { parseJson } from '#contract/directory-keys.ts';
import type { StreamKey } from '../stream/stream-key.ts';
import type { AdminAddress } from './peer-client.ts';

/** A version of a playlist: who packages, and its count of changes. */
export interface SnapshotVersion {
  readonly nodeId: string;
  readonly revision: number;
}

/**
 * `unchanged`: the time was over; `absent`: the node does not package the stream; `failed`: no answer, or none that makes
 * sense.
 */
export type SnapshotReply =
  | { readonly kind: 'snapshot'; readonly snapshot: PackagingSnapshot }
  | { readonly kind: 'unchanged' | 'absent' | 'failed' };

/** `absent`: the node answers, and has no such file. */
export type FileReply =
  { readonly kind: 'found'; readonly bytes: Buffer } | { readonly kind: 'absent' } | { readonly kind: 'failed' };

/** `absent`: the node knows nothing of the stream, or nobody is there; `failed`: it may know. */
export type StateReply = { readonly kind: 'found'; readonly text: string } | { readonly kind: 'absent' | 'failed' };

/** The admin port of other nodes as far as packaged streams go; see contract/packaging.ts. None rejects. */
export interface PackagingPeer {
  /** `seen` left out: whatever there is, at once or as soon as there is something. */
  snapshot(
    address: AdminAddress,
    key: StreamKey,
    seen: SnapshotVersion | undefined,
    waitMs: number,
    signal?: AbortSignal,
  ): Promise<SnapshotReply>;
  file(address: AdminAddress, key: StreamKey, file: string): Promise<FileReply>;
  /** What it knows of a stream, for the node that goes on with it. */
  state(address: AdminAddress, key: StreamKey, signal: AbortSignal): Promise<StateReply>;
}

export interface PackagingClientOptions {
  /** Bearer token of the admin ports of this cluster, read at each request. */
  readonly token: () => string;
  /** An answer may be silent for so long, besides the time that was asked to wait. Default 1.5 s. */
  readonly silentMs?: number;
  /** Connections to one node for files; more requests wait. Default 8. */
  readonly filesAtOnce?: number;
}

/** A snapshot of an hour of segments has about half of this. */
const MAX_SNAPSHOT_BYTES = 4 * 1024 * 1024;
/** A minute of 60 Mbit/s has about this. */
const MAX_FILE_BYTES = 512 * 1024 * 1024;

/** In place of a status: the connection was refused. */
const REFUSED = 0;

interface Reply {
  readonly status: number;
  readonly body: Buffer;
}

interface Question {
  readonly agent: Agent;
  readonly address: AdminAddress;
  readonly path: string;
  readonly silentMs: number;
  readonly maxBytes: number;
  readonly signal?: AbortSignal | undefined;
}

/** Asks over connections that stay open: one for each poll, a few for files. */
export class PackagingClient implements PackagingPeer {
  readonly #token: () => string;
  readonly #silentMs: number;
  readonly #polls = new Agent({ keepAlive: true });
  readonly #files: Agent;
  readonly #states = new Agent({ keepAlive: true, maxSockets: 4 });

  constructor({ token, silentMs = 1_500, filesAtOnce = 8 }: PackagingClientOptions) {
    this.#token = token;
    this.#silentMs = silentMs;
    this.#files = new Agent({ keepAlive: true, maxSockets: filesAtOnce });
  }

  async snapshot(
    address: AdminAddress,
    key: StreamKey,
    seen: SnapshotVersion | undefined,
    waitMs: number,
    signal?: AbortSignal,
  ): Promise<SnapshotReply> {
    const { nodeId, revision } = seen ?? { nodeId: '-', revision: 0 };
    const query = { after: String(revision), of: nodeId, waitMs: String(waitMs) };
    const reply = await this.#get({
      agent: this.#polls,
      address,
      path: pathOf(PACKAGING_PATHS.snapshot, key, query),
      silentMs: waitMs + this.#silentMs,
      maxBytes: MAX_SNAPSHOT_BYTES,
      signal,
    });
    if (reply?.status === 204) return { kind: 'unchanged' };
    if (reply?.status === 404) return { kind: 'absent' };
    const snapshot = reply?.status === 200 ? parseJson(PackagingSnapshot, reply.body.toString('utf8')) : undefined;
    return snapshot === undefined ? { kind: 'failed' } : { kind: 'snapshot', snapshot };
  }

  async file(address: AdminAddress, key: StreamKey, file: string): Promise<FileReply> {
    const reply = await this.#get({
      agent: this.#files,
      address,
      path: pathOf(PACKAGING_PATHS.file, key, { file }),
      silentMs: this.#silentMs,
      maxBytes: MAX_FILE_BYTES,
    });
    if (reply?.status === 200) return { kind: 'found', bytes: reply.body };
    return { kind: reply?.status === 404 ? 'absent' : 'failed' };
  }

  async state(address: AdminAddress, key: StreamKey, signal: AbortSignal): Promise<StateReply> {
    const reply = await this.#get({
      agent: this.#states,
      address,
      path: pathOf(PACKAGING_PATHS.state, key, {}),
      silentMs: this.#silentMs,
      maxBytes: MAX_PACKAGING_STATE_BYTES,
      signal,
    });
    if (reply?.status === 200) return { kind: 'found', text: reply.body.toString('utf8') };
    return { kind: reply?.status === 404 || reply?.status === REFUSED ? 'absent' : 'failed' };
  }

  /** Ends every connection; idempotent. */
  close(): void {
    this.#polls.destroy();
    this.#files.destroy();
    this.#states.destroy();
  }

  /** Undefined: no whole answer. */
  async #get(question: Question): Promise<Reply | undefined> {
    for (let attempt = 0; ; attempt += 1) {
      const sent = this.#send(question);
      try {
        return await sent.reply;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ECONNREFUSED') return { status: REFUSED, body: Buffer.alloc(0) };
        // The server ended an idle connection just when it was used again: the request was never looked at.
        const isStale = sent.request?.reusedSocket === true && !sent.wasAnswered();
        if (!isStale || attempt > 0 || question.signal?.aborted === true) return undefined;
      }
    }
  }

  #send({ agent, address, path, silentMs, maxBytes, signal }: Question) {
    let outgoing: ClientRequest | undefined;
    let wasAnswered = false;
    const reply = new Promise<Reply>((resolve, reject) => {
      const sent = request({
        agent,
        host: address.host,
        port: address.adminPort,
        family: isIPv6(address.host) ? 6 : 0,
        path,
        headers: { authorization: `Bearer ${this.#token()}` },
        ...(signal && { signal }),
      });
      outgoing = sent;
      const silence = setTimeout(() => sent.destroy(new Error('the node is silent')), silentMs);
      sent.on('error', reject);
      sent.on('close', () => {
        clearTimeout(silence);
        // After a whole answer this says nothing any more.
        reject(new Error('the answer broke off'));
      });
      sent.on('response', (response) => {
        wasAnswered = true;
        const whole = (body: Buffer) => resolve({ status: response.statusCode ?? 0, body });
        const broken = (why: string) => sent.destroy(new Error(why));
        readExactly(response, maxBytes, { progress: () => silence.refresh(), whole, broken });
      });
      sent.end();
    });
    return { reply, request: outgoing, wasAnswered: () => wasAnswered };
  }
}

function pathOf(path: string, { vhost, app, stream }: StreamKey, more: Readonly<Record<string, string>>): string {
  return `${path}?${new URLSearchParams({ vhost, app, stream, ...more }).toString()}`;
}

interface BodyListener {
  progress(): void;
  whole(body: Buffer): void;
  broken(why: string): void;
}

/** Reads the body into one Buffer of exactly its length. In the same turn, before the request says that it is closed. */
function readExactly(response: IncomingMessage, maxBytes: number, listener: BodyListener): void {
  const header = response.headers['content-length'];
  const length = header === undefined && response.statusCode === 204 ? 0 : Number(header);
  if (!Number.isSafeInteger(length) || length < 0 || length > maxBytes) {
    listener.broken(`an answer of ${header ?? 'unknown'} bytes`);
    return;
  }
  // Not of the shared pool: it lives long.
  const body = Buffer.allocUnsafeSlow(length);
  let at = 0;
  response.on('data', (chunk: Buffer) => {
    listener.progress();
    // The parser never gives more than the length that the header said.
    at += chunk.copy(body, at);
  });
  response.on('end', () => (at === length ? listener.whole(body) : listener.broken('the answer is too short')));
  response.on('error', () => listener.broken('the answer broke off'));
}
