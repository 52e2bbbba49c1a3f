import { randomBytes } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import type { Logger } from 'pino';
import type { VhostConfig } from '#contract/node-config.ts';
import { setCors } from '../../http/cors.ts';
import { EndlessBody } from '../../http/endless-body.ts';
import { HttpError } from '../../http/http-error.ts';
import type { HttpRequest } from '../../http/http-request.ts';
import type { Gate } from '../../stream/gate.ts';
import type { Track } from '../../media/track.ts';
import type { Stream } from '../../stream/stream.ts';
import { isStreamName } from '../../stream/stream-key.ts';
import { httpRefusal } from '../http-refusal.ts';
import { Mount } from './mount.ts';
import type { RemuxFormat } from './remux-format.ts';
import { remuxFormats } from './remux-format.ts';
import { RemuxPlayer } from './remux-player.ts';

export interface HttpRemuxOptions {
  readonly gate: Gate;
  readonly log: Logger;
  /** How long a client waits for the stream's first frame before it gets its headers; default 5 s. */
  readonly headWaitMs?: number;
  /**
   * Whether a path may be that of a segment, of a stream that nobody packages any more: without a first frame in time it is one,
   * and its player is told so instead of being left to wait. Left out: none is.
   */
  readonly mayBeSegment?: (request: HttpRequest) => boolean;
}

const HEAD_WAIT_MS = 5_000;

/**
 * Plays streams as endless files at their Vhost's mount: `.flv` as it is written there, `.ts`, `.aac` and `.mp3` in its
 * place. The path decides, so it goes behind an HttpServer's routes, and behind whoever knows segments by their names.
 */
export class HttpRemux {
  readonly #options: HttpRemuxOptions;
  readonly #formats: ReadonlyMap<string, RemuxFormat>;
  /** By template and ending: the Vhosts of a node have few different ones. */
  readonly #mounts = new Map<string, Mount>();

  constructor(options: HttpRemuxOptions) {
    this.#options = options;
    const formats = remuxFormats((error) => {
      options.log.warn({ code: error.code, fault: error.message }, 'a format cannot carry a frame and leaves it out');
    });
    this.#formats = new Map(formats.map((format) => [format.name, format]));
  }

  /** Answers GET and HEAD; rejects with HttpError, 404 for paths that end as no format does. */
  async handle(request: HttpRequest, response: ServerResponse): Promise<void> {
    const path = request.segments.join('/');
    const format = this.#formats.get(path.slice(path.lastIndexOf('.') + 1));
    if (format === undefined) throw new HttpError(404, 'there is nothing at this path');
    const host = request.query.get('vhost') || request.query.get('domain') || request.host;
    const { vhost, app, stream: name } = this.#find(format, host, path);
    setCors(request.raw, response, vhost.security.cors.allowOrigins);
    const headers = { 'Content-Type': format.contentType, 'Cache-Control': 'no-cache, no-store' };
    // What depends on the stream is told as to GET.
    if (request.method === 'HEAD' && format.fault === undefined) {
      response.writeHead(200, { ...headers, Connection: 'close' });
      response.end();
      return;
    }
    const key = { vhost: vhost.name, app, stream: name };
    const id = randomBytes(6).toString('hex');
    const log = this.#options.log.child({ session: id, ip: request.ip, protocol: format.name });
    const viewing = await this.#options.gate
      .play(key, {
        id,
        protocol: format.name,
        ip: request.ip,
        tcUrl: `http://${request.raw.headers.host ?? request.host}/${app}`,
        pageUrl: request.raw.headers.referer ?? '',
        param: request.search,
      })
      .catch((error: unknown) => {
        throw httpRefusal(error);
      });
    if (response.destroyed || response.closed) {
      viewing.close?.();
      return;
    }
    const { stream, vhost: decided } = viewing;
    let player: RemuxPlayer;
    let body: EndlessBody;
    try {
      body = new EndlessBody(request.raw, response, headers);
      player = new RemuxPlayer(format, body, { id, ip: request.ip, options: decided.play });
      const playback = stream.play(player);
      log.info({ ...key }, 'play began');
      response.once('close', () => {
        playback.leave();
        viewing.close?.();
        log.info({ ...key, reason: player.endReason, ...playback.stats() }, 'play ended');
      });
    } catch (error) {
      viewing.close?.();
      throw httpRefusal(error);
    }
    if (format.fault === undefined) body.begin();
    else await this.#beginWhereItFits(format.fault, stream, { request, player, body, response });
  }

  /**
   * Begins the answer when the stream's tracks are known, at the latest after a while; rejects with HttpError 404 where the
   * format cannot carry them, and where the while is over for what may be a segment.
   */
  async #beginWhereItFits(fault: NonNullable<RemuxFormat['fault']>, stream: Stream, viewer: Viewer): Promise<void> {
    const { request, player, body, response } = viewer;
    const { headWaitMs = HEAD_WAIT_MS, mayBeSegment = () => false } = this.#options;
    const tooLate = new AbortController();
    const waited = setTimeout(() => (mayBeSegment(request) ? tooLate.abort() : body.begin()), headWaitMs);
    const tracks = await tracksAtNextFrame(stream, response, tooLate.signal);
    clearTimeout(waited);
    if (tracks === undefined && !tooLate.signal.aborted) return;
    const reason = tracks === undefined ? NO_SEGMENT : fault(tracks);
    if (reason === undefined) {
      body.begin();
    } else if (body.hasBegun) {
      player.close(reason);
    } else {
      player.endReason ??= reason;
      throw new HttpError(404, reason);
    }
  }

  /** Which Vhost and stream a path names. Throws HttpError 404. */
  #find(format: RemuxFormat, host: string, path: string): { vhost: VhostConfig; app: string; stream: string } {
    const vhost = this.#options.gate.vhost(host);
    if (vhost === undefined) throw new HttpError(404, 'no vhost answers to this host name');
    const match = this.#mount(vhost, format).match(path);
    if (match === undefined || !isStreamName(match.app) || !isStreamName(match.stream)) {
      throw new HttpError(404, 'there is nothing at this path');
    }
    // The path names the vhost: it decides, provided that vhost's streams are to be found there.
    const named = match.host === undefined ? vhost : this.#options.gate.vhost(match.host);
    if (named === undefined || named.httpRemux.mount !== vhost.httpRemux.mount) {
      throw new HttpError(404, 'no vhost answers to the host name in this path');
    }
    if (!named.httpRemux.enabled)
      throw new HttpError(404, 'this vhost offers no streams over HTTP (httpRemux.enabled)');
    return { vhost: named, app: match.app, stream: match.stream };
  }

  #mount(vhost: VhostConfig, { name }: RemuxFormat): Mount {
    const template = vhost.httpRemux.mount.replace(/\.flv$/, `.${name}`);
    let mount = this.#mounts.get(template);
    if (mount === undefined) {
      // Templates of configurations long gone are not worth keeping apart.
      if (this.#mounts.size >= 1_000) this.#mounts.clear();
      mount = new Mount(template);
      this.#mounts.set(template, mount);
    }
    return mount;
  }
}

interface Viewer {
  readonly request: HttpRequest;
  readonly player: RemuxPlayer;
  readonly body: EndlessBody;
  readonly response: ServerResponse;
}

const NO_SEGMENT = 'there is no such segment, and nobody publishes a stream of this name';

/** Those that the next frame belongs to; undefined when the answer or the wait is over before. Tracks without a frame may be old. */
async function tracksAtNextFrame(
  stream: Stream,
  response: ServerResponse,
  tooLate: AbortSignal,
): Promise<readonly Track[] | undefined> {
  const { promise, resolve } = Promise.withResolvers<readonly Track[] | undefined>();
  const ignore = (): void => undefined;
  const onFrame = (): void => resolve(stream.tracks);
  const leave = stream.observe({ onFrame, onTracks: ignore, onMetadata: ignore, onSeam: ignore });
  response.once('close', () => resolve(undefined));
  tooLate.addEventListener('abort', () => resolve(undefined), { once: true });
  try {
    return await promise;
  } finally {
    leave();
  }
}
