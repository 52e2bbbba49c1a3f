import type { Logger } from 'pino';
import type { ConfigStore } from '../config/config-store.ts';
import { streamKeyId } from '../stream/stream-key.ts';
import type { StreamDemand } from '../stream/stream-demand.ts';
import type { Stream } from '../stream/stream.ts';
import type { Change, Directory } from './directory.ts';
import { OwnerLocator } from './owner-locator.ts';
import type { OriginFinder } from './ports.ts';
import type { PullClient } from '../stream/relay.ts';
import { StreamPull } from './stream-pull.ts';
import type { StreamPullContext } from './stream-pull.ts';

export interface RelayManagerOptions {
  readonly nodeId: string;
  readonly directory: Directory;
  readonly finder: OriginFinder;
  readonly pullClient: PullClient;
  /** pullHoldMs is read when the last viewer leaves. */
  readonly config: Pick<ConfigStore, 'config'>;
  readonly logger: Logger;
  /** Between looks for a stream that nobody publishes; changes are announced besides. Default 3 s. */
  readonly pollMs?: number;
  /** The same while the directory is away and nothing is announced. Default 1 s. */
  readonly awayPollMs?: number;
  /** A pull without media or a sign of life for so long is given up. Default 3 s. */
  readonly silentMs?: number;
}

interface Wanted {
  readonly pull: StreamPull;
  hold: NodeJS.Timeout | undefined;
}

/**
 * Fetches the streams that players here want and no encoder here publishes: on every edge, and on an origin for the
 * streams of the others. Wire it with `registry.setDemand(relay)`.
 */
export class RelayManager implements StreamDemand {
  /** Pulls open now, and connections begun since the start. */
  readonly counts = { pullsStarted: 0, pullsActive: 0 };
  readonly #options: RelayManagerOptions;
  readonly #log: Logger;
  readonly #context: StreamPullContext;
  readonly #wanted = new Map<string, Wanted>();
  readonly #unsubscribe: () => void;
  #isClosed = false;

  constructor(options: RelayManagerOptions) {
    this.#options = options;
    this.#log = options.logger.child({ component: 'relay', nodeId: options.nodeId });
    const { pollMs = 3_000, awayPollMs = 1_000, silentMs = 3_000 } = options;
    const { nodeId, pullClient, directory, finder } = options;
    const locator = new OwnerLocator(directory, finder);
    this.#context = {
      nodeId,
      pullClient,
      logger: this.#log,
      counts: this.counts,
      locate: ({ key }) => locator.locate(key),
      // Not all in step: thousands of streams may wait.
      pollMs: () => (directory.state === 'up' ? pollMs : awayPollMs) * (0.75 + Math.random() / 2),
      silentMs,
    };
    this.#unsubscribe = directory.onChange((change) => this.#changed(change));
  }

  /** Streams that are wanted here, pulled or waited for. */
  get wanted(): number {
    return this.#wanted.size;
  }

  onWanted(stream: Stream): void {
    if (this.#isClosed) return;
    const id = streamKeyId(stream.key);
    const known = this.#wanted.get(id);
    if (known !== undefined) {
      clearTimeout(known.hold);
      known.hold = undefined;
      if (known.pull.stream === stream) return;
      this.#end(id, known, 'the stream was opened anew');
    }
    const pull = new StreamPull(stream, this.#context);
    this.#wanted.set(id, { pull, hold: undefined });
    pull.look();
  }

  onUnwanted(stream: Stream): void {
    const id = streamKeyId(stream.key);
    const wanted = this.#wanted.get(id);
    if (wanted?.pull.stream !== stream) return;
    if (stream.publisher?.kind === 'encoder') {
      this.#end(id, wanted, 'the stream has an encoder here');
      return;
    }
    if (!wanted.pull.isPulling) {
      this.#end(id, wanted, 'the last viewer left');
      return;
    }
    clearTimeout(wanted.hold);
    const { pullHoldMs } = this.#options.config.config;
    wanted.hold = setTimeout(() => this.#end(id, wanted, 'the last viewer left'), pullHoldMs);
  }

  /** Ends every pull; idempotent. */
  close(reason: string): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#unsubscribe();
    for (const [id, wanted] of this.#wanted) this.#end(id, wanted, reason);
  }

  #end(id: string, wanted: Wanted, reason: string): void {
    clearTimeout(wanted.hold);
    if (this.#wanted.get(id) === wanted) this.#wanted.delete(id);
    wanted.pull.close(reason);
  }

  #changed(change: Change): void {
    if (change.kind === 'resync') {
      for (const { pull } of this.#wanted.values()) pull.look();
    } else if (change.kind === 'claimed') {
      this.#wanted.get(streamKeyId(change.key))?.pull.claimed(change);
    }
  }
}
