import { Cadence } from './cadence.ts';
import type { Drawable, DrawClock } from './draw-clock.ts';
import type { Flushable, FlushTicket } from './flush-policy.ts';
import type { SourceTap } from './source-tap.ts';

/**
 * What may wait in a source's socket. The kernel makes room for twice what is read at once (tcp(7), tcp_moderate_rcvbuf); the
 * bound begins low, so that it can follow, and ends far below the 3 MB that it makes at most.
 */
const FIRST_WAITING_BYTES = 32 * 1024;
const MOST_WAITING_BYTES = 256 * 1024;
/** Few periods, each a part of another, so that many sources share their instants. Bytes that may not wait so long do not. */
const PERIODS_MS = [200, 100, 50, 20] as const;
/** Draws closer than this have nothing to draw. */
const LEAST_APART_MS = 5;
/** A source that has said nothing for so long is listened to: it may be gone, and its next bytes are news. */
const SILENT_MS = 60;
/** How long it is listened to when somebody asks whether it is still there. */
const LISTEN_MS = 500;
/** A bit rate is measured over so long: a key frame alone tells nothing. Where it is too high to wait, it is tried again. */
const MEASURE_MS = 500;
const TOO_FAST_MS = 5_000;

/**
 * When a stream's source is read: at the instants at which its bytes are written on, or now and then where nobody waits for
 * them. In real time as video frames come, whose cadence it follows where they have one, else as bytes come. Waking the
 * process up for each packet costs more than all that is done with it.
 */
export class Pace implements Drawable, Flushable {
  readonly #clock: DrawClock;
  readonly #onDrawn: (hasVideo: boolean) => void;
  #cadence = new Cadence();
  /** The next look for a video frame. */
  #look: FlushTicket | undefined;
  /** Set while viewers' flushes draw, and nobody else: how long bytes may wait where none follows. */
  #unflushedMs: number | undefined;
  #tap: SourceTap | undefined;
  #isOpen = true;
  #isDrawing = false;
  /** The present draw has brought a video frame. */
  #hasDrawnVideo = false;
  #drawnAtMs = 0;
  #heardAtMs = 0;
  #listensUntilMs = 0;
  #waitingBytes = FIRST_WAITING_BYTES;
  #bytesPerMs: number | undefined;
  #measuredBytes = 0;
  #measuredMs = 0;
  /** When its bytes were found to come too fast to wait. */
  #tooFastAtMs: number | undefined;

  /** `onDrawn`: frames have come, all that a draw brought; `hasVideo`, of video too. */
  constructor(clock: DrawClock, onDrawn: (hasVideo: boolean) => void) {
    this.#clock = clock;
    this.#onDrawn = onDrawn;
  }

  /** Whether frames that come now are part of a draw, which tells when it is over. */
  get isDrawing(): boolean {
    return this.#isDrawing;
  }

  /** Only flushes draw: who takes one back has to say again how long bytes may wait. */
  get awaitsFlush(): boolean {
    return this.#unflushedMs !== undefined;
  }

  /** Another source, or one that is always read at once. It is, until it is told otherwise. */
  begin(tap: SourceTap | undefined): void {
    this.end();
    this.#tap = tap;
    this.#cadence = new Cadence();
    this.#waitingBytes = FIRST_WAITING_BYTES;
    this.#forgetRate();
  }

  /** The source is its session's again; idempotent. */
  end(): void {
    this.open();
    this.#tap = undefined;
  }

  /** Reads at once, until told otherwise. */
  open(): void {
    if (this.#isOpen) return;
    this.#isOpen = true;
    this.#unflushedMs = undefined;
    this.#clock.remove(this);
    this.#cancelLook();
    this.#tap?.open();
  }

  /** Takes what waits, and reads at once for a while whatever it is told; false where it does that anyway. */
  listen(): boolean {
    if (this.#isOpen) return false;
    this.draw();
    this.open();
    this.#listensUntilMs = this.#clock.now() + LISTEN_MS;
    return true;
  }

  /**
   * How long bytes may wait now: `flushMs` where viewers are written to at instants that far apart, each of which draws;
   * `mostMs` for everybody else. 0 is real time.
   */
  set(flushMs: number, mostMs: number): void {
    const tap = this.#tap;
    if (tap === undefined) return;
    const nowMs = this.#clock.now();
    if (flushMs < LEAST_APART_MS) {
      this.#follow(tap, nowMs, mostMs);
      return;
    }
    this.#cancelLook();
    const waitMs = Math.min(mostMs, this.#roomMs(nowMs));
    const periodMs = PERIODS_MS.find((each) => each <= waitMs);
    if (periodMs === undefined) {
      this.open();
      return;
    }
    if (this.#isOpen && nowMs < this.#listensUntilMs) return;
    this.#unflushedMs = flushMs <= waitMs ? periodMs : undefined;
    if (flushMs <= waitMs) this.#clock.remove(this);
    else this.#clock.add(this, periodMs);
    this.#shut(tap, nowMs);
  }

  /** A video frame has come, with its source's own time. */
  video(dtsMs: number): void {
    this.#hasDrawnVideo = true;
    this.#cadence.frame(dtsMs, this.#clock.now(), this.#isDrawing);
  }

  /** Looks for the next video frame; what is late is listened for. */
  flush(): void {
    this.#look = undefined;
    this.#hasDrawnVideo = false;
    this.draw();
    if (!this.#hasDrawnVideo) this.open();
  }

  draw(): void {
    const tap = this.#tap;
    if (tap === undefined || this.#isOpen || this.#isDrawing) return;
    const nowMs = this.#clock.now();
    const sinceMs = nowMs - this.#drawnAtMs;
    if (sinceMs < LEAST_APART_MS) {
      this.#drawAgain(nowMs);
      return;
    }
    this.#drawnAtMs = nowMs;
    this.#isDrawing = true;
    this.#hasDrawnVideo = false;
    let bytes = 0;
    try {
      bytes = tap.draw();
    } finally {
      this.#isDrawing = false;
    }
    // What was drawn may have ended the source, or made way for another.
    if (this.#tap !== tap) return;
    this.#measure(bytes, sinceMs);
    if (bytes === 0) {
      if (nowMs - this.#heardAtMs >= SILENT_MS) this.open();
      else this.#drawAgain(nowMs);
      return;
    }
    this.#heardAtMs = nowMs;
    this.#onDrawn(this.#hasDrawnVideo);
  }

  /** What brings nothing has nothing flushed: where only flushes draw, perhaps none follows. */
  #drawAgain(nowMs: number): void {
    if (this.#unflushedMs !== undefined) this.#look ??= this.#clock.at(this, nowMs + this.#unflushedMs);
  }

  /** In real time: shut until the next video frame is likely to be there. */
  #follow(tap: SourceTap, nowMs: number, mostMs: number): void {
    const lookMs = this.#cadence.nextMs(nowMs, mostMs);
    if (lookMs === undefined) {
      this.open();
      return;
    }
    if (this.#isOpen && nowMs < this.#listensUntilMs) return;
    this.#unflushedMs = undefined;
    this.#clock.remove(this);
    this.#cancelLook();
    this.#look = this.#clock.at(this, lookMs);
    this.#shut(tap, nowMs);
  }

  #shut(tap: SourceTap, nowMs: number): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#drawnAtMs = this.#heardAtMs = nowMs;
    tap.shut();
  }

  #cancelLook(): void {
    this.#look?.cancel();
    this.#look = undefined;
  }

  /** How long bytes may wait until the socket has no room for more. */
  #roomMs(nowMs: number): number {
    if (this.#tooFastAtMs !== undefined && nowMs - this.#tooFastAtMs >= TOO_FAST_MS) this.#forgetRate();
    if (this.#bytesPerMs === undefined) return PERIODS_MS.at(-1)!;
    const roomMs = this.#waitingBytes / this.#bytesPerMs;
    if (roomMs < PERIODS_MS.at(-1)!) this.#tooFastAtMs ??= nowMs;
    return roomMs;
  }

  #measure(bytes: number, ms: number): void {
    this.#measuredBytes += bytes;
    this.#measuredMs += ms;
    if (this.#measuredMs < MEASURE_MS) return;
    this.#bytesPerMs = this.#measuredBytes / this.#measuredMs;
    this.#measuredBytes = this.#measuredMs = 0;
    this.#waitingBytes = Math.min(this.#waitingBytes * 2, MOST_WAITING_BYTES);
  }

  #forgetRate(): void {
    this.#bytesPerMs = undefined;
    this.#measuredBytes = this.#measuredMs = 0;
    this.#tooFastAtMs = undefined;
  }
}
