import type { Metadata } from '../media/frame.ts';
import type { Track } from '../media/track.ts';
import { StreamError } from './errors.ts';
import type { MediaGauge } from './media-gauge.ts';
import { MediaPath } from './media-path.ts';
import type { Playback, Player } from './player.ts';
import type { Ingest, Protocol, Publisher } from './publisher.ts';
import type { StreamKey } from './stream-key.ts';
import type { Attendance, StreamObserver } from './stream-observer.ts';
import type { StreamOwner } from './stream-owner.ts';
import type { StreamStats } from './stream-stats.ts';

/**
 * The hub of one stream: who publishes, who holds the right to, who plays, and what its registry is told of that. How media
 * goes from the one to the others is MediaPath's.
 */
export class Stream {
  readonly key: StreamKey;
  readonly #owner: StreamOwner;
  readonly #media: MediaPath;
  #publisher: Publisher | undefined;
  #publishedAtMs: number | undefined;
  #holds = 0;
  #isWanted = false;
  #hasSource = false;
  #isClosed = false;

  /** `number`: how many streams were made before. */
  constructor(key: StreamKey, owner: StreamOwner, number: number) {
    this.key = key;
    this.#owner = owner;
    this.#media = new MediaPath({
      owner,
      vhost: key.vhost,
      number,
      onPlayerLeft: () => {
        this.#updateDemand();
        this.#leftIdle();
      },
      onSourceLeft: () => this.#sourceLeft(),
    });
  }

  /** The source now, if any. */
  get publisher(): Publisher | undefined {
    return this.#publisher;
  }

  /** When the present publisher attached, in milliseconds by the registry's clock. */
  get publishedAtMs(): number | undefined {
    return this.#publishedAtMs;
  }

  /** The tracks of the present publisher, or of the last one; at most one of each kind. */
  get tracks(): readonly Track[] {
    return this.#media.tracks;
  }

  /** Its tracks beside those, for players that take several of a kind (FrameEncoder.multitrack). */
  get furtherTracks(): readonly Track[] {
    return this.#media.furtherTracks;
  }

  get metadata(): Metadata | undefined {
    return this.#media.metadata;
  }

  /** What is measured of the media. */
  get gauge(): MediaGauge {
    return this.#media.gauge;
  }

  /**
   * Names the clock of the times that players get: the same name, the same time for the same frame, on whichever node.
   * The first publisher's, while its times are passed on as they are.
   */
  get clock(): string {
    return this.#media.clock;
  }

  /** Players with their places; a snapshot. */
  playbacks(): readonly Playback[] {
    return [...this.#media.playbacks()];
  }

  /** Players, no encoder: see StreamDemand. */
  get isWanted(): boolean {
    return this.#isWanted;
  }

  /** Nobody publishes, plays, attends, observes or holds it. */
  get isIdle(): boolean {
    return this.#publisher === undefined && this.#media.isUnused && this.#holds === 0;
  }

  /**
   * Makes `publisher` the source. An encoder closes and replaces whoever is there (the Gate has decided before); a relay
   * replaces a relay. Throws StreamError `busy` for a relay where an encoder is, `closed` on a dropped stream.
   */
  attach(publisher: Publisher): Ingest {
    this.#checkOpen();
    const before = this.#publisher;
    if (publisher.kind === 'relay' && before?.kind === 'encoder') {
      throw new StreamError('busy', 'the stream has an encoder on this node, a relay of it is not needed');
    }
    const ingest = this.#media.begin(publisher);
    this.#publisher = publisher;
    this.#publishedAtMs = this.#owner.now();
    this.#owner.onUsed(this);
    before?.close(publisher.kind === 'encoder' ? 'another publisher took its place' : 'another relay took its place');
    this.#updateDemand();
    this.#updateSource();
    return ingest;
  }

  /** Adds a player; without a publisher it waits. Throws StreamError `closed` on a dropped stream. */
  play(player: Player): Playback {
    this.#checkOpen();
    const playback = this.#media.play(player);
    this.#owner.onUsed(this);
    this.#updateDemand();
    return playback;
  }

  /** Counts a viewer that has no lasting connection; throws StreamError `closed` on a dropped stream. */
  attend(protocol: Protocol): Attendance {
    this.#checkOpen();
    const attendance = this.#media.attend(protocol, () => this.#leftIdle());
    this.#owner.onUsed(this);
    return attendance;
  }

  /**
   * Gives the frames themselves to somebody on this node, from the next one on, until the returned function is called
   * (idempotent). Throws StreamError `closed` on a dropped stream.
   */
  observe(observer: StreamObserver): () => void {
    this.#checkOpen();
    const leave = this.#media.observe(observer, () => this.#leftIdle());
    this.#owner.onUsed(this);
    return leave;
  }

  #leftIdle(): void {
    if (!this.#isClosed && this.isIdle) this.#owner.onIdle(this);
  }

  /** Somebody has the right to publish, though perhaps nobody does just now: see hold. */
  get isHeld(): boolean {
    return this.#holds > 0;
  }

  /**
   * Says that somebody has the right to publish, until the returned function is called (idempotent). The stream stays
   * registered meanwhile, and other nodes that fetch it stay connected while no publisher is there.
   */
  hold(): () => void {
    this.#checkOpen();
    this.#holds++;
    this.#owner.onUsed(this);
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      this.#holds--;
      this.#endRelays();
      this.#updateSource();
      this.#leftIdle();
    };
  }

  stats(): StreamStats {
    return this.#media.stats();
  }

  /** Resolves when the publisher has said all that it has sent, if it is only read now and then: its end, perhaps. */
  settle(): Promise<void> {
    return this.#media.settle();
  }

  /** Ends publisher and players; idempotent. Only the registry drops a stream. */
  close(reason: string): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#media.end();
    const publisher = this.#publisher;
    this.#publisher = undefined;
    this.#publishedAtMs = undefined;
    publisher?.close(reason);
    this.#media.closePlayers(reason);
    this.#updateDemand();
    this.#updateSource();
    this.#media.closeSpectators();
  }

  #sourceLeft(): void {
    this.#publisher = undefined;
    this.#publishedAtMs = undefined;
    this.#endRelays();
    this.#updateDemand();
    this.#updateSource();
    this.#leftIdle();
  }

  /** When nobody publishes and nobody will, other nodes have to look who does. */
  #endRelays(): void {
    if (this.#publisher !== undefined || this.#holds > 0) return;
    this.#media.closeRelays('the publisher left');
  }

  #updateDemand(): void {
    const isWanted = !this.#isClosed && this.#media.hasPlayers && this.#publisher?.kind !== 'encoder';
    if (isWanted === this.#isWanted) return;
    this.#isWanted = isWanted;
    if (isWanted) this.#owner.onWanted(this);
    else this.#owner.onUnwanted(this);
  }

  #updateSource(): void {
    const isEncoder = this.#publisher?.kind === 'encoder';
    const hasSource = !this.#isClosed && (isEncoder || (this.#hasSource && this.#holds > 0));
    if (hasSource === this.#hasSource) return;
    this.#hasSource = hasSource;
    if (hasSource) this.#owner.onSource(this);
    else this.#owner.onSourceGone(this);
  }

  #checkOpen(): void {
    if (this.#isClosed) throw new StreamError('closed', 'the stream was dropped as idle; ask the registry again');
  }
}
