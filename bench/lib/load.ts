import { BenchProcess } from './processes.ts';
import type { MediaServer } from './servers.ts';
import { LOAD_CORE } from './settings.ts';
import { tools } from './tools.ts';

/* The sources and viewers of a run: bench/load/publisher.c and load-client.c behind their lines of text. */

/** What the publisher says at its end. */
export interface PublisherReport {
  readonly streams: number;
  readonly seconds: number;
  readonly videoFrames: number;
  readonly audioFrames: number;
  /** How far behind its due time the latest message was handed to the socket. */
  readonly latestMs: number;
  /** The most that a socket did not take at once, and what was not taken by the server at the end. */
  readonly mostBacklogBytes: number;
  readonly unsentBytes: number;
  readonly cpuShare: number;
}

/** What the viewers got between begin and end. */
export interface ViewersReport {
  readonly viewers: number;
  /** Viewers that got every frame at full rate. */
  readonly full: number;
  readonly seconds: number;
  readonly videoFrames: number;
  readonly bytes: number;
  readonly kbpsEach: number;
  readonly lost: number;
  readonly repeated: number;
  readonly timeSteps: number;
  /** From the publisher's write of a video frame to the viewer's read. */
  readonly latencyMs: { readonly p50: number; readonly p95: number; readonly p99: number; readonly max: number };
  /** Longest time between two video frames of one viewer. */
  readonly worstGapMs: number;
  /** Viewers that never read and are still connected. */
  readonly neverReadAlive: number;
  /** Share of its core that the load client used. */
  readonly cpuShare: number;
  /** What some viewer suffered, if not all were full. */
  readonly fault: string | null;
}

export interface ViewersOptions {
  readonly viewers: number;
  readonly protocol?: 'rtmp' | 'flv';
  readonly stream?: string;
  /** Spread over so many streams, as a publisher of several names them. */
  readonly streams?: number;
  readonly neverRead?: number;
  readonly waitOnly?: boolean;
  readonly tls?: boolean;
  /** Media that a full viewer may be short of at the end: what a window holds back, and then some. */
  readonly slackMs?: number;
}

/** Streams are `name`, or with several `name-0`, `name-1` and so on. */
export interface PublishedNames {
  /** May name a Vhost, as SRS does: `live?vhost=name`. */
  readonly app?: string;
  readonly name?: string;
}

export class Publisher {
  readonly process: BenchProcess;

  private constructor(process: BenchProcess) {
    this.process = process;
  }

  static async start(
    { rtmpPort }: Pick<MediaServer, 'rtmpPort'>,
    streams = 1,
    { app = 'live', name = 'stream' }: PublishedNames = {},
  ): Promise<Publisher> {
    const args = ['--port', String(rtmpPort), '--streams', String(streams), '--app', app, '--stream', name];
    const publisher = new Publisher(new BenchProcess('the publisher', LOAD_CORE, tools().publisher, args));
    await publisher.process.line((line) => line === 'ready');
    return publisher;
  }

  async end(): Promise<PublisherReport> {
    this.process.say('end');
    return JSON.parse(await this.process.line((line) => line.startsWith('{'))) as PublisherReport;
  }
}

export class Viewers {
  readonly process: BenchProcess;

  private constructor(process: BenchProcess) {
    this.process = process;
  }

  /** Resolves when every viewer has got video (`waitOnly`: has been told that it plays). */
  static async start(server: MediaServer, options: ViewersOptions): Promise<Viewers> {
    const { viewers, protocol = 'rtmp', stream = 'stream', streams = 0 } = options;
    const { neverRead = 0, waitOnly, tls, slackMs = 1_000 } = options;
    const rtmpPort = tls ? server.rtmpsPort : server.rtmpPort;
    const port = protocol === 'rtmp' ? rtmpPort : server.httpPort;
    if (port === undefined) throw new Error(`${server.name} has no ${protocol}${tls ? ' over TLS' : ''}`);
    const args = ['--port', String(port), '--protocol', protocol, '--viewers', String(viewers), '--stream', stream];
    args.push('--streams', String(streams));
    args.push('--never-read', String(neverRead), '--slack-ms', String(slackMs));
    if (waitOnly) args.push('--wait-only');
    if (tls) args.push('--tls');
    const client = new Viewers(new BenchProcess('the load client', LOAD_CORE, tools()['load-client'], args));
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

  async end(): Promise<ViewersReport> {
    this.process.say('end');
    return JSON.parse(await this.process.line((line) => line.startsWith('{'))) as ViewersReport;
  }
}
