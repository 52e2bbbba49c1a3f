import { randomFillSync } from 'node:crypto';
import { EMPTY, hex } from '../lib/bytes.ts';
import { FormatError } from '../lib/format-error.ts';
import { digestOf, findDigest, sealC1, sealPart2, sealS1 } from './rtmp-handshake-digest.ts';

/** What push found. */
export interface HandshakeStep {
  /** Bytes to send to the peer now; empty where there are none. */
  readonly output: Buffer;
  /** True once the peer's last part has come: `rest` then belongs to the chunk stream. */
  readonly done: boolean;
  /** Input after the handshake's end; empty until done. A view of the input, valid as long as that is. */
  readonly rest: Buffer;
}

/** `complex`: the digests of Adobe's servers and players, which Flash-era peers ask for before they play H.264. */
export type HandshakeKind = 'simple' | 'complex';

/** Bytes of C1, C2, S1 and S2. */
const PART_BYTES = 1536;
const RTMP_VERSION = 3;
const WAITING: HandshakeStep = { output: EMPTY, done: false, rest: EMPTY };

/** Collects a known number of bytes out of input split anywhere. */
class Gather {
  readonly bytes: Buffer;
  #filled = 0;
  constructor(length: number) {
    this.bytes = Buffer.alloc(length);
  }
  get full(): boolean {
    return this.#filled === this.bytes.length;
  }
  /** Takes what is still missing; returns the input after it. */
  take(input: Buffer): Buffer {
    const taken = input.copy(this.bytes, this.#filled);
    this.#filled += taken;
    return input.subarray(taken);
  }
}

/**
 * The server's side of the handshake (RTMP 1.0 §5.2): answers in the kind the client began. C2 is awaited but not
 * judged, as clients write anything into it.
 */
export class ServerHandshake {
  readonly #first = new Gather(1 + PART_BYTES);
  readonly #c2 = new Gather(PART_BYTES);
  #kind: HandshakeKind | undefined;

  /** What the client began; undefined until C1 has come. */
  get kind(): HandshakeKind | undefined {
    return this.#kind;
  }

  /** Takes the next bytes. Throws FormatError 'handshake' for a version other than 3. Not to be called after done. */
  push(input: Buffer): HandshakeStep {
    let rest = input;
    let output = EMPTY;
    if (!this.#first.full) {
      if (rest.length === 0) return WAITING;
      rest = this.#first.take(rest);
      checkVersion(this.#first.bytes[0]!, 'client');
      if (!this.#first.full) return WAITING;
      output = this.#answer(this.#first.bytes.subarray(1));
    }
    rest = this.#c2.take(rest);
    return this.#c2.full ? { output, done: true, rest } : { output, done: false, rest: EMPTY };
  }

  #answer(c1: Buffer): Buffer {
    const out = Buffer.alloc(1 + 2 * PART_BYTES);
    out[0] = RTMP_VERSION;
    const s1 = out.subarray(1, 1 + PART_BYTES);
    const s2 = out.subarray(1 + PART_BYTES);
    randomFillSync(s1, 8);
    // Clients that make digests put their version where the simple handshake has four zeros.
    const digestAt = c1.readUInt32BE(4) === 0 ? undefined : findDigest(c1, 'client');
    if (digestAt === undefined) {
      this.#kind = 'simple';
      c1.copy(s2);
    } else {
      this.#kind = 'complex';
      sealS1(s1, digestAt.scheme);
      randomFillSync(s2);
      sealPart2(s2, digestOf(c1, digestAt), 'server');
    }
    return out;
  }
}

/** The client's side. Send `start()` first, then push what comes. S2 is not judged. */
export class ClientHandshake {
  readonly #kind: HandshakeKind;
  readonly #answer = new Gather(1 + 2 * PART_BYTES);

  constructor(kind: HandshakeKind = 'simple') {
    this.#kind = kind;
  }

  /** C0 and C1. */
  start(): Buffer {
    const out = Buffer.alloc(1 + PART_BYTES);
    out[0] = RTMP_VERSION;
    const c1 = out.subarray(1);
    randomFillSync(c1, 8);
    if (this.#kind === 'complex') sealC1(c1);
    return out;
  }

  /**
   * Takes the next bytes; C2 comes as output with done. Throws FormatError 'handshake' for a version other than 3. Not to
   * be called after done.
   */
  push(input: Buffer): HandshakeStep {
    if (input.length === 0) return WAITING;
    const rest = this.#answer.take(input);
    checkVersion(this.#answer.bytes[0]!, 'server');
    if (!this.#answer.full) return WAITING;
    const s1 = this.#answer.bytes.subarray(1, 1 + PART_BYTES);
    const digestAt = this.#kind === 'complex' ? findDigest(s1, 'server') : undefined;
    let output = Buffer.from(s1);
    if (digestAt !== undefined) {
      output = Buffer.alloc(PART_BYTES);
      randomFillSync(output);
      sealPart2(output, digestOf(s1, digestAt), 'client');
    }
    return { output, done: true, rest };
  }
}

function checkVersion(version: number, side: string): void {
  if (version === RTMP_VERSION) return;
  const guess = version === 6 ? ' (RTMPE, which is not served)' : version === 0x16 ? ' (TLS: use an rtmps port)' : '';
  throw new FormatError('handshake', `RTMP ${side} begins with ${hex(version)}${guess}, not with version 3`);
}
