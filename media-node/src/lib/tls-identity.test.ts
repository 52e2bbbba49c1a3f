import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeCertificate } from '#contract/testing/certificate.ts';
import { TlsIdentity, tlsFailure, TlsIdentityError } from './tls-identity.ts';

const one = makeCertificate('one.example');
const two = makeCertificate('two.example', '*.two.example');

test('without a certificate there is nothing to show, and no end of it', () => {
  const identity = new TlsIdentity();
  assert.equal(identity.context, undefined);
  assert.equal(identity.contextFor('one.example'), undefined);
  assert.equal(identity.validUntilMs, undefined);
});

test('a client gets the certificate of the host that it asks for, else the first', () => {
  const identity = new TlsIdentity();
  identity.set([one, two]);
  const first = identity.context;
  const second = identity.contextFor('two.example');
  assert.notEqual(second, first);
  assert.equal(identity.contextFor('one.example'), first);
  assert.equal(identity.contextFor('a.two.example'), second);
  assert.equal(identity.contextFor('a.b.two.example'), first);
  assert.equal(identity.contextFor('else.example'), first);
  assert.ok((identity.validUntilMs ?? 0) > Date.now());
});

const BAD: readonly [what: string, pair: { certificate: string; key: string }, code: string][] = [
  ['no certificate', { certificate: 'hello', key: one.key }, 'unusable'],
  ['an empty one', { certificate: '', key: one.key }, 'unusable'],
  ['no key', { certificate: one.certificate, key: 'hello' }, 'unusable'],
  ['a certificate as key', { certificate: one.certificate, key: one.certificate }, 'unusable'],
  ['the key of another', { certificate: one.certificate, key: two.key }, 'unusable'],
];
for (const [what, pair, code] of BAD) {
  test(`${what} is refused whole, named by its place and not by what it holds`, () => {
    const identity = new TlsIdentity();
    identity.set([one]);
    const before = identity.context;
    assert.throws(
      () => identity.set([two, pair]),
      (error) => error instanceof TlsIdentityError && error.code === code && /certificate 2/.test(error.message),
    );
    assert.equal(identity.context, before);
  });
}

test('an error of TLS is told apart from one of the network', () => {
  assert.equal(tlsFailure(undefined), undefined);
  assert.equal(tlsFailure('ECONNRESET'), undefined);
  assert.match(tlsFailure('ERR_SSL_HTTP_REQUEST') ?? '', /does not speak TLS/);
  assert.match(tlsFailure('ERR_SSL_UNSUPPORTED_PROTOCOL') ?? '', /does not speak TLS 1\.2/);
  assert.match(tlsFailure('ERR_SSL_TLSV1_ALERT_UNKNOWN_CA') ?? '', /does not trust/);
  assert.match(tlsFailure('ERR_SSL_ANYTHING_ELSE') ?? '', /TLS failed \(ERR_SSL_ANYTHING_ELSE\)/);
});
