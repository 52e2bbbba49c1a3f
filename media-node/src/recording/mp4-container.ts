import { carries } from '../formats/fmp4.ts';
import { Fmp4File } from '../formats/fmp4-file.ts';
import { isWholeFrame } from '../formats/fmp4-fragment.ts';
import type { Frame } from '../media/frame.ts';
import type { Track } from '../media/track.ts';
import type { Container, Patch } from './container.ts';
import { RecordingError } from './recording-error.ts';

/** A fragment ends at the first key frame after the former, at the first frame after the latter. What is not in one is lost by a kill. */
const LEAST_FRAGMENT_MS = 500;
const MOST_FRAGMENT_MS = 2_000;
/** Sound alone, with a fragment's overhead of about a hundred bytes, is no reason for small ones. */
const FRAGMENT_BYTES = 4 * 1024 * 1024;

/** Fragmented MP4; see Fmp4File. */
export class Mp4Container implements Container {
  readonly tracks: readonly Track[];
  readonly #file: Fmp4File;
  readonly #originMs: number;
  readonly #hasVideo: boolean;
  /** Of the fragment being gathered, by track. */
  readonly #samples: Frame[][];
  #units: Buffer[];
  #beginsAtMs: number | undefined;
  #bytes = 0;

  constructor(tracks: readonly Track[], originMs: number) {
    this.tracks = tracks.filter(carries);
    if (this.tracks.length === 0) {
      const codecs = tracks.map(({ codec }) => codec).join(', ');
      throw new RecordingError('no-track', `MP4 carries none of the stream's codecs (${codecs})`);
    }
    this.#file = new Fmp4File(this.tracks, { originMs });
    this.#originMs = originMs;
    this.#hasVideo = this.tracks.some(({ kind }) => kind === 'video');
    this.#samples = this.tracks.map(() => []);
    this.#units = [this.#file.init];
  }

  get durationMs(): number {
    return this.#file.durationMs;
  }

  frame(frame: Frame): void {
    const index = this.tracks.indexOf(frame.track);
    if (index < 0 || frame.dtsMs < this.#originMs || !isWholeFrame(frame)) return;
    if (this.#isCutBefore(frame)) this.#cut(frame);
    this.#beginsAtMs ??= frame.dtsMs;
    this.#bytes += frame.data.length;
    this.#samples[index]!.push(frame);
  }

  take(): Buffer[] {
    const units = this.#units;
    this.#units = [];
    return units;
  }

  end(): void {
    this.#cut(undefined);
    this.#units.push(this.#file.finish().index);
  }

  patch(): Patch {
    const { offset, bytes } = this.#file.finish().duration;
    return { position: offset, bytes };
  }

  #isCutBefore(frame: Frame): boolean {
    if (this.#beginsAtMs === undefined || (this.#hasVideo && frame.track.kind !== 'video')) return false;
    const spanMs = frame.dtsMs - this.#beginsAtMs;
    const isKey = this.#hasVideo && frame.isKey;
    return spanMs >= (isKey ? LEAST_FRAGMENT_MS : MOST_FRAGMENT_MS) || this.#bytes >= FRAGMENT_BYTES;
  }

  /** `next`: the frame that the following fragment begins with, where there is one. */
  #cut(next: Frame | undefined): void {
    const parts = this.tracks.map((track, index) => ({
      track,
      samples: this.#samples[index]!,
      endDtsMs: next?.track === track ? next.dtsMs : undefined,
    }));
    const fragment = this.#file.fragment(...parts);
    if (fragment.length > 0) this.#units.push(fragment);
    for (const index of this.#samples.keys()) this.#samples[index] = [];
    this.#beginsAtMs = undefined;
    this.#bytes = 0;
  }
}
