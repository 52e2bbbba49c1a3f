import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pino } from 'pino';
import { ApiHandler, ApiServer, newApiIdentity } from './api-server.ts';

const IDENTITY = { server: 'vid-0a1b2c3', service: '4d5e6f7g', pid: '42', version: '1.2.3' };

test('the API answers as SRS does', async (t) => {
  const server = new ApiServer(new ApiHandler(IDENTITY), pino({ level: 'silent' }));
  const port = await server.listen({ host: '127.0.0.1', port: 0 });
  t.after(() => server.close());
  const url = `http://127.0.0.1:${port}`;
  const head = '{"code":0,"server":"vid-0a1b2c3","service":"4d5e6f7g","pid":"42"';
  const versions = `${head},"data":{"major":1,"minor":2,"revision":3,"version":"1.2.3"}}`;

  for (const path of ['/api/v1/versions', '/api/v1/versions/', '/api/v1/versions?x=1', '/api/v1/versions/?x=1']) {
    const response = await fetch(url + path);
    assert.deepEqual([response.status, await response.text()], [200, versions], path);
    assert.equal(response.headers.get('content-type'), 'application/json');
    assert.equal(response.headers.get('access-control-allow-origin'), null, 'no Origin, no CORS headers');
  }
  for (const method of ['POST', 'PUT', 'DELETE']) {
    const response = await fetch(`${url}/api/v1/versions`, { method, ...(method === 'DELETE' ? {} : { body: 'x' }) });
    assert.equal(await response.text(), versions, `${method} answers as GET does`);
  }
  const urls = await fetch(`${url}/api/v1/`);
  assert.equal(await urls.text(), `${head},"urls":{"versions":"the version of the server"}}`);

  const cors = await fetch(`${url}/api/v1/versions`, { headers: { origin: 'https://a.example' } });
  assert.equal(cors.headers.get('access-control-allow-origin'), '*');
  assert.match(cors.headers.get('access-control-expose-headers') ?? '', /Location, ETag, Link/);
  const preflight = await fetch(`${url}/api/v1/versions`, {
    method: 'OPTIONS',
    headers: { origin: 'https://a.example' },
  });
  assert.deepEqual([preflight.status, preflight.headers.get('access-control-allow-methods')], [200, '*']);

  for (const path of ['/', '/api/v2', '/api/v1/versionsx', '/api/v1//versions', '/%00', '/api/v1/../../etc/passwd']) {
    const response = await fetch(url + path);
    assert.equal(response.status, 404, path);
    assert.equal(((await response.json()) as { code: number }).code, 404);
  }
});

test('an identity has the shape that SRS gives it', () => {
  const identity = newApiIdentity('0.1.0', 7);
  assert.match(identity.server, /^vid-[0-9a-z]{7}$/);
  assert.match(identity.service, /^[0-9a-z]{8}$/);
  assert.equal(identity.pid, '7');
  assert.notEqual(newApiIdentity('0.1.0').service, identity.service);
});
