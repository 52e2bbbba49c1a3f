import type { ServerResponse } from 'node:http';
import type { PackagingSnapshot } from '#contract/packaging.ts';
import { setSharedCors } from '../../http/cors.ts';
import { Departure } from '../../http/departure.ts';
import { HttpError } from '../../http/http-error.ts';
import type { HttpRequest } from '../../http/http-request.ts';
import type { PackagedStream, PackagedStreams } from '../../packaging/packaged-stream.ts';
import type { StreamKey } from '../../stream/stream-key.ts';
import { httpRefusal } from '../http-refusal.ts';
import type { Located, PackagedLocator } from './locator.ts';
import type { ContextAnswer, ViewerContexts } from './viewer-context.ts';
import type { Viewers } from './viewers.ts';

/** What HLS and DASH are answered from. */
export interface PlaylistOptions {
  readonly locator: PackagedLocator;
  readonly streams: PackagedStreams;
  readonly viewers: Viewers;
  readonly contexts: ViewerContexts;
  /** Whether connections are to be given up after their answer, so that viewers reach another node. */
  readonly isDraining: () => boolean;
  /** How long a stream that has just begun is waited for; default 10 s. */
  readonly firstMediaMs?: number;
  /** Milliseconds that only rise; default performance.now. */
  readonly now?: () => number;
}

/** Query parameter of a viewer's context, in HLS and DASH: one name for one thing. */
export const CONTEXT = 'hls_ctx';
const FIRST_MEDIA_MS = 10_000;
/** A viewer that has not asked for so many target durations has left. */
const KEEP_TARGETS = 3;
/** And after no less than this: some players read on from what they have. */
const MIN_KEEP_MS = 6_000;

/** The context that a request came with. */
export type RequestContext = Exclude<ContextAnswer, { readonly kind: 'forged' }> & { readonly token: string };

/** A stream once there is something to play. */
export interface Begun {
  readonly stream: PackagedStream;
  readonly snapshot: PackagingSnapshot;
}

/** When a protocol has something to answer with. */
export interface Beginning {
  /** Whether a snapshot can be played at all. */
  readonly isPlayable: (snapshot: PackagingSnapshot) => boolean;
  /** Whether a player may begin with a snapshot that can be played; it is waited for, but not beyond firstMediaMs. */
  readonly isWhole: (snapshot: PackagingSnapshot) => boolean;
  /** What to look at where a stream never has a segment. */
  readonly mend: string;
}

/** What a request for a playlist or a manifest comes to, whichever it asks for. */
export class PlaylistDesk {
  readonly #options: PlaylistOptions;
  readonly #protocol: 'hls' | 'dash';
  readonly #now: () => number;

  constructor(options: PlaylistOptions, protocol: 'hls' | 'dash') {
    this.#options = options;
    this.#protocol = protocol;
    this.#now = options.now ?? (() => performance.now());
  }

  /** Milliseconds that only rise. */
  now(): number {
    return this.#now();
  }

  /** Has a located request answered; rejects with HttpError, but for who has left. */
  async answer(
    request: HttpRequest,
    response: ServerResponse,
    { vhost }: Located,
    answered: (departure: Departure) => Promise<void>,
  ): Promise<true> {
    setSharedCors(request.raw, response, vhost.security.cors.allowOrigins);
    if (this.#options.isDraining()) response.setHeader('Connection', 'close');
    const departure = new Departure(response);
    try {
      await answered(departure);
    } catch (error) {
      if (!departure.isOver) throw httpRefusal(error);
    }
    return true;
  }

  /** Undefined without one, or where the Vhost has none. Throws HttpError 403. */
  contextOf({ query }: HttpRequest, { vhost, key }: Located): RequestContext | undefined {
    const token = vhost.hls.ctx ? query.get(CONTEXT) : null;
    if (token === null) return undefined;
    const read = this.#read(token, key);
    if (read.kind !== 'forged') return { ...read, token };
    throw new HttpError(403, `this ${CONTEXT} is none of this stream: ask without it to get another`);
  }

  /** The stream, once there is something to play. Rejects with HttpError 404. */
  async begun({ key }: Located, departure: Departure, { isPlayable, isWhole, mend }: Beginning): Promise<Begun> {
    const name = `${key.app}/${key.stream}`;
    const stream = await this.#options.streams.find(key);
    if (stream === undefined) throw new HttpError(404, `nobody publishes ${name}: ask again when it has begun`);
    const endMs = this.#now() + (this.#options.firstMediaMs ?? FIRST_MEDIA_MS);
    for (let isLast = false; ;) {
      const { snapshot } = stream;
      const leftMs = endMs - this.#now();
      isLast ||= leftMs <= 0 || departure.isOver;
      if (snapshot !== undefined && isPlayable(snapshot) && (isLast || isWhole(snapshot))) return { stream, snapshot };
      if (isLast) break;
      await stream.changed(snapshot, leftMs, departure.signal);
      // The time is over, or the stream is.
      isLast = stream.snapshot === snapshot || stream.snapshot?.isEnded === true;
    }
    const said = `${name} has begun, but has no segment yet: ask again; where it stays so, ${mend}`;
    throw new HttpError(404, said, { retryAfterS: 1 });
  }

  /** Counts the viewer of a context, unless the request is HEAD. Rejects as Viewers.enter. */
  async enter(
    { id, token }: Pick<RequestContext, 'id' | 'token'>,
    request: HttpRequest,
    key: StreamKey,
    { targetDurationS }: PackagingSnapshot,
  ): Promise<void> {
    if (request.method === 'HEAD') return;
    const keepMs = Math.max(MIN_KEEP_MS, targetDurationS * KEEP_TARGETS * 1_000);
    await this.#options.viewers.enter({ id, token, protocol: this.#protocol, key, request, keepMs });
  }

  /** A context of a viewer that has none yet. */
  issue(key: StreamKey): string {
    return this.#options.contexts.issue(key);
  }

  /** What a context says; that of a viewer who is known here needs no proof, and lasts as long as the viewer stays. */
  #read(token: string, key: StreamKey): ContextAnswer {
    const { viewers, contexts } = this.#options;
    const id = viewers.idOf(token, key);
    return id === undefined ? contexts.read(token, key) : { kind: 'valid', id };
  }
}

/** Whether every track has a segment: one whose first is still to come would be missing for as long as a player stays. */
export function hasAllTracks({ segments, tracks, isEnded }: PackagingSnapshot): boolean {
  if (segments.length >= 2 || isEnded) return true;
  return tracks.every(({ kind }) => segments.some(({ media }) => media[kind] !== undefined));
}

/** The address at a request's own path, relative to it, with parameters before the request's others. */
export function addressHere(
  { segments, query }: HttpRequest,
  own: Readonly<Record<string, string | undefined>>,
  without: readonly string[] = Object.keys(own),
): string {
  const parameters = new URLSearchParams(query);
  for (const name of without) parameters.delete(name);
  const kept = parameters.toString();
  const set = Object.entries(own).flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`]));
  return `${encodeURIComponent(segments.at(-1) ?? '')}?${[...set, ...(kept === '' ? [] : [kept])].join('&')}`;
}

/** What files need in their addresses to be found where the playlist was. */
export function vhostQuery(query: URLSearchParams): string {
  const name = query.get('vhost') || query.get('domain');
  return name === null || name === '' ? '' : `?vhost=${encodeURIComponent(name)}`;
}
