import type { Logger } from 'pino';
import { GateError } from '../stream/gate.ts';
import type { StreamKey } from '../stream/stream-key.ts';
import type { Stream } from '../stream/stream.ts';
import type { Directory } from './directory.ts';
import type { OriginFinder, PublisherProbe } from './ports.ts';
import type { PushClient, RelayEnd, RelaySession, RelayTarget } from '../stream/relay.ts';

/** What the hand-overs of an edge share. */
export interface HandOverContext {
  readonly nodeId: string;
  readonly directory: Directory;
  readonly finder: OriginFinder;
  readonly probe: PublisherProbe;
  readonly pushClient: PushClient;
  readonly logger: Logger;
  readonly counts: { pushesStarted: number; pushesActive: number };
  /** How long a new encoder waits for an origin that takes it. */
  readonly startMs: number;
  /** How long an encoder goes on while its lost origin is replaced. */
  readonly recoverMs: number;
  /** An origin that gives no sign of life for so long is lost. */
  readonly silentMs: number;
  readonly now: () => number;
}

/** An origin that says nothing for so long is given up for another one. */
const TRY_MS = 2_000;
/** Looks after a hand-over in the time after which a silent origin is lost. */
const LOOKS = 3;
const MIN_DELAY_MS = 50;
const MAX_DELAY_MS = 500;

/** Keeps one stream that an encoder publishes to this edge flowing to an origin. */
export class HandOver {
  readonly #context: HandOverContext;
  readonly #key: StreamKey;
  readonly #stream: Stream;
  readonly #log: Logger;
  readonly #onLost: (reason: string) => void;
  #session: RelaySession | undefined;
  #target: RelayTarget | undefined;
  #closedBecause: string | undefined;
  #wake: (() => void) | undefined;
  #watch: NodeJS.Timeout | undefined;

  /** `onLost` is called at most once, after `start` resolved: no origin takes the stream any more. */
  constructor(context: HandOverContext, key: StreamKey, stream: Stream, onLost: (reason: string) => void) {
    this.#context = context;
    this.#key = key;
    this.#stream = stream;
    this.#onLost = onLost;
    this.#log = context.logger.child({ ...key });
  }

  /** Resolves when an origin has accepted the stream. Rejects with GateError. */
  async start(): Promise<void> {
    await this.#connect({ untilMs: this.#context.now() + this.#context.startMs, retryBusy: false });
  }

  /** Ends the connection to the origin; idempotent. */
  close(reason: string): void {
    if (this.#closedBecause !== undefined) return;
    this.#closedBecause = reason;
    clearInterval(this.#watch);
    this.#session?.close(reason);
    this.#wake?.();
  }

  /** Tries the origins in turn until one accepts. */
  async #connect(options: { readonly untilMs: number; readonly retryBusy: boolean }): Promise<void> {
    const { now } = this.#context;
    let last: RelayEnd | undefined;
    let delayMs = MIN_DELAY_MS;
    do {
      for (const target of await this.#targets()) {
        if (this.#closedBecause !== undefined) throw new GateError('unavailable', this.#closedBecause);
        const end = await this.#try(target);
        if (end === undefined) return;
        this.#log.info(
          { targetNodeId: target.nodeId, code: end.code, reason: end.message },
          'origin did not take stream',
        );
        last = end;
        if (end.code === 'busy' && !options.retryBusy) throw new GateError('busy', end.message);
        if (now() >= options.untilMs) break;
      }
      if (last?.code === 'denied' && !options.retryBusy) throw new GateError('denied', last.message);
      await this.#sleep(delayMs);
      delayMs = Math.min(delayMs * 2, MAX_DELAY_MS);
    } while (this.#closedBecause === undefined && now() < options.untilMs);
    if (last?.code === 'busy') throw new GateError('busy', last.message);
    throw new GateError(
      'unavailable',
      last === undefined ? 'no origin is known' : `no origin takes it: ${last.message}`,
    );
  }

  /**
   * The stream's owner first: it may wait for this very encoder, and decides at once when it has another. Then those with
   * the fewest sessions; the one that was lost last.
   */
  async #targets(): Promise<readonly RelayTarget[]> {
    const { directory, finder } = this.#context;
    const ownerId = await this.#ownerId();
    const known = directory
      .knownNodes('origin')
      .toSorted(
        (a, b) =>
          Number(b.nodeId === ownerId) - Number(a.nodeId === ownerId) || a.load - b.load || a.ordinal - b.ordinal,
      )
      .map(({ nodeId, host, rtmpPort }): RelayTarget => ({ nodeId, host, rtmpPort }));
    const isStale = directory.state === 'down' || known.length === 0;
    const targets = isStale ? (await finder.find(this.#key)).reachable : known;
    const lost = this.#target?.nodeId;
    return [...targets.filter(({ nodeId }) => nodeId !== lost), ...targets.filter(({ nodeId }) => nodeId === lost)];
  }

  /** Undefined: nobody has the stream, as far as is known. */
  async #ownerId(): Promise<string | undefined> {
    try {
      return (await this.#context.directory.lookup(this.#key))?.owner.nodeId;
    } catch {
      return undefined;
    }
  }

  /** Undefined: accepted. */
  #try(target: RelayTarget): Promise<RelayEnd | undefined> {
    const { pushClient, nodeId, counts } = this.#context;
    return new Promise((resolve) => {
      let hasStarted = false;
      counts.pushesActive += 1;
      const timer = setTimeout(() => {
        session.close('no answer in time');
        resolve({ code: 'unreachable', message: `no answer in ${TRY_MS} ms` });
      }, TRY_MS);
      const session: RelaySession = pushClient.push(
        { key: this.#key, target, path: [nodeId], stream: this.#stream },
        {
          onStart: () => {
            clearTimeout(timer);
            if (this.#closedBecause !== undefined) {
              session.close(this.#closedBecause);
              return;
            }
            hasStarted = true;
            counts.pushesStarted += 1;
            this.#target = target;
            this.#log.info({ targetNodeId: target.nodeId }, 'stream handed on to origin');
            this.#watchSilence(session);
            resolve(undefined);
          },
          onEnd: (end) => {
            clearTimeout(timer);
            counts.pushesActive -= 1;
            if (this.#session === session) clearInterval(this.#watch);
            resolve(end);
            if (hasStarted && this.#session === session) void this.#ended(end);
          },
        },
      );
      this.#session = session;
    });
  }

  /** What is written to a node that hangs or can't be reached gets lost without a word: asks it, and expects an answer. */
  #watchSilence(session: RelaySession): void {
    let seen = session.bytesIn;
    let silent = 0;
    clearInterval(this.#watch);
    this.#watch = setInterval(() => {
      silent = session.bytesIn > seen ? 0 : silent + 1;
      seen = session.bytesIn;
      if (silent < LOOKS) session.ping();
      else session.close('the origin gives no sign of life');
    }, this.#context.silentMs / LOOKS);
    // The connection keeps the process alive, as long as there is one.
    this.#watch.unref();
  }

  async #ended(end: RelayEnd): Promise<void> {
    const { recoverMs, now } = this.#context;
    this.#log.info({ targetNodeId: this.#target?.nodeId, code: end.code, reason: end.message }, 'hand-over ended');
    if (this.#closedBecause !== undefined) return;
    try {
      // A crash looks like an orderly end; one that broke has the same publisher there until the origin notices.
      if (end.code === 'ended' && (await this.#isTaken()))
        throw new GateError('busy', 'another publisher took its place');
      await this.#connect({ untilMs: now() + recoverMs, retryBusy: true });
    } catch (error) {
      // A closed one is nobody's loss.
      if (this.#closedBecause === undefined) this.#onLost(error instanceof Error ? error.message : String(error));
    }
  }

  /** Whether the stream has another publisher by now: then going on would only take it back and forth. */
  async #isTaken(): Promise<boolean> {
    const { directory, probe } = this.#context;
    try {
      const found = await directory.lookup(this.#key);
      if (found === undefined || !found.alive) return false;
      return (await probe.ask(found.owner, this.#key, 500)).kind === 'yes';
    } catch {
      return false;
    }
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
