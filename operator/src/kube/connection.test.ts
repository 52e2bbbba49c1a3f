import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { KubeConfig } from '@kubernetes/client-node';
import { FakeClock } from '../runtime/testing/fake-clock.ts';
import { createKubeClient } from './client.ts';
import type { KubeClientOptions } from './client.ts';
import { FakeApiServer, json, kubeConfigFor, status } from './testing/fake-api-server.ts';
import { isKubeError } from './kube-error.ts';

const REF = { apiVersion: 'v1', kind: 'Pod', namespace: 'media', name: 'a' } as const;
const POD = { metadata: { name: 'a', namespace: 'media' } };

function clientFor(t: TestContext, options: KubeClientOptions) {
  const client = createKubeClient(options);
  t.after(() => client.close('the test is over'));
  return client;
}

test('after a 401 credentials are taken anew, once, and the call is sent again', async (t) => {
  const server = await FakeApiServer.start();
  t.after(() => server.close());
  const clock = new FakeClock();
  const config = kubeConfigFor(server.url);
  const client = clientFor(t, { config, clock });
  server.otherwise = (response, request) => {
    const isGood = request.headers.authorization === 'Bearer second-token';
    (isGood ? json(POD) : status(401, 'Unauthorized'))(response, request);
  };
  await assert.rejects(client.get(REF), (error) => isKubeError(error, 'unauthorized'));
  assert.equal(server.requests.length, 1, 'fresh credentials that fail are not tried twice');
  config.users = [{ name: 'tester', token: 'second-token' }];
  await clock.advance(10_000);
  assert.deepEqual(await client.get(REF), POD);
  assert.equal(server.requests.length, 3);
});

test('credentials that change, as the token of a service account does, are read again without any failure', async (t) => {
  const server = await FakeApiServer.start();
  t.after(() => server.close());
  const clock = new FakeClock();
  const config = kubeConfigFor(server.url);
  const client = clientFor(t, { config, clock });
  server.otherwise = json(POD);
  await client.get(REF);
  config.users = [{ name: 'tester', token: 'second-token' }];
  await client.get(REF);
  await clock.advance(10_001);
  await client.get(REF);
  assert.deepEqual(
    server.requests.map(({ headers }) => headers.authorization),
    ['Bearer first-token', 'Bearer first-token', 'Bearer second-token'],
  );
});

test('a user name and password go as basic authentication', async (t) => {
  const server = await FakeApiServer.start();
  t.after(() => server.close());
  server.otherwise = json(POD);
  const user = { token: undefined, username: 'u', password: 'p' };
  await clientFor(t, { config: kubeConfigFor(server.url, user) }).get(REF);
  assert.equal(server.requests[0]?.headers.authorization, `Basic ${Buffer.from('u:p').toString('base64')}`);
});

test('a kubeconfig without a cluster, or with one that can not be used, is refused with the mend', async (t) => {
  const wrong: [KubeConfig, RegExp][] = [
    [new KubeConfig(), /current-context/],
    [kubeConfigFor('http://127.0.0.1:1'), /skipTLSVerify/],
    [kubeConfigFor('https://127.0.0.1:1'), /SOCKS/],
  ];
  wrong[1]?.[0].clusters.forEach((cluster) => Object.assign(cluster, { skipTLSVerify: false }));
  wrong[2]?.[0].clusters.forEach((cluster) => Object.assign(cluster, { proxyUrl: 'socks5://127.0.0.1:1' }));
  for (const [config, message] of wrong) {
    const error = await clientFor(t, { config })
      .get(REF)
      .catch((caught: unknown) => caught);
    assert(isKubeError(error, 'unauthorized'));
    assert.match(error.message, message);
  }
});

test('TLS trusts the CA of the kubeconfig and no other, over HTTP/1.1', async (t) => {
  const { key, cert } = selfSigned(t);
  const protocols: string[] = [];
  const tls = createTlsServer({ key, cert }, (request, response) => {
    protocols.push(request.httpVersion);
    response.end(JSON.stringify(POD));
  });
  await new Promise<void>((resolve) => tls.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    tls.closeAllConnections();
    tls.close();
  });
  const address = `https://127.0.0.1:${(tls.address() as AddressInfo).port}`;
  const clientTrusting = (ca: object) => {
    const config = kubeConfigFor(address);
    config.clusters = [{ name: 'fake', server: address, skipTLSVerify: false, ...ca }];
    return clientFor(t, { config });
  };
  assert.deepEqual(await clientTrusting({ caData: cert.toString('base64') }).get(REF), POD);
  await assert.rejects(clientTrusting({}).get(REF), (error) => isKubeError(error, 'unavailable'));
  assert.deepEqual(protocols, ['1.1']);
});

function selfSigned(t: TestContext): { key: Buffer; cert: Buffer } {
  const folder = mkdtempSync(join(tmpdir(), 'livecluster-tls-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const [keyFile, certFile] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  const call =
    'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=tests -addext subjectAltName=IP:127.0.0.1';
  execFileSync('openssl', [...call.split(' '), '-keyout', keyFile, '-out', certFile], { stdio: 'ignore' });
  return { key: readFileSync(keyFile), cert: readFileSync(certFile) };
}
