import type { ServerResponse } from 'node:http';
import type { PackagingSnapshot } from '#contract/packaging.ts';
import type { Manifest } from '../../formats/dash-mpd.ts';
import { hasManifest, manifest, manifestText } from '../../formats/dash-mpd.ts';
import { setSharedCors } from '../../http/cors.ts';
import { Departure } from '../../http/departure.ts';
import { HttpError } from '../../http/http-error.ts';
import type { HttpRequest } from '../../http/http-request.ts';
import type { PackagedStreams } from '../../packaging/packaged-stream.ts';
import type { StreamKey } from '../../stream/stream-key.ts';
import type { Located, PackagedLocator } from '../packaged/locator.ts';
import { httpRefusal } from '../packaged/refusal.ts';
import type { ContextAnswer, ViewerContexts } from '../packaged/viewer-context.ts';
import type { Viewers } from '../packaged/viewers.ts';

export interface DashOptions {
  readonly locator: PackagedLocator;
  readonly streams: PackagedStreams;
  readonly viewers: Viewers;
  readonly contexts: ViewerContexts;
  /** Whether connections are to be given up after their answer, so that viewers reach another node. */
  readonly isDraining: () => boolean;
  /** How long a stream that has just begun is waited for; default 10 s. */
  readonly firstMediaMs?: number;
  /** Milliseconds since 1970; default Date.now. */
  readonly now?: () => number;
}

const CONTENT_TYPE = 'application/dash+xml';
const FIRST_MEDIA_MS = 10_000;
/** A viewer that has not asked for so many target durations, and no less than this, has left. */
const KEEP_TARGETS = 3;
const MIN_KEEP_MS = 6_000;
/** The context of a viewer, as of HLS: one name for one thing. */
const CONTEXT = 'hls_ctx';
/** A copy tells an older time of day: this much later players are, who get it from a cache. */
const SHARED = 'public, max-age=1';

/** What was made of a snapshot last. */
interface Known {
  readonly id: string;
  readonly manifest: Manifest;
}

/**
 * Manifests of DASH at the Vhost's `dash.mpdFile`; the files that they name are PackagedFiles'.
 *
 * Where the Vhost has contexts (`hls.ctx`), a manifest tells its reader by Location to ask for it with a fresh one (`hls_ctx`)
 * from then on, and a viewer is counted from its second request. What does not know of Location plays as well, uncounted.
 */
export class Dash {
  readonly #options: DashOptions;
  readonly #known = new WeakMap<PackagingSnapshot, Known>();

  constructor(options: DashOptions) {
    this.#options = options;
  }

  /** Answers GET and HEAD of a manifest; rejects with HttpError. False: the path is no manifest's. */
  handle(request: HttpRequest, response: ServerResponse): boolean | Promise<boolean> {
    const located = this.#options.locator.locate(request);
    if (located?.kind !== 'mpd' || !located.vhost.dash.enabled) return false;
    setSharedCors(request.raw, response, located.vhost.security.cors.allowOrigins);
    return this.#answer(request, response, located).then(() => true);
  }

  async #answer(request: HttpRequest, response: ServerResponse, located: Located): Promise<void> {
    const departure = new Departure(response);
    try {
      const { key, vhost } = located;
      const { contexts, viewers } = this.#options;
      const token = vhost.hls.ctx ? request.query.get(CONTEXT) : null;
      const context = token === null ? undefined : this.#read(token, key);
      if (context?.kind === 'forged') {
        throw new HttpError(403, `this ${CONTEXT} is none of this stream: ask for the manifest without it`);
      }
      const snapshot = await this.#begun(located, departure);
      if (context !== undefined && request.method !== 'HEAD') {
        const keepMs = Math.max(MIN_KEEP_MS, snapshot.targetDurationS * KEEP_TARGETS * 1_000);
        await viewers.enter({ id: context.id, token, protocol: 'dash', key, request, keepMs });
      }
      if (departure.isOver) return;
      let next = token ?? undefined;
      if (context?.kind === 'expired') next = context.renewed;
      else if (context === undefined && vhost.hls.ctx) next = contexts.issue(key);
      this.#send(request, response, located, snapshot, next);
    } catch (error) {
      if (!departure.isOver) throw httpRefusal(error);
    }
  }

  /** What a context says; that of a viewer who is known here needs no proof, and lasts as long as the viewer stays. */
  #read(token: string, key: StreamKey): ContextAnswer {
    const { viewers, contexts } = this.#options;
    const id = viewers.idOf(token, key);
    return id === undefined ? contexts.read(token, key) : { kind: 'valid', id };
  }

  /** A snapshot that there is a manifest of. Rejects with HttpError 404. */
  async #begun({ key }: Located, departure: Departure): Promise<PackagingSnapshot> {
    const name = `${key.app}/${key.stream}`;
    const stream = await this.#options.streams.find(key);
    if (stream === undefined) throw new HttpError(404, `nobody publishes ${name}: ask again when it has begun`);
    const endMs = performance.now() + (this.#options.firstMediaMs ?? FIRST_MEDIA_MS);
    for (let isLast = false; ;) {
      const { snapshot } = stream;
      if (snapshot !== undefined && hasManifest(snapshot) && (isLast || hasAllTracks(snapshot))) return snapshot;
      if (isLast) break;
      await stream.changed(snapshot, Math.max(0, endMs - performance.now()), departure.signal);
      // Without a change the time is over, the viewer gone or the packaging at its end.
      isLast = stream.snapshot === snapshot || stream.snapshot?.isEnded === true;
    }
    throw new HttpError(404, `${name} has begun, but has no segment yet: ask again`, { retryAfterS: 1 });
  }

  #send(
    request: HttpRequest,
    response: ServerResponse,
    { key, path }: Located,
    snapshot: PackagingSnapshot,
    token: string | undefined,
  ): void {
    const { isDraining, viewers, now = Date.now } = this.#options;
    const made = this.#manifest(snapshot, path, vhostQuery(request.query));
    const location = token === undefined ? undefined : here(request, token);
    const body = Buffer.from(manifestText(made, now(), location));
    if (isDraining()) response.setHeader('Connection', 'close');
    response.writeHead(200, {
      'Content-Type': CONTENT_TYPE,
      'Content-Length': body.length,
      'Cache-Control': token === undefined ? SHARED : 'no-store',
    });
    const isHead = request.method === 'HEAD';
    response.end(isHead ? undefined : body);
    viewers.sent(request.raw.socket, key, isHead ? 0 : body.length);
  }

  /** Made once for all who ask for it at one address. */
  #manifest(snapshot: PackagingSnapshot, path: string, query: string): Manifest {
    const id = `${path}${query}`;
    const known = this.#known.get(snapshot);
    if (known?.id === id) return known.manifest;
    const made = manifest(snapshot, { path, query });
    this.#known.set(snapshot, { id, manifest: made });
    return made;
  }
}

/** A track whose first segment is still to come would be missing from the Period for players that have begun. */
function hasAllTracks({ segments, tracks, isEnded }: PackagingSnapshot): boolean {
  if (segments.length >= 2 || isEnded) return true;
  return tracks.every(({ kind }) => segments.some(({ media }) => media[kind] !== undefined));
}

/** The address of this manifest with a context, relative to it: with the request's own parameters. */
function here({ segments, query }: HttpRequest, token: string): string {
  const parameters = new URLSearchParams(query);
  parameters.delete(CONTEXT);
  const kept = parameters.toString();
  return `${encodeURIComponent(segments.at(-1) ?? '')}?${CONTEXT}=${token}${kept === '' ? '' : `&${kept}`}`;
}

/** What files need in their addresses to be found where the manifest was. */
function vhostQuery(query: URLSearchParams): string {
  const name = query.get('vhost') || query.get('domain');
  return name === null || name === '' ? '' : `?vhost=${encodeURIComponent(name)}`;
}
