import type { Frame } from '../media/frame.ts';
import { isFurther } from '../media/track.ts';

/** Bounds of a GopCache; past one of them it gives up until the next key frame. */
export interface GopLimits {
  readonly frames: number;
  readonly bytes: number;
  readonly ms: number;
}

/** Twice OBS's and ffmpeg's longest usual key frame interval (10 s), at 60 frames a second with audio, 8 Mb/s. */
export const GOP_LIMITS: GopLimits = { frames: 4_096, bytes: 32 * 1024 * 1024, ms: 30_000 };

/** A stream without video has no key frames: its cache starts again this often. */
const AUDIO_SPAN_MS = 1_000;

/** What the cache did with a frame: began anew with it, took it, or holds nothing (and dropped what it held). */
export type GopChange = 'begun' | 'extended' | 'empty';

/**
 * The frames since the last key frame, for players that join; audio between them included. Without video, the last
 * second of audio. Frames of further tracks are beside them, with as much room of their own.
 */
export class GopCache {
  readonly #limits: GopLimits;
  #frames: Frame[] = [];
  #bytes = 0;
  #furtherFrames = 0;
  #furtherBytes = 0;

  constructor(limits: GopLimits = GOP_LIMITS) {
    this.#limits = limits;
  }

  get frames(): readonly Frame[] {
    return this.#frames;
  }

  get bytes(): number {
    return this.#bytes + this.#furtherBytes;
  }

  /** Adds a frame; `hasVideo` says whether the stream has a video track now. */
  add(frame: Frame, hasVideo: boolean): GopChange {
    const first = this.#frames[0];
    const begins = hasVideo
      ? frame.track.kind === 'video' && frame.isKey
      : first === undefined || frame.dtsMs - first.dtsMs >= AUDIO_SPAN_MS;
    if (begins) {
      this.clear();
      this.#frames = [frame];
      this.#bytes = frame.data.length;
      return 'begun';
    }
    if (first === undefined) return 'empty';
    this.#frames.push(frame);
    this.#bytes += frame.data.length;
    const { frames, bytes, ms } = this.#limits;
    if (this.#frames.length - this.#furtherFrames > frames || this.#bytes > bytes || frame.dtsMs - first.dtsMs > ms) {
      this.clear();
      return 'empty';
    }
    return 'extended';
  }

  /** Adds a frame of a further track, where the cache has begun; false where it gave up those it had. */
  addFurther(frame: Frame): boolean {
    if (this.#frames.length === 0) return true;
    this.#frames.push(frame);
    this.#furtherFrames += 1;
    this.#furtherBytes += frame.data.length;
    const { frames, bytes } = this.#limits;
    if (this.#furtherFrames <= frames && this.#furtherBytes <= bytes) return true;
    this.forgetFurther();
    return false;
  }

  /** Drops the frames of further tracks. */
  forgetFurther(): void {
    if (this.#furtherFrames > 0) this.#frames = this.#frames.filter(({ track }) => !isFurther(track));
    this.#furtherFrames = 0;
    this.#furtherBytes = 0;
  }

  clear(): void {
    this.#frames = [];
    this.#bytes = 0;
    this.#furtherFrames = 0;
    this.#furtherBytes = 0;
  }
}
