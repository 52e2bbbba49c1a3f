import type { FormerTracks, PackagedTrack } from '#contract/packaging.ts';
import { MOST_FORMER_TRACKS } from '#contract/packaging.ts';
import { codecString } from '../formats/codec-string.ts';
import { TsMuxer } from '../formats/mpegts-muxer.ts';
import type { Track } from '../media/track.ts';
import type { FramePace } from './part-target.ts';
import type { Kind, Span } from './segmenter.ts';

/** Segments shorter than this part of the target duration tell nothing of a peak (RFC 8216bis §4.4.6.2, BANDWIDTH). */
const LEAST_SHARE = 0.5;
/** A frame rate this near to a usual one is that: times are whole milliseconds. */
const SNAP = 0.0005;
const USUAL_RATES = [24_000 / 1_001, 24, 25, 30_000 / 1_001, 30, 50, 60_000 / 1_001, 60, 120];

interface Figures {
  track: Track | undefined;
  peakBitrate: number;
  bits: number;
  mediaMs: number;
  /** Of parts before there is a segment. */
  partBits: number;
  partMs: number;
  /** Of the present track. */
  frames: number;
  framesMs: number;
}

/** What the complete segments of a stream tell of its tracks, for multivariant playlists and manifests. */
export class TrackFigures {
  readonly #kinds: Readonly<Record<Kind, Figures>> = { video: newFigures(), audio: newFigures() };
  /** Until there are tracks here. */
  #restored: readonly PackagedTrack[] | undefined;
  #former: readonly FormerTracks[] = [];

  /** The tracks of the segments from number `seq` on. */
  setTracks(tracks: readonly Track[], seq: number): void {
    const before = this.tracks();
    this.#setTracks(tracks);
    const after = this.tracks();
    const hasChanged = before.some((each) => !after.some((other) => isAlike(each, other)));
    if (hasChanged) this.#former = [...this.#former, { beforeSeq: seq, tracks: before }].slice(-MOST_FORMER_TRACKS);
  }

  /** What segments held before they held what `tracks` tells, from number `firstSeq` on. */
  former(firstSeq: number): readonly FormerTracks[] {
    if (this.#former.some(({ beforeSeq }) => beforeSeq <= firstSeq)) {
      this.#former = this.#former.filter(({ beforeSeq }) => beforeSeq > firstSeq);
    }
    return this.#former;
  }

  #setTracks(tracks: readonly Track[]): void {
    this.#restored = undefined;
    for (const kind of ['video', 'audio'] as const) {
      const figures = this.#kinds[kind];
      const track = tracks.find((each) => each.kind === kind);
      if (track !== figures.track) {
        figures.frames = 0;
        figures.framesMs = 0;
      }
      figures.track = track;
    }
  }

  /** What another node has found of the same playlist. */
  restore(tracks: readonly PackagedTrack[], former: readonly FormerTracks[] = []): void {
    this.#former = former;
    for (const { kind, peakBitrate } of tracks) this.#kinds[kind].peakBitrate = peakBitrate;
    this.#restored = tracks;
  }

  /** A complete segment's share of a track: bytes of its file that are the track's. */
  add(kind: Kind, bytes: number, { durationMs, frames }: Span, targetDurationS: number): void {
    const figures = this.#kinds[kind];
    figures.bits += bytes * 8;
    figures.mediaMs += durationMs;
    figures.frames += frames;
    figures.framesMs += durationMs;
    const isLong = durationMs >= LEAST_SHARE * targetDurationS * 1_000;
    if (isLong || figures.peakBitrate === 0) {
      figures.peakBitrate = Math.max(figures.peakBitrate, Math.ceil((bytes * 8_000) / durationMs));
    }
  }

  /** A part, which tells something before the first segment is complete. */
  addPart(kind: Kind, bytes: number, durationMs: number): void {
    const figures = this.#kinds[kind];
    if (figures.bits > 0) return;
    figures.partBits += bytes * 8;
    figures.partMs += durationMs;
  }

  /** How frames of a kind come; undefined before the first complete segment. */
  pace(kind: Kind): FramePace | undefined {
    const { frames, framesMs } = this.#kinds[kind];
    return frames === 0 ? undefined : { frameMs: framesMs / frames, jitterMs: 0 };
  }

  tracks(): PackagedTrack[] {
    if (this.#restored !== undefined) return [...this.#restored];
    return [this.#kinds.video, this.#kinds.audio].flatMap((figures) => {
      const { track, bits, mediaMs, frames, framesMs, partBits, partMs } = figures;
      const peakBitrate = figures.peakBitrate || (partMs === 0 ? 0 : Math.ceil((partBits * 1_000) / partMs));
      const codecs = track === undefined ? undefined : codecString(track);
      if (track === undefined || codecs === undefined) return [];
      const averageBitrate = mediaMs === 0 ? 0 : Math.round((bits * 1_000) / mediaMs);
      const { kind, codec, profile } = track;
      const left = TsMuxer.carries(track) ? undefined : { isInTs: false };
      const common = { kind, codecs, peakBitrate, averageBitrate, codec, profile, ...left };
      if (track.kind === 'audio') {
        const { sampleRate, channels } = track;
        return [{ ...common, ...(sampleRate > 0 && { sampleRate }), ...(channels > 0 && { channels }) }];
      }
      const { width, height, level } = track;
      return [
        {
          ...common,
          level,
          ...(width > 0 && height > 0 && { width, height }),
          ...(frames > 0 && { frameRate: frameRate((frames * 1_000) / framesMs) }),
        },
      ];
    });
  }
}

/** What a player needs to be told of a track, whatever its rates are by now. */
function isAlike(one: PackagedTrack, other: PackagedTrack): boolean {
  return (['kind', 'codecs', 'width', 'height', 'sampleRate', 'channels'] as const).every(
    (name) => one[name] === other[name],
  );
}

function newFigures(): Figures {
  return { track: undefined, peakBitrate: 0, bits: 0, mediaMs: 0, partBits: 0, partMs: 0, frames: 0, framesMs: 0 };
}

/** Rounded to thousandths. */
function frameRate(measured: number): number {
  const usual = USUAL_RATES.find((rate) => Math.abs(measured - rate) <= rate * SNAP);
  return Math.round((usual ?? measured) * 1_000) / 1_000;
}
