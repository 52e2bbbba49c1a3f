import type { RelayTarget } from '../stream/relay.ts';
import type { PeerPublisher } from '#contract/peer-api.ts';
import type { StreamKey } from '../stream/stream-key.ts';
import type { OwnerRecord } from './directory.ts';

/*
 * What nodes of a cluster ask each other: peer-client.ts implements the probe and the finder, the admin server calls
 * PeerAnswers. Relay connections are in stream/relay.ts.
 */

/**
 * An owner's answer. `yes` with its record as the owner knows it; `no`: it is there without that publisher, its port
 * refuses connections, or its address belongs to another node by now; `silent`: no answer in time or none that makes sense.
 */
export type ProbeAnswer =
  { readonly kind: 'yes'; readonly owner: OwnerRecord } | { readonly kind: 'no' } | { readonly kind: 'silent' };

/** Asks the owner in a record, at its admin port. Never rejects. */
export interface PublisherProbe {
  /** Has it still the publisher? */
  ask(owner: OwnerRecord, key: StreamKey, timeoutMs: number): Promise<ProbeAnswer>;
  /** Asks it to end the publisher with the record's epoch; `yes` means that it stays. */
  yield(owner: OwnerRecord, key: StreamKey, timeoutMs: number): Promise<ProbeAnswer>;
}

/** What asking every known origin gave. */
export interface OriginsAnswer {
  /** Who has the stream's publisher: of several the one with the highest epoch, then node id. Never this node. */
  readonly owner: OwnerRecord | undefined;
  /** An origin is claiming it for a publisher just now. */
  readonly isClaiming: boolean;
  /** Origins that answered, this one left out. */
  readonly reachable: readonly RelayTarget[];
}

/** Finds a stream by asking the origins themselves, for when the directory is away. Never rejects. */
export interface OriginFinder {
  /** `fresh` skips answers kept from earlier calls, as a claim must. */
  find(key: StreamKey, options?: { readonly fresh?: boolean }): Promise<OriginsAnswer>;
}

/**
 * What the admin server answers to peers: the bodies of contract/peer-api.ts. Both are synchronous and never throw;
 * OriginGate and EdgeGate implement it (an edge has no publisher ever).
 */
export interface PeerAnswers {
  /** For `GET /cluster/publisher`. */
  peerPublisher(key: StreamKey): PeerPublisher;
  /** For `POST /cluster/publisher/yield`: ends the publisher if it has this epoch. `by` is the asking node's id. */
  peerYield(key: StreamKey, epoch: number, by: string): PeerPublisher;
}
