import type { Frame, Metadata } from '../media/frame.ts';
import type { Track } from '../media/track.ts';
import type { FlushPolicy } from './flush-policy.ts';
import type { GopCache, GopChange } from './gop-cache.ts';
import { msToFlush } from './merge-window.ts';
import type { OutputSource } from './output.ts';
import { Output } from './output.ts';
import { PlayerQueue } from './player-queue.ts';
import type { Player } from './player.ts';
import type { Protocol } from './publisher.ts';

/** In realtime, audio waits for the next video frame, at most so long; it then costs no write of its own. */
const AUDIO_WAIT_MS = 60;
/** Spreads the phases of streams and outputs evenly, however many there are. */
const GOLDEN_RATIO = 0.618_033_988_75;

/** The players of one stream: an output for each format that they want, and when each group of them is written to. */
export class Audience {
  /** As the last request to flush found them. */
  hasViewers = false;
  hasRelays = false;
  readonly #source: OutputSource;
  readonly #flushPolicy: FlushPolicy;
  /** Where in the merge window this stream's flushes lie, so that those of many streams are spread. */
  readonly #phase: number;
  readonly #onLeft: () => void;
  readonly #outputs: Output[] = [];
  readonly #playbacks = new Set<PlayerQueue>();
  /** The stream has got its first further track, or lost them all: players may be in an output that is not for them. */
  #mayBeMisplaced = false;
  /** Of players that are gone. */
  readonly #past = { bytesOut: 0, skips: 0, framesSkipped: 0 };

  /** `number`: of the stream, how many were made before; `onLeft`: a player has left. */
  constructor(source: OutputSource, flushPolicy: FlushPolicy, number: number, onLeft: () => void) {
    this.#source = source;
    this.#flushPolicy = flushPolicy;
    this.#phase = (number * GOLDEN_RATIO) % 1;
    this.#onLeft = onLeft;
  }

  get size(): number {
    return this.#playbacks.size;
  }

  /** Nobody wants any format. */
  get isEmpty(): boolean {
    return this.#outputs.length === 0;
  }

  playbacks(): IterableIterator<PlayerQueue> {
    return this.#playbacks.values();
  }

  /** Gives a player its place; `shiftMs`: from the cache's times to the stream's own clock. */
  add(player: Player, gop: GopCache, shiftMs: number): PlayerQueue {
    const output = this.#outputOf(player, gop.frames, shiftMs);
    const queue = new PlayerQueue(player, output, this.#source.now(), this.#onLeave);
    this.#playbacks.add(queue);
    return queue;
  }

  #outputOf({ encoder: plain }: Player, gop: readonly Frame[], shiftMs: number): Output {
    const { multitrack } = plain;
    const isMultitrack = multitrack !== undefined && this.#source.furtherTracks.length > 0;
    const wanted = isMultitrack ? multitrack : plain;
    let output = this.#outputs.find(({ encoder }) => encoder.id === wanted.id);
    if (output === undefined) {
      output = new Output(wanted, isMultitrack, this.#source, gop, shiftMs);
      this.#outputs.push(output);
    }
    return output;
  }

  /** Further tracks have come or gone: players that take them change over at the next cut. */
  regroup(): void {
    this.#mayBeMisplaced = true;
  }

  /** A frame is about to come, at `dtsMs`, at which players may begin. */
  beforeCut(dtsMs: number): void {
    if (!this.#mayBeMisplaced) return;
    this.#mayBeMisplaced = false;
    for (const queue of this.#playbacks) {
      const before = queue.output;
      const output = this.#outputOf(queue.player, [], 0);
      if (output === before) continue;
      queue.changeOver(output, dtsMs);
      this.#dropUnused(before);
    }
  }

  /** A frame of a further track. */
  furtherFrame(frame: Frame, timeMs: number): void {
    for (const output of this.#outputs) if (output.isMultitrack) output.frame(frame, timeMs, 'extended', false);
  }

  /** Another configuration of a further track, from its next frame on. */
  furtherConfig(track: Track, dtsMs: number): void {
    for (const output of this.#outputs) if (output.isMultitrack) output.config(track, dtsMs);
  }

  /** Frames of further tracks are gone from the cache: nobody can join those who get them before the next key frame. */
  dropFurtherGop(): void {
    for (const output of this.#outputs) if (output.isMultitrack) output.dropGop();
  }

  frame(frame: Frame, timeMs: number, change: GopChange, isCut: boolean): void {
    for (const output of this.#outputs) output.frame(frame, timeMs, change, isCut);
  }

  /** Other configurations, from the next frame on: the cache's frames belong to the ones before. */
  configs(tracks: readonly Track[], dtsMs: number): void {
    for (const output of this.#outputs) {
      output.dropGop();
      for (const track of tracks) output.config(track, dtsMs);
    }
  }

  metadata(metadata: Metadata): void {
    for (const output of this.#outputs) output.metadata(metadata);
  }

  data(amf0: Buffer, dtsMs: number): void {
    for (const output of this.#outputs) output.data(amf0, dtsMs);
  }

  dropGop(): void {
    for (const output of this.#outputs) output.dropGop();
  }

  /** Has every group written to at its time; `mayWait` for what may go with the next video frame. `windowMs` 0 is real time. */
  requestFlush(windowMs: number, mayWait: boolean): void {
    const realtimeMs = mayWait ? AUDIO_WAIT_MS : 0;
    const nowMs = this.#flushPolicy.now();
    this.hasViewers = this.hasRelays = false;
    for (const [number, { groups, relays }] of this.#outputs.entries()) {
      relays.flushWithin(realtimeMs, nowMs, this.#flushPolicy);
      this.hasRelays ||= relays.size > 0;
      for (const [index, group] of groups.entries()) {
        const phase = (this.#phase + number * GOLDEN_RATIO + index / groups.length) % 1;
        const delayMs = windowMs === 0 ? realtimeMs : msToFlush(nowMs, windowMs, phase);
        group.flushWithin(delayMs, nowMs, this.#flushPolicy);
        this.hasViewers ||= group.size > 0;
      }
    }
  }

  /** Writes to every group at once: all that belongs together has come, and is wanted in real time. */
  flushNow(): void {
    this.hasViewers = this.hasRelays = false;
    for (const { groups, relays } of this.#outputs) {
      relays.flushNow();
      this.hasRelays ||= relays.size > 0;
      for (const group of groups) {
        group.flushNow();
        this.hasViewers ||= group.size > 0;
      }
    }
  }

  /** Adds viewers to `viewers`, by protocol; relays apart. Counts grow only. */
  stats(viewers: Record<Protocol, number>): {
    bytesOut: number;
    skips: number;
    framesSkipped: number;
    relays: number;
  } {
    const sum = { ...this.#past, relays: 0 };
    for (const queue of this.#playbacks) {
      const stats = queue.stats();
      sum.bytesOut += stats.bytesOut;
      sum.skips += stats.skips;
      sum.framesSkipped += stats.framesSkipped;
      if (queue.player.isRelay) sum.relays++;
      else viewers[queue.player.protocol]++;
    }
    return sum;
  }

  /** Ends the players that are other nodes. */
  closeRelays(reason: string): void {
    for (const queue of this.#playbacks) if (queue.player.isRelay) queue.player.close(reason);
  }

  /** Ends every player; idempotent. */
  close(reason: string): void {
    for (const queue of this.#playbacks) {
      queue.player.close(reason);
      queue.leave();
    }
  }

  readonly #onLeave = (queue: PlayerQueue): void => {
    if (!this.#playbacks.delete(queue)) return;
    const { bytesOut, skips, framesSkipped } = queue.stats();
    this.#past.bytesOut += bytesOut;
    this.#past.skips += skips;
    this.#past.framesSkipped += framesSkipped;
    queue.output.remove(queue);
    this.#dropUnused(queue.output);
    this.#onLeft();
  };

  #dropUnused(output: Output): void {
    if (!output.isUnused) return;
    output.close();
    const index = this.#outputs.indexOf(output);
    if (index >= 0) this.#outputs.splice(index, 1);
  }
}
