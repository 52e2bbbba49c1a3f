import { randomBytes } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { SendToAll } from '../lib/send-to-all.ts';
import type { Frame, Metadata } from '../media/frame.ts';
import type { Track } from '../media/track.ts';
import { isSameTrack } from '../media/track.ts';
import { Audience } from './audience.ts';
import { StreamError } from './errors.ts';
import { FurtherTracks } from './further-tracks.ts';
import { GopCache } from './gop-cache.ts';
import type { IngestTarget } from './ingest.ts';
import { StreamIngest } from './ingest.ts';
import { MediaGauge } from './media-gauge.ts';
import { Interleaver } from './interleaver.ts';
import { Pace } from './pace.ts';
import type { Playback, Player } from './player.ts';
import type { Ingest, Protocol, Publisher } from './publisher.ts';
import { Spectators } from './spectators.ts';
import type { StreamKey } from './stream-key.ts';
import type { Attendance, StreamObserver } from './stream-observer.ts';
import type { StreamOwner } from './stream-owner.ts';
import type { StreamStats } from './stream-stats.ts';
import { Timeline } from './timeline.ts';

/**
 * How long the bytes of a source may wait in its socket: however long a window is, where nobody waits for them, and where
 * other nodes do while viewers here wait longer.
 */
const MOST_DELAY_MS = 400;
const IDLE_DELAY_MS = 200;
const RELAY_DELAY_MS = 20;

/** How long the GOP cache outlives a source that may go on. */
const KEEP_GOP_MS = 5_000;

/**
 * The hub of one stream: at most one publisher, its players, and what a player that joins needs. Frames go through
 * synchronously: encoded once for each format in use, kept in that format's log, written when the merge window ends.
 */
export class Stream {
  readonly key: StreamKey;
  readonly #owner: StreamOwner;
  readonly #timeline = new Timeline();
  readonly #gop = new GopCache();
  readonly #audience: Audience;
  readonly #spectators = new Spectators();
  readonly #further = new FurtherTracks(
    this.#timeline,
    (frame, timeMs) => this.#furtherFrame(frame, timeMs),
    () => this.#target.dropped(),
  );
  readonly #pace: Pace;
  #publisher: Publisher | undefined;
  #publishedAtMs: number | undefined;
  #ingest: StreamIngest | undefined;
  #tracks: readonly Track[] = [];
  #metadata: Metadata | undefined;
  /** What is measured of the media; see MediaGauge. */
  readonly gauge = new MediaGauge();
  #lastTrackId = 0;
  #ownClock = newClock();
  /** Of the publisher now, or of the last one; and of the first one this stream had. */
  #sourceClock: string | undefined;
  #firstClock: string | undefined;
  #keepGop: NodeJS.Timeout | undefined;
  #holds = 0;
  #isWanted = false;
  #hasSource = false;
  #isClosed = false;
  /** Decoding time of the last frame, as players see it. */
  #lastDtsMs: number | undefined;
  #keepsTimes = false;
  #interleaver: Interleaver | undefined;
  /** From players' times to the timeline's, which is not 0 where the publisher's own are kept. */
  #shiftMs = 0;
  readonly #counts = { framesIn: 0, bytesIn: 0, framesDropped: 0, seams: 0 };

  /** `number`: how many streams were made before. */
  constructor(key: StreamKey, owner: StreamOwner, number: number) {
    this.key = key;
    this.#owner = owner;
    this.#audience = new Audience(this, owner.flushPolicy, number, () => {
      // With the last one its flush is gone, which would have read the source.
      if (this.#pace.awaitsFlush) this.#requestFlush(true);
      this.#updateDemand();
      this.#leftIdle();
    });
    this.#pace = new Pace(owner.drawClock, (hasVideo) => this.#requestFlush(this.#hasVideo && !hasVideo, true));
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
    return this.#tracks;
  }

  /** Its tracks beside those, for players that take several of a kind (FrameEncoder.multitrack). */
  get furtherTracks(): readonly Track[] {
    return this.#further.tracks;
  }

  get metadata(): Metadata | undefined {
    return this.#metadata;
  }

  /**
   * Names the clock of the times that players get: the same name, the same time for the same frame, on whichever node.
   * The first publisher's, while its times are passed on as they are.
   */
  get clock(): string {
    return this.#timeline.isIdentity ? (this.#firstClock ?? this.#ownClock) : this.#ownClock;
  }

  /** Players with their places; a snapshot. */
  playbacks(): readonly Playback[] {
    return [...this.#audience.playbacks()];
  }

  /** Players, no encoder: see StreamDemand. */
  get isWanted(): boolean {
    return this.#isWanted;
  }

  /** Nobody publishes, plays, attends, observes or holds it. */
  get isIdle(): boolean {
    const hasViewers = this.#audience.size > 0 || !this.#spectators.isEmpty;
    return this.#publisher === undefined && !hasViewers && this.#holds === 0;
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
    this.#dropIngest();
    const { atc, mixCorrect } = this.#owner.rules(this.key.vhost);
    this.#keepsTimes = atc;
    // Another node has put them in order.
    const mixes = mixCorrect && publisher.kind === 'encoder';
    this.#interleaver = mixes ? new Interleaver((frame) => this.#frame(frame)) : undefined;
    this.#join(publisher.clock);
    const ingest = new StreamIngest(this.#target);
    this.#ingest = ingest;
    this.#publisher = publisher;
    this.#pace.begin(publisher.tap);
    this.#publishedAtMs = this.#owner.now();
    this.#owner.onUsed(this);
    before?.close(publisher.kind === 'encoder' ? 'another publisher took its place' : 'another relay took its place');
    this.#updateDemand();
    this.#updateSource();
    return ingest;
  }

  /** Goes on with the source of before, told by its clock, or begins at a seam with another one. */
  #join(clock: string | undefined): void {
    const goesOn = clock !== undefined && clock === this.#sourceClock;
    this.#sourceClock = clock;
    this.#further.begin(goesOn);
    this.#audience.regroup();
    clearTimeout(this.#keepGop);
    if (goesOn) {
      this.#timeline.resume();
      return;
    }
    this.#clearGop();
    if (this.#timeline.lastMs === undefined) {
      this.#firstClock = clock;
      return;
    }
    // From here on its times are its own, even before the first frame says so.
    this.#firstClock = undefined;
    this.#counts.seams++;
    this.#timeline.seam();
    this.gauge.restart();
    this.#spectators.seam();
    // Where times are the publisher's own, another publisher is another clock.
    if (this.#keepsTimes) this.#ownClock = newClock();
  }

  /** Adds a player; without a publisher it waits. Throws StreamError `closed` on a dropped stream. */
  play(player: Player): Playback {
    this.#checkOpen();
    const queue = this.#audience.add(player, this.#gop, this.#shiftMs);
    this.#owner.onUsed(this);
    queue.tryJoin();
    // Perhaps it wants what comes in real time; the next frame tells.
    this.#pace.open();
    this.#updateDemand();
    return queue;
  }

  /** Counts a viewer that has no lasting connection; throws StreamError `closed` on a dropped stream. */
  attend(protocol: Protocol): Attendance {
    this.#checkOpen();
    const attendance = this.#spectators.attend(protocol, () => this.#leftIdle());
    this.#owner.onUsed(this);
    return attendance;
  }

  /**
   * Gives the frames themselves to somebody on this node, from the next one on, until the returned function is called
   * (idempotent). Throws StreamError `closed` on a dropped stream.
   */
  observe(observer: StreamObserver): () => void {
    this.#checkOpen();
    const leave = this.#spectators.observe(observer, () => this.#leftIdle());
    this.#pace.open();
    this.#owner.onUsed(this);
    if (this.#tracks.length > 0) observer.onTracks(this.#tracks);
    if (this.#metadata !== undefined) observer.onMetadata(this.#metadata);
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
    const viewers = this.#spectators.viewers();
    const { bytesOut, ...audience } = this.#audience.stats(viewers);
    const { discontinuities } = this.#timeline;
    return { ...this.#counts, ...audience, bytesOut: bytesOut + this.#spectators.bytesOut, discontinuities, viewers };
  }

  /** Milliseconds since 1970, for the outputs. */
  now(): number {
    return this.#owner.now();
  }

  /** Resolves when the publisher has said all that it has sent, if it is only read now and then: its end, perhaps. */
  async settle(): Promise<void> {
    if (!this.#pace.listen()) return;
    // One runs before the sockets are looked at; what a draw left is read next, and the end after that.
    for (let turn = 0; turn < 3; turn++) await nextTurn();
  }

  /** For the outputs. */
  get sendToAll(): SendToAll | undefined {
    return this.#owner.sendToAll;
  }

  /** For the outputs: see Pace. */
  beforeFlush(): void {
    this.#pace.draw();
  }

  /** Ends publisher and players; idempotent. Only the registry drops a stream. */
  close(reason: string): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#dropIngest();
    this.#clearGop();
    const publisher = this.#publisher;
    this.#publisher = undefined;
    this.#publishedAtMs = undefined;
    publisher?.close(reason);
    this.#audience.close(reason);
    this.#updateDemand();
    this.#updateSource();
    this.#spectators.close();
  }

  readonly #target: IngestTarget = {
    adopt: (track) => {
      const same = this.#tracks.find((known) => isSameTrack(known, track));
      return same ?? { ...track, id: ++this.#lastTrackId };
    },
    tracks: (tracks) => {
      this.#interleaver?.flush();
      this.#setTracks(tracks);
    },
    metadata: (metadata) => {
      this.#metadata = metadata;
      this.#spectators.metadata(metadata);
      // Before the first frame every player still waits for its header, which holds it.
      if (this.#timeline.lastMs === undefined) return;
      this.#audience.metadata(metadata);
      this.#requestFlush(false);
    },
    data: (amf0) => {
      const dtsMs = this.#lastDtsMs;
      if (dtsMs === undefined) return;
      this.#audience.data(amf0, dtsMs);
      this.#requestFlush(false);
    },
    frame: (frame) => {
      if (frame.track.kind === 'video') this.#pace.video(frame.dtsMs);
      if (this.#interleaver !== undefined && this.#tracks.length > 1) this.#interleaver.push(frame);
      else this.#frame(frame);
    },
    furtherTrack: (track) => {
      const adopted = this.#further.declare(track, (declared) => ({ ...declared, id: ++this.#lastTrackId }));
      if (adopted === undefined) return;
      this.#audience.regroup();
      if (this.#lastDtsMs === undefined) return;
      this.#gop.forgetFurther();
      this.#audience.dropFurtherGop();
      this.#audience.furtherConfig(adopted, this.#lastDtsMs);
    },
    furtherFrame: (frame) => this.#further.push(frame, this.#hasVideo),
    dropped: () => {
      this.#counts.framesIn++;
      this.#counts.framesDropped++;
    },
    detached: (ingest) => {
      if (ingest !== this.#ingest) return;
      this.#dropIngest();
      // A source that can say that it goes on is likely to: players that come now need not wait for a key frame.
      if (this.#sourceClock === undefined) this.#clearGop();
      else this.#keepGop = setTimeout(() => this.#clearGop(), KEEP_GOP_MS).unref();
      this.#publisher = undefined;
      this.#publishedAtMs = undefined;
      this.#endRelays();
      this.#updateDemand();
      this.#updateSource();
      this.#leftIdle();
    },
  };

  #setTracks(tracks: readonly Track[]): void {
    const before = this.#tracks;
    this.#tracks = tracks;
    const changed = tracks.filter((track) => !before.includes(track));
    if (changed.length === 0 && tracks.length === before.length) return;
    this.#spectators.tracks(tracks);
    if (changed.length === 0) return;
    const dtsMs = this.#lastDtsMs;
    // Without a frame so far every player still waits for its header, which holds them all.
    if (dtsMs === undefined) return;
    // The cache's frames belong to the old configuration, but who joins gets the new one.
    this.#gop.clear();
    this.#audience.configs(changed, dtsMs);
    this.#requestFlush(false);
  }

  #frame(frame: Frame): void {
    this.#counts.framesIn++;
    this.#counts.bytesIn += frame.data.length;
    const { kind } = frame.track;
    const { discontinuities } = this.#timeline;
    const timeMs = this.#timeline.map(kind, frame.dtsMs);
    if (timeMs === undefined) {
      this.#counts.framesDropped++;
      return;
    }
    if (this.#timeline.discontinuities !== discontinuities) this.#spectators.seam();
    this.gauge.frame(kind, frame.isKey, timeMs);
    this.#shiftMs = this.#keepsTimes ? timeMs - frame.dtsMs : 0;
    const shiftMs = this.#keepsTimes ? 0 : timeMs - frame.dtsMs;
    const dtsMs = frame.dtsMs + shiftMs;
    const moved =
      shiftMs === 0
        ? frame
        : { track: frame.track, dtsMs, ptsMs: frame.ptsMs + shiftMs, isKey: frame.isKey, data: frame.data };
    this.#lastDtsMs = Math.max(dtsMs, (!this.#keepsTimes && this.#lastDtsMs) || 0);
    const hasVideo = this.#hasVideo;
    const isCut = hasVideo ? kind === 'video' && frame.isKey : true;
    if (isCut) this.#audience.beforeCut(dtsMs);
    const change = this.#gop.add(moved, hasVideo);
    this.#audience.frame(moved, timeMs, change, isCut);
    this.#spectators.frame(moved, timeMs);
    if (kind === 'video' && this.#further.tracks.length > 0) this.#further.follow(frame.dtsMs);
    this.#requestFlush(hasVideo && kind === 'audio');
  }

  #furtherFrame(frame: Frame, timeMs: number): void {
    this.#counts.framesIn++;
    this.#counts.bytesIn += frame.data.length;
    const shiftMs = this.#keepsTimes ? 0 : timeMs - frame.dtsMs;
    const dtsMs = frame.dtsMs + shiftMs;
    const moved = shiftMs === 0 ? frame : { ...frame, dtsMs, ptsMs: frame.ptsMs + shiftMs };
    if (!this.#gop.addFurther(moved)) this.#audience.dropFurtherGop();
    this.#audience.furtherFrame(moved, timeMs);
    this.#requestFlush(this.#hasVideo);
  }

  /**
   * Has what came written on at its time; see Audience. `isAll`: nothing more is to come in this turn. With that goes how long
   * the source's next bytes may wait.
   */
  #requestFlush(mayWait: boolean, isAll = false): void {
    if (this.#pace.isDrawing) return;
    const audience = this.#audience;
    const { mostDelayMs } = this.#spectators;
    if (audience.isEmpty) {
      this.#pace.set(Infinity, Math.min(mostDelayMs, IDLE_DELAY_MS));
      return;
    }
    const { mwLatency } = this.#owner.rules(this.key.vhost);
    const windowMs = mwLatency === 'auto' ? this.#owner.autoWindowMs() : mwLatency === 'realtime' ? 0 : mwLatency;
    if (windowMs === 0 && isAll && !mayWait) audience.flushNow();
    else audience.requestFlush(windowMs, mayWait);
    const { hasViewers, hasRelays } = audience;
    if (windowMs === 0 && (hasViewers || hasRelays)) {
      this.#pace.set(0, mostDelayMs);
      return;
    }
    const relaysMs = hasRelays ? Math.min(windowMs, RELAY_DELAY_MS) : Infinity;
    const othersMs = Math.min(mostDelayMs, hasViewers ? MOST_DELAY_MS : IDLE_DELAY_MS);
    this.#pace.set(hasViewers ? windowMs : Infinity, Math.min(othersMs, relaysMs));
  }

  get #hasVideo(): boolean {
    return this.#tracks[0]?.kind === 'video';
  }

  /** When nobody publishes and nobody will, other nodes have to look who does. */
  #endRelays(): void {
    if (this.#publisher !== undefined || this.#holds > 0) return;
    this.#audience.closeRelays('the publisher left');
  }

  #dropIngest(): void {
    this.#pace.end();
    this.#interleaver?.flush();
    this.#interleaver = undefined;
    this.#ingest?.end();
    this.#ingest = undefined;
  }

  #clearGop(): void {
    clearTimeout(this.#keepGop);
    this.#gop.clear();
    this.#audience.dropGop();
  }

  #updateDemand(): void {
    const isWanted = !this.#isClosed && this.#audience.size > 0 && this.#publisher?.kind !== 'encoder';
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

function newClock(): string {
  return randomBytes(9).toString('base64url');
}
