import type { Logger } from 'pino';
import type { VhostConfig } from '#contract/node-config.ts';
import type { PeerPublisher } from '#contract/peer-api.ts';
import { StreamError } from '../stream/errors.ts';
import { GateError } from '../stream/gate.ts';
import type { Gate, Publication, SessionInfo } from '../stream/gate.ts';
import type { StreamKey } from '../stream/stream-key.ts';
import { StreamRegistry } from '../stream/stream-registry.ts';
import type { Stream } from '../stream/stream.ts';
import type { GateParts } from './gate-parts.ts';
import { HandOver } from './hand-over.ts';
import type { HandOverContext } from './hand-over.ts';
import type { PeerAnswers } from './ports.ts';
import type { PushClient } from '../stream/relay.ts';
import { Publications } from './publications.ts';

export interface EdgeGateOptions extends GateParts {
  readonly pushClient: PushClient;
  /** How long a new encoder waits for an origin. Default 5 s. */
  readonly startMs?: number;
  /** How long it goes on without one after its origin was lost. Default 4 s. */
  readonly recoverMs?: number;
  /** An origin that gives no sign of life for so long is lost. Default 3 s. */
  readonly silentMs?: number;
  readonly now?: () => number;
}

/** Encoders on one edge at most. */
const MAX_HANDED_OVER = 1_000;

/** An edge's door: who plays gets a pulled stream; who publishes is handed on to an origin. */
export class EdgeGate implements Gate, PeerAnswers {
  /** Connections to origins that publish for encoders here. */
  readonly counts = { pushesStarted: 0, pushesActive: 0 };
  readonly #options: EdgeGateOptions;
  readonly #log: Logger;
  readonly #context: HandOverContext;
  readonly #publications = new Publications();
  readonly #private: StreamRegistry;
  #isDraining = false;
  #closedBecause: string | undefined;

  constructor(options: EdgeGateOptions) {
    this.#options = options;
    this.#log = options.logger.child({ component: 'edge-gate', nodeId: options.node.nodeId });
    const { startMs = 5_000, recoverMs = 4_000, silentMs = 3_000, now = Date.now } = options;
    const { directory, finder, probe, pushClient } = options;
    this.#private = new StreamRegistry({ maxStreams: MAX_HANDED_OVER, now });
    this.#context = {
      nodeId: options.node.nodeId,
      directory,
      finder,
      probe,
      pushClient,
      startMs,
      recoverMs,
      silentMs,
      now,
      logger: this.#log,
      counts: this.counts,
    };
  }

  /** Encoders here. */
  get publications(): number {
    return this.#publications.size;
  }

  /** The streams that encoders publish here, apart from those that viewers play. */
  handedOver(): Iterable<Stream> {
    return this.#private.streams();
  }

  vhost(host: string): VhostConfig | undefined {
    return this.#options.config.vhosts.find(host);
  }

  async publish(key: StreamKey, session: SessionInfo, onRevoked: (reason: string) => void): Promise<Publication> {
    const vhost = this.#admit(key);
    if (session.relay !== undefined) throw new GateError('denied', 'an edge takes no stream from another node');
    if (vhost.cluster.edgePublish === 'Deny') {
      throw new GateError('denied', 'the vhost allows publishing to origins only (cluster.edgePublish)');
    }
    // The end of a publisher may wait in its socket, not read yet.
    await this.#private.get(key)?.settle();
    const slot = this.#publications.enter(key, vhost.publish.takeover, onRevoked);
    let handOver: HandOver | undefined;
    let letGo: (() => void) | undefined;
    try {
      const stream = this.#openPrivate(key);
      letGo = stream.hold();
      handOver = new HandOver(this.#context, key, stream, (reason) => slot.revoke(`the origin was lost: ${reason}`));
      await handOver.start();
      slot.grant(0);
      return this.#publication(stream, vhost, [handOver, letGo, slot]);
    } catch (error) {
      handOver?.close('refused');
      letGo?.();
      slot.leave();
      throw error;
    }
  }

  async play(key: StreamKey, session: SessionInfo): Promise<{ readonly stream: Stream; readonly vhost: VhostConfig }> {
    const vhost = this.#admit(key);
    if (session.relay !== undefined) throw new GateError('not-here', 'an edge owns no stream');
    try {
      return { stream: this.#options.registry.open(key), vhost };
    } catch (cause) {
      if (!(cause instanceof StreamError)) throw cause;
      throw new GateError('unavailable', cause.message, { cause });
    }
  }

  peerPublisher(_key: StreamKey): PeerPublisher {
    const { nodeId, host, rtmpPort, adminPort } = this.#options.node;
    return { version: 1, nodeId, host, rtmpPort, adminPort, published: false, epoch: null };
  }

  peerYield(key: StreamKey, _epoch: number, _by: string): PeerPublisher {
    return this.peerPublisher(key);
  }

  /** Takes no new sessions; those that are here stay. */
  drain(): void {
    this.#isDraining = true;
  }

  /** Takes no new sessions and ends every publisher; idempotent. */
  close(reason: string): void {
    if (this.#closedBecause !== undefined) return;
    this.#closedBecause = reason;
    this.#isDraining = true;
    this.#publications.revokeAll(reason);
    this.#private.close(reason);
  }

  #admit(key: StreamKey): VhostConfig {
    if (this.#isDraining) throw new GateError('draining', 'the node is closing');
    const vhost = this.#options.config.vhosts.named(key.vhost);
    if (vhost === undefined) throw new GateError('no-vhost', 'the vhost does not exist or is disabled');
    return vhost;
  }

  #openPrivate(key: StreamKey): Stream {
    try {
      return this.#private.open(key);
    } catch (cause) {
      if (!(cause instanceof StreamError)) throw cause;
      throw new GateError('unavailable', cause.message, { cause });
    }
  }

  #publication(
    stream: Stream,
    vhost: VhostConfig,
    [handOver, letGo, slot]: readonly [HandOver, () => void, { leave(): void }],
  ): Publication {
    let isClosed = false;
    return {
      stream,
      vhost,
      close: (reason) => {
        if (isClosed) return;
        isClosed = true;
        handOver.close(reason);
        letGo();
        slot.leave();
      },
    };
  }
}
