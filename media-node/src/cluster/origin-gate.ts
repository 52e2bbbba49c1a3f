import type { Logger } from 'pino';
import type { VhostConfig } from '#contract/node-config.ts';
import type { PeerPublisher } from '#contract/peer-api.ts';
import type { ConfigStore } from '../config/config-store.ts';
import { StreamError } from '../stream/errors.ts';
import { GateError } from '../stream/gate.ts';
import type { Gate, Publication, SessionInfo } from '../stream/gate.ts';
import type { StreamKey } from '../stream/stream-key.ts';
import type { StreamRegistry } from '../stream/stream-registry.ts';
import type { Stream } from '../stream/stream.ts';
import type { Directory, NodeInfo } from './directory.ts';
import type { OriginFinder, PeerAnswers, PublisherProbe } from './ports.ts';
import { Publications } from './publications.ts';
import type { PublicationSlot } from './publications.ts';
import { StreamClaim } from './stream-claim.ts';

export interface OriginGateOptions {
  readonly node: NodeInfo;
  readonly config: Pick<ConfigStore, 'vhosts'>;
  readonly registry: StreamRegistry;
  readonly directory: Directory;
  readonly probe: PublisherProbe;
  readonly finder: OriginFinder;
  readonly logger: Logger;
  /** See StreamClaimOptions. */
  readonly silenceMs?: number;
}

/** An origin's door: who publishes gets the stream in the whole cluster; who plays gets it from here or by a pull. */
export class OriginGate implements Gate, PeerAnswers {
  readonly #options: OriginGateOptions;
  readonly #log: Logger;
  readonly #claim: StreamClaim;
  readonly #publications = new Publications();
  readonly #unsubscribe: () => void;
  #isDraining = false;
  #closedBecause: string | undefined;

  constructor(options: OriginGateOptions) {
    this.#options = options;
    this.#log = options.logger.child({ component: 'origin-gate', nodeId: options.node.nodeId });
    this.#claim = new StreamClaim({ ...options, logger: this.#log });
    this.#unsubscribe = options.directory.onFenced(({ key, epoch }) =>
      this.#publications.get(key)?.fence(epoch, 'another origin has the stream now'),
    );
  }

  /** Streams got from another node's record. */
  get takeovers(): number {
    return this.#claim.takeovers;
  }

  /** Publishers here, those that still wait for their claim included. */
  get publications(): number {
    return this.#publications.size;
  }

  vhost(host: string): VhostConfig | undefined {
    return this.#options.config.vhosts.find(host);
  }

  async publish(key: StreamKey, session: SessionInfo, onRevoked: (reason: string) => void): Promise<Publication> {
    const vhost = this.#admit(key, session);
    const slot = this.#publications.enter(key, vhost.publish.takeover, onRevoked);
    let epoch: number | undefined;
    try {
      epoch = await this.#claim.claim(slot, vhost.publish.takeover);
      if (this.#closedBecause !== undefined) slot.revoke(this.#closedBecause);
      slot.grant(epoch);
      const stream = this.#open(key);
      return this.#publication(slot, epoch, stream, vhost);
    } catch (error) {
      slot.leave();
      if (epoch !== undefined) void this.#options.directory.release(key, epoch);
      throw error;
    }
  }

  // Nothing to wait for, but a promise is the Gate's way.
  async play(key: StreamKey, session: SessionInfo): Promise<{ readonly stream: Stream; readonly vhost: VhostConfig }> {
    const vhost = this.#admit(key, session);
    if (session.relay !== undefined && this.#publications.get(key)?.isLive !== true) {
      throw new GateError('not-here', 'this node does not own the stream');
    }
    return { stream: this.#open(key), vhost };
  }

  peerPublisher(key: StreamKey): PeerPublisher {
    const { nodeId, host, rtmpPort, adminPort } = this.#options.node;
    const slot = this.#publications.get(key);
    // One that claims counts: its record may stand before its answer is here, and without a directory nobody else decides.
    const published = slot !== undefined && slot.revokedBecause === undefined && !slot.isAside;
    const epoch = slot?.isLive === true ? (slot.epoch ?? null) : null;
    return { version: 1, nodeId, host, rtmpPort, adminPort, published, epoch };
  }

  peerYield(key: StreamKey, epoch: number, by: string): PeerPublisher {
    const slot = this.#publications.get(key);
    // The directory may know our claim under a higher epoch than ours, never under a lower one.
    if (slot?.isLive === true && slot.epoch !== undefined && slot.epoch <= epoch) {
      this.#log.info({ ...key, epoch: slot.epoch, byNodeId: by }, 'stream yielded to another origin');
      slot.revoke('another publisher took its place');
    }
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
    this.#unsubscribe();
  }

  #admit(key: StreamKey, { relay }: SessionInfo): VhostConfig {
    if (this.#isDraining) throw new GateError('draining', 'the node is closing');
    const vhost = this.#options.config.vhosts.named(key.vhost);
    if (vhost === undefined) throw new GateError('no-vhost', 'the vhost does not exist or is disabled');
    if (relay?.path.includes(this.#options.node.nodeId) === true) {
      throw new GateError('denied', 'the media has passed this node already');
    }
    return vhost;
  }

  #open(key: StreamKey): Stream {
    try {
      return this.#options.registry.open(key);
    } catch (cause) {
      if (!(cause instanceof StreamError)) throw cause;
      throw new GateError('unavailable', cause.message, { cause });
    }
  }

  #publication(slot: PublicationSlot, epoch: number, stream: Stream, vhost: VhostConfig): Publication {
    const letGo = stream.hold();
    let isClosed = false;
    return {
      stream,
      vhost,
      close: (reason) => {
        if (isClosed) return;
        isClosed = true;
        letGo();
        slot.leave();
        this.#log.info({ ...slot.key, epoch, reason }, 'stream released');
        void this.#options.directory.release(slot.key, epoch);
      },
    };
  }
}
