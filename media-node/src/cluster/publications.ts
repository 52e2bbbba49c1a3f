import { GateError } from '../stream/gate.ts';
import { streamKeyId } from '../stream/stream-key.ts';
import type { StreamKey } from '../stream/stream-key.ts';
import type { Stream } from '../stream/stream.ts';

/** What an origin's publisher got, and passes on to the next one on this node. */
export interface Holding {
  /** Of the claim in the directory. */
  readonly epoch: number;
  readonly stream: Stream;
  /** Gives the hold on the stream back; idempotent. */
  letGo(): void;
}

/**
 * `asking`: waits for its claim. `live`: granted. `waiting`: its publisher is gone, the place is kept for the next one.
 * `passed`: another publisher of this node has taken over what it held. `left`: out.
 */
type SlotState = 'asking' | 'live' | 'waiting' | 'passed' | 'left';

/** One publisher's place on this node, from the moment it asks until it, and the time it is waited for, are over. */
export class PublicationSlot {
  readonly key: StreamKey;
  /** Not asking for the stream right now, so that another may have it; see StreamClaim. */
  isAside = false;
  /** What the publisher before left to this one: nothing has to be claimed. */
  inherited: Holding | undefined;
  readonly #onRevoked: (reason: string) => void;
  readonly #leave: (slot: PublicationSlot) => void;
  #state: SlotState = 'asking';
  #revokedBecause: string | undefined;
  #epoch: number | undefined;
  #holding: Holding | undefined;
  #wait: { readonly timer: NodeJS.Timeout; readonly onOver: (reason: string) => void } | undefined;
  /** Epochs that were fenced, perhaps before the claim's answer was seen here. */
  #fencedEpoch = 0;

  constructor(key: StreamKey, onRevoked: (reason: string) => void, leave: (slot: PublicationSlot) => void) {
    this.key = key;
    this.#onRevoked = onRevoked;
    this.#leave = leave;
  }

  /** The publication was granted and not revoked. */
  get isLive(): boolean {
    return this.#state === 'live' && this.#revokedBecause === undefined;
  }

  /** The publisher is gone and the next one is waited for. */
  get isWaiting(): boolean {
    return this.#state === 'waiting';
  }

  get epoch(): number | undefined {
    return this.#epoch;
  }

  get revokedBecause(): string | undefined {
    return this.#revokedBecause;
  }

  /** Grants it. Throws GateError `busy` when it was lost meanwhile. An edge has no epoch: 0, and nothing to pass on. */
  grant(epoch: number, holding?: Holding): void {
    this.#epoch = epoch;
    if (this.#fencedEpoch === epoch && epoch !== 0) this.#revokedBecause ??= 'another origin has the stream';
    if (this.#revokedBecause !== undefined) throw new GateError('busy', this.#revokedBecause);
    this.#holding = holding;
    this.#state = 'live';
  }

  /** Takes the right away; the session hears of it once, if it had been granted. */
  revoke(reason: string): void {
    if (this.#revokedBecause !== undefined || this.#state === 'left' || this.#state === 'passed') return;
    this.#revokedBecause = reason;
    if (this.#state === 'live') this.#onRevoked(reason);
    else this.endWait(reason);
  }

  fence(epoch: number, reason: string): void {
    this.#fencedEpoch = epoch;
    if (this.#epoch === epoch) this.revoke(reason);
  }

  /**
   * The publisher is gone: keeps the place for `graceMs`, then calls `onOver`; at once when it is taken away meanwhile,
   * never when it is passed on. False: there is nothing to keep.
   */
  wait(graceMs: number, onOver: (reason: string) => void): boolean {
    if (!this.isLive || graceMs <= 0) return false;
    this.#state = 'waiting';
    this.#wait = { timer: setTimeout(() => this.endWait('nobody came back in time'), graceMs), onOver };
    return true;
  }

  /** Waits no longer; nothing when it does not wait. */
  endWait(reason: string): void {
    const wait = this.#wait;
    if (wait === undefined) return;
    this.#wait = undefined;
    clearTimeout(wait.timer);
    wait.onOver(reason);
  }

  /** Hands over what it holds to the next publisher of this node; undefined: it holds nothing. Its session hears of it. */
  passOn(reason: string): Holding | undefined {
    const isLive = this.isLive;
    const holding = isLive || this.#state === 'waiting' ? this.#holding : undefined;
    if (holding === undefined) {
      this.revoke(reason);
      return undefined;
    }
    clearTimeout(this.#wait?.timer);
    this.#wait = undefined;
    this.#state = 'passed';
    this.#revokedBecause = reason;
    if (isLive) this.#onRevoked(reason);
    return holding;
  }

  /** Whether it holds its stream and claim no more, because another publisher does. */
  get isPassedOn(): boolean {
    return this.#state === 'passed';
  }

  /** Frees the place; idempotent. */
  leave(): void {
    if (this.#state === 'left') return;
    clearTimeout(this.#wait?.timer);
    this.#wait = undefined;
    if (this.#state !== 'passed') this.#state = 'left';
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

  /** Places that are kept for a publisher to come back. */
  get waiting(): number {
    let waiting = 0;
    for (const slot of this.#slots.values()) if (slot.isWaiting) waiting += 1;
    return waiting;
  }

  /**
   * A place for a publisher, with what the one before held. One that is waited for gives way; a live one's place is
   * taken with `Replace`; with `Reject` this throws GateError `busy`.
   */
  enter(key: StreamKey, takeover: 'Reject' | 'Replace', onRevoked: (reason: string) => void): PublicationSlot {
    const id = streamKeyId(key);
    const former = this.#slots.get(id);
    const isTaken = former !== undefined && former.revokedBecause === undefined && !former.isWaiting;
    if (isTaken && takeover === 'Reject') {
      throw new GateError('busy', 'the stream has a publisher');
    }
    const slot = new PublicationSlot(key, onRevoked, (left) => {
      if (this.#slots.get(id) === left) this.#slots.delete(id);
    });
    this.#slots.set(id, slot);
    slot.inherited = former?.passOn('another publisher took its place');
    return slot;
  }

  revokeAll(reason: string): void {
    for (const slot of this.#slots.values()) slot.revoke(reason);
  }

  /** Nobody's return is waited for any longer. */
  endWaits(reason: string): void {
    for (const slot of this.#slots.values()) slot.endWait(reason);
  }
}
