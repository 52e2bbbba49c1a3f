import type { Frame, Metadata } from '../media/frame.ts';
import type { Track } from '../media/track.ts';
import { ByteArena } from './byte-arena.ts';
import type { FrameEncoder } from './frame-encoder.ts';
import type { GopChange } from './gop-cache.ts';
import { MediaPositions } from './media-positions.ts';
import type { PlayerQueue } from './player-queue.ts';

/** What an output reads of its stream. */
export interface OutputSource {
  readonly tracks: readonly Track[];
  readonly metadata: Metadata | undefined;
}

/** Finer marks than this tell nothing: a queue is bounded in seconds. */
const MARK_SPACING_MS = 50;

/**
 * One format (and variant) of a stream, there only while it has players. Each frame is encoded once; the bytes of a
 * flush are one Buffer that every player's socket gets. Since the last key frame they also stand in one piece, which is
 * what a player that joins begins with.
 */
export class Output {
  readonly encoder: FrameEncoder;
  /** Bytes handed to players by this output. */
  bytesOut = 0;
  /** Bytes flushed since the output was made: the position of a player that is in step. */
  position = 0;
  /** Decoding times: of the last frame, of the GOP cache's first one, of the batch's first key frame. */
  lastMs = 0;
  gopStartMs = 0;
  cutMs = 0;
  readonly #source: OutputSource;
  readonly #positions = new MediaPositions();
  readonly #queues: PlayerQueue[] = [];
  /** The GOP's bytes; undefined while there is none to join at. */
  #gop: ByteArena | undefined;
  /** The batch: what left the arena or never was in it, then the arena from #pendingStart on. */
  #parts: Buffer[] = [];
  #partsBytes = 0;
  #pendingStart = 0;
  #frames = 0;
  #cutOffset = -1;
  #isFlushing = false;
  #hasLeavers = false;

  /** `gop`: what the stream's cache holds already, all of it sent to other outputs' players before. */
  constructor(encoder: FrameEncoder, source: OutputSource, gop: readonly Frame[]) {
    this.encoder = encoder;
    this.#source = source;
    const first = gop[0];
    if (first === undefined) return;
    this.#gop = new ByteArena(0);
    this.gopStartMs = first.dtsMs;
    for (const frame of gop) {
      this.#positions.mark(this.#gop.length, frame.dtsMs, MARK_SPACING_MS);
      this.#gop.append(encoder.encode(frame));
      this.lastMs = frame.dtsMs;
    }
    this.#pendingStart = this.#gop.length;
    this.position = this.#gop.length;
  }

  get queues(): readonly PlayerQueue[] {
    return this.#queues;
  }

  add(queue: PlayerQueue): void {
    queue.index = this.#queues.length;
    this.#queues.push(queue);
  }

  remove(queue: PlayerQueue): void {
    if (queue.index < 0) return;
    // During a flush the array must keep its order: the flush compacts it.
    if (this.#isFlushing) {
      this.#hasLeavers = true;
      return;
    }
    const last = this.#queues.pop();
    if (last !== undefined && last !== queue) {
      this.#queues[queue.index] = last;
      last.index = queue.index;
    }
    queue.index = -1;
  }

  /** Encodes a frame into the batch. `change` is what the stream's GopCache did with it; `isCut` a player may begin here. */
  frame(frame: Frame, change: GopChange, isCut: boolean): void {
    const bytes = this.encoder.encode(frame);
    if (change === 'begun') this.#beginGop(frame.dtsMs);
    else if (change === 'empty') this.dropGop();
    if (isCut && this.#cutOffset < 0) {
      this.#cutOffset = this.#pendingBytes();
      this.cutMs = frame.dtsMs;
    }
    this.#positions.mark(this.position + this.#pendingBytes(), frame.dtsMs, MARK_SPACING_MS);
    this.#append(bytes);
    this.lastMs = Math.max(this.lastMs, frame.dtsMs);
    this.#frames++;
  }

  /** Puts a new configuration or metadata before the frames that follow. */
  config(track: Track, dtsMs: number): void {
    this.#append(this.encoder.config(track, dtsMs));
  }

  metadata(metadata: Metadata): void {
    this.#append(this.encoder.metadata(metadata));
  }

  /** Nobody can join before the next key frame. */
  dropGop(): void {
    this.#sealGop();
    this.#gop = undefined;
    this.#pendingStart = 0;
  }

  header(dtsMs: number): Buffer {
    return this.encoder.header(this.#source.tracks, this.#source.metadata, dtsMs);
  }

  configs(dtsMs: number): Buffer {
    return Buffer.concat(this.#source.tracks.map((track) => this.encoder.config(track, dtsMs)));
  }

  /** The bytes since the last key frame; undefined without one. Only right with nothing pending. */
  gop(): Buffer | undefined {
    return this.#gop?.from(0);
  }

  timeAt(position: number): number {
    return this.#positions.timeAt(position);
  }

  /** Writes the batch to every player. */
  flush(nowMs: number): void {
    const bytes = this.#pendingBytes();
    if (bytes === 0 || this.#isFlushing) return;
    const tail = this.#gop?.from(this.#pendingStart);
    if (tail !== undefined && tail.length > 0) this.#parts.push(tail);
    const batch = this.#parts.length === 1 && this.#parts[0] ? this.#parts[0] : Buffer.concat(this.#parts, bytes);
    const cutOffset = this.#cutOffset;
    const frames = this.#frames;
    this.#parts = [];
    this.#partsBytes = 0;
    this.#pendingStart = this.#gop?.length ?? 0;
    this.#frames = 0;
    this.#cutOffset = -1;
    this.position += bytes;
    this.#isFlushing = true;
    try {
      for (const queue of this.#queues) queue.offer(batch, cutOffset, frames, nowMs);
    } finally {
      this.#isFlushing = false;
      if (this.#hasLeavers) this.#compact();
    }
  }

  #compact(): void {
    this.#hasLeavers = false;
    let kept = 0;
    for (const queue of this.#queues) {
      if (queue.hasLeft) {
        queue.index = -1;
        continue;
      }
      queue.index = kept;
      this.#queues[kept++] = queue;
    }
    this.#queues.length = kept;
  }

  #beginGop(dtsMs: number): void {
    const size = this.#gop?.length ?? 0;
    this.#sealGop();
    // As large as the last one and a quarter, so that it seldom moves.
    this.#gop = new ByteArena(size + (size >> 2));
    this.#pendingStart = 0;
    this.gopStartMs = dtsMs;
  }

  /** What of the arena is not flushed yet stays in the batch when the arena goes. */
  #sealGop(): void {
    if (this.#gop === undefined || this.#gop.length === this.#pendingStart) return;
    const part = this.#gop.from(this.#pendingStart);
    this.#parts.push(part);
    this.#partsBytes += part.length;
  }

  #append(bytes: Buffer): void {
    if (bytes.length === 0) return;
    if (this.#gop !== undefined) {
      this.#gop.append(bytes);
      return;
    }
    this.#parts.push(bytes);
    this.#partsBytes += bytes.length;
  }

  #pendingBytes(): number {
    return this.#partsBytes + (this.#gop === undefined ? 0 : this.#gop.length - this.#pendingStart);
  }
}
