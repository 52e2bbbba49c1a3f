import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createRequire } from 'node:module';
import { promisify } from 'node:util';

/** A file as it goes over the wire. */
interface Asset {
  readonly contentType: string;
  readonly etag: string;
  readonly plain: Buffer;
  readonly gzip: Buffer;
}

const require = createRequire(import.meta.url);
const ownFile = (name: string) => () => new URL(`../../static/${name}`, import.meta.url);

/** Path → type and place. All that the page ever loads: it needs no network but this node. */
const FILES: Readonly<Record<string, { readonly contentType: string; readonly place: () => string | URL }>> = {
  '/': { contentType: 'text/html; charset=utf-8', place: ownFile('index.html') },
  '/player/player.css': { contentType: 'text/css; charset=utf-8', place: ownFile('player.css') },
  '/player/player.js': { contentType: 'text/javascript; charset=utf-8', place: ownFile('player.js') },
  '/player/flv-engine.js': { contentType: 'text/javascript; charset=utf-8', place: ownFile('flv-engine.js') },
  '/player/hls-engine.js': { contentType: 'text/javascript; charset=utf-8', place: ownFile('hls-engine.js') },
  '/player/logo.svg': { contentType: 'image/svg+xml', place: ownFile('logo.svg') },
  '/player/mpegts.js': {
    contentType: 'text/javascript; charset=utf-8',
    place: () => require.resolve('mpegts.js/dist/mpegts.js'),
  },
  '/player/hls.js': {
    contentType: 'text/javascript; charset=utf-8',
    place: () => require.resolve('hls.js/dist/hls.min.js'),
  },
};

/** The paths that the page takes on the HTTP server. */
export const PLAYER_PATHS: readonly string[] = Object.keys(FILES);

/**
 * Scripts and styles only from the node itself, none inline; media through blob: (Media Source Extensions), or from a node
 * where the browser plays HLS by itself; connections to any node, since the page can play from another one.
 */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  'media-src blob: http: https:',
  "connect-src 'self' http: https:",
  "base-uri 'none'",
  "form-action 'self'",
  "frame-ancestors 'self'",
].join('; ');

export interface PlayerPageOptions {
  /** The port that the page's addresses show; known once the node listens. */
  readonly rtmpPort: () => number;
}

/** The page at `/` that plays a stream. Files are read at their first request and kept. */
export class PlayerPage {
  readonly #options: PlayerPageOptions;
  readonly #assets = new Map<string, Promise<Asset>>();

  constructor(options: PlayerPageOptions) {
    this.#options = options;
  }

  /** Answers GET and HEAD for one of {@link PLAYER_PATHS}. Rejects only before anything was sent. */
  async serve(path: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const asset = await this.#asset(path).catch((error: unknown) => {
      // Tried anew at the next request: a file may be back.
      this.#assets.delete(path);
      throw error;
    });
    const zipped = /\bgzip\b/.test(request.headers['accept-encoding'] ?? '');
    const headers: Record<string, string | number> = {
      'content-type': asset.contentType,
      // Asked again each time, answered with 304: a page of one version never runs with a script of another.
      'cache-control': 'no-cache',
      etag: asset.etag,
      vary: 'accept-encoding',
      'content-security-policy': CONTENT_SECURITY_POLICY,
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
    };
    if (request.headers['if-none-match'] === asset.etag) {
      response.writeHead(304, headers);
      response.end();
      return;
    }
    const body = zipped ? asset.gzip : asset.plain;
    if (zipped) headers['content-encoding'] = 'gzip';
    headers['content-length'] = body.length;
    response.writeHead(200, headers);
    response.end(request.method === 'HEAD' ? undefined : body);
  }

  #asset(path: string): Promise<Asset> {
    let asset = this.#assets.get(path);
    if (asset === undefined) {
      asset = this.#load(path);
      this.#assets.set(path, asset);
    }
    return asset;
  }

  async #load(path: string): Promise<Asset> {
    const file = FILES[path];
    if (file === undefined) throw new Error(`${path} is no file of the player page`);
    let plain = await readFile(file.place());
    if (path === '/') plain = Buffer.from(this.#withPort(plain.toString('utf8')));
    // Compression is loaded with the first page view, not at the node's start.
    const { gzip } = await import('node:zlib');
    const zipped = await promisify(gzip)(plain);
    const etag = `W/"${createHash('sha256').update(plain).digest('base64url').slice(0, 22)}"`;
    return { contentType: file.contentType, etag, plain, gzip: zipped };
  }

  #withPort(html: string): string {
    return html.replace(
      /(<meta name="livecluster-rtmp-port" content=")\d+/,
      (_, head: string) => `${head}${this.#options.rtmpPort()}`,
    );
  }
}
