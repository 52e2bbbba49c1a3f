import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { HttpError } from './http-error.ts';

const MAX_URL_LENGTH = 4_096;

/** A request whose target has been read and found harmless. */
export interface HttpRequest {
  readonly method: string;
  /** The path's parts, percent-decoded; none is empty, `.`, `..` or holds a slash, backslash or NUL. No trailing slash. */
  readonly segments: readonly string[];
  /** Parts that the route's pattern named. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  /** With its leading `?`, or empty; as the client sent it. */
  readonly search: string;
  /** From the Host header, without port; empty where there is none. */
  readonly host: string;
  readonly ip: string;
  readonly raw: IncomingMessage;
}

/** Reads a request's target. Throws HttpError 400 and 414. */
export function readRequest(raw: IncomingMessage): Omit<HttpRequest, 'params'> {
  const target = raw.url ?? '/';
  if (target.length > MAX_URL_LENGTH) throw new HttpError(414, `the URL is longer than ${MAX_URL_LENGTH} characters`);
  // The absolute form (RFC 9112 §3.2.2), which proxies use; `*` is for OPTIONS alone.
  const origin = target.startsWith('/') ? target : target === '*' ? '/' : target.replace(/^https?:\/\/[^/?]*/i, '');
  const mark = origin.indexOf('?');
  const path = mark < 0 ? origin : origin.slice(0, mark);
  const search = mark < 0 ? '' : origin.slice(mark);
  return {
    method: raw.method ?? 'GET',
    segments: path
      .split('/')
      .filter((part, index, all) => part !== '' || (index > 0 && index < all.length - 1))
      .map(decode),
    query: new URLSearchParams(search),
    search,
    host: hostName(raw.headers.host ?? ''),
    ip: ipOf(raw.socket),
    raw,
  };
}

/** The address of a connection's other end; empty when it is gone. */
export function ipOf({ remoteAddress = '' }: Pick<Socket, 'remoteAddress'>): string {
  return remoteAddress.replace(/^::ffff:/, '');
}

function decode(part: string): string {
  let text: string;
  try {
    text = decodeURIComponent(part);
  } catch (cause) {
    throw new HttpError(400, 'the path has a broken percent-encoding', { cause });
  }
  // oxlint-disable-next-line no-control-regex
  if (text === '' || text === '.' || text === '..' || /[/\\\u0000]/.test(text)) {
    throw new HttpError(400, 'the path has a part that is empty, a dot, two dots or holds a slash');
  }
  return text;
}

function hostName(header: string): string {
  if (header.startsWith('[')) return header.slice(1, header.indexOf(']'));
  return header.replace(/:\d*$/, '');
}
