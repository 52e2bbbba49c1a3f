import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { pino } from 'pino';
import { Counter, Registry } from 'prom-client';
import { startHealthServer } from './health-server.ts';

const log = pino({ level: 'silent' });
const registry = new Registry();
new Counter({ name: 'things_total', help: 'Things.', registers: [registry] }).inc(3);
let isReady = false;
const server = await startHealthServer({ port: 0, host: '127.0.0.1', registry, log, isReady: () => isReady });
after(() => server.close());

async function get(path: string, method = 'GET') {
  const response = await fetch(`http://127.0.0.1:${server.port}${path}`, { method });
  return { status: response.status, type: response.headers.get('content-type') ?? '', text: await response.text() };
}

test('healthz says that the process is alive', async () => {
  assert.equal((await get('/healthz')).status, 200);
});

test('readyz follows the replica', async () => {
  assert.equal((await get('/readyz')).status, 503);
  isReady = true;
  assert.equal((await get('/readyz?verbose')).status, 200);
});

test('metrics are in Prometheus text', async () => {
  const { status, type, text } = await get('/metrics');
  assert.equal(status, 200);
  assert.match(type, /^text\/plain; version=0\.0\.4/);
  assert.match(text, /^things_total 3$/m);
});

test('other paths and methods are refused', async () => {
  assert.equal((await get('/')).status, 404);
  assert.equal((await get('/healthz', 'POST')).status, 405);
});

test('metrics that can not be collected are a 500 and no more', async () => {
  const broken = new Registry();
  broken.metrics = () => Promise.reject(new Error('no'));
  const other = await startHealthServer({ port: 0, host: '127.0.0.1', registry: broken, log, isReady: () => true });
  const response = await fetch(`http://127.0.0.1:${other.port}/metrics`);
  assert.equal(response.status, 500);
  assert.equal((await fetch(`http://127.0.0.1:${other.port}/healthz`)).status, 200);
  await Promise.all([other.close(), other.close()]);
});

test('a port that is taken is an error at the start', async () => {
  const starting = startHealthServer({ port: server.port, host: '127.0.0.1', registry, log, isReady: () => true });
  await assert.rejects(starting, { code: 'EADDRINUSE' });
});
