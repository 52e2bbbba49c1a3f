import type { SendToAll } from '../lib/send-to-all.ts';
import type { Frame, Metadata } from '../media/frame.ts';
import type { Track } from '../media/track.ts';
import { isFurther } from '../media/track.ts';
import { EncodedLog } from './encoded-log.ts';
import type { FrameEncoder } from './frame-encoder.ts';
import type { GopChange } from './gop-cache.ts';
import { MediaPositions } from './media-positions.ts';
import type { GroupSource } from './player-group.ts';
import { GROUP_PLAYERS, PlayerGroup } from './player-group.ts';
import type { PlayerQueue } from './player-queue.ts';

/** What an output reads of its stream. */
export interface OutputSource {
  readonly tracks: readonly Track[];
  /** Those beside the first of each kind. */
  readonly furtherTracks: readonly Track[];
  readonly metadata: Metadata | undefined;
  /** See GroupSource. */
  readonly sendToAll: SendToAll | undefined;
  now(): number;
  /** A flush is about to write what has come: what waits in the source's socket may come along. */
  beforeFlush(): void;
}

/** Finer marks than this tell nothing: a queue is bounded in seconds. */
const MARK_SPACING_MS = 50;

/** Metadata and the like that players who join may get between key frames; past it they wait for the next one. */
const MAX_BESIDE_BYTES = 4 * 1024 * 1024;

/**
 * One format (and variant) of a stream, there only while it has players. Each frame is encoded once; the bytes of a
 * flush are one Buffer that the sockets of all players in step get.
 */
export class Output implements GroupSource {
  readonly encoder: FrameEncoder;
  /** Whether it has the further tracks too. */
  readonly isMultitrack: boolean;
  /**
   * Bytes handed to players by this output. Begins as -0, which V8 keeps as a double: where an integer passes 2^31, within seconds for thousands of players, all
   * code that knows this class is thrown away and is slow for a minute.
   */
  bytesOut = -0;
  /** Frames encoded so far. */
  frames = 0;
  /** Times on the stream's own clock, for queues: of the last frame, of the GOP cache's first one. */
  lastMs = 0;
  gopStartMs = 0;
  /** Time on the wire of the GOP cache's first frame. */
  #gopDtsMs = 0;
  readonly #source: OutputSource;
  readonly #log = new EncodedLog();
  readonly #positions = new MediaPositions();
  /** Viewers; the first group is there as long as the output. */
  readonly #groups: PlayerGroup[];
  /** Other nodes: they get everything at once, for windows of several nodes would add up. */
  readonly #relays: PlayerGroup;
  #players = 0;
  /** Of metadata and the like since the last key frame. */
  #besideBytes = 0;
  #header: { readonly dtsMs: number; readonly bytes: Buffer } | undefined;

  /** `gop`: what the stream's cache holds already; `shiftMs`: from its times to the stream's own clock. */
  constructor(
    encoder: FrameEncoder,
    isMultitrack: boolean,
    source: OutputSource,
    gop: readonly Frame[],
    shiftMs: number,
  ) {
    this.encoder = encoder.forOutput?.(source) ?? encoder;
    this.isMultitrack = isMultitrack;
    this.#source = source;
    for (const [index, frame] of gop.entries()) {
      if (!isMultitrack && isFurther(frame.track)) continue;
      this.#add(frame, frame.dtsMs + shiftMs, index === 0 ? 'begun' : 'extended');
    }
    this.#groups = [new PlayerGroup(this)];
    this.#relays = new PlayerGroup(this);
  }

  get end(): number {
    return this.#log.end;
  }

  get sendToAll(): SendToAll | undefined {
    return this.#source.sendToAll;
  }

  /** Groups of viewers. */
  get groups(): readonly PlayerGroup[] {
    return this.#groups;
  }

  get relays(): PlayerGroup {
    return this.#relays;
  }

  get isUnused(): boolean {
    return this.#players === 0;
  }

  now(): number {
    return this.#source.now();
  }

  /** Gives a player its place, in the smallest group; it gets what comes from now on. */
  add(queue: PlayerQueue): PlayerGroup {
    this.#players++;
    const group = queue.player.isRelay ? this.#relays : this.#smallest();
    group.add(queue);
    return group;
  }

  remove(queue: PlayerQueue): void {
    this.#players--;
    const { group } = queue;
    group.remove(queue);
    if (group.size > 0 || group === this.#relays || this.#groups.length === 1) return;
    group.cancelFlush();
    this.#groups.splice(this.#groups.indexOf(group), 1);
  }

  /** Takes back every flush to come. */
  close(): void {
    for (const group of [...this.#groups, this.#relays]) group.cancelFlush();
  }

  /**
   * Encodes a frame. `timeMs` is its decoding time on the stream's own clock, which never goes back; `change` what the
   * stream's GopCache did with it; `isCut` says that a player may begin here.
   */
  frame(frame: Frame, timeMs: number, change: GopChange, isCut: boolean): void {
    if (isCut) {
      const cut = { position: this.end, frames: this.frames, dtsMs: frame.dtsMs };
      for (const group of this.#groups) group.cut ??= cut;
      this.#relays.cut ??= cut;
    }
    this.#add(frame, timeMs, change);
  }

  /** Puts a new configuration or metadata before the frames that follow. */
  config(track: Track, dtsMs: number): void {
    this.#header = undefined;
    this.#appendBeside(this.encoder.config(track, dtsMs));
  }

  metadata(metadata: Metadata): void {
    this.#header = undefined;
    this.#appendBeside(this.encoder.metadata(metadata));
  }

  data(amf0: Buffer, dtsMs: number): void {
    if (this.encoder.data !== undefined) this.#appendBeside(this.encoder.data(amf0, dtsMs));
  }

  /** Nobody can join before the next key frame. */
  dropGop(): void {
    this.#log.dropGop();
  }

  /** What a player gets first; kept, since those who join within a GOP get the same. */
  header(dtsMs: number): Buffer {
    if (this.#header?.dtsMs !== dtsMs) {
      const bytes = this.encoder.header(this.#tracks, this.#source.metadata, dtsMs);
      this.#header = { dtsMs, bytes };
    }
    return this.#header.bytes;
  }

  configs(dtsMs: number): Buffer {
    return Buffer.concat(this.#tracks.map((track) => this.encoder.config(track, dtsMs)));
  }

  /** What a player begins with: the bytes since the last key frame, and the header for them; undefined without one. */
  gop(): { readonly header: Buffer; readonly bytes: Buffer } | undefined {
    const start = this.#log.gopStart;
    if (start === undefined) return undefined;
    return { header: this.header(this.#gopDtsMs), bytes: this.#log.from(start) };
  }

  from(position: number): Buffer {
    return this.#log.from(position);
  }

  timeAt(position: number): number {
    return this.#positions.timeAt(position);
  }

  beforeFlush(): void {
    this.#source.beforeFlush();
  }

  onFlushed(): void {
    let before = this.#relays.size > 0 ? this.#relays.position : this.end;
    for (const { size, position } of this.#groups) if (size > 0) before = Math.min(before, position);
    this.#log.forget(before);
  }

  get #tracks(): readonly Track[] {
    const { tracks, furtherTracks } = this.#source;
    return this.isMultitrack ? [...tracks, ...furtherTracks] : tracks;
  }

  /** What is no frame is not counted by the GopCache, whose bounds must hold all the same. */
  #appendBeside(bytes: Buffer): void {
    this.#besideBytes += bytes.length;
    if (this.#besideBytes > MAX_BESIDE_BYTES) this.#log.dropGop();
    this.#log.append(bytes);
  }

  #add(frame: Frame, timeMs: number, change: GopChange): void {
    const bytes = this.encoder.encode(frame);
    if (change === 'begun') {
      this.#log.beginGop();
      this.#besideBytes = 0;
      this.gopStartMs = timeMs;
      this.#gopDtsMs = frame.dtsMs;
    } else if (change === 'empty') {
      this.#log.dropGop();
    }
    this.#positions.mark(this.end, timeMs, MARK_SPACING_MS);
    this.#log.append(bytes);
    this.lastMs = Math.max(this.lastMs, timeMs);
    this.frames++;
  }

  #smallest(): PlayerGroup {
    let smallest = this.#groups[0]!;
    for (const group of this.#groups) if (group.size < smallest.size) smallest = group;
    if (smallest.size < GROUP_PLAYERS) return smallest;
    const group = new PlayerGroup(this);
    this.#groups.push(group);
    return group;
  }
}
