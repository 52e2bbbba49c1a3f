import type { Logger } from 'pino';
import type { ChainedHandler } from '../../http/chain.ts';
import type { HttpRequest } from '../../http/http-request.ts';
import type { PackagedStreams } from '../../packaging/packaged-stream.ts';
import type { ViewerSessions } from '../../packaging/viewer-sessions.ts';
import type { Gate } from '../../stream/gate.ts';
import { Dash } from '../dash/dash.ts';
import { Hls } from '../hls/hls.ts';
import { PackagedLocator } from './locator.ts';
import { PackagedFiles } from './packaged-files.ts';
import { ViewerContexts } from './viewer-context.ts';
import { Viewers } from './viewers.ts';

export interface PackagedHttpOptions {
  readonly gate: Gate;
  readonly streams: PackagedStreams;
  readonly sessions: ViewerSessions;
  /** The cluster's shared secret: contexts are signed with a key made from it. */
  readonly secret: Buffer;
  /** Whether connections are to be given up after their answer, so that viewers reach another node. */
  readonly isDraining: () => boolean;
  readonly log: Logger;
}

/** All that viewers of segments ask of the HTTP port: files, HLS, DASH, with one table of viewers. */
export class PackagedHttp {
  readonly viewers: Viewers;
  /** To be asked in this order. */
  readonly handlers: readonly ChainedHandler[];
  readonly #locator: PackagedLocator;

  constructor({ gate, streams, sessions, secret, isDraining, log }: PackagedHttpOptions) {
    this.viewers = new Viewers({ gate, sessions, log });
    const locator = new PackagedLocator(gate);
    this.#locator = locator;
    const parts = { locator, streams, viewers: this.viewers, contexts: new ViewerContexts(secret), isDraining };
    const [files, hls, dash] = [new PackagedFiles(parts), new Hls(parts), new Dash(parts)];
    this.handlers = [
      (request, response) => files.handle(request, response),
      (request, response) => hls.handle(request, response),
      (request, response) => dash.handle(request, response),
    ];
  }

  /** Whether a path is that of a file of segments by its Vhost's templates, be there such a stream or not. */
  isFile(request: HttpRequest): boolean {
    const kind = this.#locator.locate(request)?.kind;
    return kind !== undefined && kind !== 'm3u8' && kind !== 'mpd';
  }

  /** Every viewer leaves; idempotent. */
  close(reason: string): void {
    this.viewers.close(reason);
  }
}
