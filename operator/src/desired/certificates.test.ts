import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { makeCertificate } from '#contract/testing/certificate.ts';
import { judgeCertificates } from './certificates.ts';
import type { SecretObject } from './secrets.ts';

const NAMESPACE = 'tv';
const [one, two] = [makeCertificate('one.example'), makeCertificate('two.example')];
const endOf = (pem: string) => new X509Certificate(pem).validToDate.getTime();

function secret(texts: Record<string, string>): SecretObject {
  const data = Object.fromEntries(Object.entries(texts).map(([key, text]) => [key, btoa(text)]));
  return { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'x' }, data };
}
const tls = ({ certificate, key }: { certificate: string; key: string }) =>
  secret({ 'tls.crt': certificate, 'tls.key': key });
const judge = (
  sources: Parameters<typeof judgeCertificates>[0],
  copies: Parameters<typeof judgeCertificates>[1] = [],
  nowMs = Date.now(),
) => judgeCertificates(sources, copies, NAMESPACE, nowMs);

test('good certificates go to the nodes in their order, and the end of the first to end is known', () => {
  const { file, faults, validUntilMs } = judge([
    { name: 'two', secret: tls(two) },
    { name: 'one', secret: tls(one) },
  ]);
  assert.deepEqual(faults, []);
  assert.deepEqual(file, {
    version: 1,
    certificates: [
      { secret: 'two', ...two },
      { secret: 'one', ...one },
    ],
  });
  assert.equal(validUntilMs, Math.min(endOf(one.certificate), endOf(two.certificate)));
});

const BAD: readonly [what: string, secret: SecretObject | undefined, says: RegExp][] = [
  ['is not there', undefined, /Secret a does not exist: create it in namespace tv, of type kubernetes\.io\/tls/],
  ['has no certificate', secret({ 'tls.key': one.key }), /has no tls\.crt: make it of type kubernetes\.io\/tls/],
  ['has no key', secret({ 'tls.crt': one.certificate }), /has no tls\.key/],
  ['holds no certificate', tls({ certificate: 'hello', key: one.key }), /can't be used: the certificate is no X\.509/],
  ['holds no key', tls({ certificate: one.certificate, key: 'hello' }), /can't be used: the key is no private key/],
  ['holds the key of another', tls({ ...one, key: two.key }), /can't be used: the key belongs to another/],
  ['holds too much', tls({ ...one, certificate: one.certificate.padEnd(65_537) }), /more than 64 KiB/],
];
for (const [what, wrong, says] of BAD) {
  test(`a Secret that ${what} is told with its mend; nodes keep what they have of it, and get the others`, () => {
    const before = judge([
      { name: 'a', secret: tls(one) },
      { name: 'b', secret: tls(one) },
    ]).file;
    const copy = secret({ 'tls.json': JSON.stringify(before) });
    const sources = [
      { name: 'a', secret: wrong },
      { name: 'b', secret: tls(two) },
    ];
    const { file, faults } = judge(sources, [undefined, secret({ 'tls.json': '{' }), copy]);
    assert.equal(faults.length, 1);
    assert.match(faults[0] ?? '', /^spec\.tls\.certificateRefs: Secret a /);
    assert.match(faults[0] ?? '', says);
    assert.doesNotMatch(faults[0] ?? '', /PRIVATE|hello/);
    assert.deepEqual(file?.certificates, [
      { secret: 'a', ...one },
      { secret: 'b', ...two },
    ]);
    assert.deepEqual(judge(sources).file?.certificates, [{ secret: 'b', ...two }]);
    assert.equal(judge([{ name: 'a', secret: wrong }]).file, undefined);
  });
}

test('a certificate that has ended is told and handed on all the same', () => {
  const nowMs = endOf(one.certificate) + 1;
  const { file, faults } = judge([{ name: 'a', secret: tls(one) }], [], nowMs);
  assert.match(faults.join(), /Secret a holds a certificate that ended at [0-9-]+T[0-9:]+Z: renew it/);
  assert.equal(file?.certificates.length, 1);
});
