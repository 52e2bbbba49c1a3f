import type { Stream } from './stream.ts';
import type { StreamKey } from './stream-key.ts';

/*
 * Relay connections, which carry a stream from one node to another: the cluster asks for them, protocols implement them,
 * and neither knows the other.
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

/** How a relay ended. */
export interface RelayEnd {
  readonly code: RelayEndCode;
  /** For the log: what happened, without secrets. */
  readonly message: string;
}

/** What a relay tells its owner; must not throw. */
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

/** What to relay, and where to. */
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
