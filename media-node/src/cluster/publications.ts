import { GateError } from '../stream/gate.ts';
import { streamKeyId } from '../stream/stream-key.ts';
import type { StreamKey } from '../stream/stream-key.ts';

/** One publisher's place on this node, from the moment it asks until it is gone. */
export class PublicationSlot {
  readonly key: StreamKey;
  /** Not asking for the stream right now, so that another may have it; see StreamClaim. */
  isAside = false;
  readonly #onRevoked: (reason: string) => void;
  readonly #leave: (slot: PublicationSlot) => void;
  #revokedBecause: string | undefined;
  #isLive = false;
  #isLeft = false;
  #epoch: number | undefined;
  /** Epochs that were fenced, perhaps before the claim's answer was seen here. */
  #fencedEpoch = 0;

  constructor(key: StreamKey, onRevoked: (reason: string) => void, leave: (slot: PublicationSlot) => void) {
    this.key = key;
    this.#onRevoked = onRevoked;
    this.#leave = leave;
  }

  /** The publication was granted and not revoked. */
  get isLive(): boolean {
    return this.#isLive && this.#revokedBecause === undefined;
  }

  get epoch(): number | undefined {
    return this.#epoch;
  }

  get revokedBecause(): string | undefined {
    return this.#revokedBecause;
  }

  /** Grants it. Throws GateError `busy` when it was lost meanwhile. An edge has no epoch: 0. */
  grant(epoch: number): void {
    this.#epoch = epoch;
    if (this.#fencedEpoch === epoch && epoch !== 0) this.#revokedBecause ??= 'another origin has the stream';
    if (this.#revokedBecause !== undefined) throw new GateError('busy', this.#revokedBecause);
    this.#isLive = true;
  }

  /** Takes the right away; the session hears of it once, if it had been granted. */
  revoke(reason: string): void {
    if (this.#revokedBecause !== undefined || this.#isLeft) return;
    this.#revokedBecause = reason;
    if (this.#isLive) this.#onRevoked(reason);
  }

  fence(epoch: number, reason: string): void {
    this.#fencedEpoch = epoch;
    if (this.#isLive && this.#epoch === epoch) this.revoke(reason);
  }

  /** Frees the place; idempotent. */
  leave(): void {
    if (this.#isLeft) return;
    this.#isLeft = true;
    this.#leave(this);
  }
}

/** The publishers of this node: at most one a stream. */
export class Publications {
  readonly #slots = new Map<string, PublicationSlot>();

  get size(): number {
    return this.#slots.size;
  }

  get(key: StreamKey): PublicationSlot | undefined {
    return this.#slots.get(streamKeyId(key));
  }

  /** A place for a publisher. Another one's is taken with `Replace`; with `Reject` this throws GateError `busy`. */
  enter(key: StreamKey, takeover: 'Reject' | 'Replace', onRevoked: (reason: string) => void): PublicationSlot {
    const id = streamKeyId(key);
    const former = this.#slots.get(id);
    if (former !== undefined && former.revokedBecause === undefined && takeover === 'Reject') {
      throw new GateError('busy', 'the stream has a publisher on this node');
    }
    const slot = new PublicationSlot(key, onRevoked, (left) => {
      if (this.#slots.get(id) === left) this.#slots.delete(id);
    });
    this.#slots.set(id, slot);
    former?.revoke('another publisher took its place');
    return slot;
  }

  revokeAll(reason: string): void {
    for (const slot of this.#slots.values()) slot.revoke(reason);
  }
}
