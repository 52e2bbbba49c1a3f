import type { ServerResponse } from 'node:http';
import type { PackagingSnapshot } from '#contract/packaging.ts';
import { RENDITIONS } from '#contract/packaging.ts';
import { setSharedCors } from '../../http/cors.ts';
import { Departure } from '../../http/departure.ts';
import type { FileKind } from '../../http/file-answer.ts';
import { answerFile } from '../../http/file-answer.ts';
import { HttpError } from '../../http/http-error.ts';
import type { HttpRequest } from '../../http/http-request.ts';
import type { PackagedStream, PackagedStreams } from '../../packaging/packaged-stream.ts';
import { httpRefusal } from '../http-refusal.ts';
import type { Located, PackagedLocator } from './locator.ts';
import type { Viewers } from './viewers.ts';

export interface PackagedFilesOptions {
  readonly locator: PackagedLocator;
  readonly streams: PackagedStreams;
  readonly viewers: Pick<Viewers, 'sent'>;
  /** Whether connections are to be given up after their answer, so that viewers reach another node. */
  readonly isDraining: () => boolean;
}

/**
 * A name is never given to other bytes: numbers of segments never go back while anybody may remember them. What caches hold
 * on to longer than a playlist lists is of no use.
 */
const KEPT = 'public, max-age=3600, immutable';
const KINDS = {
  ts: { contentType: 'video/mp2t', cacheControl: KEPT },
  video: { contentType: 'video/mp4', cacheControl: KEPT },
  audio: { contentType: 'audio/mp4', cacheControl: KEPT },
  key: { contentType: 'application/octet-stream', cacheControl: 'no-store' },
} as const satisfies Record<string, FileKind>;

/** A part that was announced is awaited for so many target durations. */
const HINT_TARGETS = 3;
/** One that was not, so long: the node that announced it may be ahead of this one. */
const UNKNOWN_PART_MS = 1_000;
/**
 * And the segment after the last one that is listed here, so many target durations: another node may have listed it, and readers
 * that count for themselves, such as ffmpeg's of DASH, ask for it in vain as fast as they can until it is there.
 */
const NEXT_TARGETS = 2;

/** Segments, parts, initialization sections and keys, of HLS and DASH. */
export class PackagedFiles {
  readonly #options: PackagedFilesOptions;
  /** Of Buffers that were answered. */
  readonly #kinds = new WeakMap<Buffer, FileKind>();

  constructor(options: PackagedFilesOptions) {
    this.#options = options;
  }

  /** Answers GET and HEAD of a packaged stream's file; throws and rejects with HttpError. False: the path may be another's. */
  handle(request: HttpRequest, response: ServerResponse): boolean | Promise<boolean> {
    const located = this.#options.locator.locate(request);
    if (located === undefined || located.kind === 'm3u8' || located.kind === 'mpd') return false;
    let stream: ReturnType<PackagedStreams['find']>;
    try {
      stream = this.#options.streams.find(located.key);
    } catch (error) {
      throw httpRefusal(error);
    }
    if (!(stream instanceof Promise)) return stream !== undefined && this.#answer(request, response, located, stream);
    return stream.then(
      (found) => found !== undefined && this.#answer(request, response, located, found),
      (error: unknown) => {
        throw httpRefusal(error);
      },
    );
  }

  #answer(
    request: HttpRequest,
    response: ServerResponse,
    located: Located,
    stream: PackagedStream,
  ): true | Promise<true> {
    setSharedCors(request.raw, response, located.vhost.security.cors.allowOrigins);
    if (this.#options.isDraining()) response.setHeader('Connection', 'close');
    const bytes = isHinted(stream.snapshot, located.path) ? undefined : stream.read(located.path);
    if (bytes !== undefined && !(bytes instanceof Promise))
      return this.#send(request, response, located, stream, bytes);
    return this.#later(request, response, located, stream, bytes);
  }

  /** For what is not in memory, or not there yet. */
  async #later(
    request: HttpRequest,
    response: ServerResponse,
    located: Located,
    stream: PackagedStream,
    reading: Promise<Buffer | undefined> | undefined,
  ): Promise<true> {
    const { path, kind } = located;
    const departure = new Departure(response);
    const startMs = performance.now();
    try {
      let bytes = await reading;
      while (bytes === undefined) {
        const { snapshot } = stream;
        const waitMs = startMs + patienceMs(snapshot, kind, path) - performance.now();
        if (waitMs <= 0 || departure.isOver) break;
        await stream.changed(snapshot, waitMs, departure.signal);
        // The time is over, or the stream is.
        if (stream.snapshot === snapshot) break;
        if (!isToCome(stream.snapshot, path)) bytes = await stream.read(path);
      }
      if (departure.isOver) return true;
      if (bytes !== undefined) return this.#send(request, response, located, stream, bytes);
    } catch (error) {
      throw httpRefusal(error);
    }
    throw new HttpError(404, `${kind} ${path} is not there, or not any more: the playlist tells those that are`);
  }

  #send(request: HttpRequest, response: ServerResponse, located: Located, stream: PackagedStream, bytes: Buffer): true {
    let kind = this.#kinds.get(bytes);
    if (kind === undefined) {
      kind = kindOf(located, stream.snapshot);
      this.#kinds.set(bytes, kind);
    }
    const sent = answerFile(request.raw, response, bytes, kind);
    this.#options.viewers.sent(request.raw.socket, located.key, sent);
    return true;
  }
}

function isHinted(snapshot: PackagingSnapshot | undefined, path: string): boolean {
  const next = snapshot?.nextPart;
  return next !== undefined && (next.video === path || next.audio === path);
}

function isToCome(snapshot: PackagingSnapshot | undefined, path: string): boolean {
  return snapshot !== undefined && (isHinted(snapshot, path) || isNext(snapshot, path));
}

/** Whether it is the segment being written, or named as the one after the last. */
function isNext({ segments, open }: PackagingSnapshot, path: string): boolean {
  const last = open ?? segments.at(-1);
  if (last === undefined) return false;
  return RENDITIONS.some((rendition) => {
    const file = last.media[rendition]?.file;
    return file !== undefined && (open === undefined ? follows(path, file, last.seq) : path === file);
  });
}

/** Whether a path is a segment's file with the next number in place of its own. */
function follows(path: string, file: string, seq: number): boolean {
  const number = `${seq}`;
  for (let at = file.lastIndexOf(number); at >= 0; at = at === 0 ? -1 : file.lastIndexOf(number, at - 1)) {
    if (path === `${file.slice(0, at)}${seq + 1}${file.slice(at + number.length)}`) return true;
  }
  return false;
}

/** How long a file that is not there is waited for, from the request on. */
function patienceMs(snapshot: PackagingSnapshot | undefined, kind: Located['kind'], path: string): number {
  if (snapshot === undefined || snapshot.isEnded) return 0;
  if (kind === 'segment') return isNext(snapshot, path) ? snapshot.targetDurationS * NEXT_TARGETS * 1_000 : 0;
  if (kind !== 'part' || snapshot.partTargetMs === undefined) return 0;
  return isHinted(snapshot, path) ? snapshot.targetDurationS * HINT_TARGETS * 1_000 : UNKNOWN_PART_MS;
}

function kindOf({ kind, path }: Located, snapshot: PackagingSnapshot | undefined): FileKind {
  if (kind === 'key') return KINDS.key;
  if (path.endsWith('.ts')) return KINDS.ts;
  const segments = [...(snapshot?.segments ?? []), ...(snapshot?.open === undefined ? [] : [snapshot.open])];
  const isAudio = segments.some(({ media: { audio } }) => {
    return audio?.file === path || audio?.init?.file === path || audio?.parts.some(({ file }) => file === path);
  });
  return isAudio ? KINDS.audio : KINDS.video;
}
