import { EMPTY } from '../lib/bytes.ts';
import type { Track } from '../media/track.ts';
import { SampleClock } from './fmp4-clock.ts';
import type { Sample, SampleRun } from './fmp4-fragment.ts';
import { encodeFragment } from './fmp4-fragment.ts';
import { initSegment } from './fmp4-init.ts';
import { hasSampleEntry } from './fmp4-sample-entry.ts';

/** Whether fragmented MP4 can carry the track: everything but G.711 and Speex. */
export function carries(track: Track): boolean {
  return track.kind === 'video' || hasSampleEntry(track);
}

/** What one fragment gets of one of a writer's tracks. */
export interface FragmentPart {
  readonly track: Track;
  /** In decoding order; a track without any is left out of the fragment. */
  readonly samples: readonly Sample[];
  /** The track's next dtsMs where it is known: the last sample then ends there, and not after its usual length. */
  readonly endDtsMs?: number | undefined;
}

export interface Fmp4WriterOptions {
  /** Of the first fragment (mfhd); 1 by default. */
  readonly sequenceNumber?: number;
  /** The time of the stream's clock that is 0 in the media; 0 by default. Samples before it are moved to it. */
  readonly originMs?: number;
  /** See initSegment. */
  readonly forFile?: boolean;
}

/**
 * Writes one CMAF track, or several tracks in one fragmented MP4: `init` first, then fragments; a segment is its fragments
 * one behind the other. What has been written can be played up to the last whole fragment. Pure but for its clocks, which lay
 * fragments end to end, and its count. A track of another configuration needs another writer.
 */
export class Fmp4Writer {
  /** The initialization section. */
  readonly init: Buffer;
  readonly #tracks: readonly Track[];
  readonly #clocks: readonly SampleClock[];
  #sequenceNumber: number;

  /** `tracks`, the very objects that frames name, must all be carried (see carries). Throws FormatError 'codec-config'. */
  constructor(tracks: readonly Track[], options: Fmp4WriterOptions = {}) {
    this.init = initSegment(tracks, options.forFile);
    this.#tracks = tracks;
    this.#clocks = tracks.map((track) => new SampleClock(track, options.originMs));
    this.#sequenceNumber = options.sequenceNumber ?? 1;
  }

  /**
   * One fragment (moof and mdat); empty where there are no samples. Throws FormatError 'frame' for a frame that is not whole
   * (see isWholeFrame): nothing has happened then, and the fragment can be written without it.
   */
  fragment(...parts: readonly FragmentPart[]): Buffer {
    const runs: SampleRun[] = [];
    for (const { track, samples, endDtsMs } of parts) {
      const index = this.#tracks.indexOf(track);
      const clock = this.#clocks[index];
      if (clock === undefined) throw new RangeError(`track ${track.id} is none of this writer's`);
      if (samples.length > 0) runs.push({ trackId: index + 1, track, clock, samples, endDtsMs });
    }
    if (runs.length === 0) return EMPTY;
    const bytes = encodeFragment(this.#sequenceNumber, runs);
    this.#sequenceNumber += 1;
    return bytes;
  }

  /** A time of the stream as the track's media time. */
  ticks(track: Track, timeMs: number): number {
    return this.#clocks[this.#tracks.indexOf(track)]?.exact(timeMs) ?? 0;
  }

  /** Where the media ends that has been written, in milliseconds since the origin. */
  get endMs(): number {
    return Math.max(0, ...this.#clocks.map((clock) => clock.endMs));
  }
}
