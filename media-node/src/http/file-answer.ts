import type { IncomingMessage, ServerResponse } from 'node:http';
import { crc32 } from 'node:zlib';

/** How bytes in memory are answered. */
export interface FileKind {
  readonly contentType: string;
  readonly cacheControl: string;
}

/** What was made of a Buffer once, for all who ask for it. */
interface Known {
  readonly kind: FileKind;
  readonly etag: string;
  /** Of a whole answer, as writeHead takes them. */
  readonly headers: readonly string[];
}

/** Buffers are shared and never changed, so what is known of one stays true. */
const known = new WeakMap<Buffer, Known>();

/**
 * Answers GET and HEAD with shared bytes: whole, a single range (RFC 9110 §14), or 304 to who has them (§13). Several ranges
 * at once are answered whole. Synchronous: the response is ended when it returns. Answers the length of the body.
 */
export function answerFile(request: IncomingMessage, response: ServerResponse, bytes: Buffer, kind: FileKind): number {
  let file = known.get(bytes);
  if (file?.kind !== kind) {
    file = describe(bytes, kind);
    known.set(bytes, file);
  }
  const { headers } = request;
  if (headers['if-none-match'] === undefined && headers.range === undefined) {
    response.writeHead(200, file.headers as string[]);
    return end(request, response, bytes);
  }
  const rest = ['Cache-Control', kind.cacheControl, 'ETag', file.etag, 'Accept-Ranges', 'bytes'];
  if (isKnownTo(headers['if-none-match'], file.etag)) {
    response.writeHead(304, rest);
    response.end();
    return 0;
  }
  const range = request.method === 'GET' ? rangeOf(headers, file.etag, bytes.length) : undefined;
  if (range === undefined) {
    response.writeHead(200, file.headers as string[]);
    return end(request, response, bytes);
  }
  if (range === 'unsatisfiable') {
    const text = Buffer.from(`the file has ${bytes.length} bytes: ask for a range of those\n`);
    response.writeHead(416, {
      'Content-Type': 'text/plain; charset=utf-8',
      'Content-Length': text.length,
      'Content-Range': `bytes */${bytes.length}`,
      'Cache-Control': 'no-store',
    });
    response.end(text);
    return text.length;
  }
  const { first, last } = range;
  response.writeHead(206, [
    ...['Content-Type', kind.contentType],
    ...['Content-Length', `${last - first + 1}`],
    ...['Content-Range', `bytes ${first}-${last}/${bytes.length}`],
    ...rest,
  ]);
  return end(request, response, bytes.subarray(first, last + 1));
}

function end(request: IncomingMessage, response: ServerResponse, bytes: Buffer): number {
  if (request.method === 'HEAD') {
    response.end();
    return 0;
  }
  response.end(bytes);
  return bytes.length;
}

/** The same bytes have the same tag on every node. */
function describe(bytes: Buffer, kind: FileKind): Known {
  const etag = `"${bytes.length.toString(36)}-${crc32(bytes).toString(36)}"`;
  const headers = [
    ...['Content-Type', kind.contentType],
    ...['Content-Length', `${bytes.length}`],
    ...['Cache-Control', kind.cacheControl],
    ...['ETag', etag],
    ...['Accept-Ranges', 'bytes'],
  ];
  return { kind, etag, headers };
}

/** RFC 9110 §13.1.2: compared weakly. */
function isKnownTo(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false;
  return ifNoneMatch.split(',').some((each) => {
    const tag = each.trim();
    return tag === '*' || tag === etag || tag === `W/${etag}`;
  });
}

/** The range asked for; undefined: the whole file. */
function rangeOf(
  { range, 'if-range': ifRange }: IncomingMessage['headers'],
  etag: string,
  length: number,
): { readonly first: number; readonly last: number } | 'unsatisfiable' | undefined {
  // A date never matches: the files have none (§13.1.5).
  if (range === undefined || (ifRange !== undefined && ifRange !== etag)) return undefined;
  const match = /^bytes=[ \t]*(\d*)-(\d*)[ \t]*$/i.exec(range);
  const [, from = '', to = ''] = match ?? [];
  if (match === null || (from === '' && to === '')) return undefined;
  if (from === '') {
    const suffix = Number(to);
    if (suffix === 0 || length === 0) return 'unsatisfiable';
    return { first: Math.max(0, length - suffix), last: length - 1 };
  }
  const first = Number(from);
  const last = to === '' ? length - 1 : Math.min(Number(to), length - 1);
  // The end before the beginning is no range at all (§14.1.1); beyond the file it is one that can't be had.
  if (to !== '' && Number(to) < first) return undefined;
  return first >= length ? 'unsatisfiable' : { first, last };
}
