import type { ServerResponse } from 'node:http';
import { MAX_PACKAGING_WAIT_MS } from '#contract/packaging.ts';
import type { PackagingSnapshot } from '#contract/packaging.ts';
import { ledgerTextOf } from '../packaging/ledger-state.ts';
import type { PackagedStreams } from '../packaging/packaged-stream.ts';
import type { StreamKey } from '../stream/stream-key.ts';
import { AdminRequestError } from './admin-error.ts';
import { streamQuery } from './stream-query.ts';

/** What other nodes ask of packaged streams; see contract/packaging.ts. None asks another node: loops cannot form. */
export interface PackagingService {
  /** What this node packages itself. */
  readonly own: PackagedStreams;
  /** A file that this node fetched from another one and has still. */
  fetched(key: StreamKey, file: string): Buffer | undefined;
  /** What this node was told last of a stream that it follows. */
  told(key: StreamKey): PackagingSnapshot | undefined;
}

/** Requests that wait, at most; further ones are answered at once. */
export const MAX_POLLS = 2_000;

const NOT_PACKAGED = 'this node does not package the stream';

/** The admin port's answers for packaged streams. */
export class PackagingRoutes {
  readonly #service: PackagingService;
  /** A snapshot is written as JSON once, however many nodes follow it. */
  readonly #encoded = new WeakMap<PackagingSnapshot, Buffer>();
  #polls = 0;

  constructor(service: PackagingService) {
    this.#service = service;
  }

  /** `GET /cluster/packaging`. */
  async snapshot(response: ServerResponse, url: URL): Promise<void> {
    const key = streamQuery(url);
    const after = numberOf(url, 'after');
    const of = url.searchParams.get('of');
    const mostMs = Math.min(numberOf(url, 'waitMs') ?? 0, MAX_PACKAGING_WAIT_MS);
    const stream = await this.#service.own.find(key);
    if (stream === undefined) throw notFound(NOT_PACKAGED);
    const isNews = (snapshot: PackagingSnapshot | undefined) =>
      snapshot !== undefined && (after === undefined || snapshot.nodeId !== of || snapshot.revision > after);
    const before = stream.snapshot;
    if (!isNews(before) && mostMs > 0 && this.#polls < MAX_POLLS) {
      const gone = new AbortController();
      response.once('close', () => gone.abort());
      this.#polls += 1;
      await stream.changed(before, mostMs, gone.signal);
      this.#polls -= 1;
      // The packaging may have ended meanwhile, which is no change of the snapshot.
      if (stream.snapshot === before && (await this.#service.own.find(key)) !== stream) throw notFound(NOT_PACKAGED);
    }
    const { snapshot } = stream;
    if (snapshot === undefined || !isNews(snapshot)) {
      response.writeHead(204, { 'cache-control': 'no-store' }).end();
      return;
    }
    sendBytes(response, 'application/json', this.#encode(snapshot));
  }

  /** `GET /cluster/packaging/file`. */
  async file(response: ServerResponse, url: URL): Promise<void> {
    const key = streamQuery(url);
    const file = url.searchParams.get('file');
    if (file === null || file === '') throw new AdminRequestError('bad-request', 'the query needs file');
    const stream = await this.#service.own.find(key);
    const bytes = (await stream?.read(file)) ?? this.#service.fetched(key, file);
    if (bytes === undefined) throw notFound('this node does not have the file');
    sendBytes(response, 'application/octet-stream', bytes);
  }

  /** `GET /cluster/packaging/state`. */
  async state(response: ServerResponse, url: URL): Promise<void> {
    const key = streamQuery(url);
    const own = (await this.#service.own.find(key))?.snapshot;
    const told = this.#service.told(key);
    // A stream that went on elsewhere and is watched here is further there.
    const snapshot = own === undefined || (told !== undefined && lastSeq(told) > lastSeq(own)) ? told : own;
    if (snapshot === undefined) throw notFound('this node knows nothing of the stream');
    // As it is shown to viewers now.
    sendBytes(response, 'application/json', Buffer.from(ledgerTextOf(snapshot, Date.now())));
  }

  #encode(snapshot: PackagingSnapshot): Buffer {
    const known = this.#encoded.get(snapshot);
    if (known !== undefined) return known;
    const encoded = Buffer.from(JSON.stringify(snapshot));
    this.#encoded.set(snapshot, encoded);
    return encoded;
  }
}

function lastSeq({ segments, open }: PackagingSnapshot): number {
  return open?.seq ?? segments.at(-1)?.seq ?? -1;
}

function notFound(message: string): AdminRequestError {
  return new AdminRequestError('not-found', message);
}

/** Undefined when it is left out. */
function numberOf(url: URL, name: string): number | undefined {
  const text = url.searchParams.get(name);
  if (text === null) return undefined;
  const value = Number(text);
  if (text === '' || !Number.isSafeInteger(value) || value < 0) {
    throw new AdminRequestError('bad-request', `${name} must be a whole number that is not negative`);
  }
  return value;
}

function sendBytes(response: ServerResponse, contentType: string, bytes: Buffer): void {
  if (response.headersSent || response.destroyed) return;
  response.writeHead(200, {
    'content-type': contentType,
    'content-length': bytes.length,
    'cache-control': 'no-store',
  });
  response.end(bytes);
}
