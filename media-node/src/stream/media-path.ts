import { randomBytes } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { SendToAll } from '../lib/send-to-all.ts';
import type { Frame, Metadata } from '../media/frame.ts';
import type { Track } from '../media/track.ts';
import { isSameTrack } from '../media/track.ts';
import { Audience } from './audience.ts';
import { FurtherTracks } from './further-tracks.ts';
import { GopCache } from './gop-cache.ts';
import type { IngestTarget } from './ingest.ts';
import { StreamIngest } from './ingest.ts';
import { Interleaver } from './interleaver.ts';
import { MediaGauge } from './media-gauge.ts';
import type { OutputSource } from './output.ts';
import { Pace } from './pace.ts';
import type { Player } from './player.ts';
import type { PlayerQueue } from './player-queue.ts';
import type { Ingest, Protocol, Publisher } from './publisher.ts';
import { Spectators } from './spectators.ts';
import type { Attendance, StreamObserver } from './stream-observer.ts';
import type { StreamOwner } from './stream-owner.ts';
import type { StreamRules } from './stream-rules.ts';
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

export interface MediaPathOptions {
  readonly owner: StreamOwner;
  readonly vhost: string;
  /** How many streams were made before. */
  readonly number: number;
  /** A player has left. */
  readonly onPlayerLeft: () => void;
  /** The source of the last `begin` is gone. */
  readonly onSourceLeft: () => void;
}

/**
 * The way of one stream's media: from a source's frames, put in order and on one timeline through all sources, to what its
 * players get and when. Synchronous: encoded once for each format in use, kept in that format's log, written when the merge
 * window ends.
 */
export class MediaPath implements OutputSource {
  /** What is measured of the media; see MediaGauge. */
  readonly gauge = new MediaGauge();
  readonly #options: MediaPathOptions;
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
  #ingest: StreamIngest | undefined;
  #tracks: readonly Track[] = [];
  #metadata: Metadata | undefined;
  #lastTrackId = 0;
  #ownClock = newClock();
  /** Of the source now, or of the last one; and of the first one this stream had. */
  #sourceClock: string | undefined;
  #firstClock: string | undefined;
  #keepGop: NodeJS.Timeout | undefined;
  /** Decoding time of the last frame, as players see it. */
  #lastDtsMs: number | undefined;
  #keepsTimes = false;
  #interleaver: Interleaver | undefined;
  /** From players' times to the timeline's, which is not 0 where the publisher's own are kept. */
  #shiftMs = 0;
  readonly #counts = { framesIn: 0, bytesIn: 0, framesDropped: 0, seams: 0 };

  constructor(options: MediaPathOptions) {
    this.#options = options;
    const { owner, number, onPlayerLeft } = options;
    this.#audience = new Audience(this, owner.flushPolicy, number, () => {
      // With the last one its flush is gone, which would have read the source.
      if (this.#pace.awaitsFlush) this.#requestFlush(true);
      onPlayerLeft();
    });
    this.#pace = new Pace(owner.drawClock, (hasVideo) => this.#requestFlush(this.#hasVideo && !hasVideo, true));
  }

  /** See Stream. */
  get tracks(): readonly Track[] {
    return this.#tracks;
  }

  /** See Stream. */
  get furtherTracks(): readonly Track[] {
    return this.#further.tracks;
  }

  get metadata(): Metadata | undefined {
    return this.#metadata;
  }

  /** See Stream. */
  get clock(): string {
    return this.#timeline.isIdentity ? (this.#firstClock ?? this.#ownClock) : this.#ownClock;
  }

  get hasPlayers(): boolean {
    return this.#audience.size > 0;
  }

  /** Nobody plays, attends or observes. */
  get isUnused(): boolean {
    return !this.hasPlayers && this.#spectators.isEmpty;
  }

  playbacks(): IterableIterator<PlayerQueue> {
    return this.#audience.playbacks();
  }

  /** Takes frames from a source, in place of the one before. */
  begin(publisher: Publisher): Ingest {
    this.end();
    const { atc, mixCorrect } = this.#rules;
    this.#keepsTimes = atc;
    // Another node has put them in order.
    const mixes = mixCorrect && publisher.kind === 'encoder';
    this.#interleaver = mixes ? new Interleaver((frame) => this.#frame(frame)) : undefined;
    this.#join(publisher.clock);
    this.#ingest = new StreamIngest(this.#target);
    this.#pace.begin(publisher.tap);
    return this.#ingest;
  }

  /** Takes no more from the source there is; idempotent. */
  end(): void {
    this.#pace.end();
    this.#interleaver?.flush();
    this.#interleaver = undefined;
    this.#ingest?.end();
    this.#ingest = undefined;
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

  /** Gives a player its place; it begins at once where the GOP cache has something. */
  play(player: Player): PlayerQueue {
    const queue = this.#audience.add(player, this.#gop, this.#shiftMs);
    queue.tryJoin();
    // Perhaps it wants what comes in real time; the next frame tells.
    this.#pace.open();
    return queue;
  }

  /** See Stream; `onLeft` when it has ended. */
  attend(protocol: Protocol, onLeft: () => void): Attendance {
    return this.#spectators.attend(protocol, onLeft);
  }

  /** See Stream; `onLeft` when the returned function was called. */
  observe(observer: StreamObserver, onLeft: () => void): () => void {
    const leave = this.#spectators.observe(observer, onLeft);
    this.#pace.open();
    if (this.#tracks.length > 0) observer.onTracks(this.#tracks);
    if (this.#metadata !== undefined) observer.onMetadata(this.#metadata);
    return leave;
  }

  stats(): StreamStats {
    const viewers = this.#spectators.viewers();
    const { bytesOut, ...audience } = this.#audience.stats(viewers);
    const { discontinuities } = this.#timeline;
    return { ...this.#counts, ...audience, bytesOut: bytesOut + this.#spectators.bytesOut, discontinuities, viewers };
  }

  /** See Stream. */
  async settle(): Promise<void> {
    if (!this.#pace.listen()) return;
    // One runs before the sockets are looked at; what a draw left is read next, and the end after that.
    for (let turn = 0; turn < 3; turn++) await nextTurn();
  }

  now(): number {
    return this.#options.owner.now();
  }

  get sendToAll(): SendToAll | undefined {
    return this.#options.owner.sendToAll;
  }

  beforeFlush(): void {
    this.#pace.draw();
  }

  /** Ends the players that are other nodes. */
  closeRelays(reason: string): void {
    this.#audience.closeRelays(reason);
  }

  /** Ends all players. */
  closePlayers(reason: string): void {
    this.#clearGop();
    this.#audience.close(reason);
  }

  /** Ends who only attends or observes. */
  closeSpectators(): void {
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
      this.end();
      // A source that can say that it goes on is likely to: players that come now need not wait for a key frame.
      if (this.#sourceClock === undefined) this.#clearGop();
      else this.#keepGop = setTimeout(() => this.#clearGop(), KEEP_GOP_MS).unref();
      this.#options.onSourceLeft();
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
    const { mwLatency } = this.#rules;
    const windowMs =
      mwLatency === 'auto' ? this.#options.owner.autoWindowMs() : mwLatency === 'realtime' ? 0 : mwLatency;
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

  get #rules(): StreamRules {
    const { owner, vhost } = this.#options;
    return owner.rules(vhost);
  }

  #clearGop(): void {
    clearTimeout(this.#keepGop);
    this.#gop.clear();
    this.#audience.dropGop();
  }
}

function newClock(): string {
  return randomBytes(9).toString('base64url');
}
