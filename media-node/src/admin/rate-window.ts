/** Marks kept: the oldest is then 30 to 35 s old, with one every SAMPLE_MS. */
const MARKS = 7;
/** How often a mark is set. */
export const SAMPLE_MS = 5_000;

/** Kilobits a second over the last 30 s, as SRS's API names them; whole numbers. */
export interface Kbps {
  readonly recv_30s: number;
  readonly send_30s: number;
}

/**
 * Two byte counts over the last 30 s: what they are now against the oldest mark. Younger than that, since the start. A few
 * hundred bytes each, for there is one for every viewer.
 */
export class RateWindow {
  /** Time, received, sent; a ring. */
  readonly #marks = new Float64Array(MARKS * 3);
  #count = 1;

  /** `startMs`: when both counts were 0. */
  constructor(startMs: number) {
    this.#marks[0] = startMs;
  }

  /** Sets a mark: once every SAMPLE_MS. */
  mark(nowMs: number, recvBytes: number, sendBytes: number): void {
    const at = (this.#count % MARKS) * 3;
    this.#marks[at] = nowMs;
    this.#marks[at + 1] = recvBytes;
    this.#marks[at + 2] = sendBytes;
    this.#count++;
  }

  kbps(nowMs: number, recvBytes: number, sendBytes: number): Kbps {
    const at = (this.#count <= MARKS ? 0 : this.#count % MARKS) * 3;
    const [timeMs = 0, recv = 0, send = 0] = this.#marks.subarray(at, at + 3);
    // A bit a millisecond is a kilobit a second. In the first second there is no rate worth the name.
    const spanMs = Math.max(1_000, nowMs - timeMs);
    const rate = (bytes: number): number => Math.max(0, Math.round((bytes * 8) / spanMs));
    return { recv_30s: rate(recvBytes - recv), send_30s: rate(sendBytes - send) };
  }
}
