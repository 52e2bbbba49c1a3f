import type { ServerResponse } from 'node:http';
import type { HttpRequest } from './http-request.ts';
import type { HttpHandler } from './routes.ts';

/** Answers a request if it is its own: false, or a promise of false, where another handler may know it. */
export type ChainedHandler = (request: HttpRequest, response: ServerResponse) => boolean | Promise<boolean>;

/** Asks one handler after the other until one knows the request; the last takes what is left. */
export function chain(handlers: readonly ChainedHandler[], last: HttpHandler): HttpHandler {
  const from = (index: number, request: HttpRequest, response: ServerResponse): unknown => {
    for (let at = index; at < handlers.length; at++) {
      const isIts = handlers[at]!(request, response);
      if (isIts === true) return undefined;
      if (isIts !== false) return isIts.then((is) => (is ? undefined : from(at + 1, request, response)));
    }
    return last(request, response);
  };
  return (request, response) => from(0, request, response);
}
