import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { until } from '#contract/testing/until.ts';
import { FakeClock } from '../runtime/testing/fake-clock.ts';
import { createKubeClient } from './client.ts';
import type { KubeClient } from './client.ts';
import { FakeApiServer, json, kubeConfigFor, list, reset, silence, status } from './testing/fake-api-server.ts';
import type { Answer } from './testing/fake-api-server.ts';
import { KubeError } from './kube-error.ts';
import type { KubeErrorCode } from './kube-error.ts';
import type { Manifest, ObjectRef } from './object.ts';

const POD = { apiVersion: 'v1', kind: 'Pod' } as const;
const POD_A: ObjectRef = { ...POD, namespace: 'media', name: 'a' };

let server: FakeApiServer;
let client: KubeClient;
beforeEach(async () => {
  server = await FakeApiServer.start();
  client = server.client();
});
afterEach(async () => {
  client.close('the test is over');
  await server.close();
});

function pod(name: string, more: Record<string, unknown> = {}): Manifest {
  return { ...POD, metadata: { name, namespace: 'media', uid: `uid-${name}`, resourceVersion: '1' }, ...more };
}

function withCode(code: KubeErrorCode, more: Partial<KubeError> = {}) {
  return (error: unknown) => {
    assert(error instanceof KubeError, String(error));
    assert.equal(error.code, code, error.message);
    for (const [name, value] of Object.entries(more)) assert.equal(error[name as keyof KubeError], value, name);
    return true;
  };
}

describe('raw JSON', () => {
  test('a NetworkPolicy goes out with the `from` that the typed model of the client library drops', async () => {
    const policy: Manifest = {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: { name: 'origin', namespace: 'media' },
      spec: {
        podSelector: {},
        policyTypes: ['Ingress'],
        ingress: [
          { from: [{ podSelector: { matchLabels: { role: 'edge' } } }], ports: [{ port: 1935, new: 'field' }] },
        ],
      },
    };
    server.otherwise = (response, request) => json(request.body)(response, request);
    const stored = await client.apply(policy, { fieldManager: 'tests' });
    assert.deepEqual(server.requests[0]?.body, policy);
    assert.deepEqual(stored, policy);
  });

  test('fields that nobody described, and text in any script, come back as they were sent', async () => {
    const object = pod('a', {
      futureField: { deep: [1, null, '방송'] },
      status: { n: 1.5, at: '2026-01-01T00:00:00Z' },
    });
    server.next(json(object));
    assert.deepEqual(await client.get(POD_A), object);
  });
});

describe('requests', () => {
  beforeEach(() => {
    server.otherwise = json(pod('a'));
  });

  const calls: [string, () => Promise<unknown>, object][] = [
    ['get', () => client.get(POD_A), { method: 'GET', path: '/api/v1/namespaces/media/pods/a', query: {} }],
    [
      'apply',
      () => client.apply(pod('a'), { fieldManager: 'm' }),
      {
        method: 'PATCH',
        path: '/api/v1/namespaces/media/pods/a',
        query: { fieldManager: 'm', force: 'true', fieldValidation: 'Strict' },
        contentType: 'application/apply-patch+yaml',
        body: pod('a'),
      },
    ],
    [
      'applyStatus',
      () => client.applyStatus(pod('a'), { fieldManager: 'm', force: false }),
      {
        method: 'PATCH',
        path: '/api/v1/namespaces/media/pods/a/status',
        query: { fieldManager: 'm', force: 'false', fieldValidation: 'Strict' },
        contentType: 'application/apply-patch+yaml',
        body: pod('a'),
      },
    ],
    [
      'create',
      () => client.create(pod('a'), { fieldManager: 'm' }),
      {
        method: 'POST',
        path: '/api/v1/namespaces/media/pods',
        query: { fieldManager: 'm' },
        contentType: 'application/json',
        body: pod('a'),
      },
    ],
    [
      'replace',
      () => client.replace(pod('a')),
      {
        method: 'PUT',
        path: '/api/v1/namespaces/media/pods/a',
        query: {},
        contentType: 'application/json',
        body: pod('a'),
      },
    ],
    [
      'patch',
      () => client.patch(POD_A, { type: 'merge', body: { spec: { a: null } } }, { subresource: 'status' }),
      {
        method: 'PATCH',
        path: '/api/v1/namespaces/media/pods/a/status',
        query: {},
        contentType: 'application/merge-patch+json',
        body: { spec: { a: null } },
      },
    ],
    [
      'delete',
      () => client.delete(POD_A, { preconditions: { uid: 'u' }, propagationPolicy: 'Foreground' }),
      {
        method: 'DELETE',
        path: '/api/v1/namespaces/media/pods/a',
        query: {},
        contentType: 'application/json',
        body: {
          apiVersion: 'v1',
          kind: 'DeleteOptions',
          propagationPolicy: 'Foreground',
          preconditions: { uid: 'u' },
        },
      },
    ],
  ];
  for (const [name, call, expected] of calls) {
    test(`${name} sends what the API documents`, async () => {
      await call();
      const [seen] = server.requests;
      assert(seen);
      const { method, path, query, headers, body } = seen;
      const contentType = headers['content-type'];
      assert.deepEqual(
        { method, path, query, ...(contentType ? { contentType } : {}), ...(body ? { body } : {}) },
        expected,
      );
      assert.equal(headers.authorization, 'Bearer first-token');
    });
  }

  test('a name that is empty never turns a deletion of one object into one of all', async () => {
    await assert.rejects(client.delete({ ...POD_A, name: '' }), withCode('bad-request'));
    await assert.rejects(client.delete({ ...POD, name: 'a' }), withCode('bad-request'));
    assert.equal(server.requests.length, 0);
  });

  test('a kind that is not in the table is refused with the place to mend it', async () => {
    const error = await client
      .get({ apiVersion: 'v1', kind: 'constructor', name: 'a' })
      .catch((caught: unknown) => caught);
    assert(withCode('bad-request')(error));
    assert.match(String(error), /kube\/resource\.ts/);
  });

  test('calls one after the other share a connection, which an Agent a request would not', async () => {
    for (let call = 0; call < 20; call += 1) await client.get(POD_A);
    assert.equal(server.requests.length, 20);
    assert(server.connections < 5, `${server.connections} connections for 20 calls`);
  });
});

describe('failures', () => {
  const failures: [string, Answer, KubeErrorCode, Partial<KubeError>?][] = [
    ['400', status(400, 'BadRequest'), 'bad-request', { status: 400 }],
    ['403', status(403, 'Forbidden'), 'forbidden', { reason: 'Forbidden' }],
    ['404', status(404, 'NotFound'), 'not-found'],
    ['409 on a version', status(409, 'Conflict'), 'conflict'],
    ['409 on a name', status(409, 'AlreadyExists'), 'already-exists'],
    ['410', status(410, 'Expired'), 'gone'],
    ['422', status(422, 'Invalid'), 'invalid'],
    ['429 with a header', status(429, 'TooManyRequests', { 'retry-after': '7' }), 'throttled', { retryAfterMs: 7000 }],
    ['429 with details', status(429, 'x', {}, { retryAfterSeconds: 2 }), 'throttled', { retryAfterMs: 2000 }],
    ['500', status(500, 'InternalError'), 'unavailable', { status: 500 }],
    [
      'an apply of a field that the schema does not have',
      json(
        {
          kind: 'Status',
          code: 500,
          message: 'failed to create typed patch object: .spec.x: field not declared in schema',
        },
        500,
      ),
      'invalid',
      { status: 500 },
    ],
    ['a 504 in HTML, as proxies send', (response) => response.writeHead(504).end('<html>'), 'unavailable'],
    ['200 in HTML', (response) => response.writeHead(200).end('<html>'), 'bad-response'],
    ['200 with nothing', (response) => response.writeHead(200).end(), 'bad-response'],
    ['200 with another JSON', json([1, 2]), 'bad-response'],
    ['a redirect', (response) => response.writeHead(302, { location: '/elsewhere' }).end(), 'bad-response'],
    ['a reset connection', reset, 'unavailable'],
    [
      'a body cut short',
      (response) => {
        response.writeHead(200, { 'content-length': '1000' });
        response.write('{"kind":', () => response.socket?.destroy());
      },
      'unavailable',
    ],
  ];
  for (const [name, answer, code, more] of failures) {
    test(`${name} is ${code}`, async () => {
      server.next(answer);
      await assert.rejects(client.get(POD_A), withCode(code, more));
      server.next(json(pod('a')));
      assert.equal((await client.get(POD_A)).metadata.name, 'a', 'the client goes on working');
    });
  }

  test('a server that is not there is unavailable', async () => {
    const { url } = server;
    await server.close();
    const other = createKubeClient({ config: kubeConfigFor(url) });
    await assert.rejects(other.get(POD_A), withCode('unavailable'));
    other.close('done');
    server = await FakeApiServer.start();
  });

  test('find turns not-found, and nothing else, into undefined', async () => {
    server.next(status(404, 'NotFound'), status(403, 'Forbidden'));
    assert.equal(await client.find(POD_A), undefined);
    await assert.rejects(client.find(POD_A), withCode('forbidden'));
  });

  test('a call ends at its deadline, whether the head or the rest of the body is missing', async () => {
    const clock = new FakeClock();
    const timed = server.client(clock);
    server.next(silence, (response) => {
      response.writeHead(200, { 'content-length': '1000' });
      response.write('{');
    });
    for (let seen = 1; seen <= 2; seen += 1) {
      const call = assert.rejects(timed.get(POD_A, { timeoutMs: 5000 }), withCode('timeout'));
      await until('the request', () => server.requests.length === seen);
      await clock.advance(5000);
      await call;
    }
    timed.close('done');
  });

  test('the caller can call a call off, before and during it', async () => {
    const calling = new AbortController();
    server.next(silence);
    const call = assert.rejects(client.get(POD_A, { signal: calling.signal }), withCode('aborted'));
    await until('the request', () => server.requests.length === 1);
    calling.abort();
    await call;
    await assert.rejects(client.get(POD_A, { signal: calling.signal }), withCode('aborted'));
    assert.equal(server.requests.length, 1);
  });

  test('close ends calls under way and refuses later ones', async () => {
    server.next(silence);
    const call = assert.rejects(client.get(POD_A), withCode('aborted'));
    await until('the request', () => server.requests.length === 1);
    client.close('over');
    client.close('again');
    await call;
    await assert.rejects(client.get(POD_A), withCode('aborted'));
  });

  test('no error says the token', async () => {
    server.next(status(401, 'Unauthorized'));
    const error = await client.get(POD_A).catch((caught: unknown) => caught);
    assert(withCode('unauthorized')(error));
    assert.doesNotMatch(JSON.stringify(error) + String(error), /first-token/);
  });
});

describe('lists', () => {
  test('all pages are read, and items get the apiVersion and kind that lists leave out', async () => {
    const bare = (name: string) => ({ metadata: pod(name).metadata, odd: name });
    server.next(list([bare('a'), bare('b')], '10', 'token/1='), list([bare('c')], '10'));
    const read = await client.list(POD, { namespace: 'media', labelSelector: 'a=b,c!=d', pageSize: 2 });
    const whole = (name: string) => ({ ...POD, ...bare(name) });
    assert.deepEqual(read.items, [whole('a'), whole('b'), whole('c')]);
    assert.equal(read.resourceVersion, '10');
    assert.deepEqual(
      server.requests.map(({ path, query }) => ({ path, query })),
      [
        { path: '/api/v1/namespaces/media/pods', query: { labelSelector: 'a=b,c!=d', limit: '2' } },
        {
          path: '/api/v1/namespaces/media/pods',
          query: { labelSelector: 'a=b,c!=d', limit: '2', continue: 'token/1=' },
        },
      ],
    );
  });

  test('a list that expires between two pages is read again in one go', async () => {
    server.next(list([pod('a')], '10', 'more'), status(410, 'Expired'), list([pod('a'), pod('b')], '20'));
    const read = await client.list(POD);
    assert.deepEqual([read.items.length, read.resourceVersion], [2, '20']);
    assert.deepEqual(server.requests[2]?.query, {});
  });

  for (const [name, body] of Object.entries({
    'no items': { metadata: { resourceVersion: '1' } },
    'no version': { items: [] },
    'an item without a name': { metadata: { resourceVersion: '1' }, items: [{ metadata: {} }] },
    null: null,
  })) {
    test(`a list with ${name} is a bad response`, async () => {
      server.next(json(body));
      await assert.rejects(client.list(POD), withCode('bad-response'));
    });
  }
});

describe('write guard', () => {
  test('writes need leave, reads do not', async () => {
    let isAllowed = false;
    const guarded = client.withWriteGuard(() => isAllowed);
    server.otherwise = json(pod('a'));
    const writes = [
      () => guarded.create(pod('a')),
      () => guarded.replace(pod('a')),
      () => guarded.apply(pod('a'), { fieldManager: 'm' }),
      () => guarded.applyStatus(pod('a'), { fieldManager: 'm' }),
      () => guarded.patch(POD_A, { type: 'merge', body: {} }),
      () => guarded.delete(POD_A),
    ];
    for (const write of writes) await assert.rejects(write(), withCode('not-leader'));
    assert.equal(server.requests.length, 0);
    await guarded.get(POD_A);
    isAllowed = true;
    for (const write of writes) await write();
    assert.equal(server.requests.length, 1 + writes.length);
  });

  test('a guarded write waits 5 s at most, so that none is under way when a successor begins', async () => {
    const clock = new FakeClock();
    const guarded = server.client(clock).withWriteGuard(() => true);
    server.next(silence);
    const write = assert.rejects(
      guarded.apply(pod('a'), { fieldManager: 'm', timeoutMs: 60_000 }),
      withCode('timeout'),
    );
    await until('the request', () => server.requests.length === 1);
    await clock.advance(5000);
    await write;
    guarded.close('done');
  });
});
