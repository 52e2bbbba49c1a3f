import type { Socket } from 'node:net';
import type { Frame } from '../media/frame.ts';
import type { AudioTrack, VideoTrack } from '../media/track.ts';
import type { FlushPolicy, FlushTicket, Flushable } from './flush-policy.ts';
import type { FrameEncoder } from './frame-encoder.ts';
import type { Player, PlayOptions } from './player.ts';
import type { Publisher, PublisherKind } from './publisher.ts';
import type { SourceTap } from './source-tap.ts';

/* Doubles for the tests of this folder and of those that build on it. */

export const VIDEO: VideoTrack = {
  id: 1,
  kind: 'video',
  codec: 'h264',
  config: Buffer.from('avcC'),
  width: 640,
  height: 360,
  profile: 'High',
  level: '3.1',
};

export const AUDIO: AudioTrack = {
  id: 2,
  kind: 'audio',
  codec: 'aac',
  config: Buffer.from('asc'),
  sampleRate: 48_000,
  channels: 2,
  profile: 'LC',
};

export function video(dtsMs: number, isKey = false, track = VIDEO): Frame {
  return { track, dtsMs, ptsMs: dtsMs + 40, isKey, data: Buffer.from(isKey ? 'K' : 'p') };
}

export function audio(dtsMs: number, track = AUDIO): Frame {
  return { track, dtsMs, ptsMs: dtsMs, isKey: true, data: Buffer.from('a') };
}

/** Encodes to words that tests read: `[header video+audio @0]`, `K0 `, `a23 `. Counts what it encoded. */
export class TextEncoder implements FrameEncoder {
  readonly id: string;
  encoded = 0;
  constructor(id = 'text') {
    this.id = id;
  }
  header(...[tracks, metadata, dtsMs]: Parameters<FrameEncoder['header']>): Buffer {
    const said = metadata === undefined ? '' : ` ${JSON.stringify(metadata)}`;
    return Buffer.from(`[header ${tracks.map(({ kind }) => kind).join('+')}${said} @${dtsMs}] `);
  }
  config(...[track, dtsMs]: Parameters<FrameEncoder['config']>): Buffer {
    return Buffer.from(`[${track.kind} ${track.config.toString()} @${dtsMs}] `);
  }
  metadata(...[metadata]: Parameters<FrameEncoder['metadata']>): Buffer {
    return Buffer.from(`[${JSON.stringify(metadata)}] `);
  }
  encode(frame: Frame): Buffer {
    this.encoded++;
    return Buffer.from(`${frame.data.toString()}${frame.dtsMs} `);
  }
}

/** A player that keeps what it gets; `writableLength` is the test's to set. */
export class FakePlayer implements Player {
  readonly id: string = 'player';
  readonly protocol = 'rtmp';
  readonly ip = '192.0.2.1';
  readonly isRelay: boolean;
  readonly encoder: FrameEncoder;
  readonly options: PlayOptions;
  writableLength = 0;
  socket: Socket | undefined = undefined;
  writes: Buffer[] = [];
  closed: string[] = [];
  onClose: () => void = () => undefined;

  constructor(options: Partial<PlayOptions> & { encoder?: FrameEncoder; isRelay?: boolean } = {}) {
    const { encoder = new TextEncoder(), isRelay = false, gopCache = true, queueLengthMs = 10_000 } = options;
    this.encoder = encoder;
    this.isRelay = isRelay;
    this.options = { gopCache, queueLengthMs };
  }
  get text(): string {
    return Buffer.concat(this.writes).toString();
  }
  write(bytes: Buffer): void {
    this.writes.push(bytes);
  }
  close(reason: string): void {
    this.closed.push(reason);
    this.onClose();
  }
}

export class FakePublisher implements Publisher {
  readonly id = 'publisher';
  readonly kind: PublisherKind;
  readonly protocol = 'rtmp';
  readonly ip = '192.0.2.2';
  readonly tcUrl = '';
  readonly bytesIn = 0;
  readonly tap: SourceTap | undefined;
  closed: string[] = [];
  constructor(kind: PublisherKind = 'encoder', tap?: SourceTap) {
    this.kind = kind;
    this.tap = tap;
  }
  close(reason: string): void {
    this.closed.push(reason);
  }
}

/** A source whose bytes the test lets wait: what a draw finds is what `waiting` holds. */
export class FakeTap implements SourceTap {
  isOpen = true;
  draws = 0;
  waiting: (() => void)[] = [];
  /** What each of them counts for. */
  bytesEach = 1_000;

  open(): void {
    this.isOpen = true;
    this.#take();
  }
  shut(): void {
    this.isOpen = false;
  }
  draw(): number {
    this.draws++;
    return this.#take() * this.bytesEach;
  }
  /** Something comes: taken at once, or kept. */
  receive(take: () => void): void {
    if (this.isOpen) take();
    else this.waiting.push(take);
  }
  #take(): number {
    const waiting = this.waiting.splice(0);
    for (const take of waiting) take();
    return waiting.length;
  }
}

/** Flushes when the test says so: all that is due at once, or by a time of the test's own. */
export class ManualFlush implements FlushPolicy {
  nowMs = 0;
  readonly #due = new Set<{ readonly target: Flushable; readonly atMs: number }>();

  /** Nothing is to come. */
  get isIdle(): boolean {
    return this.#due.size === 0;
  }
  now(): number {
    return this.nowMs;
  }
  schedule(target: Flushable, delayMs: number): FlushTicket {
    const flush = { target, atMs: this.nowMs + delayMs };
    this.#due.add(flush);
    return { cancel: () => this.#due.delete(flush) };
  }
  /** Carries out every flush that is due by `untilMs`, in order; the time then is `untilMs`. Default: all. */
  run(untilMs = Infinity): void {
    const due = [...this.#due].filter(({ atMs }) => atMs <= untilMs).toSorted((a, b) => a.atMs - b.atMs);
    for (const flush of due) {
      if (!this.#due.delete(flush)) continue;
      this.nowMs = Math.max(this.nowMs, flush.atMs);
      flush.target.flush();
    }
    if (untilMs < Infinity) this.nowMs = untilMs;
  }
}
