import { z } from 'zod';

/*
 * The certificates of a node's TLS listeners, in one file of its configuration folder: a certificate and its key are
 * always read together, and a node takes all or none. The operator copies them from the Secrets that a LiveCluster names.
 */

/** Certificates of one LiveCluster at most. */
export const MOST_CERTIFICATES = 8;

/** 64 KiB hold the longest chain in use; a Secret holds 1 MiB at most. */
const pem = z.string().min(1).max(65_536);

/** The first certificate is for clients that name no host, or one that none is for. */
export const TlsFile = z.strictObject({
  version: z.literal(1),
  certificates: z
    .array(
      z.strictObject({
        /** PEM: the leaf, then what leads to a root. */
        certificate: pem,
        /** PEM, without a passphrase. */
        key: pem,
      }),
    )
    .min(1)
    .max(MOST_CERTIFICATES),
});
export type TlsFile = z.infer<typeof TlsFile>;
