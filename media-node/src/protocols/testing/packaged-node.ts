import { request } from 'node:http';
import type { Agent, IncomingHttpHeaders, RequestOptions } from 'node:http';
import { VHOST_DEFAULTS } from '#contract/node-config.ts';
import type { VhostConfig } from '#contract/node-config.ts';
import type { SnapshotShape } from '#contract/testing/packaging.ts';
import { snapshotOf } from '#contract/testing/packaging.ts';
import { chain } from '../../http/chain.ts';
import { HttpError } from '../../http/http-error.ts';
import { HttpServer } from '../../http/http-server.ts';
import { ConnectionLimit } from '../../lib/connection-limit.ts';
import { LocalViewerSessions } from '../../packaging/viewer-sessions.ts';
import { Hls } from '../hls/hls.ts';
import { PackagedLocator } from '../packaged/locator.ts';
import { PackagedFiles } from '../packaged/packaged-files.ts';
import { ViewerContexts } from '../packaged/viewer-context.ts';
import { Viewers } from '../packaged/viewers.ts';
import type { FakePackagedStream } from './fake-packaged.ts';
import { FakePackagedStreams } from './fake-packaged.ts';
import { MemoryGate, vhostOf } from './memory-gate.ts';
import { LOG } from './test-node.ts';

function hls(settings: Partial<VhostConfig['hls']>): Partial<VhostConfig> {
  return { hls: { ...VHOST_DEFAULTS.hls, ...settings } };
}

/** Answer to a request, as far as tests look at it. */
export interface Got {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** What a request is besides its path. */
export interface Asked {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly agent?: Agent;
  readonly localAddress?: string;
  readonly signal?: AbortSignal;
}

/** One request, its answer as text. */
export function ask(options: RequestOptions): Promise<Got> {
  const { promise, resolve, reject } = Promise.withResolvers<Got>();
  const asked = request(options, (response) => {
    let body = '';
    response.on('data', (bytes: Buffer) => (body += bytes.toString()));
    response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
  });
  asked.on('error', reject);
  asked.end();
  return promise;
}

/** Header of requests to the Vhost of fragmented MP4. */
export const FMP4 = { Host: 'fmp4.example' };
/** Three segments from number 4 on. */
export const TS: SnapshotShape = { renditions: ['ts'], durationsMs: [2_000, 2_000, 2_000], firstSeq: 4 };
/** The same with parts, the first of segment 7 among them. */
export const LOW: SnapshotShape = {
  renditions: ['video', 'audio'],
  durationsMs: [1_000, 1_000, 1_000],
  firstSeq: 4,
  partTargetMs: 500,
  openParts: 1,
};

const DEFAULT = '__defaultVhost__';

/** HLS and files on loopback, of streams that the test packages by hand, on clocks that it moves. */
export class PackagedNode {
  /** Milliseconds since 1970 by the node's clock. */
  nowMs = Date.UTC(2026, 0, 1);
  /** How far the clock that only rises is ahead. */
  aheadMs = 0;
  isDraining = false;
  port = 0;
  readonly gate = new MemoryGate([
    vhostOf(DEFAULT, [DEFAULT]),
    vhostOf('fmp4', ['fmp4.example'], hls({ container: 'fmp4' })),
    vhostOf('plain', ['plain.example'], hls({ ctx: false, container: 'fmp4' })),
    vhostOf('off', ['off.example'], hls({ enabled: false })),
    vhostOf('strict', ['strict.example'], { security: { cors: { allowOrigins: ['https://a.example'] } } }),
  ]);
  readonly streams = new FakePackagedStreams();
  readonly sessions = new LocalViewerSessions();
  readonly viewers = new Viewers({
    gate: this.gate,
    sessions: this.sessions,
    log: LOG,
    now: () => this.nowMs,
    maxVisits: 50,
  });
  readonly #http = new HttpServer({ limit: new ConnectionLimit(1_000), log: LOG });
  #made = 0;

  async start(): Promise<void> {
    const { gate, streams, viewers } = this;
    const parts = { locator: new PackagedLocator(gate), streams, viewers, isDraining: () => this.isDraining };
    const files = new PackagedFiles(parts);
    const playlists = new Hls({
      ...parts,
      contexts: new ViewerContexts(Buffer.from('secret'), () => this.nowMs),
      firstMediaMs: 200,
      now: () => this.aheadMs + performance.now(),
    });
    this.#http.fallback(
      chain([(...args) => files.handle(...args), (...args) => playlists.handle(...args)], () => {
        throw new HttpError(404, 'the next handler');
      }),
    );
    this.port = await this.#http.listen(0, '127.0.0.1');
  }

  close(): void {
    this.viewers.close('the test is over');
    this.gate.registry.close('the test is over');
    this.#http.close();
  }

  get(path: string, { method = 'GET', headers = {}, ...rest }: Asked = {}): Promise<Got> {
    return ask({ port: this.port, host: '127.0.0.1', path, method, headers, ...rest });
  }

  /** A stream of its own for each test: its name, and what packages it. */
  publish(shape: SnapshotShape | undefined, vhost = DEFAULT): { name: string; stream: FakePackagedStream } {
    const name = `s${this.#made++}`;
    const snapshot = shape && snapshotOf({ ...shape, stem: `live/${name}` });
    return { name, stream: this.streams.add({ vhost, app: 'live', stream: name }, snapshot) };
  }

  /** The address of a stream's first media playlist, with a context of its own. */
  async mediaOf(name: string, headers: Record<string, string> = {}): Promise<string> {
    const { body } = await this.get(`/live/${name}.m3u8`, { headers });
    return `/live/${playlistsOf(body)[0]}`;
  }

  /** Undefined where nobody has ever played it. */
  viewersOf(name: string, vhost = DEFAULT): number | undefined {
    return this.gate.registry.get({ vhost, app: 'live', stream: name })?.stats().viewers.hls;
  }
}

/** The addresses of the media playlists that a multivariant playlist names, video or TS first. */
export function playlistsOf(multivariant: string): string[] {
  const audio = [...multivariant.matchAll(/URI="([^"]+)"/g)].map(([, uri]) => uri!);
  return [...multivariant.split('\n').filter((line) => line !== '' && !line.startsWith('#')), ...audio];
}
