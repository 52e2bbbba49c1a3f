import type { RelayEnd, RelayEndCode } from '../../stream/relay.ts';
import type { ClientRefusal } from './client.ts';
import type { SessionEnd } from './session-end.ts';

/** What the end of an RTMP connection means to the cluster. */
export function relayEnd({ code, message }: SessionEnd, refusal: ClientRefusal | undefined): RelayEnd {
  // A node of ours says in words what our own client may be told.
  const said = refusal !== undefined && refusal.reason !== '' ? refusal.description : '';
  return { code: relayEndCode(code, refusal), message: said || message };
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
