import { createHash, timingSafeEqual } from 'node:crypto';

/**
 * Whether an Authorization header carries the token (RFC 6750 §2.1), compared in a time that tells nothing of it. An
 * empty token matches nothing: a node without a token has its admin port shut, not open.
 */
export function bearerMatches(header: string | undefined, token: string): boolean {
  const given = /^bearer +([\x21-\x7e]+) *$/i.exec(header ?? '')?.[1] ?? '';
  // Digests have one length, so that not even the token's length shows in the time.
  const equal = timingSafeEqual(digest(given), digest(token));
  return equal && token !== '';
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
