import { createHmac, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto';
import type { StreamKey } from '../../stream/stream-key.ts';
import { streamKeyId } from '../../stream/stream-key.ts';

/** A viewer may come back with a context for so long; then it gets a fresh one. */
export const CONTEXT_LIFE_MS = 24 * 3_600_000;
/** Fresh contexts of one session are equal for so long, so that a viewer that is redirected each time stays one viewer. */
const RENEWAL_MS = CONTEXT_LIFE_MS / 2;
/** Clocks of nodes may differ by so much. */
const AHEAD_MS = 5 * 60_000;

const VERSION = 1;
const ID_BYTES = 8;
const TIME_BYTES = 4;
const MAC_BYTES = 16;
const BODY_BYTES = 1 + ID_BYTES + TIME_BYTES;
const TOKEN = new RegExp(`^[A-Za-z0-9_-]{${Math.ceil(((BODY_BYTES + MAC_BYTES) * 4) / 3)}}$`);

/** Tells the key of contexts from others that are made from the same secret. */
const KEY_LABEL = 'livecluster viewer context 1';

/** What a context says: whose session it is, or why it says nothing. */
export type ContextAnswer =
  | { readonly kind: 'valid'; readonly id: string }
  /** `renewed` is a context of the same session that is valid now. */
  | { readonly kind: 'expired'; readonly id: string; readonly renewed: string }
  | { readonly kind: 'forged' };

/**
 * Contexts of viewers that have no connection (`hls_ctx`): a session's id and the time of issue, signed for one stream with a
 * key that all nodes of the cluster derive from their shared secret. Any node reads what any other has issued.
 *
 *     base64url(version 1, id 8, seconds since 1970 4, HMAC-SHA256(those, stream) cut to 16 bytes)
 */
export class ViewerContexts {
  readonly #key: Buffer;
  readonly #now: () => number;

  /** `secret`: the cluster's relay key. `now`: milliseconds since 1970; default Date.now. */
  constructor(secret: Buffer, now: () => number = Date.now) {
    this.#key = Buffer.from(hkdfSync('sha256', secret, Buffer.alloc(0), KEY_LABEL, 32));
    this.#now = now;
  }

  /** The context of a new session. */
  issue(key: StreamKey): string {
    return this.#sign(randomBytes(ID_BYTES), this.#now(), key);
  }

  read(token: string, key: StreamKey): ContextAnswer {
    if (!TOKEN.test(token)) return { kind: 'forged' };
    const bytes = Buffer.from(token, 'base64url');
    const body = bytes.subarray(0, BODY_BYTES);
    if (!timingSafeEqual(this.#mac(body, key), bytes.subarray(BODY_BYTES)) || body[0] !== VERSION) {
      return { kind: 'forged' };
    }
    const idBytes = body.subarray(1, 1 + ID_BYTES);
    const id = idBytes.toString('hex');
    const nowMs = this.#now();
    const ageMs = nowMs - body.readUInt32BE(1 + ID_BYTES) * 1_000;
    if (ageMs < -AHEAD_MS) return { kind: 'forged' };
    if (ageMs <= CONTEXT_LIFE_MS) return { kind: 'valid', id };
    return { kind: 'expired', id, renewed: this.#sign(idBytes, nowMs - (nowMs % RENEWAL_MS), key) };
  }

  #sign(id: Buffer, issuedMs: number, key: StreamKey): string {
    const body = Buffer.alloc(BODY_BYTES);
    body[0] = VERSION;
    id.copy(body, 1);
    body.writeUInt32BE(Math.floor(issuedMs / 1_000), 1 + ID_BYTES);
    return Buffer.concat([body, this.#mac(body, key)]).toString('base64url');
  }

  #mac(body: Buffer, key: StreamKey): Buffer {
    const mac = createHmac('sha256', this.#key).update(body).update(streamKeyId(key)).digest();
    return mac.subarray(0, MAC_BYTES);
  }
}
