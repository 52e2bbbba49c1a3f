import type { ServerResponse } from 'node:http';
import type { PackagingSnapshot } from '#contract/packaging.ts';
import type { Manifest } from '../../formats/dash-mpd.ts';
import { hasManifest, manifest, manifestText } from '../../formats/dash-mpd.ts';
import type { HttpRequest } from '../../http/http-request.ts';
import type { Located } from '../packaged/locator.ts';
import type { Beginning, PlaylistOptions } from '../packaged/playlist-desk.ts';
import { addressHere, CONTEXT, hasAllTracks, PlaylistDesk, vhostQuery } from '../packaged/playlist-desk.ts';

export interface DashOptions extends PlaylistOptions {
  /** Milliseconds since 1970; default Date.now. */
  readonly wallNow?: () => number;
}

const CONTENT_TYPE = 'application/dash+xml';
/** A copy tells an older time of day: this much later players are, who get it from a cache. */
const SHARED = 'public, max-age=1';

const BEGINNING: Beginning = {
  isPlayable: hasManifest,
  isWhole: hasAllTracks,
  mend: 'no key frame has come, or its codecs are none of MP4',
};

/**
 * Of a stream that ended, the manifest becomes static so many target durations after somebody was first told of the end: by then
 * those who watched it have read that, and have come near it themselves.
 */
const END_TARGETS = 4;
/** Or when the last segment is so old: nobody here watched it. */
const LONG_OVER_MS = 60_000;

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
  readonly #desk: PlaylistDesk;
  readonly #known = new WeakMap<PackagingSnapshot, Known>();
  /** When somebody was first told that a stream ended, by the clock that only rises. */
  readonly #told = new WeakMap<PackagingSnapshot, number>();

  constructor(options: DashOptions) {
    this.#options = options;
    this.#desk = new PlaylistDesk(options, 'dash');
  }

  /** Answers GET and HEAD of a manifest; rejects with HttpError. False: the path is no manifest's. */
  handle(request: HttpRequest, response: ServerResponse): boolean | Promise<boolean> {
    const located = this.#options.locator.locate(request);
    if (located?.kind !== 'mpd' || !located.vhost.dash.enabled) return false;
    const { key, vhost } = located;
    const desk = this.#desk;
    return desk.answer(request, response, located, async (departure) => {
      const context = desk.contextOf(request, located);
      const { snapshot } = await desk.begun(located, departure, BEGINNING);
      if (context !== undefined) await desk.enter(context, request, key, snapshot);
      if (departure.isOver) return;
      let next = context?.token;
      if (context?.kind === 'expired') next = context.renewed;
      else if (context === undefined && vhost.hls.ctx) next = desk.issue(key);
      this.#send(request, response, located, snapshot, next);
    });
  }

  #send(
    request: HttpRequest,
    response: ServerResponse,
    { key, path }: Located,
    snapshot: PackagingSnapshot,
    token: string | undefined,
  ): void {
    const { viewers, wallNow = Date.now } = this.#options;
    const made = this.#manifest(snapshot, path, vhostQuery(request.query));
    const location = token === undefined ? undefined : addressHere(request, { [CONTEXT]: token });
    const body = Buffer.from(manifestText(made, wallNow(), location));
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
    const isStatic = this.#isOver(snapshot);
    const id = `${path}${query} ${isStatic}`;
    const known = this.#known.get(snapshot);
    if (known?.id === id) return known.manifest;
    const made = manifest(snapshot, { path, query, isStatic });
    this.#known.set(snapshot, { id, manifest: made });
    return made;
  }

  #isOver(snapshot: PackagingSnapshot): boolean {
    const { isEnded, segments, targetDurationS } = snapshot;
    if (!isEnded) return false;
    const nowMs = this.#desk.now();
    const toldMs = this.#told.get(snapshot) ?? nowMs;
    this.#told.set(snapshot, toldMs);
    const { wallNow = Date.now } = this.#options;
    const lastMs = segments.at(-1)?.programDateTimeMs ?? 0;
    return nowMs - toldMs >= END_TARGETS * targetDurationS * 1_000 || wallNow() - lastMs > LONG_OVER_MS;
  }
}
