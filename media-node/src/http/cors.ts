import type { IncomingMessage, ServerResponse } from 'node:http';

/** Beside SRS's `*`, by name: browsers do not take `*` for these where credentials are sent. */
const EXPOSED = 'Location, ETag, Link, Content-Length, Content-Range';
const METHODS = 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS';

/**
 * Sets the CORS headers of an answer (Fetch standard §3.2) to a request that has an Origin. `allowOrigins` as in the Vhost:
 * `*` allows all; an origin that is not allowed gets none. Called again, it replaces what it set before.
 */
export function setCors(request: IncomingMessage, response: ServerResponse, allowOrigins: readonly string[]): void {
  const { origin } = request.headers;
  if (origin === undefined) return;
  const allowsAll = allowOrigins.includes('*');
  if (!allowsAll) response.setHeader('Vary', 'Origin');
  if (!allowsAll && !allowOrigins.includes(origin)) {
    response.removeHeader('Access-Control-Allow-Origin');
    return;
  }
  response.setHeader('Access-Control-Allow-Origin', allowsAll ? '*' : origin);
  response.setHeader('Access-Control-Allow-Methods', METHODS);
  // `*` does not cover Authorization.
  const asked = request.headers['access-control-request-headers'];
  response.setHeader('Access-Control-Allow-Headers', asked ?? '*, Authorization');
  response.setHeader('Access-Control-Expose-Headers', EXPOSED);
  response.setHeader('Access-Control-Max-Age', '600');
}

/**
 * The same for answers that caches may give to others: what they keep of a request without an Origin has to do for one with.
 */
export function setSharedCors(
  request: IncomingMessage,
  response: ServerResponse,
  allowOrigins: readonly string[],
): void {
  if (request.headers.origin !== undefined) setCors(request, response, allowOrigins);
  else if (allowOrigins.includes('*')) response.setHeader('Access-Control-Allow-Origin', '*');
  else response.setHeader('Vary', 'Origin');
}
