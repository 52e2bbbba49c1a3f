import type { Output } from './output.ts';
import type { Playback, Player, PlayerStats } from './player.ts';
import type { Cut, PlayerGroup } from './player-group.ts';

/** Unsent bytes a player may have, whatever its queue length in time; the bytes are shared, their lifetime is not. */
export const MAX_QUEUE_BYTES = 16 * 1024 * 1024;
/** A player that skips for this long is gone. */
export const SLOW_PLAYER_MS = 30_000;

/**
 * `start`: has got nothing yet. `live`: gets every batch. `step`: the same, with others of its group, which has its place and
 * counts meanwhile. `skipping`: was too slow. `paused`, `resuming`: by its own wish. `left`: out.
 */
type QueueState = 'start' | 'live' | 'step' | 'skipping' | 'paused' | 'resuming' | 'left';

/**
 * One player's place in an output. The queue itself is the player's socket; this bounds it in time and bytes: over the
 * bound the player gets nothing until most of it has drained and a key frame comes.
 */
export class PlayerQueue implements Playback {
  readonly player: Player;
  readonly startedAtMs: number;
  output: Output;
  group: PlayerGroup;
  /** Place in the group's list that it is in; the group's alone. */
  index = -1;
  readonly #onLeave: (queue: PlayerQueue) => void;
  #state: QueueState = 'start';
  #bytesOut = 0;
  /** What the group had given to each in step when this one came into step. */
  #bytesBefore = 0;
  #skips = 0;
  #framesSkipped = 0;
  /** The output's position up to which this player was served, and the frames before it. */
  #position = 0;
  #frames = 0;
  /** Extra queue time until the burst of the GOP cache has drained. */
  #allowanceMs = 0;
  #skippingSinceMs = 0;
  #resumeBelowBytes = 0;

  constructor(player: Player, output: Output, startedAtMs: number, onLeave: (queue: PlayerQueue) => void) {
    this.player = player;
    this.output = output;
    this.startedAtMs = startedAtMs;
    this.#onLeave = onLeave;
    this.group = output.add(this);
  }

  stats(): PlayerStats {
    const inStep = this.isInStep ? this.group.bytesEach - this.#bytesBefore : 0;
    return { bytesOut: this.#bytesOut + inStep, skips: this.#skips, framesSkipped: this.#framesSkipped };
  }

  get queuedMs(): number {
    const waiting = this.player.writableLength;
    if (waiting === 0 || this.#state === 'start') return 0;
    const position = this.isInStep ? this.group.position : this.#position;
    return Math.max(0, this.output.lastMs - this.output.timeAt(position - waiting));
  }

  get isInStep(): boolean {
    return this.#state === 'step';
  }

  get hasLeft(): boolean {
    return this.#state === 'left';
  }

  pause(): void {
    this.#leaveStep();
    if (this.#state === 'live' || this.#state === 'skipping' || this.#state === 'resuming') this.#state = 'paused';
  }

  resume(): void {
    if (this.#state === 'paused') this.#state = 'resuming';
  }

  leave(): void {
    if (this.#state === 'left') return;
    this.#leaveStep();
    this.#state = 'left';
    this.#onLeave(this);
  }

  /**
   * Begins with the GOP cache at once, if the player wants it and there is one. It is then ahead of its group; the next
   * flush gives it the rest.
   */
  tryJoin(): void {
    if (this.#state !== 'start' || !this.player.options.gopCache) return;
    const { output } = this;
    const gop = output.gop();
    if (gop === undefined) return;
    this.#state = 'live';
    this.#allowanceMs = output.lastMs - output.gopStartMs;
    this.#moveTo(output.end, output.frames);
    this.#write(gop.header);
    this.#write(gop.bytes);
  }

  /**
   * Gives the player what came since the flush before, or not: `batch` where it has got as much as its group. Then it may come
   * into step, and gets the batch with the others. The hot path of those who do not: once a flush and player.
   */
  offer(group: PlayerGroup, batch: Buffer, nowMs: number): void {
    const { output } = this;
    switch (this.#state) {
      case 'live': {
        if (this.player.writableLength > 0 && this.#isOver()) {
          this.#state = 'skipping';
          this.#skips++;
          this.#countSkipped(output.frames);
          this.#skippingSinceMs = nowMs;
          this.#resumeBelowBytes = this.player.writableLength >> 2;
          return;
        }
        const from = this.#position;
        if (from === output.end) return;
        if (from === group.position && group.comeIntoStep(this)) {
          this.#state = 'step';
          this.#bytesBefore = group.bytesEach;
          return;
        }
        this.#moveTo(output.end, output.frames);
        this.#write(from === group.position ? batch : output.from(from));
        return;
      }
      case 'skipping':
        if (this.#canGoOn(group.cut) && this.player.writableLength <= this.#resumeBelowBytes) {
          this.#countSkipped(group.cut.frames);
          this.#goOn(group.cut);
          return;
        }
        this.#countSkipped(output.frames);
        if (nowMs - this.#skippingSinceMs >= SLOW_PLAYER_MS) this.player.close('too slow');
        return;
      case 'resuming':
        if (this.#canGoOn(group.cut)) this.#goOn(group.cut);
        return;
      case 'start':
        this.tryJoin();
        if (this.#state !== 'start' || group.cut === undefined) return;
        this.#state = 'live';
        this.#write(output.header(group.cut.dtsMs));
        this.#writeFrom(group.cut);
        return;
      case 'step':
      case 'paused':
      case 'left':
    }
  }

  /**
   * Goes over to another output, right before a frame at `dtsMs` at which players may begin: gets the rest of the one it had, then
   * that frame from the other.
   */
  changeOver(output: Output, dtsMs: number): void {
    this.#leaveStep();
    const before = this.output;
    if (this.#state === 'live') {
      if (this.#position < before.end) this.#write(before.from(this.#position));
      this.#write(output.configs(dtsMs));
    }
    before.remove(this);
    this.output = output;
    this.group = output.add(this);
    this.#moveTo(output.end, output.frames);
  }

  /** Has its own place again, which is the group's; called by the group. */
  fallOutOfStep(): void {
    this.#state = 'live';
    this.#bytesOut += this.group.bytesEach - this.#bytesBefore;
    this.#moveTo(this.group.position, this.group.frames);
  }

  #leaveStep(): void {
    if (!this.isInStep) return;
    this.fallOutOfStep();
    this.group.fallOutOfStep(this);
  }

  /** A player that joined ahead of its group may have got the cut already. */
  #canGoOn(cut: Cut | undefined): cut is Cut {
    return cut !== undefined && cut.position >= this.#position;
  }

  /** Back in step at a key frame; the configurations again, for they may have changed meanwhile. */
  #goOn(cut: Cut): void {
    this.#state = 'live';
    this.#allowanceMs = 0;
    this.#write(this.output.configs(cut.dtsMs));
    this.#writeFrom(cut);
  }

  #writeFrom({ position }: Cut): void {
    this.#moveTo(this.output.end, this.output.frames);
    this.#write(this.output.from(position));
  }

  #moveTo(position: number, frames: number): void {
    this.#position = position;
    this.#frames = frames;
  }

  #countSkipped(upTo: number): void {
    this.#framesSkipped += upTo - this.#frames;
    this.#frames = upTo;
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
