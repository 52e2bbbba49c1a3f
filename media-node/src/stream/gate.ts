import type { VhostConfig } from '#contract/node-config.ts';
import type { Protocol } from './publisher.ts';
import type { Stream } from './stream.ts';
import type { StreamKey } from './stream-key.ts';

/*
 * The door between protocols and the rest of the node. A protocol session asks the Gate before it publishes or plays;
 * what stands behind (vhost rules, the directory's claim, an edge's hand-over, later hooks and tokens) it never sees.
 */

/** Why a session is refused; each protocol maps it to its own words (BadName, 404, …). */
export type GateCode =
  | 'no-vhost' // neither a vhost of that name nor a default one, or it is disabled
  | 'busy' // another publisher has the stream
  | 'denied' // a rule forbids it
  | 'limit' // a limit of the vhost is reached
  | 'not-here' // a relay asked for a stream that this node does not own
  | 'draining' // the node takes no new sessions
  | 'unavailable'; // the directory and every origin are out of reach: try again

/** A session that may not publish or play. */
export class GateError extends Error {
  override readonly name = 'GateError';
  readonly code: GateCode;
  constructor(code: GateCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** Proof that a connection comes from a node of the same cluster; see docs/ARCHITECTURE.md, How a stream finds its viewer. */
export interface RelayPeer {
  /** Ids of the nodes the media has passed, the asking one last; a pull whose path holds the asked node is refused. */
  readonly path: readonly string[];
}

/** Who asks, as far as the protocol knows; addresses and names as SRS's API and hooks show them. */
export interface SessionInfo {
  readonly id: string;
  readonly protocol: Protocol;
  readonly ip: string;
  readonly tcUrl: string;
  readonly pageUrl: string;
  /** Query of the stream name with its leading `?`, or empty. May hold secrets: never logged. */
  readonly param: string;
  /** Set when the peer proved to be a node of this cluster: then it is no viewer and no encoder. */
  readonly relay?: RelayPeer;
}

/** The right to publish a stream, held until close. */
export interface Publication {
  /** Where the frames go. */
  readonly stream: Stream;
  readonly vhost: VhostConfig;
  /** Gives the stream back; idempotent. */
  close(reason: string): void;
}

/** The right to play a stream, held until close. */
export interface Viewing {
  /** May have no publisher yet. */
  readonly stream: Stream;
  readonly vhost: VhostConfig;
  /** Tells that the viewer has left; idempotent. Not there where nobody keeps account of viewers. */
  close?(): void;
}

/**
 * The one door: a session asks it before it publishes or plays. Gates stand before each other (LimitGate, SessionLedger, DrainGate).
 */
export interface Gate {
  /**
   * Asks to publish. `onRevoked` is called at most once, when the right is lost later (fenced by another origin,
   * replaced, drained); the session must then end. Rejects with GateError.
   */
  publish(key: StreamKey, session: SessionInfo, onRevoked: (reason: string) => void): Promise<Publication>;
  /** Asks to play. Rejects with GateError. */
  play(key: StreamKey, session: SessionInfo): Promise<Viewing>;
  /** The vhost a host name belongs to: exact name, else the default one, else undefined. Never blocks. */
  vhost(host: string): VhostConfig | undefined;
}
