import type { Frame } from '../media/frame.ts';

/** Frames of one kind that wait for the other at most; SRS's mix_correct has the same. */
const MOST_WAITING = 10;

/**
 * Puts audio and video in the order of their decoding times, for sources that send each in order but one ahead of the other
 * (`play.mixCorrect`). A frame waits until one of the other kind tells that nothing earlier is to come, or too many wait.
 */
export class Interleaver {
  readonly #out: (frame: Frame) => void;
  readonly #waiting: { readonly video: Frame[]; readonly audio: Frame[] } = { video: [], audio: [] };

  constructor(out: (frame: Frame) => void) {
    this.#out = out;
  }

  push(frame: Frame): void {
    const { video, audio } = this.#waiting;
    this.#waiting[frame.track.kind].push(frame);
    while (video.length > 0 && audio.length > 0) this.#take();
    if (video.length > MOST_WAITING || audio.length > MOST_WAITING) this.#take();
  }

  /** Lets everything go, in order. */
  flush(): void {
    const { video, audio } = this.#waiting;
    while (video.length > 0 || audio.length > 0) this.#take();
  }

  #take(): void {
    const { video, audio } = this.#waiting;
    const [firstVideo, firstAudio] = [video[0], audio[0]];
    const isVideo = firstAudio === undefined || (firstVideo !== undefined && firstVideo.dtsMs <= firstAudio.dtsMs);
    const frame = (isVideo ? video : audio).shift();
    if (frame !== undefined) this.#out(frame);
  }
}
