import type { Stream } from '../../stream/stream.ts';
import type { StreamKey } from '../../stream/stream-key.ts';
import type { ClientRefusal } from './client.ts';
import type { SessionEnd } from './session-end.ts';

/*
 * The shapes in which the cluster asks for relay connections (cluster/ports.ts), written here as this folder needs them:
 * neither folder imports the other, main.ts joins them and the compiler compares.
 */

export interface RelayTarget {
  readonly nodeId: string;
  readonly host: string;
  readonly rtmpPort: number;
}

/** See RelayEndCode in cluster/ports.ts. */
export type RelayEndCode = 'refused' | 'busy' | 'denied' | 'unreachable' | 'ended' | 'broken' | 'closed';

export interface RelayEnd {
  readonly code: RelayEndCode;
  readonly message: string;
}

export interface RelayListener {
  onStart(): void;
  onEnd(end: RelayEnd): void;
}

export interface RelaySession {
  readonly frames: number;
  readonly bytesIn: number;
  ping(): void;
  close(reason: string): void;
}

export interface RelayRequest {
  readonly key: StreamKey;
  readonly target: RelayTarget;
  readonly path: readonly string[];
  readonly stream: Stream;
}

/** What the end of an RTMP connection means to the cluster. */
export function relayEnd({ code, message }: SessionEnd, refusal: ClientRefusal | undefined): RelayEnd {
  return { code: relayEndCode(code, refusal), message };
}

function relayEndCode(code: SessionEnd['code'], refusal: ClientRefusal | undefined): RelayEndCode {
  if (refusal !== undefined) return refusalCode(refusal);
  switch (code) {
    case 'unreachable':
    case 'timeout':
      return 'unreachable';
    case 'peer':
      return 'ended';
    case 'closed':
      return 'closed';
    default:
      return 'broken';
  }
}

function refusalCode({ code, reason }: ClientRefusal): RelayEndCode {
  if (reason === 'busy' || code === 'NetStream.Publish.BadName') return 'busy';
  // A connect that is refused: not a node of this cluster, or the node is full.
  if (reason === 'denied' || reason === 'limit' || code === 'NetConnection.Connect.Rejected') return 'denied';
  return 'refused';
}
