import type { VhostConfig } from '#contract/node-config.ts';
import type { Gate, Publication, SessionInfo, Viewing } from '../stream/gate.ts';
import { GateError } from '../stream/gate.ts';
import type { StreamKey } from '../stream/stream-key.ts';

/** `closed` also turns the other nodes away. */
export type DrainState = 'open' | 'draining' | 'closed';

/**
 * The outermost gate: a node that drains takes no new encoder and no new viewer, but the other nodes still get the
 * streams that it has, so that viewers elsewhere are not cut off before the encoder is gone.
 */
export class DrainGate implements Gate {
  readonly #inner: () => Gate | undefined;
  readonly #state: () => DrainState;

  /** `inner` is undefined until the node has entered its cluster. */
  constructor(inner: () => Gate | undefined, state: () => DrainState) {
    this.#inner = inner;
    this.#state = state;
  }

  async publish(key: StreamKey, session: SessionInfo, onRevoked: (reason: string) => void): Promise<Publication> {
    if (this.#state() !== 'open') throw draining();
    return this.#entered().publish(key, session, onRevoked);
  }

  async play(key: StreamKey, session: SessionInfo): Promise<Viewing> {
    const state = this.#state();
    if (state === 'closed' || (state === 'draining' && session.relay === undefined)) throw draining();
    return this.#entered().play(key, session);
  }

  vhost(host: string): VhostConfig | undefined {
    return this.#inner()?.vhost(host);
  }

  #entered(): Gate {
    const gate = this.#inner();
    if (gate === undefined) throw new GateError('unavailable', 'the node is starting; try again in a moment');
    return gate;
  }
}

function draining(): GateError {
  return new GateError(
    'draining',
    'the node is about to stop and takes no new session; connect again to reach another',
  );
}
