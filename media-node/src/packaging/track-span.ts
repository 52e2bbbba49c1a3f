import type { FrameSamples } from '../formats/audio-frame-samples.ts';
import { frameSamplesOf } from '../formats/audio-frame-samples.ts';
import type { Frame } from '../media/frame.ts';
import type { Track } from '../media/track.ts';

/** Of a track of which nothing is known yet. */
const USUAL_MS = { video: 40, audio: 23 } as const;

/** One frame that stays for long does not make the next ones last as long. */
const MOST_CHANGE = 4;
/** Times jitter: what is usual is a mean of the last few. */
const SMOOTHING = 0.25;

/** One track's frames of the open segment, and how far its frames usually lie apart. */
export class TrackSpan {
  /** Frames in the open segment. */
  frames = 0;
  /** Decoding time of its first and of its last frame; meaningless without frames. */
  startMs = 0;
  lastMs = 0;
  /** How much later its first frame is shown. */
  compositionMs = 0;
  /** Its first frame is a key frame. */
  beginsWithKey = false;
  /** How long its last frame is shown or heard, as far as is known before the next one comes. */
  usualMs: number;
  #isMeasured = false;
  #track: Track | undefined;
  #samples: FrameSamples | undefined;

  constructor(kind: Track['kind']) {
    this.usualMs = USUAL_MS[kind];
  }

  /** Adds a frame of the open segment. */
  add({ track, dtsMs, ptsMs, isKey, data }: Frame): void {
    if (track !== this.#track) {
      this.#track = track;
      this.#samples = track.kind === 'audio' ? frameSamplesOf(track) : undefined;
    }
    if (this.frames === 0) {
      this.startMs = dtsMs;
      this.compositionMs = ptsMs - dtsMs;
      this.beginsWithKey = isKey;
    }
    const samples = this.#samples === undefined ? 0 : this.#samples.always || this.#samples.of(data);
    if (samples > 0 && track.kind === 'audio' && track.sampleRate > 0) {
      this.usualMs = (samples * 1_000) / track.sampleRate;
    } else if (this.frames > 0) {
      const gapMs = dtsMs - this.lastMs;
      if (this.#isMeasured) this.usualMs += (Math.min(gapMs, this.usualMs * MOST_CHANGE) - this.usualMs) * SMOOTHING;
      else this.usualMs = gapMs;
      this.#isMeasured = true;
    }
    this.lastMs = dtsMs;
    this.frames += 1;
  }

  /** Where its frames end, as far as is known without the next one. */
  get endMs(): number {
    return this.lastMs + this.usualMs;
  }

  /** Forgets the segment, not what is usual. */
  reset(): void {
    this.frames = 0;
  }
}
