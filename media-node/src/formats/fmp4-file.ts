import type { Track } from '../media/track.ts';
import type { FragmentPart } from './fmp4.ts';
import { Fmp4Writer } from './fmp4.ts';
import { MOVIE_TIMESCALE } from './fmp4-init.ts';
import { fullBox, box, u32, u64 } from './mp4-box.ts';

/** Places in the file that players can seek to: thinned out beyond this, so that a recording of weeks stays bounded. */
const MAX_ENTRIES = 50_000;

export interface Fmp4FileOptions {
  /** The time of the stream's clock that is 0 in the file; samples before it are moved to it. */
  readonly originMs?: number;
}

/** What ends a file well. Both are optional: without, it plays the same, but players guess its length and seek by trying. */
export interface Fmp4FileEnd {
  /** The index of fragments (mfra), to be appended. */
  readonly index: Buffer;
  /** Bytes that replace those at `offset`, where the file can be written at any place: its duration. */
  readonly duration: { readonly offset: number; readonly bytes: Buffer };
}

/**
 * A recording: fragmented MP4 of one or more tracks, which plays up to its last whole fragment whatever happens to its writer.
 * Append `init`, then what `fragment` gives. Its index has the fragments that begin with a key frame.
 */
export class Fmp4File {
  readonly init: Buffer;
  readonly #writer: Fmp4Writer;
  /** Whose key frames are the places to seek to. */
  readonly #lead: Track;
  readonly #leadId: number;
  #bytes: number;
  #times: number[] = [];
  #offsets: number[] = [];
  /** Every so many key fragments are in the index. */
  #stride = 1;
  #keys = 0;

  /** As Fmp4Writer's. */
  constructor(tracks: readonly Track[], options: Fmp4FileOptions = {}) {
    this.#writer = new Fmp4Writer(tracks, { ...options, forFile: true });
    this.init = this.#writer.init;
    this.#bytes = this.init.length;
    const leadIndex = Math.max(
      0,
      tracks.findIndex(({ kind }) => kind === 'video'),
    );
    this.#lead = tracks[leadIndex]!;
    this.#leadId = leadIndex + 1;
  }

  /** Bytes so far, the initialization section among them. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The duration so far. */
  get durationMs(): number {
    return this.#writer.endMs;
  }

  /** The next fragment; see Fmp4Writer.fragment. */
  fragment(...parts: readonly FragmentPart[]): Buffer {
    const bytes = this.#writer.fragment(...parts);
    const first = parts.find(({ track }) => track === this.#lead)?.samples[0];
    if (first?.isKey === true) this.#add(this.#writer.ticks(this.#lead, first.ptsMs));
    this.#bytes += bytes.length;
    return bytes;
  }

  /** What to append and to write over at the end; the file itself can go on after it. */
  finish(): Fmp4FileEnd {
    const entries = this.#times.map((time, index) => Buffer.concat([u64(time, this.#offsets[index]!), ONE_OF_EACH]));
    // Version 1: 64-bit times and offsets. The numbers of traf, trun and sample have a byte each.
    const tfra = fullBox('tfra', 1, 0, u32(this.#leadId, 0, entries.length), ...entries);
    const mfraBytes = 8 + tfra.length + MFRO_BYTES;
    return {
      index: box('mfra', tfra, fullBox('mfro', 0, 0, u32(mfraBytes))),
      duration: {
        // moov ends with mvex, which begins with mehd: nothing behind it can look like it.
        offset: this.init.lastIndexOf('mehd', undefined, 'latin1') + 8,
        bytes: u64(Math.round((this.durationMs * MOVIE_TIMESCALE) / 1_000)),
      },
    };
  }

  #add(time: number): void {
    if (this.#keys++ % this.#stride !== 0) return;
    this.#times.push(time);
    this.#offsets.push(this.#bytes);
    if (this.#times.length < MAX_ENTRIES) return;
    this.#times = this.#times.filter((_, index) => index % 2 === 0);
    this.#offsets = this.#offsets.filter((_, index) => index % 2 === 0);
    this.#stride *= 2;
  }
}

const MFRO_BYTES = 16;
/** traf_number, trun_number, sample_number. */
const ONE_OF_EACH = Buffer.from([1, 1, 1]);
