import { createHmac, timingSafeEqual } from 'node:crypto';

/*
 * The digests of the complex handshake, which Adobe never published; server and player agree on keys, and on one of two
 * places ("schemes") in C1 and S1 where a digest of the rest stands. Wireshark, librtmp and SRS know them alike.
 */

type Side = 'client' | 'server';

/** The keys' common tail. */
const TAIL = Buffer.from('f0eec24a8068bee82e00d0d1029e7e576eec5d2d29806fab93b8e636cfeb31ae', 'hex');
const CLIENT_NAME = Buffer.from('Genuine Adobe Flash Player 001', 'latin1');
const SERVER_NAME = Buffer.from('Genuine Adobe Flash Media Server 001', 'latin1');
/** Seals C1 and S1. */
const SHORT_KEY: Readonly<Record<Side, Buffer>> = { client: CLIENT_NAME, server: SERVER_NAME };
/** Seals C2 and S2. */
const FULL_KEY: Readonly<Record<Side, Buffer>> = {
  client: Buffer.concat([CLIENT_NAME, TAIL]),
  server: Buffer.concat([SERVER_NAME, TAIL]),
};

const DIGEST_BYTES = 32;
/** Scheme 0 has the key block first and the digest block at 772; scheme 1 the digest block first, at 8. */
const BLOCK_START = [772, 8] as const;
/** Bytes of a block in which the digest may begin, behind the four that say where. */
const BLOCK_SPAN = 728;

/** Where in C1 or S1 a digest stands, in bytes, and by which of the two schemes. */
export interface DigestPlace {
  readonly scheme: 0 | 1;
  readonly offset: number;
}

function placeOf(part: Buffer, scheme: 0 | 1): DigestPlace {
  const start = BLOCK_START[scheme];
  const sum = part[start]! + part[start + 1]! + part[start + 2]! + part[start + 3]!;
  return { scheme, offset: start + 4 + (sum % BLOCK_SPAN) };
}

function digestAround(part: Buffer, offset: number, key: Buffer): Buffer {
  return createHmac('sha256', key)
    .update(part.subarray(0, offset))
    .update(part.subarray(offset + DIGEST_BYTES))
    .digest();
}

/** Where in C1 or S1 a digest of that side stands that holds; undefined for a simple handshake. */
export function findDigest(part: Buffer, side: Side): DigestPlace | undefined {
  for (const scheme of [0, 1] as const) {
    const place = placeOf(part, scheme);
    if (timingSafeEqual(digestAround(part, place.offset, SHORT_KEY[side]), digestOf(part, place))) return place;
  }
  return undefined;
}

/** The digest at its place. */
export function digestOf(part: Buffer, place: DigestPlace): Buffer {
  return part.subarray(place.offset, place.offset + DIGEST_BYTES);
}

/** Puts a player's version and digest into C1, in scheme 1 as players do. */
export function sealC1(c1: Buffer): void {
  c1.set([128, 0, 7, 2], 4); // a Flash player's version: 9 and later ask for the digests
  seal(c1, 1, 'client');
}

/** Puts a server's version and digest into S1, in the client's scheme. */
export function sealS1(s1: Buffer, scheme: 0 | 1): void {
  s1.set([4, 5, 0, 1], 4); // a media server's version: 3.5 and later make digests
  seal(s1, scheme, 'server');
}

function seal(part: Buffer, scheme: 0 | 1, side: Side): void {
  const { offset } = placeOf(part, scheme);
  digestAround(part, offset, SHORT_KEY[side]).copy(part, offset);
}

/** Ends C2 or S2 with the digest that answers the peer's digest. */
export function sealPart2(part: Buffer, peerDigest: Buffer, side: Side): void {
  part2Digest(part, peerDigest, side).copy(part, part.length - DIGEST_BYTES);
}

/** Whether C2 or S2 answers the digest that was sent in C1 or S1. */
export function part2Answers(part: Buffer, sentDigest: Buffer, side: Side): boolean {
  return timingSafeEqual(part2Digest(part, sentDigest, side), part.subarray(part.length - DIGEST_BYTES));
}

function part2Digest(part: Buffer, peerDigest: Buffer, side: Side): Buffer {
  const key = createHmac('sha256', FULL_KEY[side]).update(peerDigest).digest();
  return createHmac('sha256', key)
    .update(part.subarray(0, part.length - DIGEST_BYTES))
    .digest();
}
