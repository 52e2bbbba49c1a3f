import type { ServerResponse } from 'node:http';
import type { PackagingSnapshot, RenditionName } from '#contract/packaging.ts';
import { RENDITIONS } from '#contract/packaging.ts';
import { hlsRenditions, multivariantPlaylist } from '../../formats/hls-multivariant.ts';
import { isLowLatency, renditionReport } from '../../formats/hls-playlist.ts';
import { setSharedCors } from '../../http/cors.ts';
import { Departure } from '../../http/departure.ts';
import { HttpError } from '../../http/http-error.ts';
import type { HttpRequest } from '../../http/http-request.ts';
import type { PackagedStream, PackagedStreams } from '../../packaging/packaged-stream.ts';
import type { StreamKey } from '../../stream/stream-key.ts';
import type { Located, PackagedLocator } from '../packaged/locator.ts';
import { httpRefusal } from '../packaged/refusal.ts';
import type { ContextAnswer, ViewerContexts } from '../packaged/viewer-context.ts';
import type { Viewers } from '../packaged/viewers.ts';
import { PlaylistCache } from './playlist-cache.ts';
import type { Directives } from './reload.ts';
import { reachOf, readDirectives } from './reload.ts';

export interface HlsOptions {
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

const CONTENT_TYPE = 'application/vnd.apple.mpegurl';
const FIRST_MEDIA_MS = 10_000;
/** A blocking request is given up after so many target durations (§6.2.5.2). */
const BLOCK_TARGETS = 3;
/** A viewer that has not asked for so many target durations has left. */
const KEEP_TARGETS = 3;
/** And after no less than this: some players read on from what they have. */
const MIN_KEEP_MS = 6_000;
/** Of a blocking request's answer, in target durations (appendix B.1): its address will never say anything else. */
const BLOCKED_AGE_TARGETS = 6;
/** Parameters that are this protocol's; all others go on to the media playlists. */
const OWN_PARAMETERS = ['hls_ctx', 'hls_track', '_HLS_msn', '_HLS_part', '_HLS_skip'];

/**
 * Playlists of HTTP Live Streaming at the Vhost's `hls.m3u8File`.
 *
 * Without a context the answer is a multivariant playlist, whose media playlists are at the same path with a fresh one
 * (`hls_ctx`) and, where tracks have files of their own, `hls_track=video` or `audio`. Without `hls.ctx` all viewers get the
 * same addresses, told from the multivariant playlist by `hls_track`.
 */
export class Hls {
  readonly #options: HlsOptions;
  readonly #cache = new PlaylistCache();
  readonly #now: () => number;

  constructor(options: HlsOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  /** Answers GET and HEAD of a playlist; rejects with HttpError. False: the path is no playlist's. */
  handle(request: HttpRequest, response: ServerResponse): boolean | Promise<boolean> {
    const located = this.#options.locator.locate(request);
    if (located?.kind !== 'm3u8' || !located.vhost.hls.enabled) return false;
    setSharedCors(request.raw, response, located.vhost.security.cors.allowOrigins);
    if (this.#options.isDraining()) response.setHeader('Connection', 'close');
    return this.#answer(request, response, located).then(() => true);
  }

  async #answer(request: HttpRequest, response: ServerResponse, located: Located): Promise<void> {
    const departure = new Departure(response);
    try {
      const { vhost, key } = located;
      const token = vhost.hls.ctx ? request.query.get('hls_ctx') : null;
      const context = token === null ? undefined : this.#read(token, key);
      if (context?.kind === 'forged') {
        throw new HttpError(403, 'this hls_ctx is none of this stream: ask for the playlist without it to get another');
      }
      if (context?.kind === 'expired') {
        const renewed = new URLSearchParams(request.query);
        renewed.set('hls_ctx', context.renewed);
        const location = `${encodeURIComponent(request.segments.at(-1) ?? '')}?${renewed.toString()}`;
        response.writeHead(302, { Location: location, 'Content-Length': 0, 'Cache-Control': 'no-store' });
        response.end();
        return;
      }
      const isMedia = vhost.hls.ctx ? context !== undefined : request.query.has('hls_track');
      const directives = readDirectives(request.query);
      const { stream, snapshot } = await this.#begun(located, departure);
      const renditions = hlsRenditions(snapshot, vhost.hls.container);
      if (!isMedia) {
        this.#sendMultivariant(request, response, located, snapshot, renditions);
        return;
      }
      const rendition = renditionOf(request, renditions);
      if (context !== undefined && request.method !== 'HEAD') {
        const keepMs = Math.max(MIN_KEEP_MS, snapshot.targetDurationS * KEEP_TARGETS * 1_000);
        await this.#options.viewers.enter({ id: context.id, token, protocol: 'hls', key, request, keepMs });
      }
      const reached = await this.#reach(stream, snapshot, rendition, directives, departure);
      if (departure.isOver) return;
      this.#sendMedia(request, response, located, { snapshot: reached, rendition, renditions, directives });
    } catch (error) {
      if (!departure.isOver) throw httpRefusal(error);
    }
  }

  /** What a context says; that of a viewer who is known here needs no proof, and lasts as long as the viewer stays. */
  #read(token: string, key: StreamKey): ContextAnswer {
    const id = this.#options.viewers.idOf(token, key);
    return id === undefined ? this.#options.contexts.read(token, key) : { kind: 'valid', id };
  }

  /** The stream, once there is something to play. Rejects with HttpError 404. */
  async #begun({ key, vhost }: Located, departure: Departure): Promise<Begun> {
    const stream = await this.#options.streams.find(key);
    if (stream === undefined) {
      throw new HttpError(404, `nobody publishes ${key.app}/${key.stream}: ask again when it has begun`);
    }
    const { firstMediaMs = FIRST_MEDIA_MS } = this.#options;
    const endMs = this.#now() + firstMediaMs;
    for (let isLast = false; ;) {
      const { snapshot } = stream;
      const leftMs = endMs - this.#now();
      isLast ||= leftMs <= 0 || departure.isOver;
      if (snapshot !== undefined && hlsRenditions(snapshot, vhost.hls.container).length > 0) {
        if (isLast || isComplete(snapshot, vhost.hls.container)) return { stream, snapshot };
      }
      if (isLast) {
        throw new HttpError(404, `${key.app}/${key.stream} has begun, but has no segment yet: ask again`, {
          retryAfterS: 1,
        });
      }
      await stream.changed(snapshot, leftMs, departure.signal);
      // The time is over, or the stream is.
      isLast = stream.snapshot === snapshot;
    }
  }

  /** Waits until the playlist is as far as it was asked for. Rejects with HttpError 400 and 503. */
  async #reach(
    stream: PackagedStream,
    first: PackagingSnapshot,
    rendition: RenditionName,
    directives: Directives,
    departure: Departure,
  ): Promise<PackagingSnapshot> {
    const endMs = this.#now() + first.targetDurationS * BLOCK_TARGETS * 1_000;
    for (let snapshot = stream.snapshot ?? first; ;) {
      const state = reachOf(snapshot, rendition, directives);
      if (state === 'there') return snapshot;
      if (state === 'too-far') {
        throw new HttpError(400, '_HLS_msn and _HLS_part ask for more than the next segments: read the playlist again');
      }
      await stream.changed(snapshot, Math.max(0, endMs - this.#now()), departure.signal);
      if (stream.snapshot === snapshot || stream.snapshot === undefined) {
        throw new HttpError(503, `nothing new came in ${BLOCK_TARGETS} target durations: ask again`, {
          retryAfterS: 1,
        });
      }
      ({ snapshot } = stream);
    }
  }

  #sendMultivariant(
    request: HttpRequest,
    response: ServerResponse,
    { vhost, key }: Located,
    snapshot: PackagingSnapshot,
    renditions: readonly RenditionName[],
  ): void {
    const token = vhost.hls.ctx ? this.#options.contexts.issue(key) : undefined;
    // One track is told without a word where a context tells the playlists apart, as in SRS.
    const isOne = token !== undefined && renditions.length === 1;
    const text = multivariantPlaylist(snapshot, renditions, (each) => here(request, token, isOne ? undefined : each));
    // One context is one viewer's: no cache may give it to others.
    const cacheControl = token === undefined ? maxAge(snapshot.targetDurationS / 2) : 'no-store';
    this.#send(request, response, Buffer.from(text), cacheControl);
  }

  #sendMedia(request: HttpRequest, response: ServerResponse, { vhost, key, path }: Located, playlist: Playlist): void {
    const { snapshot, rendition, renditions, directives } = playlist;
    const host = vhostQuery(request.query);
    const bytes = this.#cache.get(snapshot, { rendition, path, isDelta: directives.isDelta, query: host });
    const token = vhost.hls.ctx ? (request.query.get('hls_ctx') ?? undefined) : undefined;
    const reports = renditions
      .filter((other) => other !== rendition)
      .map((other) => renditionReport(snapshot, other, here(request, token, other)))
      .join('');
    // Where there are reports there are deltas as well, which are short.
    const zipped = reports === '' ? this.#cache.zipped(bytes) : undefined;
    if (zipped !== undefined) response.appendHeader('Vary', 'Accept-Encoding');
    const isZipped = zipped !== undefined && takesGzip(request);
    if (isZipped) response.setHeader('Content-Encoding', 'gzip');
    const plain = reports === '' ? bytes : Buffer.concat([bytes, Buffer.from(reports)]);
    const body = isZipped ? zipped : plain;
    const { targetDurationS } = snapshot;
    const isBlocked = directives.msn !== undefined && isLowLatency(snapshot);
    const ageS = isBlocked ? targetDurationS * BLOCKED_AGE_TARGETS : targetDurationS / 2;
    this.#send(request, response, body, vhost.hls.ctx ? 'no-store' : maxAge(ageS));
    this.#options.viewers.sent(request.raw.socket, key, request.method === 'HEAD' ? 0 : body.length);
  }

  #send(request: HttpRequest, response: ServerResponse, body: Buffer, cacheControl: string): void {
    response.writeHead(200, {
      'Content-Type': CONTENT_TYPE,
      'Content-Length': body.length,
      'Cache-Control': cacheControl,
    });
    response.end(request.method === 'HEAD' ? undefined : body);
  }
}

interface Begun {
  readonly stream: PackagedStream;
  readonly snapshot: PackagingSnapshot;
}

interface Playlist {
  readonly snapshot: PackagingSnapshot;
  readonly rendition: RenditionName;
  readonly renditions: readonly RenditionName[];
  readonly directives: Directives;
}

/**
 * Whether a player may begin: hls.js takes a playlist of parts alone for an empty one, and a track whose first segment is still
 * to come would be missing for as long as the viewer stays.
 */
function isComplete(snapshot: PackagingSnapshot, container: 'ts' | 'fmp4'): boolean {
  const { segments, tracks, isEnded } = snapshot;
  if (segments.length === 0) return false;
  const renditions = hlsRenditions(snapshot, container);
  if (renditions[0] === 'ts' || segments.length >= 2 || isEnded) return true;
  return tracks.every(({ kind }) => renditions.includes(kind));
}

/** Throws HttpError 404. */
function renditionOf({ query }: HttpRequest, renditions: readonly RenditionName[]): RenditionName {
  const asked = query.get('hls_track');
  const rendition = asked === null ? renditions[0] : RENDITIONS.find((name) => name === asked);
  if (rendition === undefined || !renditions.includes(rendition)) {
    throw new HttpError(404, `hls_track is ${renditions.join(' or ')} of this stream`);
  }
  return rendition;
}

/** The address of another playlist at this path, relative to it: with the request's own parameters. */
function here({ segments, query }: HttpRequest, token: string | undefined, track?: string): string {
  const parameters = new URLSearchParams(query);
  for (const name of OWN_PARAMETERS) parameters.delete(name);
  const kept = parameters.toString();
  const own = [
    ...(token === undefined ? [] : [`hls_ctx=${token}`]),
    ...(track === undefined ? [] : [`hls_track=${track}`]),
  ];
  return `${encodeURIComponent(segments.at(-1) ?? '')}?${[...own, ...(kept === '' ? [] : [kept])].join('&')}`;
}

/** What segments need in their addresses to be found where the playlist was. */
function vhostQuery(query: URLSearchParams): string {
  const name = query.get('vhost') || query.get('domain');
  return name === null || name === '' ? '' : `?vhost=${encodeURIComponent(name)}`;
}

/** RFC 9110 §12.5.3, as far as clients use it. */
function takesGzip({ raw }: HttpRequest): boolean {
  return /\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))/i.test(raw.headers['accept-encoding'] ?? '');
}

function maxAge(seconds: number): string {
  return `public, max-age=${Math.max(1, Math.floor(seconds))}`;
}
