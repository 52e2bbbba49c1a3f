import type { Logger } from 'pino';
import type { Stream } from '../stream/stream.ts';
import { outranks } from './directory.ts';
import type { OwnerRecord } from './directory.ts';
import type { PullClient, RelayEnd, RelaySession } from '../stream/relay.ts';

/** What the pulls of a node share. */
export interface StreamPullContext {
  readonly nodeId: string;
  readonly pullClient: PullClient;
  readonly logger: Logger;
  readonly counts: { pullsStarted: number; pullsActive: number };
  /** Who has the stream; undefined: nobody that could be found. Never rejects. */
  locate(stream: Stream): Promise<OwnerRecord | undefined>;
  /** Until the next look when nobody publishes. */
  pollMs(): number;
  /** A pull without media or a sign of life for so long is given up. */
  readonly silentMs: number;
}

/** After a pull that broke: at once, then doubling. An encoder that reconnects is announced and not waited for here. */
const MIN_RETRY_MS = 25;
const MAX_RETRY_MS = 1_000;
/** Looks after a pull in the time after which a silent one is given up. */
const LOOKS = 3;

/** Fetches one wanted stream: finds its owner, pulls, finds it again when the pull breaks or the owner changes. */
export class StreamPull {
  readonly stream: Stream;
  readonly #context: StreamPullContext;
  readonly #log: Logger;
  #session: RelaySession | undefined;
  #owner: OwnerRecord | undefined;
  #timer: NodeJS.Timeout | undefined;
  #watch: NodeJS.Timeout | undefined;
  #isLooking = false;
  #lookAgain = false;
  #failures = 0;
  #isClosed = false;

  constructor(stream: Stream, context: StreamPullContext) {
    this.stream = stream;
    this.#context = context;
    this.#log = context.logger.child({ ...stream.key });
  }

  /** A connection to an owner is open. */
  get isPulling(): boolean {
    return this.#session !== undefined;
  }

  /** Looks who has the stream, now; while it looks already, once more afterwards. */
  look(): void {
    if (this.#isClosed) return;
    clearTimeout(this.#timer);
    if (this.#isLooking) {
      this.#lookAgain = true;
      return;
    }
    this.#isLooking = true;
    void this.#lookNow();
  }

  async #lookNow(): Promise<void> {
    const owner = await this.#context.locate(this.stream);
    this.#isLooking = false;
    if (this.#isClosed) return;
    const again = this.#lookAgain;
    this.#lookAgain = false;
    this.#found(owner);
    if (again) this.look();
  }

  /** A claim of this stream was announced. */
  claimed(by: { readonly nodeId: string; readonly epoch: number }): void {
    if (by.nodeId === this.#context.nodeId) return;
    if (this.#session !== undefined && this.#owner !== undefined && !outranks(by, this.#owner)) return;
    this.#failures = 0;
    this.look();
  }

  /** Ends the pull and the waiting; idempotent. */
  close(reason: string): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearTimeout(this.#timer);
    clearInterval(this.#watch);
    this.#session?.close(reason);
  }

  #found(owner: OwnerRecord | undefined): void {
    // Own streams come from an encoder that is about to attach; pulling them would be a loop.
    const other = owner?.nodeId === this.#context.nodeId ? undefined : owner;
    if (this.#session !== undefined) {
      // A running pull outlives a directory that lost the record.
      if (other === undefined || this.#owner === undefined || !outranks(other, this.#owner)) return;
      this.#drop('the stream has a newer owner');
    }
    if (other === undefined) this.#lookIn(this.#context.pollMs());
    else this.#pull(other);
  }

  #lookIn(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.look(), ms);
  }

  #pull(owner: OwnerRecord): void {
    const { nodeId, pullClient, counts } = this.#context;
    const { host, rtmpPort, epoch } = owner;
    const key = this.stream.key;
    counts.pullsActive += 1;
    counts.pullsStarted += 1;
    this.#owner = owner;
    const session = pullClient.pull(
      { key, target: { nodeId: owner.nodeId, host, rtmpPort }, path: [nodeId], stream: this.stream },
      {
        onStart: () => this.#log.info({ ownerNodeId: owner.nodeId, epoch }, 'pull started'),
        onEnd: (end) => {
          counts.pullsActive -= 1;
          const frames = session.frames;
          this.#log.info({ ownerNodeId: owner.nodeId, epoch, ...endFields(end), frames }, 'pull ended');
          if (this.#session === session) this.#ended(frames);
        },
      },
    );
    this.#session = session;
    this.#watchSilence(session);
  }

  /**
   * Ends a pull whose owner hangs or can't be reached. One that brings no media but answers stays: its owner waits for a
   * publisher to come back, and ends the pull when it gives up; meanwhile another node may have the stream.
   */
  #watchSilence(session: RelaySession): void {
    const { silentMs } = this.#context;
    const seen = { frames: 0, bytes: 0 };
    let [withoutFrames, withoutBytes] = [0, 0];
    clearInterval(this.#watch);
    this.#watch = setInterval(() => {
      const { frames, bytesIn } = session;
      withoutFrames = frames > seen.frames ? 0 : withoutFrames + 1;
      withoutBytes = bytesIn > seen.bytes ? 0 : withoutBytes + 1;
      if (frames > seen.frames) this.#failures = 0;
      seen.frames = frames;
      seen.bytes = bytesIn;
      if (withoutFrames === 0) return;
      if (withoutBytes >= LOOKS) {
        this.#log.warn({ ownerNodeId: this.#owner?.nodeId, silentMs }, 'pull brings nothing; looking again');
        this.#drop('no media');
        this.#retry();
        return;
      }
      session.ping();
      if (withoutFrames % LOOKS === 0) this.look();
    }, silentMs / LOOKS);
  }

  /** Ends the session without waiting for its end, which may take long when the network is gone. */
  #drop(reason: string): void {
    const session = this.#session;
    this.#session = undefined;
    clearInterval(this.#watch);
    session?.close(reason);
  }

  #ended(frames: number): void {
    this.#session = undefined;
    clearInterval(this.#watch);
    if (this.#isClosed) return;
    if (frames > 0) this.#failures = 0;
    this.#retry();
  }

  #retry(): void {
    this.#lookIn(Math.min(MAX_RETRY_MS, MIN_RETRY_MS * 2 ** Math.min(this.#failures, 10)));
    this.#failures += 1;
  }
}

function endFields({ code, message }: RelayEnd): { readonly code: string; readonly reason: string } {
  return { code, reason: message };
}
