import { createPrivateKey, X509Certificate } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { z } from 'zod';

/*
 * The certificates of a node's TLS listeners, in one file of its configuration folder: a certificate and its key are
 * always read together, and a node takes all or none. The operator copies them from the Secrets that a LiveCluster names.
 */

/** Certificates of one LiveCluster at most. */
export const MOST_CERTIFICATES = 8;

/** 64 KiB hold the longest chain in use; a Secret holds 1 MiB at most. */
const pem = z.string().min(1).max(65_536);

const TlsCertificate = z.strictObject({
  /** Name of the Secret that it came from. */
  secret: z.string().max(253).optional(),
  /** PEM: the leaf, then what leads to a root. */
  certificate: pem,
  /** PEM, without a passphrase. */
  key: pem,
});
export type TlsCertificate = z.infer<typeof TlsCertificate>;

/** The first certificate is for clients that name no host, or one that none is for. */
export const TlsFile = z.strictObject({
  version: z.literal(1),
  certificates: z.array(TlsCertificate).min(1).max(MOST_CERTIFICATES),
});
export type TlsFile = z.infer<typeof TlsFile>;

/** The leaf of a pair, or what is wrong with it: the fault never holds a part of either. */
export function readCertificate({
  certificate,
  key,
}: Pick<TlsCertificate, 'certificate' | 'key'>): { readonly leaf: X509Certificate } | { readonly fault: string } {
  // OpenSSL's own messages may quote their input.
  const leaf = orUndefined(() => new X509Certificate(certificate));
  if (leaf === undefined) return { fault: 'the certificate is no X.509 certificate in PEM' };
  const secret: KeyObject | undefined = orUndefined(() => createPrivateKey(key));
  if (secret === undefined) return { fault: 'the key is no private key in PEM without a passphrase' };
  if (!leaf.checkPrivateKey(secret)) return { fault: 'the key belongs to another certificate' };
  return { leaf };
}

function orUndefined<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}
