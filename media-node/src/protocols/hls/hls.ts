import type { ServerResponse } from 'node:http';
import type { PackagingSnapshot, RenditionName } from '#contract/packaging.ts';
import { RENDITIONS } from '#contract/packaging.ts';
import { hlsRenditions, multivariantPlaylist } from '../../formats/hls-multivariant.ts';
import { isLowLatency, renditionReport } from '../../formats/hls-playlist.ts';
import type { Departure } from '../../http/departure.ts';
import type { FileKind } from '../../http/file-answer.ts';
import { answerFile } from '../../http/file-answer.ts';
import { HttpError } from '../../http/http-error.ts';
import type { HttpRequest } from '../../http/http-request.ts';
import type { PackagedStream } from '../../packaging/packaged-stream.ts';
import type { Located } from '../packaged/locator.ts';
import type { Beginning, PlaylistOptions } from '../packaged/playlist-desk.ts';
import { addressHere, CONTEXT, hasAllTracks, PlaylistDesk, vhostQuery } from '../packaged/playlist-desk.ts';
import { PlaylistCache } from './playlist-cache.ts';
import type { Directives } from './reload.ts';
import { reachOf, readDirectives } from './reload.ts';

const CONTENT_TYPE = 'application/vnd.apple.mpegurl';
const NO_STORE = 'no-store';
/** A blocking request is given up after so many target durations (§6.2.5.2). */
const BLOCK_TARGETS = 3;
/** Of a blocking request's answer, in target durations (appendix B.1): its address will never say anything else. */
const BLOCKED_AGE_TARGETS = 6;
/** Those that only addresses of media playlists have. */
const MEDIA = ['hls_track', CONTEXT];
/** Parameters that are this protocol's; all others go on to the media playlists. */
const OWN_PARAMETERS = [CONTEXT, 'hls_track', '_HLS_msn', '_HLS_part', '_HLS_skip'];

/** When players may begin: hls.js takes a playlist of parts alone for an empty one. */
function beginningOf(container: 'ts' | 'fmp4', mend: string): Beginning {
  const isTs = (snapshot: PackagingSnapshot): boolean => hlsRenditions(snapshot, container)[0] === 'ts';
  return {
    isPlayable: (snapshot) => hlsRenditions(snapshot, container).length > 0,
    isWhole: (snapshot) => snapshot.segments.length > 0 && (isTs(snapshot) || hasAllTracks(snapshot)),
    mend,
  };
}

const BEGINNINGS = {
  ts: beginningOf(
    'ts',
    'no key frame has come, or its codecs are none of MPEG-TS (H.264, HEVC, AAC, MP3, Opus, AC-3): set hls.container of the Vhost to fmp4',
  ),
  fmp4: beginningOf('fmp4', 'no key frame has come, or its codecs are none of MP4'),
};

/**
 * Playlists of HTTP Live Streaming at the Vhost's `hls.m3u8File`.
 *
 * Without a context the answer is a multivariant playlist, whose media playlists are at the same path with a fresh one
 * (`hls_ctx`) and, where tracks have files of their own, `hls_track=video` or `audio`. Without `hls.ctx` all viewers get the
 * same addresses, told from the multivariant playlist by `hls_track`.
 */
export class Hls {
  readonly #options: PlaylistOptions;
  readonly #desk: PlaylistDesk;
  readonly #cache = new PlaylistCache();

  constructor(options: PlaylistOptions) {
    this.#options = options;
    this.#desk = new PlaylistDesk(options, 'hls');
  }

  /** Answers GET and HEAD of a playlist; rejects with HttpError. False: the path is no playlist's. */
  handle(request: HttpRequest, response: ServerResponse): boolean | Promise<boolean> {
    const located = this.#options.locator.locate(request);
    if (located?.kind !== 'm3u8' || !located.vhost.hls.enabled) return false;
    return this.#desk.answer(request, response, located, (departure) =>
      this.#answer(request, response, located, departure),
    );
  }

  async #answer(request: HttpRequest, response: ServerResponse, located: Located, departure: Departure): Promise<void> {
    const { vhost, key } = located;
    const context = this.#desk.contextOf(request, located);
    if (context?.kind === 'expired') {
      const renewed = new URLSearchParams(request.query);
      renewed.set(CONTEXT, context.renewed);
      const location = `${encodeURIComponent(request.segments.at(-1) ?? '')}?${renewed.toString()}`;
      response.writeHead(302, { Location: location, 'Content-Length': 0, 'Cache-Control': 'no-store' });
      response.end();
      return;
    }
    // Whoever came before contexts were turned on or off goes on in its media playlist: any other kind would end the player.
    const isMedia = context !== undefined || MEDIA.some((name) => request.query.has(name));
    const directives = readDirectives(request.query);
    const { stream, snapshot } = await this.#desk.begun(located, departure, BEGINNINGS[vhost.hls.container]);
    const renditions = hlsRenditions(snapshot, vhost.hls.container);
    if (!isMedia) {
      this.#sendMultivariant(request, response, located, snapshot, renditions);
      return;
    }
    const rendition = renditionOf(request, renditions);
    if (context !== undefined) await this.#desk.enter(context, request, key, snapshot);
    const reached = await this.#reach(stream, snapshot, rendition, directives, departure);
    if (departure.isOver) return;
    this.#sendMedia(request, response, located, { snapshot: reached, rendition, renditions, directives });
  }

  /** Waits until the playlist is as far as it was asked for. Rejects with HttpError 400 and 503. */
  async #reach(
    stream: PackagedStream,
    first: PackagingSnapshot,
    rendition: RenditionName,
    directives: Directives,
    departure: Departure,
  ): Promise<PackagingSnapshot> {
    const endMs = this.#desk.now() + first.targetDurationS * BLOCK_TARGETS * 1_000;
    for (let snapshot = stream.snapshot ?? first; ;) {
      const state = reachOf(snapshot, rendition, directives);
      if (state === 'there') return snapshot;
      if (state === 'too-far') {
        throw new HttpError(400, '_HLS_msn and _HLS_part ask for more than the next segments: read the playlist again');
      }
      await stream.changed(snapshot, Math.max(0, endMs - this.#desk.now()), departure.signal);
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
    const token = vhost.hls.ctx ? this.#desk.issue(key) : undefined;
    // MPEG-TS is told without a word where a context tells the playlists apart, as in SRS.
    const isTs = token !== undefined && renditions[0] === 'ts';
    const text = multivariantPlaylist(snapshot, renditions, (each) => here(request, token, isTs ? undefined : each));
    // One context is one viewer's: no cache may give it to others.
    const cacheControl = token === undefined ? maxAge(snapshot.targetDurationS / 2) : NO_STORE;
    this.#send(request, response, Buffer.from(text), cacheControl);
  }

  #sendMedia(request: HttpRequest, response: ServerResponse, { vhost, key, path }: Located, playlist: Playlist): void {
    const { snapshot, rendition, renditions, directives } = playlist;
    const host = vhostQuery(request.query);
    const bytes = this.#cache.get(snapshot, { rendition, path, isDelta: directives.isDelta, query: host });
    const token = vhost.hls.ctx ? (request.query.get(CONTEXT) ?? undefined) : undefined;
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
    const sent = this.#send(request, response, body, vhost.hls.ctx ? NO_STORE : maxAge(ageS));
    this.#options.viewers.sent(request.raw.socket, key, sent);
  }

  /** Answers the length of the body that was sent. */
  #send(request: HttpRequest, response: ServerResponse, body: Buffer, cacheControl: string): number {
    // What caches keep they ask for again by its tag.
    if (cacheControl !== NO_STORE) return answerFile(request.raw, response, body, kindOf(cacheControl));
    const isHead = request.method === 'HEAD';
    response.writeHead(200, {
      'Content-Type': CONTENT_TYPE,
      'Content-Length': body.length,
      'Cache-Control': cacheControl,
    });
    response.end(isHead ? undefined : body);
    return isHead ? 0 : body.length;
  }
}

/** One for each age that playlists have: a few whole seconds. */
const kinds = new Map<string, FileKind>();

function kindOf(cacheControl: string): FileKind {
  let kind = kinds.get(cacheControl);
  if (kind === undefined) {
    kind = { contentType: CONTENT_TYPE, cacheControl };
    kinds.set(cacheControl, kind);
  }
  return kind;
}

interface Playlist {
  readonly snapshot: PackagingSnapshot;
  readonly rendition: RenditionName;
  readonly renditions: readonly RenditionName[];
  readonly directives: Directives;
}

/**
 * Without a track it is MPEG-TS. Throws HttpError 404, also to who plays a stream whose Vhost has got another container: a player
 * that went on in that would have half of it, and stand still without an error.
 */
function renditionOf({ query }: HttpRequest, renditions: readonly RenditionName[]): RenditionName {
  const asked = query.get('hls_track');
  const rendition = RENDITIONS.find((name) => name === (asked ?? 'ts'));
  if (rendition === undefined || !renditions.includes(rendition)) {
    throw new HttpError(
      404,
      `hls_track is ${renditions.join(' or ')} of this stream: ask without hls_ctx and hls_track`,
    );
  }
  return rendition;
}

/** The address of another playlist at this path, relative to it: with the request's own parameters. */
function here(request: HttpRequest, token: string | undefined, track?: string): string {
  return addressHere(request, { [CONTEXT]: token, hls_track: track }, OWN_PARAMETERS);
}

/** RFC 9110 §12.5.3, as far as clients use it. */
function takesGzip({ raw }: HttpRequest): boolean {
  return /\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))/i.test(raw.headers['accept-encoding'] ?? '');
}

function maxAge(seconds: number): string {
  return `public, max-age=${Math.max(1, Math.floor(seconds))}`;
}
