import type { Track } from '../media/track.ts';

/** Weight of a new measurement of the skew: a frame more or less in a burst does not show. */
const SKEW_WEIGHT = 1 / 32;

/** What is worth knowing of a stream's media, measured as frames go by: numbers alone, nothing is kept or made. */
export class MediaGauge {
  videoFrames = 0;
  audioFrames = 0;
  /** Pictures of the last whole GOP, and its length in milliseconds of decoding time; 0 before there was one. */
  gopFrames = 0;
  gopMs = 0;
  #pictures = 0;
  #gopBeganMs = 0;
  #audioMs = 0;
  #skewMs = 0;
  #videoMs = 0;
  #hasAudio = false;
  #hasVideo = false;
  #hasSkew = false;

  /**
   * By how much audio's times are later than video's as they come, in milliseconds; negative where audio lags behind.
   * Undefined without both. Smoothed over some thirty frames, and right to half a frame: which of two comes first is not
   * known.
   */
  get avSkewMs(): number | undefined {
    return this.#hasSkew ? this.#skewMs : undefined;
  }

  /** A frame goes by, with its decoding time on the stream's own clock, which has no jumps. */
  frame(kind: Track['kind'], isKey: boolean, dtsMs: number): void {
    if (kind === 'audio') {
      this.audioFrames++;
      this.#audioMs = dtsMs;
      this.#hasAudio = true;
      this.#measureSkew();
      return;
    }
    this.videoFrames++;
    this.#videoMs = dtsMs;
    this.#hasVideo = true;
    if (isKey) {
      if (this.#pictures > 0) {
        this.gopFrames = this.#pictures;
        this.gopMs = dtsMs - this.#gopBeganMs;
      }
      this.#pictures = 0;
      this.#gopBeganMs = dtsMs;
    }
    this.#pictures++;
    this.#measureSkew();
  }

  #measureSkew(): void {
    if (!this.#hasAudio || !this.#hasVideo) return;
    const skewMs = this.#audioMs - this.#videoMs;
    this.#skewMs = this.#hasSkew ? this.#skewMs + (skewMs - this.#skewMs) * SKEW_WEIGHT : skewMs;
    this.#hasSkew = true;
  }

  /** Another publisher begins: its GOPs and clock are not the ones before. Counts go on. */
  restart(): void {
    this.gopFrames = 0;
    this.gopMs = 0;
    this.#pictures = 0;
    this.#hasAudio = false;
    this.#hasVideo = false;
    this.#hasSkew = false;
  }
}
