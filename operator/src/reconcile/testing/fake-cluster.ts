import { isDeepStrictEqual } from 'node:util';
import { FakeApiServer, json, status } from '../../kube/testing/fake-api-server.ts';
import type { Answer, SeenRequest, SeenWatch } from '../../kube/testing/fake-api-server.ts';
import { isRecord } from '../../kube/kube-error.ts';
import type { KubeClient } from '../../kube/client.ts';
import type { KubeObject, Manifest } from '../../kube/object.ts';

type Json = Record<string, unknown>;
type Stored = Manifest & { metadata: { resourceVersion: string; uid: string; generation: number } };

/** A path of the API taken apart. */
interface Target {
  readonly collection: string;
  readonly namespace: string | undefined;
  readonly resource: string;
  readonly group: string;
  readonly name: string | undefined;
  readonly subresource: string | undefined;
}

/**
 * For tests: an API server that keeps objects, with server-side apply, watches and resource versions, and as much of the
 * controllers as a LiveCluster needs: StatefulSets get ready pods, LoadBalancers an address, a deleted owner takes what
 * it owned with it.
 */
export class FakeCluster {
  readonly server: FakeApiServer;
  /** `group/resource[/subresource] verb` of every call, as RBAC would judge it. */
  readonly verbs = new Set<string>();
  /** Requests that wrote something, `METHOD path`. */
  readonly writes: string[] = [];
  /** Refuses a write: return an answer. */
  refuse: (request: SeenRequest) => Answer | undefined = () => undefined;
  onPodsChanged: () => void = () => {};
  readonly #objects = new Map<string, Stored>();
  /** By path, then manager: what it applied last. */
  readonly #applied = new Map<string, Map<string, Json>>();
  readonly #log: { version: number; type: string; path: string; object: Stored; before: Stored | undefined }[] = [];
  readonly #positions = new WeakMap<SeenWatch, number>();
  readonly #pump: NodeJS.Timeout;
  #version = 100;
  #addresses = 0;

  private constructor(server: FakeApiServer) {
    this.server = server;
    server.otherwise = (response, request) => this.#answer(request)(response, request);
    this.#pump = setInterval(() => this.#feedWatches(), 3);
  }

  static async start(): Promise<FakeCluster> {
    return new FakeCluster(await FakeApiServer.start());
  }

  client(): KubeClient {
    return this.server.client();
  }

  async close(): Promise<void> {
    clearInterval(this.#pump);
    await this.server.close();
  }

  /** All objects of a kind. */
  all(kind: string): Stored[] {
    return [...this.#objects.values()].filter((each) => each.kind === kind);
  }

  find(kind: string, name: string): Stored | undefined {
    return this.all(kind).find((each) => each.metadata.name === name);
  }

  /** Makes or edits an object as a user with kubectl would; `change` gets a copy to change. */
  edit(kind: string, name: string, change: (object: Json) => void): void {
    const [path, object] = this.#entry(kind, name);
    const copy = structuredClone(object) as unknown as Json;
    change(copy);
    this.#store(path, copy as unknown as Stored);
  }

  create(path: string, object: KubeObject): void {
    this.#store(path, structuredClone(object) as Stored);
  }

  /** Deletes as `kubectl delete` does, in the background. */
  delete(kind: string, name: string): void {
    const [path] = this.#entry(kind, name);
    this.#remove(path);
  }

  #entry(kind: string, name: string): [string, Stored] {
    const found = [...this.#objects].find(([, each]) => each.kind === kind && each.metadata.name === name);
    if (!found) throw new Error(`the fake has no ${kind} ${name}`);
    return found;
  }

  #answer(request: SeenRequest): Answer {
    const target = parsePath(request.path);
    if (!target) return status(404, 'NotFound');
    const { collection, name, subresource } = target;
    const path = `${collection}/${name ?? ''}`;
    const present = this.#objects.get(path);
    this.#count(target, request, present);
    if (request.method === 'GET') return name === undefined ? this.#list(request) : orNotFound(present);
    this.writes.push(`${request.method} ${request.path}`);
    const refused = this.refuse(request);
    if (refused) return refused;
    const body = request.body as Json;
    switch (request.method) {
      case 'PATCH':
        if (subresource && !present) return status(404, 'NotFound');
        return json(this.#apply(path, body, request.query['fieldManager'] ?? '', subresource));
      case 'POST':
        return json(this.#store(`${collection}/${(body['metadata'] as Json)['name'] as string}`, body as never), 201);
      case 'DELETE':
        return this.#delete(path, present, body);
      default:
        return status(405, 'MethodNotAllowed');
    }
  }

  #count(target: Target, request: SeenRequest, present: Stored | undefined): void {
    const { group, resource, subresource, name } = target;
    const what = `${group}/${resource}${subresource ? `/${subresource}` : ''}`;
    const verbs: Record<string, string> = { GET: name === undefined ? 'list' : 'get', POST: 'create', PATCH: 'patch' };
    this.verbs.add(`${what} ${verbs[request.method] ?? request.method.toLowerCase()}`);
    // An apply that creates is judged as both.
    if (request.method === 'PATCH' && !present && !subresource) this.verbs.add(`${what} create`);
  }

  #list(request: SeenRequest): Answer {
    const items = [...this.#objects]
      .filter(([path, object]) => isIn(request, path, object))
      .map(([, { apiVersion: _version, kind: _kind, ...item }]) => item);
    return json({ kind: 'List', apiVersion: 'v1', metadata: { resourceVersion: String(this.#version) }, items });
  }

  #apply(path: string, body: Json, manager: string, subresource: string | undefined): Stored {
    const present = this.#objects.get(path);
    const managers = this.#applied.get(path) ?? new Map<string, Json>();
    this.#applied.set(path, managers);
    const content: Json = structuredClone(subresource ? { status: body['status'] } : body);
    const merged = merge(without(structuredClone<Json>(present ?? {}), managers.get(manager) ?? {}, content), content);
    managers.set(manager, structuredClone(content));
    const metadata = merged['metadata'] as Json;
    metadata['managedFields'] = [...managers.keys()].map((each) => ({ manager: each, operation: 'Apply' }));
    return this.#store(path, merged as unknown as Stored);
  }

  #store(path: string, object: Stored): Stored {
    const present = this.#objects.get(path);
    const metadata = {
      ...object.metadata,
      uid: present?.metadata.uid ?? `uid-${this.#version + 1}`,
      creationTimestamp: present?.metadata.creationTimestamp ?? '2026-01-01T00:00:00Z',
      generation: (present?.metadata.generation ?? 0) + (isDeepStrictEqual(present?.spec, object.spec) ? 0 : 1),
      resourceVersion: present?.metadata.resourceVersion ?? '',
    };
    const next = { ...object, metadata } as Stored;
    if (present && isDeepStrictEqual(present, next)) return present;
    this.#version += 1;
    metadata.resourceVersion = String(this.#version);
    this.#objects.set(path, next);
    this.#log.push({
      version: this.#version,
      type: present ? 'MODIFIED' : 'ADDED',
      path,
      object: next,
      before: present,
    });
    this.#actAsController(path, next);
    return this.#objects.get(path) ?? next;
  }

  #delete(path: string, present: Stored | undefined, options: Json): Answer {
    if (!present) return status(404, 'NotFound');
    const uid = (options['preconditions'] as Json | undefined)?.['uid'];
    if (uid !== undefined && uid !== present.metadata.uid) return status(409, 'Conflict');
    this.#remove(path, options['propagationPolicy'] === 'Orphan');
    return json({ kind: 'Status', apiVersion: 'v1', status: 'Success', metadata: { name: present.metadata.name } });
  }

  #remove(path: string, isAlone = false): void {
    const present = this.#objects.get(path);
    if (!present) return;
    this.#objects.delete(path);
    this.#applied.delete(path);
    this.#version += 1;
    const object = { ...present, metadata: { ...present.metadata, resourceVersion: String(this.#version) } };
    this.#log.push({ version: this.#version, type: 'DELETED', path, object, before: present });
    if (present.kind === 'Pod') this.onPodsChanged();
    if (isAlone) this.#orphan(present.metadata.uid);
    else this.#collectGarbage(present.metadata.uid);
  }

  #orphan(uid: string): void {
    for (const [path, object] of this.#objects) {
      const owners = object.metadata.ownerReferences ?? [];
      const ownerReferences = owners.filter((each) => each.uid !== uid);
      if (ownerReferences.length < owners.length) {
        this.#store(path, { ...object, metadata: { ...object.metadata, ownerReferences } });
      }
    }
  }

  /** What the deleted object owned goes; pods get their grace period and stay until somebody ends them. */
  #collectGarbage(uid: string): void {
    for (const [path, object] of this.#objects) {
      if (!object.metadata.ownerReferences?.some((each) => each.uid === uid)) continue;
      if (object.kind !== 'Pod') this.#remove(path);
      else {
        const leaving = { deletionTimestamp: '2026-01-02T00:00:00Z', deletionGracePeriodSeconds: 3600 };
        this.#store(path, { ...object, metadata: { ...object.metadata, ...leaving } });
      }
    }
  }

  #actAsController(path: string, object: Stored): void {
    if (object.kind === 'Service' && (object.spec as Json)['type'] === 'LoadBalancer' && !object.status) {
      this.#store(path, { ...object, status: { loadBalancer: { ingress: [{ ip: '203.0.113.7' }] } } });
    }
    if (object.kind === 'StatefulSet') this.#runStatefulSet(path, object);
  }

  #runStatefulSet(path: string, set: Stored): void {
    const spec = set.spec as { replicas: number; template: { metadata: Json; spec: Json } };
    const { generation, namespace = '', name, uid } = set.metadata;
    const { replicas } = spec;
    const state = { observedGeneration: generation, replicas, readyReplicas: replicas, updatedReplicas: replicas };
    if (!isDeepStrictEqual(set.status, state)) this.#store(path, { ...set, status: state });
    const folder = `/api/v1/namespaces/${namespace}/pods`;
    for (let index = 0; index < replicas; index += 1) {
      const podPath = `${folder}/${name}-${index}`;
      if (this.#objects.has(podPath)) continue;
      this.#addresses += 1;
      this.#store(podPath, {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: {
          name: `${name}-${index}`,
          namespace,
          labels: spec.template.metadata['labels'] as Record<string, string>,
          ownerReferences: [{ apiVersion: 'apps/v1', kind: 'StatefulSet', name, uid, controller: true }],
        },
        spec: spec.template.spec,
        status: {
          phase: 'Running',
          podIP: `10.0.0.${this.#addresses}`,
          conditions: [{ type: 'Ready', status: 'True' }],
        },
      } as unknown as Stored);
    }
    for (const [podPath, pod] of this.#objects) {
      const ordinal = Number(podPath.slice(podPath.lastIndexOf('-') + 1));
      if (
        podPath.startsWith(`${folder}/${name}-`) &&
        pod.metadata.ownerReferences?.[0]?.uid === uid &&
        ordinal >= replicas
      ) {
        this.#remove(podPath);
      }
    }
    this.onPodsChanged();
  }

  #feedWatches(): void {
    for (const watch of this.server.watches) {
      if (watch.isOver) continue;
      const since = Number(watch.request.query['resourceVersion'] ?? 0);
      let position = this.#positions.get(watch) ?? 0;
      if (position === 0) this.#countWatch(watch.request);
      for (; position < this.#log.length; position += 1) {
        const event = this.#log[position];
        if (!event || event.version <= since) continue;
        const isNow = event.type !== 'DELETED' && isIn(watch.request, event.path, event.object);
        const was = event.before !== undefined && isIn(watch.request, event.path, event.before);
        if (isNow) watch.send(was ? 'MODIFIED' : 'ADDED', event.object);
        else if (was) {
          // One that leaves the selection is sent as it was in it, like the API server does.
          const { resourceVersion } = event.object.metadata;
          const last = event.before ?? event.object;
          watch.send('DELETED', { ...last, metadata: { ...last.metadata, resourceVersion } });
        }
      }
      this.#positions.set(watch, position);
    }
  }

  #countWatch(request: SeenRequest): void {
    const target = parsePath(request.path);
    if (target) this.verbs.add(`${target.group}/${target.resource} watch`);
  }
}

/** Whether the object at this path is in the collection of a request, namespace and label selector (`name`) included. */
function isIn(request: SeenRequest, path: string, object: KubeObject): boolean {
  const [of, at] = [parsePath(request.path), parsePath(path)];
  if (!of || !at || of.resource !== at.resource || of.group !== at.group) return false;
  if (of.namespace !== undefined && of.namespace !== at.namespace) return false;
  const selector = request.query['labelSelector'];
  return selector === undefined || object.metadata.labels?.[selector] !== undefined;
}

function parsePath(path: string): Target | undefined {
  const match =
    /^(\/api\/v1|\/apis\/([^/]+)\/[^/]+)(?:\/namespaces\/([^/]+))?\/([^/]+)(?:\/([^/]+))?(?:\/([^/]+))?$/.exec(path);
  if (!match) return undefined;
  const [, root = '', group = '', namespace, resource = '', name, subresource] = match;
  const collection = `${root}${namespace === undefined ? '' : `/namespaces/${namespace}`}/${resource}`;
  return { collection, namespace, resource, group, name, subresource };
}

function orNotFound(object: Stored | undefined): Answer {
  return object ? json(object) : status(404, 'NotFound');
}

/** Sets the fields of `patch`; lists are set whole. */
function merge(into: Json, patch: Json): Json {
  for (const [key, value] of Object.entries(patch)) {
    const present = into[key];
    into[key] = isRecord(value) && isRecord(present) ? merge(present, value) : structuredClone(value);
  }
  return into;
}

/** Takes away the fields that were applied before and are not any more. */
function without(object: Json, before: Json, now: Json): Json {
  for (const [key, value] of Object.entries(before)) {
    const [next, present] = [now[key], object[key]];
    if (next === undefined) delete object[key];
    else if (isRecord(value) && isRecord(next) && isRecord(present)) without(present, value, next);
  }
  return object;
}
