import { VHOST_DEFAULTS, VhostConfig } from '#contract/node-config.ts';
import { BenchProcess } from './processes.ts';
import { benchVhost } from './product.ts';
import { LOAD_CORE } from './settings.ts';
import { tools } from './tools.ts';

/* Viewers of HLS: bench/load/hls-client.c behind its lines of text. */

/** A Vhost for every host that packages as one does which says nothing of it, but for `more`. */
export function hlsVhost(more: Partial<VhostConfig> = {}): VhostConfig {
  return VhostConfig.parse({ ...benchVhost(), hls: VHOST_DEFAULTS.hls, ...more });
}

/** What the viewers got between begin and end. */
export interface HlsReport {
  readonly viewers: number;
  /** Viewers whose every answer was whole, and that missed no segment. */
  readonly full: number;
  readonly seconds: number;
  /** Bodies of playlists and segments. */
  readonly bytes: number;
  readonly segments: number;
  readonly playlists: number;
  readonly missed: number;
  /** Share of its core that the client used. */
  readonly cpuShare: number;
  /** What some viewer suffered, if not all were full. */
  readonly fault: string | null;
}

export interface HlsViewersOptions {
  readonly port: number;
  readonly viewers: number;
  /** Of the playlist that is asked for first; default that of stream `live/stream`. */
  readonly path?: string;
  /** Ask for the listed segments in turn, without a pause; otherwise as a player does. */
  readonly isAgain?: boolean;
}

export class HlsViewers {
  readonly process: BenchProcess;

  private constructor(process: BenchProcess) {
    this.process = process;
  }

  /** Resolves when every viewer has got a segment. */
  static async start({ port, viewers, path = '/live/stream.m3u8', isAgain }: HlsViewersOptions): Promise<HlsViewers> {
    const args = ['--port', String(port), '--viewers', String(viewers), '--path', path];
    if (isAgain) args.push('--again');
    const client = new HlsViewers(new BenchProcess('the HLS client', LOAD_CORE, tools()['hls-client'], args));
    try {
      await client.process.line((line) => line === 'ready');
    } catch (error) {
      await client.process.close();
      throw error;
    }
    return client;
  }

  begin(): void {
    this.process.say('begin');
  }

  async end(): Promise<HlsReport> {
    this.process.say('end');
    return JSON.parse(await this.process.line((line) => line.startsWith('{'))) as HlsReport;
  }
}

/** A media playlist and what it lists, as any viewer may read it. */
export interface ListedSegments {
  /** The media playlist's own text. */
  readonly playlist: string;
  /** Addresses of its segments, and the paths below the root that they have. */
  readonly segments: readonly { readonly url: URL; readonly path: string }[];
}

/** Reads a stream's playlist on an HTTP port, through its multivariant playlist where there is one. */
export async function readPlaylist(port: number, path = '/live/stream.m3u8'): Promise<ListedSegments> {
  let url = new URL(path, `http://127.0.0.1:${port}`);
  for (;;) {
    const response = await fetch(url);
    const playlist = await response.text();
    if (!response.ok) throw new Error(`${url.pathname} was answered ${response.status}: ${playlist.trim()}`);
    const lines = playlist.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    const urls = lines.map((line) => new URL(line, url));
    if (!playlist.includes('#EXT-X-STREAM-INF')) {
      return { playlist, segments: urls.map((each) => ({ url: each, path: each.pathname })) };
    }
    if (urls[0] === undefined) throw new Error(`${url.pathname} lists nothing`);
    url = urls[0];
  }
}
