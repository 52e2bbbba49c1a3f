import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { GateError } from '../stream/gate.ts';
import type { StreamKey } from '../stream/stream-key.ts';
import { DirectoryError } from './directory.ts';
import type { ClaimOptions, ClaimResult, Directory, OwnerRecord } from './directory.ts';
import type { OriginFinder, PublisherProbe } from './ports.ts';

export interface StreamClaimOptions {
  readonly directory: Directory;
  readonly probe: PublisherProbe;
  readonly finder: OriginFinder;
  readonly logger: Logger;
  /** How long a silent owner keeps a stream that another wants. Default 1 s. */
  readonly silenceMs?: number;
  readonly now?: () => number;
}

/** One question to an owner; a live one answers in a few. */
const ASK_TIMEOUT_MS = 400;
/** Between questions to a silent owner. */
const ASK_AGAIN_MS = 100;
/** Two that ask the origins for one stream at once both step aside for a random time up to this. */
const STEP_ASIDE_MS = 300;
/** Others may claim in between; past this many the stream is simply busy. */
const MAX_TRIES = 5;

/** Who wants a stream; the other origins hear of it unless it steps aside. */
export interface Contender {
  readonly key: StreamKey;
  isAside: boolean;
}

/** Gets streams for this origin: from nobody, from owners that have gone, or from those that must yield. */
export class StreamClaim {
  readonly #options: Required<StreamClaimOptions>;
  /** Streams got from a record of another node. */
  takeovers = 0;

  constructor(options: StreamClaimOptions) {
    this.#options = { silenceMs: 1_000, now: Date.now, ...options };
  }

  /** Resolves with the claim's epoch. Rejects with GateError `busy`, `denied` (no usable name) or `unavailable`. */
  async claim(contender: Contender, takeover: 'Reject' | 'Replace'): Promise<number> {
    try {
      return await this.#claim(contender, takeover);
    } catch (cause) {
      if (!(cause instanceof DirectoryError)) throw cause;
      throw new GateError(cause.code === 'bad-name' ? 'denied' : 'unavailable', cause.message, { cause });
    } finally {
      contender.isAside = false;
    }
  }

  async #claim(contender: Contender, takeover: 'Reject' | 'Replace', isFirstTry = true): Promise<number> {
    const { finder, logger, directory } = this.#options;
    const { key } = contender;
    let askedOrigins = false;
    let expected: { readonly nodeId: string; readonly epoch: number } | undefined;
    let from: OwnerRecord | undefined;
    for (let attempt = 0; attempt < MAX_TRIES; attempt += 1) {
      const result = await this.#ask(key, { askedOrigins, ...(expected === undefined ? {} : { expected }) });
      if (result === 'away') return this.#claimAway(contender, takeover, isFirstTry);
      switch (result.kind) {
        case 'ok': {
          if (from === undefined) logger.info({ ...key, epoch: result.epoch }, 'stream claimed');
          else {
            this.takeovers += 1;
            logger.info({ ...key, epoch: result.epoch, fromNodeId: from.nodeId }, 'stream taken over');
          }
          return result.epoch;
        }
        case 'busy': {
          from = result.owner;
          await this.#displace(key, result.owner, takeover);
          expected = { nodeId: from.nodeId, epoch: from.epoch };
          break;
        }
        case 'unsettled': {
          // Others that claim just now don't matter: the directory is there to decide between them.
          const { owner } = await finder.find(key, { fresh: true });
          if (owner !== undefined && owner.nodeId !== directory.nodeId) {
            from = owner;
            await this.#displace(key, owner, takeover);
          }
          askedOrigins = true;
          break;
        }
      }
    }
    throw new GateError('busy', 'other origins claim the stream at the same time');
  }

  async #ask(key: StreamKey, options: ClaimOptions): Promise<ClaimResult | 'away'> {
    try {
      return await this.#options.directory.claim(key, options);
    } catch (error) {
      if (error instanceof DirectoryError && error.code === 'away') return 'away';
      throw error;
    }
  }

  /** The directory can't say who has the stream: the origins can. */
  async #claimAway(contender: Contender, takeover: 'Reject' | 'Replace', isFirstTry: boolean): Promise<number> {
    const { directory, finder, logger } = this.#options;
    const { key } = contender;
    for (let attempt = 0; attempt < MAX_TRIES; attempt += 1) {
      // Before the question: of two that ask each other, at least one hears of the other.
      contender.isAside = false;
      const { owner, isClaiming } = await finder.find(key, { fresh: true });
      if (isClaiming) {
        contender.isAside = true;
        await delay(Math.random() * STEP_ASIDE_MS);
        continue;
      }
      if (owner !== undefined) await this.#displace(key, owner, takeover);
      const result = await directory.claimAway(key);
      if (result.kind === 'ok') {
        logger.warn({ ...key, epoch: result.epoch }, 'stream claimed without the directory; to be settled later');
        return result.epoch;
      }
      // It came back just now and knows of an owner: the usual way, unless it goes again.
      if (isFirstTry) return this.#claim(contender, takeover, false);
    }
    throw new GateError('busy', 'other origins claim the stream at the same time');
  }

  /** Resolves when the owner no longer has the publisher. Throws GateError `busy` when it keeps it. */
  async #displace(key: StreamKey, owner: OwnerRecord, takeover: 'Reject' | 'Replace'): Promise<void> {
    const { probe, logger, silenceMs, now } = this.#options;
    const deadlineMs = now() + silenceMs;
    for (;;) {
      const answer = await (takeover === 'Replace'
        ? probe.yield(owner, key, ASK_TIMEOUT_MS)
        : probe.ask(owner, key, ASK_TIMEOUT_MS));
      if (answer.kind === 'no') return;
      if (answer.kind === 'yes') throw new GateError('busy', 'another origin has a publisher of the stream');
      // One slow answer must not cost a live stream; a dead node's lease or a second of silence does.
      if (now() >= deadlineMs || !(await this.#mayLive(key, owner))) {
        logger.warn({ ...key, ownerNodeId: owner.nodeId }, 'owner of the stream is silent; taking the stream over');
        return;
      }
      await delay(ASK_AGAIN_MS);
    }
  }

  async #mayLive(key: StreamKey, owner: OwnerRecord): Promise<boolean> {
    try {
      const found = await this.#options.directory.lookup(key);
      return found === undefined || found.owner.nodeId !== owner.nodeId || found.alive;
    } catch {
      return true;
    }
  }
}
