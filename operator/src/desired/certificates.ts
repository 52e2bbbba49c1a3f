import { readCertificate, TlsFile } from '#contract/tls-file.ts';
import type { TlsCertificate } from '#contract/tls-file.ts';
import { CONFIG_FILES } from '#contract/names.ts';
import { secretText } from './secrets.ts';
import type { SecretObject } from './secrets.ts';

/** Keys of a Secret of type kubernetes.io/tls. */
const CERTIFICATE_KEY = 'tls.crt';
const PRIVATE_KEY = 'tls.key';

/** What became of a LiveCluster's certificates. */
export interface JudgedCertificates {
  /** For the nodes; undefined when there is none to give them. */
  readonly file: TlsFile | undefined;
  /** What is wrong with the references, a line each with its mend. */
  readonly faults: readonly string[];
  /** When the first of the good ones ends. */
  readonly validUntilMs: number | undefined;
}

/** A reference of `tls.certificateRefs` and the Secret that it names, if that is there. */
export interface CertificateSource {
  readonly name: string;
  readonly secret: SecretObject | undefined;
}

/**
 * Reads the certificates of a LiveCluster. In place of one that can't be used its nodes keep the one that they have from
 * the same Secret: `copies` are the config Secrets as they are now.
 */
export function judgeCertificates(
  sources: readonly CertificateSource[],
  copies: readonly (SecretObject | undefined)[],
  namespace: string,
  nowMs: number,
): JudgedCertificates {
  const certificates: TlsCertificate[] = [];
  const faults: string[] = [];
  const ends: number[] = [];
  const kept = copies.map(certificatesIn).find((list) => list.length > 0) ?? [];
  for (const { name, secret } of sources) {
    const where = `spec.tls.certificateRefs: Secret ${name}`;
    const read = readSecret(secret, namespace);
    if ('fault' in read) {
      faults.push(`${where} ${read.fault}`);
      const former = kept.find((each) => each.secret === name);
      if (former) certificates.push(former);
      continue;
    }
    certificates.push({ secret: name, ...read.pair });
    ends.push(read.validUntilMs);
    if (read.validUntilMs <= nowMs) {
      // Handed on all the same: it is no worse than none, and clients that don't look at it go on.
      faults.push(`${where} holds a certificate that ended at ${timeOf(read.validUntilMs)}: renew it`);
    }
  }
  return {
    file: certificates.length === 0 ? undefined : { version: 1, certificates },
    faults,
    validUntilMs: ends.length === 0 ? undefined : Math.min(...ends),
  };
}

type Read =
  | { readonly pair: { readonly certificate: string; readonly key: string }; readonly validUntilMs: number }
  | { readonly fault: string };

function readSecret(secret: SecretObject | undefined, namespace: string): Read {
  if (!secret) {
    return { fault: `does not exist: create it in namespace ${namespace}, of type kubernetes.io/tls` };
  }
  const certificate = secretText(secret, CERTIFICATE_KEY);
  const key = secretText(secret, PRIVATE_KEY);
  if (!certificate) return { fault: `has no ${CERTIFICATE_KEY}: make it of type kubernetes.io/tls` };
  if (!key) return { fault: `has no ${PRIVATE_KEY}: make it of type kubernetes.io/tls` };
  if (!TlsFile.safeParse({ version: 1, certificates: [{ certificate, key }] }).success) {
    return { fault: 'holds more than 64 KiB in a key: leave out what the chain does not need' };
  }
  const read = readCertificate({ certificate, key });
  if ('fault' in read) return { fault: `can't be used: ${read.fault}` };
  return { pair: { certificate, key }, validUntilMs: read.leaf.validToDate.getTime() };
}

function certificatesIn(copy: SecretObject | undefined): readonly TlsCertificate[] {
  try {
    return TlsFile.parse(JSON.parse(secretText(copy, CONFIG_FILES.tls) ?? 'null')).certificates;
  } catch {
    return [];
  }
}

/** A point of time for a person, to the second. */
export function timeOf(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}
