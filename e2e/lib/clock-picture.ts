import type { Writable } from 'node:stream';

/*
 * A picture that tells when it was made: the wall clock as a bar code in its top rows, which survives any encoder, and is read
 * back from the screen of a player (player-page/player.js). The latency from encoder to screen is the difference.
 */

export const CLOCK_PICTURE = { width: 320, height: 180, framesPerSecond: 25 } as const;

/** Cells of the bar code, 8 pixels wide and 16 high: white, black, 32 bits of milliseconds since 1970, 6 bits of check sum. */
const CELL = { width: 8, height: 16 } as const;
const LUMA = { black: 16, grey: 60, white: 235 } as const;
const FRAME_MS = 1000 / CLOCK_PICTURE.framesPerSecond;

/** The 6 lowest bits of the sum of the clock's six-bit digits. */
function checkSumOf(clock: number): number {
  let sum = 0;
  for (let rest = clock; rest > 0; rest = Math.floor(rest / 64)) sum += rest % 64;
  return sum % 64;
}

/** A raw picture (yuv420p) with the lower 32 bits of `nowMs`; a bar moves along below, so that there is something to encode. */
function drawClock(nowMs: number): Buffer {
  const { width, height } = CLOCK_PICTURE;
  const picture = Buffer.alloc((width * height * 3) / 2, 128);
  picture.fill(LUMA.grey, 0, width * height);
  const clock = Math.floor(nowMs) % 2 ** 32;
  const bits = `10${clock.toString(2).padStart(32, '0')}${checkSumOf(clock).toString(2).padStart(6, '0')}`;
  for (let row = 0; row < CELL.height; row++) {
    for (const [index, bit] of bits.split('').entries()) {
      const at = row * width + index * CELL.width;
      picture.fill(bit === '1' ? LUMA.white : LUMA.black, at, at + CELL.width);
    }
  }
  const bar = Math.floor(nowMs / 10) % width;
  for (let row = 40; row < height; row++) picture[row * width + bar] = LUMA.white;
  return picture;
}

/** Writes a picture of the clock for each frame's instant, in real time, until `signal` is aborted or the pipe breaks. */
export function sendClock(pipe: Writable, signal: AbortSignal): void {
  const started = performance.now();
  let sent = 0;
  const next = (): void => {
    if (signal.aborted || pipe.destroyed) return;
    pipe.write(drawClock(Date.now()));
    sent += 1;
    // By the plan, not by the last one: the picture's rate stays right on a busy machine.
    setTimeout(next, Math.max(0, started + sent * FRAME_MS - performance.now()));
  };
  pipe.on('error', () => {});
  next();
}
