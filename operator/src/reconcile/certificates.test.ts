import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeCertificate } from '#contract/testing/certificate.ts';
import { until } from '#contract/testing/until.ts';
import { condition, fake, isReady, live, NAMESPACE, readyCluster } from './testing/test-operator.ts';
import type { Json } from './testing/test-operator.ts';

const RTMPS = { enabled: true, port: 1936 };
const filesOf = (name: string) => fake.find('Secret', name)?.['data'] as Record<string, string>;
const secretOf = ({ certificate, key }: { certificate: string; key: string }) => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name: 'live-tls', namespace: NAMESPACE },
  type: 'kubernetes.io/tls',
  data: { 'tls.crt': btoa(certificate), 'tls.key': btoa(key) },
});
/** What is not told by a watch is looked at again after a change of the LiveCluster. */
const touch = (edges: number) =>
  fake.edit('LiveCluster', 'live', (object) => (((object['spec'] as Json)['edge'] as Json)['replicas'] = edges));

test('RTMPS awaits its certificate with the mend while RTMP is served, and gives it to the nodes', async () => {
  await readyCluster();
  fake.edit('LiveCluster', 'live', (object) => {
    const spec = object['spec'] as Json;
    (spec['protocols'] as Json)['rtmps'] = RTMPS;
    spec['tls'] = { certificateRefs: [{ name: 'live-tls' }] };
  });
  await until('the reference is told', () => condition(live(), 'CertificatesReady')?.status === 'False');
  assert.match(
    condition(live(), 'CertificatesReady')?.message ?? '',
    /Secret live-tls does not exist: create it in namespace tv, of type kubernetes\.io\/tls; plain RTMP is served/,
  );
  assert.equal(isReady(), true);
  assert.equal(filesOf('live-edge-config')['tls.json'], undefined);
  await until('its address', () => live()?.status?.endpoints?.rtmps === 'rtmps://203.0.113.7:1936');
  assert.equal(live()?.status?.endpoints?.rtmpsPlay, 'rtmps://203.0.113.7:1936');

  const certificate = makeCertificate('live.example');
  const path = `/api/v1/namespaces/${NAMESPACE}/secrets/live-tls`;
  fake.create(path, secretOf(certificate));
  touch(1);
  await until('the certificate is taken', () => condition(live(), 'CertificatesReady')?.status === 'True');
  for (const name of ['live-origin-config', 'live-edge-config']) {
    const file = JSON.parse(atob(filesOf(name)['tls.json'] ?? '')) as unknown;
    assert.deepEqual(file, { version: 1, certificates: [{ secret: 'live-tls', ...certificate }] });
  }

  fake.edit('Secret', 'live-tls', (object) => (object['data'] = { 'tls.crt': btoa('hello') }));
  touch(2);
  await until('the broken one is told', () => condition(live(), 'CertificatesReady')?.status === 'False');
  assert.match(condition(live(), 'CertificatesReady')?.message ?? '', /Secret live-tls has no tls\.key/);
  assert.ok(filesOf('live-edge-config')['tls.json'], 'nodes keep the one they have');

  fake.edit('LiveCluster', 'live', (object) => {
    ((object['spec'] as Json)['protocols'] as Json)['rtmps'] = { ...RTMPS, enabled: false };
  });
  await until('nothing needs certificates', () => condition(live(), 'CertificatesReady') === undefined);
  await until('nodes have no key that they don’t need', () => filesOf('live-edge-config')['tls.json'] === undefined);
});
