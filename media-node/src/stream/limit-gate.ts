import type { VhostConfig } from '#contract/node-config.ts';
import type { Gate, Publication, SessionInfo, Viewing } from './gate.ts';
import { GateError } from './gate.ts';
import type { StreamKey } from './stream-key.ts';
import { streamKeyId } from './stream-key.ts';
import type { Stream } from './stream.ts';

/** Limits of a Vhost, all of them for one node. */
export type VhostLimits = VhostConfig['limits'];
export type LimitName = keyof VhostLimits;

export interface LimitGateOptions {
  readonly inner: Gate;
  /** The limits in force of a vhost by its name; undefined when it is gone. */
  readonly limitsOf: (vhost: string) => VhostLimits | undefined;
  /** Milliseconds that only rise; default performance.now. */
  readonly now?: () => number;
}

/** How often bit rates are looked at. */
export const METER_MS = 1_000;
/**
 * A publisher may be ahead of its limit by what the limit lets through in this time: so much comes at once after a stall
 * of the network, and with a large key frame. At twice the limit it is ended after as long.
 */
export const INGEST_BURST_MS = 5_000;

/** The bit rate of one publisher. */
interface Meter {
  readonly key: StreamKey;
  readonly sessionId: string;
  readonly stream: Stream;
  readonly onRevoked: (reason: string) => void;
  /** At the look before; undefined before the first one that found it publishing. */
  bytes: number | undefined;
  /** Bytes by which it is ahead of its limit. */
  aheadBytes: number;
}

/**
 * Holds sessions to the limits of their Vhost, as they are at that moment: a lowered one ends no session that is there,
 * only a bit rate is judged as long as it lasts. Other nodes of the cluster are no viewers; the encoder behind one counts
 * as a publisher here too, but its bit rate is judged where it connected.
 */
export class LimitGate implements Gate {
  /** Sessions refused and publishers ended so far. */
  readonly reached: Record<LimitName, number> = {
    maxPublishers: 0,
    maxViewers: 0,
    maxViewersPerStream: 0,
    maxIngestKbps: 0,
  };
  readonly #inner: Gate;
  readonly #limitsOf: LimitGateOptions['limitsOf'];
  readonly #now: () => number;
  /** Vhost → stream → sessions that publish it, or ask to. */
  readonly #publishers = new Map<string, Map<string, number>>();
  readonly #viewers = new Counts();
  readonly #streamViewers = new Counts();
  readonly #meters = new Set<Meter>();
  #timer: NodeJS.Timeout | undefined;
  #lastLookMs = 0;

  constructor({ inner, limitsOf, now = () => performance.now() }: LimitGateOptions) {
    this.#inner = inner;
    this.#limitsOf = limitsOf;
    this.#now = now;
  }

  vhost(host: string): VhostConfig | undefined {
    return this.#inner.vhost(host);
  }

  async publish(key: StreamKey, session: SessionInfo, onRevoked: (reason: string) => void): Promise<Publication> {
    const leave = this.#enterPublisher(key);
    try {
      const publication = await this.#inner.publish(key, session, onRevoked);
      const { stream, vhost } = publication;
      const meter = session.relay === undefined ? this.#meter(key, session.id, stream, onRevoked) : undefined;
      return {
        stream,
        vhost,
        close: (reason) => {
          leave();
          if (meter !== undefined) this.#unmeter(meter);
          publication.close(reason);
        },
      };
    } catch (error) {
      leave();
      throw error;
    }
  }

  async play(key: StreamKey, session: SessionInfo): Promise<Viewing> {
    if (session.relay !== undefined) return this.#inner.play(key, session);
    const leave = this.#enterViewer(key);
    try {
      const viewing = await this.#inner.play(key, session);
      return {
        stream: viewing.stream,
        vhost: viewing.vhost,
        close: () => {
          leave();
          viewing.close?.();
        },
      };
    } catch (error) {
      leave();
      throw error;
    }
  }

  /** Looks at bit rates no more; idempotent. */
  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#meters.clear();
  }

  /** Measures every publisher since the look before and ends those that were over their limit for too long. */
  look(): void {
    const nowMs = this.#now();
    const elapsedMs = nowMs - this.#lastLookMs;
    this.#lastLookMs = nowMs;
    for (const meter of this.#meters) this.#judge(meter, elapsedMs);
  }

  #judge(meter: Meter, elapsedMs: number): void {
    const { publisher } = meter.stream;
    if (publisher?.id !== meter.sessionId) return;
    const { bytesIn } = publisher;
    const newBytes = bytesIn - (meter.bytes ?? bytesIn);
    const isFirst = meter.bytes === undefined;
    meter.bytes = bytesIn;
    const kbps = this.#limitsOf(meter.key.vhost)?.maxIngestKbps;
    if (kbps === undefined || isFirst) {
      meter.aheadBytes = 0;
      return;
    }
    // A kilobit a second is an eighth of a byte a millisecond.
    meter.aheadBytes = Math.max(0, meter.aheadBytes + newBytes - (kbps * elapsedMs) / 8);
    if (meter.aheadBytes <= (kbps * INGEST_BURST_MS) / 8) return;
    this.reached.maxIngestKbps++;
    this.#unmeter(meter);
    const measured = Math.round((newBytes * 8) / Math.max(1, elapsedMs));
    meter.onRevoked(
      `the encoder sends ${measured} kbit/s, more than limits.maxIngestKbps (${kbps}): lower its bit rate or raise the limit`,
    );
  }

  #enterPublisher(key: StreamKey): () => void {
    const most = this.#limitsOf(key.vhost)?.maxPublishers;
    const streams = this.#publishers.get(key.vhost) ?? new Map<string, number>();
    const id = streamKeyId(key);
    const sessions = streams.get(id) ?? 0;
    // Who asks for a stream that has a publisher is refused for that, or takes its place.
    if (most !== undefined && sessions === 0 && streams.size >= most) {
      throw this.#refusal('maxPublishers', `publishers of the vhost on this node: ${streams.size}`, most);
    }
    this.#publishers.set(key.vhost, streams);
    streams.set(id, sessions + 1);
    return once(() => {
      const left = (streams.get(id) ?? 1) - 1;
      if (left > 0) streams.set(id, left);
      else streams.delete(id);
      if (streams.size === 0) this.#publishers.delete(key.vhost);
    });
  }

  #enterViewer(key: StreamKey): () => void {
    const limits = this.#limitsOf(key.vhost);
    const id = streamKeyId(key);
    const [ofVhost, ofStream] = [this.#viewers.of(key.vhost), this.#streamViewers.of(id)];
    if (limits?.maxViewers !== undefined && ofVhost >= limits.maxViewers) {
      throw this.#refusal('maxViewers', `viewers of the vhost on this node: ${ofVhost}`, limits.maxViewers);
    }
    if (limits?.maxViewersPerStream !== undefined && ofStream >= limits.maxViewersPerStream) {
      const most = limits.maxViewersPerStream;
      throw this.#refusal('maxViewersPerStream', `viewers of the stream on this node: ${ofStream}`, most);
    }
    this.#viewers.add(key.vhost, 1);
    this.#streamViewers.add(id, 1);
    return once(() => {
      this.#viewers.add(key.vhost, -1);
      this.#streamViewers.add(id, -1);
    });
  }

  #refusal(limit: LimitName, have: string, most: number): GateError {
    this.reached[limit]++;
    return new GateError('limit', `${have}, and limits.${limit} is ${most}: try another node or later`);
  }

  #meter(key: StreamKey, sessionId: string, stream: Stream, onRevoked: (reason: string) => void): Meter {
    const meter: Meter = { key, sessionId, stream, onRevoked, bytes: undefined, aheadBytes: 0 };
    if (this.#timer === undefined) {
      this.#lastLookMs = this.#now();
      this.#timer = setInterval(() => this.look(), METER_MS);
      this.#timer.unref();
    }
    this.#meters.add(meter);
    return meter;
  }

  #unmeter(meter: Meter): void {
    if (!this.#meters.delete(meter) || this.#meters.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

/** Numbers by name; those at 0 take no place. */
class Counts {
  readonly #counts = new Map<string, number>();

  of(name: string): number {
    return this.#counts.get(name) ?? 0;
  }

  add(name: string, change: number): void {
    const count = this.of(name) + change;
    if (count > 0) this.#counts.set(name, count);
    else this.#counts.delete(name);
  }
}

function once(work: () => void): () => void {
  let isDone = false;
  return () => {
    if (isDone) return;
    isDone = true;
    work();
  };
}
