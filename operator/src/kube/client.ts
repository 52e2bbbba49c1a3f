import type { KubeConfig } from '@kubernetes/client-node';
import type { Clock } from '../runtime/clock.ts';
import { systemClock } from '../runtime/clock.ts';
import { Connection } from './connection.ts';
import { HttpCaller } from './http-caller.ts';
import type { Call } from './http-caller.ts';
import { isKubeError, isRecord, KubeError } from './kube-error.ts';
import type { KubeList, KubeObject, ObjectRef, ObjectType, WatchEvent } from './object.ts';
import { refOf } from './object.ts';
import { pathOf } from './resource.ts';
import { readWatch } from './watch-stream.ts';

/** Options of every call. */
export interface CallOptions {
  /** Deadline of the whole call, answer's body included; 30 s unless told. Then KubeError `timeout`. */
  readonly timeoutMs?: number;
  /** Ends the call with KubeError `aborted`. */
  readonly signal?: AbortSignal;
}

/** Which objects of a kind. Selectors as kubectl takes them: `a=b,c!=d`, `metadata.name=x`. */
export interface Selection {
  /** Without it: all namespaces. */
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
}

/** Options of `list`. */
export interface ListOptions extends CallOptions, Selection {
  /** Objects a page; 500 unless told. */
  readonly pageSize?: number;
}

/** Options of server-side apply. */
export interface ApplyOptions extends CallOptions {
  readonly fieldManager: string;
  /** Takes fields over from other managers; true unless told. False: KubeError `conflict` names them. */
  readonly force?: boolean;
}

/** Options of `delete`. */
export interface DeleteOptions extends CallOptions {
  /** `Background` unless told. */
  readonly propagationPolicy?: 'Background' | 'Foreground' | 'Orphan';
  /** Only this very object, in this very version; otherwise KubeError `conflict`. */
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string };
  readonly gracePeriodSeconds?: number;
}

/** A patch: JSON merge patch (RFC 7386), JSON patch (RFC 6902) or Kubernetes' strategic merge. */
export type Patch =
  | { readonly type: 'merge' | 'strategic'; readonly body: Readonly<Record<string, unknown>> }
  | { readonly type: 'json'; readonly body: readonly Readonly<Record<string, unknown>>[] };

/** Options of `patch`. */
export interface PatchOptions extends CallOptions {
  readonly fieldManager?: string;
  readonly subresource?: 'status' | 'scale';
}

/** Options of `watch`. */
export interface WatchOptions extends Selection {
  /** Where to go on from: of a list, or of the last event or bookmark. */
  readonly resourceVersion: string;
  /** The server ends the watch after so long; 300 unless told. */
  readonly timeoutSeconds?: number;
  /** Deadline of the answer's head; 30 s unless told. The stream itself has none. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** Options of a KubeClient. */
export interface KubeClientOptions {
  /** Whom to talk to, and as whom: `loadFromDefault()` reads KUBECONFIG, ~/.kube/config or the pod's service account. */
  readonly config: KubeConfig;
  readonly clock?: Clock;
  /** `livecluster-operator` unless told. */
  readonly userAgent?: string;
}

/** Asked before each write; false stops it with KubeError `not-leader`. */
export type WriteGuard = () => boolean;

const PAGE_SIZE = 500;
const GUARDED_WRITE_TIMEOUT_MS = 5000;

const PATCH_TYPES = {
  merge: 'application/merge-patch+json',
  json: 'application/json-patch+json',
  strategic: 'application/strategic-merge-patch+json',
} as const;

/**
 * The Kubernetes API in raw JSON: what goes in is what goes over the wire, what comes back is what is returned; no typed
 * model in between drops a field it does not know. Every method rejects with KubeError and with nothing else. No method
 * retries (but once after a 401): work queue, reflector and lease each do that in their own rhythm.
 */
export class KubeClient {
  readonly #http: HttpCaller;
  readonly #guard: WriteGuard | undefined;

  /** Use `createKubeClient`. */
  constructor(http: HttpCaller, guard?: WriteGuard) {
    this.#http = http;
    this.#guard = guard;
  }

  /**
   * The same client, on the same connections, whose writes are asked for leave first: `() => lease.isWriteAllowed()`.
   * They time out after 5 s at most: leave ends 10 s after the last renewal, and a successor can begin 15 s after it.
   */
  withWriteGuard(guard: WriteGuard): KubeClient {
    return new KubeClient(this.#http, guard);
  }

  /** Reads an object; KubeError `not-found` if there is none. */
  async get<T extends KubeObject = KubeObject>(ref: ObjectRef, options: CallOptions = {}): Promise<T> {
    return asObject<T>(await this.#http.call({ method: 'GET', path: pathOf(ref, ref), ...options }), ref);
  }

  /** Reads an object; undefined if there is none. */
  async find<T extends KubeObject = KubeObject>(ref: ObjectRef, options: CallOptions = {}): Promise<T | undefined> {
    try {
      return await this.get<T>(ref, options);
    } catch (error) {
      if (isKubeError(error, 'not-found')) return undefined;
      throw error;
    }
  }

  /** Reads all objects of a kind, page by page; a list that expires half-way (410) is read again in one go. */
  async list<T extends KubeObject = KubeObject>(type: ObjectType, options: ListOptions = {}): Promise<KubeList<T>> {
    try {
      return await this.#listPages<T>(type, options, options.pageSize ?? PAGE_SIZE);
    } catch (error) {
      if (!isKubeError(error, 'gone')) throw error;
      return await this.#listPages<T>(type, options, undefined);
    }
  }

  /** Creates an object; KubeError `already-exists`. Returns it as stored. */
  async create<T extends KubeObject>(
    object: T,
    options: CallOptions & { readonly fieldManager?: string } = {},
  ): Promise<T> {
    const ref = refOf(object);
    const path = pathOf(ref, { namespace: this.#namespaceOf(ref) });
    return asObject<T>(
      await this.#write({ method: 'POST', path, body: object, ...options, query: managed(options) }),
      ref,
    );
  }

  /** Puts an object in the place of the stored one; KubeError `conflict` unless metadata.resourceVersion is current. */
  async replace<T extends KubeObject>(
    object: T,
    options: CallOptions & { readonly fieldManager?: string } = {},
  ): Promise<T> {
    const ref = refOf(object);
    return asObject<T>(
      await this.#write({ method: 'PUT', path: pathOf(ref, ref), body: object, ...options, query: managed(options) }),
      ref,
    );
  }

  /**
   * Server-side apply: creates the object, or sets exactly the fields given and takes away those that this manager gave
   * before and gives no more; others' fields stay. A field that the server does not know is an error, not dropped.
   */
  apply<T extends KubeObject>(object: T, options: ApplyOptions): Promise<T> {
    return this.#apply(object, undefined, options);
  }

  /** Server-side apply of the status subresource. Give it apiVersion, kind, metadata (name, namespace) and status only. */
  applyStatus<T extends KubeObject>(object: T, options: ApplyOptions): Promise<T> {
    return this.#apply(object, 'status', options);
  }

  /** Patches an object or a subresource of it. Returns what the server answers: for `scale` a Scale. */
  async patch<T extends KubeObject = KubeObject>(ref: ObjectRef, patch: Patch, options: PatchOptions = {}): Promise<T> {
    const path = pathOf(ref, { namespace: ref.namespace, name: ref.name, subresource: options.subresource });
    const contentType = PATCH_TYPES[patch.type];
    return asObject<T>(
      await this.#write({ method: 'PATCH', path, body: patch.body, contentType, ...options, query: managed(options) }),
      ref,
    );
  }

  /** Deletes an object. Resolves when the server has taken it up: it can still be there, terminating. `not-found` throws. */
  async delete(ref: ObjectRef, options: DeleteOptions = {}): Promise<void> {
    const { propagationPolicy = 'Background', preconditions, gracePeriodSeconds } = options;
    const body = {
      apiVersion: 'v1',
      kind: 'DeleteOptions',
      propagationPolicy,
      ...(preconditions ? { preconditions } : {}),
      ...(gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }),
    };
    await this.#write({ method: 'DELETE', path: pathOf(ref, ref), body, ...options });
  }

  /**
   * Watches a kind, bookmarks included. Ends when the server ends it; throws KubeError `gone` when resourceVersion is too
   * old, and any other on failure. One connection: Reflector is what keeps up with a kind for good. Leaving the loop
   * closes the connection.
   */
  watch<T extends KubeObject = KubeObject>(
    type: ObjectType,
    options: WatchOptions,
  ): AsyncGenerator<WatchEvent<T>, void, undefined> {
    const { resourceVersion, timeoutSeconds = 300, signal, timeoutMs } = options;
    const query = {
      ...selectors(options),
      watch: 'true',
      allowWatchBookmarks: 'true',
      resourceVersion,
      timeoutSeconds: String(timeoutSeconds),
    };
    return readWatch<T>(this.#http, {
      path: pathOf(type, { namespace: options.namespace }),
      query,
      ...(signal ? { signal } : {}),
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    });
  }

  /** Cuts every connection; calls under way, and later ones, reject with KubeError `aborted`. */
  close(reason: string): void {
    this.#http.close(reason);
  }

  async #listPages<T extends KubeObject>(
    type: ObjectType,
    options: ListOptions,
    pageSize: number | undefined,
  ): Promise<KubeList<T>> {
    const path = pathOf(type, { namespace: options.namespace });
    const items: T[] = [];
    let next = '';
    for (;;) {
      const query = {
        ...selectors(options),
        ...(pageSize === undefined ? {} : { limit: String(pageSize) }),
        ...(next ? { continue: next } : {}),
      };
      const page = asPage<T>(await this.#http.call({ method: 'GET', path, ...options, query }), type, path);
      items.push(...page.items);
      // The same token again would be a loop without end.
      if (!page.next || page.next === next) return { resourceVersion: page.resourceVersion, items };
      next = page.next;
    }
  }

  async #apply<T extends KubeObject>(object: T, subresource: 'status' | undefined, options: ApplyOptions): Promise<T> {
    const ref = refOf(object);
    const { fieldManager, force = true } = options;
    return asObject<T>(
      await this.#write({
        method: 'PATCH',
        path: pathOf(ref, { namespace: ref.namespace, name: ref.name, subresource }),
        // JSON is YAML: the body needs no other encoder.
        contentType: 'application/apply-patch+yaml',
        body: object,
        ...options,
        query: { fieldManager, force: String(force), fieldValidation: 'Strict' },
      }),
      ref,
    );
  }

  #write(call: Call): Promise<unknown> {
    if (!this.#guard) return this.#http.call(call);
    if (!this.#guard()) {
      const message = `${call.method} ${call.path} was not sent: this operator does not hold the leader lease`;
      return Promise.reject(new KubeError('not-leader', message));
    }
    const timeoutMs = Math.min(call.timeoutMs ?? GUARDED_WRITE_TIMEOUT_MS, GUARDED_WRITE_TIMEOUT_MS);
    return this.#http.call({ ...call, timeoutMs });
  }

  /** Checks, by asking for the object's own path, that a namespaced object has a namespace. */
  #namespaceOf(ref: ObjectRef): string | undefined {
    pathOf(ref, ref);
    return ref.namespace;
  }
}

/** Makes a client. Connects on the first call. */
export function createKubeClient(options: KubeClientOptions): KubeClient {
  const { config, clock = systemClock, userAgent = 'livecluster-operator' } = options;
  return new KubeClient(new HttpCaller(new Connection(config, clock), clock, userAgent));
}

function managed(options: { readonly fieldManager?: string }): Record<string, string> {
  return options.fieldManager === undefined ? {} : { fieldManager: options.fieldManager };
}

function selectors(selection: Selection): Record<string, string> {
  const { labelSelector, fieldSelector } = selection;
  return { ...(labelSelector ? { labelSelector } : {}), ...(fieldSelector ? { fieldSelector } : {}) };
}

function asObject<T extends KubeObject>(body: unknown, ref: ObjectRef): T {
  if (isRecord(body) && isRecord(body['metadata']) && typeof body['metadata']['name'] === 'string')
    return body as never;
  const message = `The answer for ${ref.kind} ${ref.name} is no Kubernetes object: is this address an API server's?`;
  throw new KubeError('bad-response', message);
}

function asPage<T extends KubeObject>(
  body: unknown,
  type: ObjectType,
  path: string,
): { items: T[]; resourceVersion: string; next: string } {
  const metadata = isRecord(body) && isRecord(body['metadata']) ? body['metadata'] : {};
  const items = isRecord(body) && Array.isArray(body['items']) ? (body['items'] as unknown[]) : undefined;
  const { resourceVersion, continue: next } = metadata;
  if (!items || typeof resourceVersion !== 'string' || resourceVersion === '') {
    throw new KubeError('bad-response', `The answer of GET ${path} is no Kubernetes list`);
  }
  return {
    resourceVersion,
    next: typeof next === 'string' ? next : '',
    // The items of built-in lists come without apiVersion and kind.
    items: items.map((item) =>
      asObject<T>(isRecord(item) ? { ...type, ...item } : item, { ...type, name: 'of a list' }),
    ),
  };
}
