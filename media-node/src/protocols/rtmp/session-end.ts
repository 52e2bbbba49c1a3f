import type { FormatErrorCode } from '../../lib/format-error.ts';

/**
 * Why a connection ended; metrics count by it. `peer`: the other side closed; `reset`: it left with something unread, as players
 * do, or its process died; `socket`: the network broke; `timeout`: it stayed silent too long; a FormatErrorCode: what it sent
 * means nothing; `protocol`: it sent lawful messages in an unlawful order; `slow`: it does not read what it is sent; `tls`: an
 * RTMPS client and this side do not agree on TLS; `refused`: the gate or a limit; `unreachable`: no connection could be made;
 * `closed`: this side wished it; `internal`: a fault of ours, logged with its stack.
 */
export type SessionEndCode =
  | 'peer'
  | 'reset'
  | 'socket'
  | 'timeout'
  | 'slow'
  | 'tls'
  | 'protocol'
  | 'refused'
  | 'unreachable'
  | 'closed'
  | 'internal'
  | FormatErrorCode;

/** How a connection ended. */
export interface SessionEnd {
  readonly code: SessionEndCode;
  /** What happened, for the log; never holds payload or secrets. */
  readonly message: string;
}
