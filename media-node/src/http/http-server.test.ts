import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { pino } from 'pino';
import { ConnectionLimit } from '../lib/connection-limit.ts';
import { HttpError } from './http-error.ts';
import { HttpServer } from './http-server.ts';

const log = pino({ level: 'silent' });

/** Sends bytes as they are and gives everything that comes back until the server closes. */
async function raw(port: number, text: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const socket = connect(port, '127.0.0.1', () => socket.write(text));
  let answer = '';
  socket.on('data', (bytes) => (answer += bytes.toString()));
  socket.on('close', () => resolve(answer));
  socket.on('error', reject);
  return promise;
}

describe('the HTTP server', () => {
  const limit = new ConnectionLimit(1_000);
  const server = new HttpServer({
    limit,
    log,
    allowOrigins: (host) => (host === 'localhost' ? ['https://a.example'] : ['*']),
  });
  let base = '';
  let port = 0;

  before(async () => {
    server.route('GET', '/api/v1/streams', (_, response) => response.end('streams'));
    server.route('GET', '/api/v1/clients/:id', ({ params }, response) => response.end(params['id']));
    server.route('DELETE', '/api/v1/clients/:id', ({ params }, response) => response.end(`gone ${params['id']}`));
    server.route('GET', '/files/*', ({ params }, response) => response.end(params['*']));
    server.route('GET', '/throws', () => {
      throw new TypeError('a fault');
    });
    server.route('GET', '/rejects', async () => {
      throw new HttpError(503, 'not now', { retryAfterS: 2 });
    });
    server.route('GET', '/half', (_, response) => {
      response.write('half');
      throw new Error('too late');
    });
    port = await server.listen(0, '127.0.0.1');
    base = `http://127.0.0.1:${port}`;
  });
  after(() => server.close());

  const get = async (path: string, init?: RequestInit): Promise<[number, string]> => {
    const response = await fetch(base + path, init);
    return [response.status, await response.text()];
  };

  test('routes answer with and without a trailing slash, with their parameters', async () => {
    assert.deepEqual(await get('/api/v1/streams'), [200, 'streams']);
    assert.deepEqual(await get('/api/v1/streams/?count=1'), [200, 'streams']);
    assert.deepEqual(await get('/api/v1/clients/a%20b'), [200, 'a b']);
    assert.deepEqual(await get('/api/v1/clients/x', { method: 'DELETE' }), [200, 'gone x']);
    assert.deepEqual(await get('/files/a/b.txt'), [200, 'a/b.txt']);
    assert.deepEqual(await get('/api/v1/streams', { method: 'HEAD' }), [200, '']);
  });

  test('what is not there says so, and what takes other methods which', async () => {
    assert.equal((await get('/nothing'))[0], 404);
    const response = await fetch(`${base}/api/v1/streams`, { method: 'POST' });
    assert.equal(response.status, 405);
    assert.equal(response.headers.get('allow'), 'GET, HEAD, OPTIONS');
    assert.match(await response.text(), /takes GET, HEAD, OPTIONS, not POST/);
  });

  test('what a handler throws is an answer, and the server lives on', async () => {
    assert.deepEqual(await get('/throws'), [500, 'internal error, see the log of the node\n']);
    const response = await fetch(`${base}/rejects`);
    assert.deepEqual([response.status, response.headers.get('retry-after')], [503, '2']);
    await assert.rejects(get('/half'));
    assert.deepEqual(await get('/api/v1/streams'), [200, 'streams']);
  });

  test('paths that climb or lie are refused', async () => {
    const paths = [
      '/files/../x',
      '/files/%2e%2e/x',
      '/files/a%2fb',
      '/files/a%5cb',
      '/files/%00',
      '/files/%zz',
      '//x',
      '/files//x',
    ];
    for (const path of paths) {
      const answer = await raw(port, `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
      assert.match(answer, /^HTTP\/1\.1 40[04] /, path);
    }
    const absolute = await raw(port, 'GET http://x.example/files/ok HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    assert.match(absolute, /^HTTP\/1\.1 200 /);
    const long = await raw(port, `GET /${'x'.repeat(5_000)} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    assert.match(long, /^HTTP\/1\.1 414 /);
  });

  test('what is no HTTP is answered and closed', async () => {
    assert.match(await raw(port, 'nonsense\r\n\r\n'), /^HTTP\/1\.1 400 /);
    assert.match(await raw(port, `GET / HTTP/1.1\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`), /^HTTP\/1\.1 431 /);
    assert.deepEqual(await get('/api/v1/streams'), [200, 'streams']);
  });

  test('origins get what the host allows, and preflights an answer', async () => {
    const ask = async (host: string, origin: string, method: string, query = ''): Promise<Headers> => {
      const answer = await raw(
        port,
        `${method} /api/v1/streams${query} HTTP/1.1\r\nHost: ${host}:80\r\nOrigin: ${origin}\r\nConnection: close\r\n\r\n`,
      );
      assert.match(answer, /^HTTP\/1\.1 200 /);
      const lines = answer.split('\r\n\r\n')[0]!.split('\r\n').slice(1);
      return new Headers(lines.map((line) => line.split(': ') as [string, string]));
    };
    for (const method of ['GET', 'OPTIONS']) {
      assert.equal((await ask('other', 'https://b.example', method)).get('access-control-allow-origin'), '*');
      const allowed = await ask('localhost', 'https://a.example', method);
      assert.equal(allowed.get('access-control-allow-origin'), 'https://a.example');
      assert.equal(allowed.get('vary'), 'Origin');
      const refused = await ask('localhost', 'https://b.example', method);
      assert.equal(refused.get('access-control-allow-origin'), null);
      const named = await ask('other', 'https://b.example', method, '?vhost=localhost');
      assert.equal(named.get('access-control-allow-origin'), null, 'the Vhost in the query decides');
    }
  });
});

test('connections over the limit are told so, and places come back', async () => {
  const limit = new ConnectionLimit(1);
  const server = new HttpServer({ limit, log });
  server.route('GET', '/', (_, response) => response.end('here'));
  const port = await server.listen(0, '127.0.0.1');
  const ask = 'GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n';
  const first = connect(port, '127.0.0.1');
  await new Promise((resolve) => first.once('connect', resolve));
  while (limit.used === 0) await new Promise((resolve) => setImmediate(resolve));
  const refused = await raw(port, ask);
  assert.match(refused, /^HTTP\/1\.1 503 .*Retry-After: 1\r\n.*another or later/s);
  assert.equal(limit.refused, 1);
  first.destroy();
  while (limit.used > 0) await new Promise((resolve) => setImmediate(resolve));
  assert.match(await raw(port, ask), /^HTTP\/1\.1 200 .*here/s);
  server.close();
});

test('a client that sends no whole request in time is answered 408 or closed, and its place comes back', async () => {
  const limit = new ConnectionLimit(10);
  const server = new HttpServer({ limit, log, headersMs: 200 });
  const port = await server.listen(0, '127.0.0.1');
  for (const beginning of ['', 'GET / HTTP/1.1\r\nHost: x\r\n']) {
    const answer = await raw(port, beginning);
    assert.match(answer, /^(HTTP\/1\.1 408 .*)?$/s, `after ${JSON.stringify(beginning)}`);
    while (limit.used > 0) await new Promise((resolve) => setImmediate(resolve));
  }
  server.close();
});

test('a connection that asks on and on without an answer is cut, one that takes its answers is not', async () => {
  const server = new HttpServer({ limit: new ConnectionLimit(10), log });
  let waiting = 0;
  server.route('GET', '/waits', () => void (waiting += 1));
  server.route('GET', '/', (_, response) => response.end('here'));
  const port = await server.listen(0, '127.0.0.1');
  assert.equal(await raw(port, 'GET /waits HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(1_000)), '');
  assert.equal(waiting, 16);
  const patient = connect(port, '127.0.0.1');
  for (let asked = 0; asked < 40; asked += 8) {
    patient.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(8));
    let answer = '';
    while (answer.split('here').length <= 8) {
      answer += await new Promise((resolve, reject) => {
        patient.once('data', (bytes) => resolve(bytes.toString()));
        patient.once('close', () => reject(new Error('cut')));
      });
    }
    patient.removeAllListeners('close');
  }
  patient.destroy();
  server.close();
});
