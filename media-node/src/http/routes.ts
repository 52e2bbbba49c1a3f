import type { ServerResponse } from 'node:http';
import type { HttpRequest } from './http-request.ts';

/** Answers a request; may throw or reject with HttpError. Has to end the response, or keep it on purpose; what it returns is ignored, but awaited. */
export type HttpHandler = (request: HttpRequest, response: ServerResponse) => unknown;

/** What the table knows of a path: a handler with its params, or the methods that the path does have. */
export type RouteMatch =
  | { readonly handler: HttpHandler; readonly params: Readonly<Record<string, string>> }
  | { readonly allow: readonly string[] }
  | undefined;

interface Route {
  readonly pattern: readonly string[];
  readonly methods: Map<string, HttpHandler>;
}

/**
 * Patterns and their handlers. A part `:name` takes any one part, a last part `*` any further ones (joined with `/` in the
 * param `*`). The first pattern added wins. A trailing slash in the request makes no difference. GET answers HEAD too; the
 * method `*` any.
 */
export class RouteTable {
  readonly #routes: Route[] = [];

  add(method: string, pattern: string, handler: HttpHandler): void {
    const parts = pattern.split('/').filter((part) => part !== '');
    const path = parts.join('/');
    const known = this.#routes.find((route) => route.pattern.join('/') === path);
    if (known !== undefined) known.methods.set(method, handler);
    else this.#routes.push({ pattern: parts, methods: new Map([[method, handler]]) });
  }

  find(method: string, segments: readonly string[]): RouteMatch {
    let allow: readonly string[] | undefined;
    for (const { pattern, methods } of this.#routes) {
      const params = match(pattern, segments);
      if (params === undefined) continue;
      const handler = methods.get(method) ?? (method === 'HEAD' ? methods.get('GET') : undefined) ?? methods.get('*');
      if (handler !== undefined) return { handler, params };
      allow ??= [...methods.keys(), ...(methods.has('GET') ? ['HEAD'] : []), 'OPTIONS'];
    }
    return allow === undefined ? undefined : { allow };
  }
}

function match(pattern: readonly string[], segments: readonly string[]): Record<string, string> | undefined {
  const params: Record<string, string> = {};
  for (const [index, part] of pattern.entries()) {
    if (part === '*') {
      params['*'] = segments.slice(index).join('/');
      return params;
    }
    const segment = segments[index];
    if (segment === undefined) return undefined;
    if (part.startsWith(':')) params[part.slice(1)] = segment;
    else if (part !== segment) return undefined;
  }
  return segments.length === pattern.length ? params : undefined;
}
