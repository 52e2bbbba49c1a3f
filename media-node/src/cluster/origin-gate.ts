import type { Logger } from 'pino';
import type { VhostConfig } from '#contract/node-config.ts';
import type { PeerPublisher } from '#contract/peer-api.ts';
import { StreamError } from '../stream/errors.ts';
import { GateError } from '../stream/gate.ts';
import type { Gate, Publication, SessionInfo } from '../stream/gate.ts';
import type { StreamKey } from '../stream/stream-key.ts';
import type { Stream } from '../stream/stream.ts';
import type { GateParts } from './gate-parts.ts';
import type { PeerAnswers } from './ports.ts';
import { Publications } from './publications.ts';
import type { Holding, PublicationSlot } from './publications.ts';
import { StreamClaim } from './stream-claim.ts';

export interface OriginGateOptions extends GateParts {
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
  #resumed = 0;
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

  /** Streams whose publisher is gone and may come back; see `publish.graceMs`. */
  get awaited(): number {
    return this.#publications.waiting;
  }

  /** Publishers that went on with the claim of the one before them on this node. */
  get resumed(): number {
    return this.#resumed;
  }

  /** Publishers here, those that still wait for their claim and those that are waited for included. */
  get publications(): number {
    return this.#publications.size;
  }

  vhost(host: string): VhostConfig | undefined {
    return this.#options.config.vhosts.find(host);
  }

  async publish(key: StreamKey, session: SessionInfo, onRevoked: (reason: string) => void): Promise<Publication> {
    const vhost = this.#admit(key, session);
    // The end of a publisher may wait in its socket, not read yet.
    await this.#options.registry.get(key)?.settle();
    const slot = this.#publications.enter(key, vhost.publish.takeover, onRevoked);
    let epoch: number | undefined;
    let holding = slot.inherited;
    try {
      if (holding === undefined) {
        epoch = await this.#claim.claim(slot, vhost.publish.takeover);
        if (this.#closedBecause !== undefined) slot.revoke(this.#closedBecause);
        const stream = this.#open(key);
        holding = { epoch, stream, letGo: stream.hold() };
      } else {
        epoch = holding.epoch;
        this.#resumed += 1;
        this.#log.info({ ...key, epoch }, 'stream goes on with another publisher');
      }
      slot.grant(epoch, holding);
      return this.#publication(slot, holding, vhost);
    } catch (error) {
      slot.leave();
      holding?.letGo();
      if (epoch !== undefined) void this.#options.directory.release(key, epoch);
      throw error;
    }
  }

  // Nothing to wait for, but a promise is the Gate's way.
  async play(key: StreamKey, session: SessionInfo): Promise<{ readonly stream: Stream; readonly vhost: VhostConfig }> {
    const vhost = this.#admit(key, session);
    if (session.relay !== undefined) {
      const slot = this.#publications.get(key);
      if (slot?.isLive !== true && slot?.isWaiting !== true) {
        throw new GateError('not-here', 'this node does not own the stream');
      }
    }
    return { stream: this.#open(key), vhost };
  }

  peerPublisher(key: StreamKey): PeerPublisher {
    const { nodeId, host, rtmpPort, adminPort } = this.#options.node;
    const slot = this.#publications.get(key);
    // One that claims counts: its record may stand before its answer is here, and without a directory nobody else decides.
    // One that is only waited for does not: whoever has a publisher now gets the stream.
    const published = slot !== undefined && slot.revokedBecause === undefined && !slot.isAside && !slot.isWaiting;
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

  /** Takes no new sessions but those of other nodes; those that are here stay, and nobody's return is waited for. */
  drain(): void {
    this.#isDraining = true;
    this.#publications.endWaits('the node drains');
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
    const isClosed = this.#closedBecause !== undefined;
    if (isClosed || (this.#isDraining && relay === undefined)) throw new GateError('draining', 'the node is closing');
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

  #publication(slot: PublicationSlot, holding: Holding, vhost: VhostConfig): Publication {
    const { epoch, stream } = holding;
    let isClosed = false;
    const end = (reason: string): void => {
      slot.leave();
      if (slot.isPassedOn) return;
      holding.letGo();
      this.#log.info({ ...slot.key, epoch, reason }, 'stream released');
      void this.#options.directory.release(slot.key, epoch);
    };
    return {
      stream,
      vhost,
      close: (reason) => {
        if (isClosed) return;
        isClosed = true;
        const graceMs = this.#graceMs(slot.key);
        if (slot.wait(graceMs, end)) this.#log.info({ ...slot.key, epoch, graceMs, reason }, 'publisher is waited for');
        else end(reason);
      },
    };
  }

  /** By the configuration of now. A node that is leaving waits for nobody: encoders come back to another one. */
  #graceMs(key: StreamKey): number {
    if (this.#isDraining) return 0;
    return this.#options.config.vhosts.named(key.vhost)?.publish.graceMs ?? 0;
  }
}
