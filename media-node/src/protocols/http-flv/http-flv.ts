import { randomBytes } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import type { Logger } from 'pino';
import type { VhostConfig } from '#contract/node-config.ts';
import { setCors } from '../../http/cors.ts';
import { EndlessBody } from '../../http/endless-body.ts';
import { HttpError } from '../../http/http-error.ts';
import type { HttpRequest } from '../../http/http-request.ts';
import { StreamError } from '../../stream/errors.ts';
import type { Gate, GateCode } from '../../stream/gate.ts';
import { GateError } from '../../stream/gate.ts';
import { isStreamName } from '../../stream/stream-key.ts';
import { FlvPlayer } from './flv-player.ts';
import { Mount } from './mount.ts';

export interface HttpFlvOptions {
  readonly gate: Gate;
  readonly log: Logger;
}

const HEADERS = { 'Content-Type': 'video/x-flv', 'Cache-Control': 'no-cache, no-store' };

const STATUS: Record<GateCode, number> = {
  'no-vhost': 404,
  busy: 409,
  denied: 403,
  limit: 503,
  'not-here': 404,
  draining: 503,
  unavailable: 503,
};

/**
 * Plays streams as endless FLV files at their Vhost's mount. An HttpServer's fallback: the path decides, so it goes last.
 */
export class HttpFlv {
  readonly #options: HttpFlvOptions;
  /** By template: the Vhosts of a node have few different ones. */
  readonly #mounts = new Map<string, Mount>();

  constructor(options: HttpFlvOptions) {
    this.#options = options;
  }

  /** Answers GET and HEAD; throws HttpError. */
  async handle(request: HttpRequest, response: ServerResponse): Promise<void> {
    const path = request.segments.join('/');
    const host = request.query.get('vhost') || request.query.get('domain') || request.host;
    const { vhost, app, stream: name } = this.#find(host, path);
    setCors(request.raw, response, vhost.security.cors.allowOrigins);
    if (request.method === 'HEAD') {
      response.writeHead(200, { ...HEADERS, Connection: 'close' });
      response.end();
      return;
    }
    const key = { vhost: vhost.name, app, stream: name };
    const id = randomBytes(6).toString('hex');
    const log = this.#options.log.child({ session: id, ip: request.ip });
    const viewing = await this.#options.gate
      .play(key, {
        id,
        protocol: 'flv',
        ip: request.ip,
        tcUrl: `http://${request.raw.headers.host ?? request.host}/${app}`,
        pageUrl: request.raw.headers.referer ?? '',
        param: request.search,
      })
      .catch((error: unknown) => {
        throw refusal(error);
      });
    if (response.destroyed || response.closed) {
      viewing.close?.();
      return;
    }
    const { stream, vhost: decided } = viewing;
    const body = new EndlessBody(request.raw, response, HEADERS);
    const player = new FlvPlayer(body, { id, ip: request.ip, options: decided.play });
    try {
      const playback = stream.play(player);
      log.info({ ...key }, 'play began');
      response.once('close', () => {
        playback.leave();
        viewing.close?.();
        log.info({ ...key, reason: player.endReason, ...playback.stats() }, 'play ended');
      });
    } catch (error) {
      viewing.close?.();
      throw refusal(error);
    }
  }

  /** Which Vhost and stream a path names. Throws HttpError 404. */
  #find(host: string, path: string): { vhost: VhostConfig; app: string; stream: string } {
    const vhost = this.#options.gate.vhost(host);
    if (vhost === undefined) throw new HttpError(404, 'no vhost answers to this host name');
    const match = this.#mount(vhost).match(path);
    if (match === undefined || !isStreamName(match.app) || !isStreamName(match.stream)) {
      throw new HttpError(404, 'there is nothing at this path');
    }
    // The path names the vhost: it decides, provided that vhost's streams are to be found there.
    const named = match.host === undefined ? vhost : this.#options.gate.vhost(match.host);
    if (named === undefined || named.httpRemux.mount !== vhost.httpRemux.mount) {
      throw new HttpError(404, 'no vhost answers to the host name in this path');
    }
    if (!named.httpRemux.enabled) throw new HttpError(404, 'this vhost does not offer HTTP-FLV (httpRemux.enabled)');
    return { vhost: named, app: match.app, stream: match.stream };
  }

  #mount(vhost: VhostConfig): Mount {
    const template = vhost.httpRemux.mount;
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

function refusal(error: unknown): unknown {
  if (error instanceof GateError) {
    const status = STATUS[error.code];
    return new HttpError(status, error.message, { cause: error, ...(status === 503 && { retryAfterS: 1 }) });
  }
  if (error instanceof StreamError) return new HttpError(503, error.message, { cause: error, retryAfterS: 1 });
  return error;
}
