import type { X509Certificate } from 'node:crypto';
import type { SecureContext } from 'node:tls';
import { createSecureContext } from 'node:tls';
import { readCertificate } from '#contract/tls-file.ts';
import type { TlsCertificate } from '#contract/tls-file.ts';

/** A certificate or key that cannot be used. The message tells which and why, never what it holds. */
export class TlsIdentityError extends Error {
  override readonly name = 'TlsIdentityError';
  readonly code: 'unusable' | 'refused';
  constructor(code: TlsIdentityError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

interface Entry {
  readonly leaf: X509Certificate;
  readonly context: SecureContext;
}

/**
 * TLS 1.0 and 1.1 are deprecated (RFC 8996). With 1.3 a server sends session tickets behind the handshake, which neither Node
 * nor OpenSSL's options can leave out, and librtmp takes them for a broken connection: with GnuTLS (rtmpdump, GStreamer), and
 * in OBS with Mbed TLS 3.6 (https://github.com/Mbed-TLS/mbedtls/issues/9415).
 */
const VERSION = 'TLSv1.2';
/** Those with forward secrecy and authenticated encryption (RFC 9325 §4.2). */
const CIPHERS = 'ECDHE+AESGCM:ECDHE+CHACHA20';

/**
 * What a TLS listener shows its clients: the certificate whose names hold the host that the client asks for, else the
 * first. A set replaces all of them at once for connections to come; those that are there go on with what they have.
 */
export class TlsIdentity {
  #entries: readonly Entry[] = [];

  /** Undefined while there is no certificate: then no client can be served. */
  get context(): SecureContext | undefined {
    return this.#entries[0]?.context;
  }

  /** When the first of them ends, in milliseconds since 1970; undefined without any. */
  get validUntilMs(): number | undefined {
    if (this.#entries.length === 0) return undefined;
    return Math.min(...this.#entries.map(({ leaf }) => leaf.validToDate.getTime()));
  }

  /** For a host name of a client's SNI (RFC 6066 §3). */
  contextFor(serverName: string): SecureContext | undefined {
    const fitting = this.#entries.find(({ leaf }) => leaf.checkHost(serverName) !== undefined);
    return fitting?.context ?? this.context;
  }

  /** Takes the certificates, all or none. Throws TlsIdentityError and keeps those it has. */
  set(pairs: readonly TlsCertificate[]): void {
    this.#entries = pairs.map((pair, index) => entryOf(pair, `certificate ${index + 1}`));
  }
}

function entryOf(pair: TlsCertificate, what: string): Entry {
  const read = readCertificate(pair);
  if ('fault' in read) throw new TlsIdentityError('unusable', `${what}: ${read.fault}`);
  try {
    const context = createSecureContext({
      cert: pair.certificate,
      key: pair.key,
      minVersion: VERSION,
      maxVersion: VERSION,
      ciphers: CIPHERS,
    });
    return { leaf: read.leaf, context };
  } catch (cause) {
    const { code = 'unknown' } = cause as NodeJS.ErrnoException;
    throw new TlsIdentityError('refused', `${what}: OpenSSL refuses it (${code})`);
  }
}

/** What a TLS handshake failed by, for the log, from the code of Node's error; undefined if it was not TLS that failed. */
export function tlsFailure(code: string | undefined): string | undefined {
  if (code === undefined || !code.startsWith('ERR_SSL_')) return undefined;
  const reason = code.slice('ERR_SSL_'.length);
  if (NOT_TLS.has(reason)) return 'the client does not speak TLS: this is the port of rtmps:// addresses';
  if (reason === 'UNSUPPORTED_PROTOCOL' || reason === 'VERSION_TOO_LOW') {
    return 'the client does not speak TLS 1.2';
  }
  if (/ALERT_(UNKNOWN_CA|BAD_CERTIFICATE|CERTIFICATE_UNKNOWN|CERTIFICATE_EXPIRED|UNKNOWN_ISSUER)$/.test(reason)) {
    return `the client does not trust the certificate (${code})`;
  }
  return `TLS failed (${code})`;
}

const NOT_TLS: ReadonlySet<string> = new Set([
  'WRONG_VERSION_NUMBER',
  'HTTP_REQUEST',
  'HTTPS_PROXY_REQUEST',
  'BAD_RECORD_TYPE',
  'PACKET_LENGTH_TOO_LONG',
  'RECORD_TOO_SMALL',
  'UNEXPECTED_MESSAGE',
]);
