import type { Output } from './output.ts';
import type { Playback, Player, PlayerStats } from './player.ts';

/** Unsent bytes a player may have, whatever its queue length in time; the bytes are shared, their lifetime is not. */
export const MAX_QUEUE_BYTES = 16 * 1024 * 1024;
/** A player that skips for this long is gone. */
export const SLOW_PLAYER_MS = 30_000;

/**
 * `start`: has got nothing yet. `live`: gets every batch. `skipping`: was too slow. `paused`, `resuming`: by its own wish.
 * `left`: out.
 */
type QueueState = 'start' | 'live' | 'skipping' | 'paused' | 'resuming' | 'left';

/**
 * One player's place in an output. The queue itself is the player's socket; this bounds it in time and bytes: over the
 * bound the player gets nothing until most of it has drained and a key frame comes.
 */
export class PlayerQueue implements Playback {
  readonly player: Player;
  readonly startedAtMs: number;
  /** Place in the output's array; the output's alone. */
  index = -1;
  readonly output: Output;
  readonly #onLeave: (queue: PlayerQueue) => void;
  #state: QueueState = 'start';
  #bytesOut = 0;
  #skips = 0;
  #framesSkipped = 0;
  /** The output's byte position up to which this player was served. */
  #position = 0;
  /** Extra queue time until the burst of the GOP cache has drained. */
  #allowanceMs = 0;
  #skippingSinceMs = 0;
  #resumeBelowBytes = 0;

  constructor(player: Player, output: Output, startedAtMs: number, onLeave: (queue: PlayerQueue) => void) {
    this.player = player;
    this.output = output;
    this.startedAtMs = startedAtMs;
    this.#onLeave = onLeave;
  }

  stats(): PlayerStats {
    return { bytesOut: this.#bytesOut, skips: this.#skips, framesSkipped: this.#framesSkipped };
  }

  get hasLeft(): boolean {
    return this.#state === 'left';
  }

  pause(): void {
    if (this.#state === 'live' || this.#state === 'skipping' || this.#state === 'resuming') this.#state = 'paused';
  }

  resume(): void {
    if (this.#state === 'paused') this.#state = 'resuming';
  }

  leave(): void {
    if (this.#state === 'left') return;
    this.#state = 'left';
    this.#onLeave(this);
  }

  /** Begins with the GOP cache at once, if the player wants it and there is one. Call with nothing pending. */
  tryJoin(): void {
    const output = this.output;
    const gop = this.player.options.gopCache ? output.gop() : undefined;
    if (this.#state !== 'start' || gop === undefined) return;
    this.#state = 'live';
    this.#allowanceMs = output.lastMs - output.gopStartMs;
    this.#write(output.header(output.gopStartMs));
    this.#write(gop);
    this.#position = output.position;
  }

  /** Gives the output's present batch to the player, or not. The hot path: once a flush and player. */
  offer(batch: Buffer, cutOffset: number, frames: number, nowMs: number): void {
    switch (this.#state) {
      case 'live':
        if (this.player.writableLength > 0 && this.#isOver()) {
          this.#state = 'skipping';
          this.#skips++;
          this.#framesSkipped += frames;
          this.#skippingSinceMs = nowMs;
          this.#resumeBelowBytes = this.player.writableLength >> 2;
          return;
        }
        this.#write(batch);
        this.#position = this.output.position;
        return;
      case 'skipping':
        if (cutOffset >= 0 && this.player.writableLength <= this.#resumeBelowBytes) {
          this.#goOn(batch, cutOffset);
          return;
        }
        this.#framesSkipped += frames;
        if (nowMs - this.#skippingSinceMs >= SLOW_PLAYER_MS) this.player.close('too slow');
        return;
      case 'resuming':
        if (cutOffset >= 0) this.#goOn(batch, cutOffset);
        return;
      case 'start':
        this.tryJoin();
        if (this.#state !== 'start' || cutOffset < 0) return;
        this.#state = 'live';
        this.#write(this.output.header(this.output.cutMs));
        this.#write(batch.subarray(cutOffset));
        this.#position = this.output.position;
        return;
      case 'paused':
      case 'left':
    }
  }

  /** Back in step at a key frame; the configurations again, for they may have changed meanwhile. */
  #goOn(batch: Buffer, cutOffset: number): void {
    this.#state = 'live';
    this.#write(this.output.configs(this.output.cutMs));
    this.#write(batch.subarray(cutOffset));
    this.#position = this.output.position;
    this.#allowanceMs = 0;
  }

  #isOver(): boolean {
    const waiting = this.player.writableLength;
    if (waiting > MAX_QUEUE_BYTES) return true;
    const queuedMs = this.output.lastMs - this.output.timeAt(this.#position - waiting);
    const limitMs = this.player.options.queueLengthMs;
    if (queuedMs <= limitMs) {
      this.#allowanceMs = 0;
      return false;
    }
    return queuedMs > limitMs + this.#allowanceMs;
  }

  #write(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.#bytesOut += bytes.length;
    this.output.bytesOut += bytes.length;
    this.player.write(bytes);
  }
}
