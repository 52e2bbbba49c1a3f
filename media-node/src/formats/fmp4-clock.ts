import type { Track } from '../media/track.ts';
import type { FrameSamples } from './audio-frame-samples.ts';
import { frameSamplesOf } from './audio-frame-samples.ts';

const VIDEO_TIMESCALE = 90_000;
const DEFAULT_SAMPLE_RATE = 48_000;
/** Times in whole milliseconds are off by this much; also what a sum of guessed durations may differ by. */
const ROUNDING_MS = 2;
/** Beyond this, sound has really stopped or jumped. Chromium's own bound for the drift of an audio decoder. */
const JUMP_MS = 50;
/** A frame of sound is made longer or shorter by at most this part of it to follow the stream's clock: not to be heard. */
const NUDGE_PART = 64;

/** Ticks a second in a track's media time: 90000 for video, the sample rate for audio. */
export function timescaleOf(track: Track): number {
  return track.kind === 'video' ? VIDEO_TIMESCALE : track.sampleRate || DEFAULT_SAMPLE_RATE;
}

/**
 * Milliseconds of a stream's clock → ticks of a track's timescale, one sample after the other. Each is computed from the time
 * itself, so that nothing adds up. Sound is laid end to end by the length that its codec gives to a frame: times rounded to
 * milliseconds, or those of an encoder that stamps on arrival, would pull it apart and push it together. The stream's clock is
 * followed slowly, and at once where it jumps.
 */
export class SampleClock {
  readonly timescale: number;
  readonly #frameSamples: FrameSamples | undefined;
  readonly #originMs: number;
  readonly #rounding: number;
  readonly #jump: number;
  /** Where the last fragment ended, and the time that this stood for where its caller knew it. */
  #end: number | undefined;
  #endDtsMs: number | undefined;
  /** Length of the last sample; what one whose end is not known gets. */
  #duration: number;

  /** `originMs`: the time that tick 0 stands for. */
  constructor(track: Track, originMs = 0) {
    this.#originMs = originMs;
    this.timescale = timescaleOf(track);
    this.#frameSamples = track.kind === 'audio' ? frameSamplesOf(track) : undefined;
    this.#rounding = Math.ceil((this.timescale * ROUNDING_MS) / 1_000);
    this.#jump = Math.ceil((this.timescale * JUMP_MS) / 1_000);
    this.#duration = Math.round(this.timescale / 25);
  }

  /** Where the last fragment ended, in milliseconds since the origin; 0 before the first. */
  get endMs(): number {
    return ((this.#end ?? 0) * 1_000) / this.timescale;
  }

  /** A time as ticks, by itself. */
  exact(timeMs: number): number {
    return Math.round(((timeMs - this.#originMs) * this.timescale) / 1_000);
  }

  /** Where a fragment's first sample begins: at the end of the fragment before, unless the stream's clock says otherwise. */
  begin(dtsMs: number): number {
    const exact = Math.max(0, this.exact(dtsMs));
    if (this.#end === undefined) return exact;
    if (dtsMs === this.#endDtsMs) return this.#end;
    const most = this.#frameSamples === undefined ? this.#rounding : this.#jump;
    return Math.abs(exact - this.#end) <= most ? this.#end : exact;
  }

  /** Where a sample ends that begins at `start`, when the next begins at `nextDtsMs`; the next one's beginning. */
  next(start: number, data: Buffer, nextDtsMs: number): number {
    const exact = this.exact(nextDtsMs);
    const samples = this.#samples(data);
    let next = exact;
    if (samples > 0) {
      const error = exact - start - samples;
      const size = Math.abs(error);
      if (size <= this.#rounding) next = start + samples;
      else if (size <= this.#jump) next = start + samples + Math.sign(error) * Math.ceil(samples / NUDGE_PART);
    }
    // A sample of no length would stand at the same time as the next.
    next = Math.max(start + 1, next);
    this.#duration = next - start;
    return next;
  }

  /** Where a fragment's last sample ends: at `endDtsMs` where that is known, or after the usual length. */
  end(start: number, data: Buffer, endDtsMs: number | undefined): number {
    this.#endDtsMs = endDtsMs;
    this.#end =
      endDtsMs === undefined ? start + (this.#samples(data) || this.#duration) : this.next(start, data, endDtsMs);
    return this.#end;
  }

  #samples(data: Buffer): number {
    const { always, of } = this.#frameSamples ?? NO_SAMPLES;
    return always > 0 ? always : of(data);
  }
}

const NO_SAMPLES: FrameSamples = { always: 0, of: () => 0 };
