import type { Frame, Metadata } from '../media/frame.ts';
import type { Track } from '../media/track.ts';
import { StreamError } from './errors.ts';
import type { FlushPolicy, Flushable } from './flush-policy.ts';
import { GopCache } from './gop-cache.ts';
import type { IngestTarget } from './ingest.ts';
import { StreamIngest } from './ingest.ts';
import { Output } from './output.ts';
import { PlayerQueue } from './player-queue.ts';
import type { Playback, Player } from './player.ts';
import type { Ingest, Protocol, Publisher } from './publisher.ts';
import type { StreamKey } from './stream-key.ts';
import { Timeline } from './timeline.ts';

/** Counts of one stream since it was made; grow only, except viewers and relays, which are those there now. */
export interface StreamStats {
  readonly framesIn: number;
  /** Bytes of media handed in by publishers (frames, without the wire's overhead). */
  readonly bytesIn: number;
  /** Bytes handed to players' sockets. */
  readonly bytesOut: number;
  /** Frames that no player could use: before the first key frame, or at a seam. */
  readonly framesDropped: number;
  readonly skips: number;
  readonly framesSkipped: number;
  /** Publishers that went on where another had been. */
  readonly seams: number;
  /** Jumps of a publisher's clock that were smoothed. */
  readonly discontinuities: number;
  /** Viewers now, by protocol; relays apart. */
  readonly viewers: Readonly<Record<Protocol, number>>;
  readonly relays: number;
}

/** What a stream needs of its registry. */
export interface StreamOwner {
  readonly flushPolicy: FlushPolicy;
  now(): number;
  /** The stream became idle, or is in use again: see Stream.isIdle. */
  onIdle(stream: Stream): void;
  onUsed(stream: Stream): void;
  onWanted(stream: Stream): void;
  onUnwanted(stream: Stream): void;
}

/**
 * The hub of one stream: at most one publisher, its players, and what a player that joins needs. Frames go through
 * synchronously: encoded once for each format in use, collected in that format's batch, written at the flush.
 */
export class Stream implements Flushable {
  readonly key: StreamKey;
  readonly #owner: StreamOwner;
  readonly #timeline = new Timeline();
  readonly #gop = new GopCache();
  readonly #outputs: Output[] = [];
  readonly #playbacks = new Set<PlayerQueue>();
  #publisher: Publisher | undefined;
  #publishedAtMs: number | undefined;
  #ingest: StreamIngest | undefined;
  #tracks: readonly Track[] = [];
  #metadata: Metadata | undefined;
  #lastTrackId = 0;
  #holds = 0;
  #isWanted = false;
  #isClosed = false;
  #isFlushDue = false;
  readonly #counts = { framesIn: 0, bytesIn: 0, framesDropped: 0, seams: 0 };
  /** Of players that are gone. */
  readonly #past = { bytesOut: 0, skips: 0, framesSkipped: 0 };

  constructor(key: StreamKey, owner: StreamOwner) {
    this.key = key;
    this.#owner = owner;
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

  get metadata(): Metadata | undefined {
    return this.#metadata;
  }

  /** Players with their places; a snapshot. */
  playbacks(): readonly Playback[] {
    return [...this.#playbacks];
  }

  /** Players, no encoder: see StreamDemand. */
  get isWanted(): boolean {
    return this.#isWanted;
  }

  /** Nobody publishes, plays or holds it. */
  get isIdle(): boolean {
    return this.#publisher === undefined && this.#playbacks.size === 0 && this.#holds === 0;
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
    if (this.#timeline.lastMs !== undefined) {
      this.#counts.seams++;
      this.#timeline.seam();
    }
    const ingest = new StreamIngest(this.#target);
    this.#ingest = ingest;
    this.#publisher = publisher;
    this.#publishedAtMs = this.#owner.now();
    this.#owner.onUsed(this);
    before?.close(publisher.kind === 'encoder' ? 'another publisher took its place' : 'another relay took its place');
    this.#updateDemand();
    return ingest;
  }

  /** Adds a player; without a publisher it waits. Throws StreamError `closed` on a dropped stream. */
  play(player: Player): Playback {
    this.#checkOpen();
    let output = this.#outputs.find(({ encoder }) => encoder.id === player.encoder.id);
    if (output === undefined) {
      output = new Output(player.encoder, this, this.#gop.frames);
      this.#outputs.push(output);
    }
    // What is pending belongs to those who were here; the GOP cache holds it already.
    output.flush(this.#owner.now());
    const queue = new PlayerQueue(player, output, this.#owner.now(), this.#onLeave);
    output.add(queue);
    this.#playbacks.add(queue);
    this.#owner.onUsed(this);
    queue.tryJoin();
    this.#updateDemand();
    return queue;
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
      if (this.isIdle) this.#owner.onIdle(this);
    };
  }

  stats(): StreamStats {
    const viewers: Record<Protocol, number> = { rtmp: 0, flv: 0 };
    let relays = 0;
    let { bytesOut, skips, framesSkipped } = this.#past;
    for (const queue of this.#playbacks) {
      const stats = queue.stats();
      bytesOut += stats.bytesOut;
      skips += stats.skips;
      framesSkipped += stats.framesSkipped;
      if (queue.player.isRelay) relays++;
      else viewers[queue.player.protocol]++;
    }
    const { discontinuities } = this.#timeline;
    return { ...this.#counts, bytesOut, skips, framesSkipped, discontinuities, viewers, relays };
  }

  /** Writes what is pending; the flush policy calls it. */
  flush(): void {
    this.#isFlushDue = false;
    const nowMs = this.#owner.now();
    for (const output of this.#outputs.slice()) {
      output.flush(nowMs);
      this.#dropUnused(output);
    }
  }

  /** Ends publisher and players; idempotent. Only the registry drops a stream. */
  close(reason: string): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#dropIngest();
    const publisher = this.#publisher;
    this.#publisher = undefined;
    this.#publishedAtMs = undefined;
    publisher?.close(reason);
    for (const queue of this.#playbacks) {
      queue.player.close(reason);
      queue.leave();
    }
    this.#updateDemand();
  }

  readonly #target: IngestTarget = {
    adopt: (track) => {
      const same = this.#tracks.find((known) => isSameTrack(known, track));
      return same ?? { ...track, id: ++this.#lastTrackId };
    },
    tracks: (tracks) => this.#setTracks(tracks),
    metadata: (metadata) => {
      this.#metadata = metadata;
      // Before the first frame every player still waits for its header, which holds it.
      if (this.#timeline.lastMs === undefined) return;
      for (const output of this.#outputs) output.metadata(metadata);
      this.#requestFlush();
    },
    frame: (frame) => this.#frame(frame),
    dropped: () => {
      this.#counts.framesIn++;
      this.#counts.framesDropped++;
    },
    detached: (ingest) => {
      if (ingest !== this.#ingest) return;
      this.#dropIngest();
      this.#publisher = undefined;
      this.#publishedAtMs = undefined;
      this.#endRelays();
      this.#updateDemand();
      if (this.isIdle) this.#owner.onIdle(this);
    },
  };

  #setTracks(tracks: readonly Track[]): void {
    const before = this.#tracks;
    this.#tracks = tracks;
    const changed = tracks.filter((track) => !before.includes(track));
    if (changed.length === 0) return;
    const dtsMs = this.#timeline.lastMs;
    // Without a frame so far every player still waits for its header, which holds them all.
    if (dtsMs === undefined) return;
    // The cache's frames belong to the old configuration, but who joins gets the new one.
    this.#gop.clear();
    for (const output of this.#outputs) {
      output.dropGop();
      for (const track of changed) output.config(track, dtsMs);
    }
    this.#requestFlush();
  }

  #frame(frame: Frame): void {
    this.#counts.framesIn++;
    this.#counts.bytesIn += frame.data.length;
    const { kind } = frame.track;
    const dtsMs = this.#timeline.map(kind, frame.dtsMs);
    if (dtsMs === undefined) {
      this.#counts.framesDropped++;
      return;
    }
    const shiftMs = dtsMs - frame.dtsMs;
    const moved =
      shiftMs === 0
        ? frame
        : { track: frame.track, dtsMs, ptsMs: frame.ptsMs + shiftMs, isKey: frame.isKey, data: frame.data };
    const hasVideo = this.#tracks[0]?.kind === 'video';
    const change = this.#gop.add(moved, hasVideo);
    const isCut = hasVideo ? kind === 'video' && frame.isKey : true;
    for (const output of this.#outputs) output.frame(moved, change, isCut);
    this.#requestFlush();
  }

  #requestFlush(): void {
    if (this.#isFlushDue || this.#outputs.length === 0) return;
    this.#isFlushDue = true;
    this.#owner.flushPolicy.request(this);
  }

  readonly #onLeave = (queue: PlayerQueue): void => {
    if (!this.#playbacks.delete(queue)) return;
    const { bytesOut, skips, framesSkipped } = queue.stats();
    this.#past.bytesOut += bytesOut;
    this.#past.skips += skips;
    this.#past.framesSkipped += framesSkipped;
    queue.output.remove(queue);
    this.#dropUnused(queue.output);
    this.#updateDemand();
    if (this.isIdle) this.#owner.onIdle(this);
  };

  /** When nobody publishes and nobody will, other nodes have to look who does. */
  #endRelays(): void {
    if (this.#publisher !== undefined || this.#holds > 0) return;
    for (const queue of this.#playbacks) if (queue.player.isRelay) queue.player.close('the publisher left');
  }

  #dropUnused(output: Output): void {
    if (output.queues.length > 0) return;
    const index = this.#outputs.indexOf(output);
    if (index >= 0) this.#outputs.splice(index, 1);
  }

  #dropIngest(): void {
    this.#ingest?.end();
    this.#ingest = undefined;
    this.#gop.clear();
    for (const output of this.#outputs) output.dropGop();
  }

  #updateDemand(): void {
    const isWanted = !this.#isClosed && this.#playbacks.size > 0 && this.#publisher?.kind !== 'encoder';
    if (isWanted === this.#isWanted) return;
    this.#isWanted = isWanted;
    if (isWanted) this.#owner.onWanted(this);
    else this.#owner.onUnwanted(this);
  }

  #checkOpen(): void {
    if (this.#isClosed) throw new StreamError('closed', 'the stream was dropped as idle; ask the registry again');
  }
}

/** Whether both say the same about how to decode. */
function isSameTrack(a: Track, b: Track): boolean {
  return a.kind === b.kind && a.codec === b.codec && a.config.equals(b.config) && describes(a) === describes(b);
}

/** For codecs whose configuration is empty. */
function describes(track: Track): string {
  return track.kind === 'video' ? `${track.width}x${track.height}` : `${track.sampleRate}/${track.channels}`;
}
