import type { PeerPublisher } from '#contract/peer-api.ts';
import type { Stream } from '../stream/stream.ts';
import type { StreamKey } from '../stream/stream-key.ts';
import type { OwnerRecord } from './directory.ts';

/*
 * What the cluster needs of the rest of the node, and what it offers to it: protocols implement PullClient and
 * PushClient, peer-client.ts the probe and the finder, the admin server calls PeerAnswers. main.ts wires them.
 */

/** A node as a relay connection needs it. */
export interface RelayTarget {
  readonly nodeId: string;
  readonly host: string;
  readonly rtmpPort: number;
}

/**
 * Why a relay connection ended. `refused`: the node does not have the stream ('not-here') or will not take it;
 * `busy`: another publisher has it; `denied`: a rule or the proof of membership; `unreachable`: no connection or no answer
 * to the handshake in time; `ended`: the other side closed in order (its publisher left); `broken`: the connection broke or
 * the media was malformed; `closed`: this side closed it.
 */
export type RelayEndCode = 'refused' | 'busy' | 'denied' | 'unreachable' | 'ended' | 'broken' | 'closed';

export interface RelayEnd {
  readonly code: RelayEndCode;
  /** For the log: what happened, without secrets. */
  readonly message: string;
}

export interface RelayListener {
  /** The other side accepted (Play.Start, Publish.Start). At most once, never after onEnd. */
  onStart(): void;
  /** Exactly once, also after `close` and when it never started; never from within `pull` or `push` itself. */
  onEnd(end: RelayEnd): void;
}

/** One relay connection. */
export interface RelaySession {
  /** Frames handed over so far (pull: into the stream; push: to the other node); grows only. */
  readonly frames: number;
  /** Bytes that came from the other node, of any kind; grows only. */
  readonly bytesIn: number;
  /** Asks the other node for a sign of life, which counts in `bytesIn`. Nothing before the relay has started. */
  ping(): void;
  /** Ends it; idempotent. */
  close(reason: string): void;
}

export interface RelayRequest {
  readonly key: StreamKey;
  readonly target: RelayTarget;
  /** Ids of the nodes the media has passed, the asking one last (RelayPeer.path). */
  readonly path: readonly string[];
  /** Pull: attached to as a `relay` publisher. Push: played from, its encoder's frames go to the target. */
  readonly stream: Stream;
}

/** Fetches a stream from another node: connects, proves that it is a node of this cluster, plays, attaches to the stream. */
export interface PullClient {
  pull(request: RelayRequest, listener: RelayListener): RelaySession;
}

/** Hands a stream on to another node: connects, proves itself, publishes what an encoder attaches to the stream. */
export interface PushClient {
  push(request: RelayRequest, listener: RelayListener): RelaySession;
}

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
