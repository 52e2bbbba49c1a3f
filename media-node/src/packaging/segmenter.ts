import type { Frame } from '../media/frame.ts';
import type { Track } from '../media/track.ts';
import { TrackSpan } from './track-span.ts';

/** A key frame so much before the least length still ends a segment: times are rounded, encoders are not exact. */
const EARLY_MS = 50;
/** A segment so much longer than the target duration still rounds to it (RFC 8216bis §4.4.3.1), and a bit for jitter. */
const SLACK_MS = 450;
/** Longest length of a segment as a playlist tells it, beyond the target duration. */
const MOST_OVER_MS = 499;
/** A length so much over whole seconds is rounded down to them: 60 frames of NTSC are 2.002 s. */
const ROUND_DOWN_MS = 250;
/** Without a second key frame for so long, or for two fragments, the first GOP is cut: 250 frames, x264's GOP, are 10 s. */
const LONGEST_FIRST_GOP_MS = 12_000;
/** Frames that a target is found by, unless half a segment has fewer. */
const LEAST_FRAMES = 8;
/** How long audio waits for video that was announced and does not come, besides what the hub has waited. */
const VIDEO_WAIT_MS = 1_000;
/** The longest of so many GOPs is expected to come again. */
const GOPS_REMEMBERED = 16;

/** Media of one segment at most, whatever its length. */
const MAX_SEGMENT_BYTES = 128 * 1024 * 1024;

/** Picture or sound. */
export type Kind = Track['kind'];

/** One track's share of a segment. */
export interface Span {
  readonly startMs: number;
  /** Never rounds to more seconds than the target duration. */
  readonly durationMs: number;
  /** How much later its first frame is shown. */
  readonly compositionMs: number;
  /** Decoding time of the track's next frame, where it goes on with it. */
  readonly nextMs: number | undefined;
  readonly frames: number;
  /** Video: its first frame is a key frame. Audio: true. */
  readonly isIndependent: boolean;
}

/** What is known of a segment at its first frame. */
export interface SegmentBegin {
  /** Decoding time of its first frame. */
  readonly startMs: number;
  /** Those of the frames until its end; at most one of a kind. */
  readonly tracks: readonly Track[];
  readonly isDiscontinuity: boolean;
}

/** What is known of a segment when it is cut. */
export interface SegmentEnd {
  /** Of the picture, or of the sound where there is none; never rounds to more seconds than the target duration. */
  readonly startMs: number;
  readonly durationMs: number;
  /** Undefined where the segment has no frame of that kind; one of both is there. */
  readonly video: Span | undefined;
  readonly audio: Span | undefined;
  /** It ended without a key frame, because the target duration was over. */
  readonly isForced: boolean;
  /** Length of the GOP that is cut, so far where it `isForced`; at the key frame after it, its whole length. */
  readonly cutGopMs: number | undefined;
}

/** What comes out: onTarget once before the first onEnd; onBegin, frames and onEnd by turns. Synchronous. */
export interface SegmentSink {
  /** The target duration, once it is known; again after `restart`, between two segments. */
  onTarget(targetDurationS: number): void;
  onBegin(begin: SegmentBegin): void;
  onFrame(frame: Frame): void;
  onEnd(end: SegmentEnd): void;
}

export interface SegmenterOptions {
  /** Least length of a segment. */
  readonly fragmentMs: number;
  /** Of a playlist that goes on; left out, it is found by the first two key frames. */
  readonly targetDurationS?: number | undefined;
  /** Media of one segment at most; default 128 MiB. */
  readonly maxBytes?: number;
}

/**
 * Cuts a stream's frames into segments, pure. A segment ends at the first key frame at or after the least length. The first
 * two key frames tell how long segments then are, and so the target duration, which stays: a GOP that is longer is cut
 * without a key frame, and GOPs of many lengths are cut at a key frame before the least length where that avoids it. Sound
 * follows the cuts of the picture; alone, it is cut by its own time. Frames are in the order in which they came: each lands
 * in exactly one segment, but for those that nobody could decode: before a key frame, or of sound whose codec changed, up to
 * the next cut.
 */
export class Segmenter {
  readonly #sink: SegmentSink;
  readonly #spans: Readonly<Record<Kind, TrackSpan>> = { video: new TrackSpan('video'), audio: new TrackSpan('audio') };
  #fragmentMs: number;
  #targetMs: number | undefined;
  #announced: Partial<Record<Kind, Track>> = {};
  /** Of the open segment. */
  #active: Partial<Record<Kind, Track>> = {};
  /** Of the open segment. */
  #bytes = 0;
  readonly #maxBytes: number;
  #isOpen = false;
  #hasBegun = false;
  /** The next cut is a seam. */
  #isSeam = false;
  #restartMs: number | undefined;
  /** The present GOP has been cut: its next key frame begins a segment, however short the one before is. */
  #isCutGop = false;
  #lastKeyMs: number | undefined;
  readonly #gops: number[] = [];
  #longestGopMs = 0;
  #isVideoSeen = false;
  #waitsSinceMs: number | undefined;
  /** Frames that are in no segment. */
  dropped = 0;
  /** Segments that ended without a key frame. */
  forcedCuts = 0;

  constructor(sink: SegmentSink, { fragmentMs, targetDurationS, maxBytes }: SegmenterOptions) {
    this.#sink = sink;
    this.#maxBytes = maxBytes ?? MAX_SEGMENT_BYTES;
    this.#fragmentMs = fragmentMs;
    if (targetDurationS !== undefined) this.#targetMs = targetDurationS * 1_000;
  }

  /** The tracks from the next frame on. */
  tracks(tracks: readonly Track[]): void {
    this.#announced = {};
    for (const track of tracks) this.#announced[track.kind] = track;
  }

  /** The next frame does not continue the last one. */
  seam(): void {
    if (this.#isOpen) this.#isSeam = true;
  }

  /**
   * From the next cut on, which a key frame makes soon, it is another playlist: its target duration is found anew. Undefined
   * takes that back.
   */
  restart(fragmentMs: number | undefined): void {
    this.#restartMs = fragmentMs;
    if (this.#isOpen && fragmentMs !== undefined) this.#isSeam = true;
  }

  frame(frame: Frame): void {
    const { track, dtsMs, isKey } = frame;
    const isVideo = track.kind === 'video';
    if (!this.#isOpen) {
      if (isVideo ? isKey : this.#isAudioAlone(dtsMs)) this.#begin(frame);
      else this.dropped += 1;
      if (isVideo) this.#isVideoSeen = true;
      return;
    }
    const span = this.#spans[track.kind];
    if (span.frames > 0 && dtsMs <= span.lastMs) {
      // Times of one stream rise; these are another's.
      this.#isSeam = true;
      if (isVideo ? !isKey : this.#announced.video !== undefined) {
        this.dropped += 1;
        return;
      }
    }
    if (isVideo && isKey) this.#measureGop(dtsMs);
    if (track !== this.#active[track.kind]) {
      // A new decoder begins with a key frame; sound waits for the picture's.
      const cuts = isVideo ? isKey : this.#active.video === undefined || this.#isOver(dtsMs);
      if (cuts) this.#cut(frame, !isVideo && this.#active.video !== undefined);
      else this.dropped += 1;
      return;
    }
    if (isVideo && isKey) {
      if (this.#endsAtKey(dtsMs)) return this.#cut(frame, false);
    } else if (!isVideo && this.#announced.video === undefined) {
      if (this.#isSeam || dtsMs - span.startMs >= this.#least() - span.usualMs / 2) return this.#cut(frame, false);
    }
    if (this.#isTooLong(span, dtsMs, isVideo) || this.#bytes > this.#maxBytes) return this.#cut(frame, true);
    span.add(frame);
    this.#bytes += frame.data.length;
    this.#sink.onFrame(frame);
  }

  /** The stream ended: so does the open segment. Whatever comes afterwards is a discontinuity. */
  end(): void {
    if (!this.#isOpen) return;
    this.#end(undefined, false);
    this.#isOpen = false;
    this.#isSeam = true;
    this.#forgetGops();
    this.#waitsSinceMs = undefined;
    this.#isVideoSeen = false;
  }

  #begin(frame: Frame): void {
    this.#restartNow(frame);
    if (frame.track.kind === 'audio') this.#setTarget(this.#fragmentMs);
    else this.#measureGop(frame.dtsMs);
    this.#isOpen = true;
    this.#open(frame, this.#hasBegun);
  }

  #restartNow({ track }: Frame): void {
    if (this.#restartMs === undefined) return;
    this.#fragmentMs = this.#restartMs;
    this.#restartMs = undefined;
    this.#targetMs = undefined;
    if (track.kind === 'video' && this.#longestGopMs > 0) this.#setTarget(this.#lengthOf(this.#longestGopMs));
    else if (track.kind === 'audio') this.#setTarget(this.#fragmentMs);
  }

  #open(frame: Frame, isDiscontinuity: boolean): void {
    this.#active = { ...this.#announced, [frame.track.kind]: frame.track };
    this.#hasBegun = true;
    this.#isSeam = false;
    const tracks = [this.#active.video, this.#active.audio].filter((track) => track !== undefined);
    this.#sink.onBegin({ startMs: frame.dtsMs, tracks, isDiscontinuity });
    this.#spans[frame.track.kind].add(frame);
    this.#bytes = frame.data.length;
    this.#sink.onFrame(frame);
  }

  /** Ends the open segment before the frame, and begins the next with it. */
  #cut(frame: Frame, isForced: boolean): void {
    const { video, audio } = this.#announced;
    const isChanged = video !== this.#active.video || audio !== this.#active.audio;
    const isGap = this.#end(this.#isSeam ? undefined : frame, isForced);
    this.#isCutGop = isForced;
    if (isForced) this.forcedCuts += 1;
    if (this.#isSeam) {
      // The GOP that a seam is in has no length.
      this.#lastKeyMs = frame.isKey && frame.track.kind === 'video' ? frame.dtsMs : undefined;
    }
    this.#restartNow(frame);
    this.#open(frame, this.#isSeam || isChanged || isGap);
  }

  /** Answers whether the next frame is later than a playlist may say. */
  #end(next: Frame | undefined, isForced: boolean): boolean {
    const { video, audio } = this.#spans;
    const reference = video.frames > 0 ? video : audio;
    let { endMs } = reference;
    if (next !== undefined)
      endMs = reference === this.#spans[next.track.kind] ? next.dtsMs : Math.max(next.dtsMs, endMs);
    if (this.#targetMs === undefined) this.#setTarget(endMs - reference.startMs);
    const mostMs = (this.#targetMs ?? 0) + MOST_OVER_MS;
    const spanOf = (span: TrackSpan, kind: Kind): Span | undefined => {
      if (span.frames === 0) return undefined;
      const isNext = next?.track.kind === kind && next.track === this.#active[kind];
      const nextMs = isNext ? next.dtsMs : undefined;
      return {
        startMs: span.startMs,
        durationMs: Math.min(mostMs, (nextMs ?? span.endMs) - span.startMs),
        compositionMs: span.compositionMs,
        nextMs,
        frames: span.frames,
        isIndependent: kind === 'audio' || span.beginsWithKey,
      };
    };
    const isGap = next !== undefined && endMs - reference.startMs > mostMs;
    const end = {
      startMs: reference.startMs,
      durationMs: Math.min(mostMs, endMs - reference.startMs),
      video: spanOf(video, 'video'),
      audio: spanOf(audio, 'audio'),
      isForced,
      cutGopMs: next && this.#cutGopMs(next, isForced),
    };
    video.reset();
    audio.reset();
    this.#sink.onEnd(end);
    return isGap;
  }

  #cutGopMs({ dtsMs, isKey, track }: Frame, isForced: boolean): number | undefined {
    if (isForced) return this.#lastKeyMs === undefined ? undefined : Math.max(0, dtsMs - this.#lastKeyMs);
    return this.#isCutGop && isKey && track.kind === 'video' ? this.#gops.at(-1) : undefined;
  }

  #isAudioAlone(dtsMs: number): boolean {
    if (this.#announced.video === undefined) return true;
    this.#waitsSinceMs ??= dtsMs;
    return !this.#isVideoSeen && dtsMs - this.#waitsSinceMs >= VIDEO_WAIT_MS;
  }

  #endsAtKey(dtsMs: number): boolean {
    const { video, audio } = this.#spans;
    const startMs = video.frames > 0 ? video.startMs : audio.startMs;
    const elapsedMs = dtsMs - startMs;
    if (this.#isSeam || this.#isCutGop || video.frames === 0 || elapsedMs >= this.#least() - EARLY_MS) return true;
    const targetMs = this.#targetMs ?? Infinity;
    return elapsedMs >= targetMs / 4 && elapsedMs + this.#longestGopMs > targetMs + SLACK_MS;
  }

  /** The least length, which no later configuration can make longer than the target duration. */
  #least(): number {
    return Math.min(this.#fragmentMs, this.#targetMs ?? Infinity);
  }

  /** The open segment has to end before this frame, key frame or not. */
  #isTooLong(span: TrackSpan, dtsMs: number, isVideo: boolean): boolean {
    if (span.frames === 0) return false;
    const elapsedMs = dtsMs - span.startMs;
    if (this.#targetMs === undefined) return elapsedMs >= Math.max(2 * this.#fragmentMs, LONGEST_FIRST_GOP_MS);
    const isReference = isVideo || this.#spans.video.frames === 0;
    // A GOP that was cut once is cut at the target itself: nothing is expected any more.
    if (this.#isCutGop && isReference && elapsedMs >= this.#targetMs) return true;
    return elapsedMs + span.usualMs > this.#targetMs + (isReference ? SLACK_MS : MOST_OVER_MS);
  }

  #isOver(dtsMs: number): boolean {
    const { video, audio } = this.#spans;
    const startMs = video.frames > 0 ? video.startMs : audio.startMs;
    return dtsMs - startMs > (this.#targetMs ?? LONGEST_FIRST_GOP_MS) + SLACK_MS;
  }

  #measureGop(dtsMs: number): void {
    const last = this.#lastKeyMs;
    this.#lastKeyMs = dtsMs;
    if (last === undefined || this.#isSeam || dtsMs <= last) return;
    this.#gops.push(dtsMs - last);
    if (this.#gops.length > GOPS_REMEMBERED) this.#gops.shift();
    this.#longestGopMs = Math.max(...this.#gops);
    if (this.#targetMs !== undefined) return;
    // Two frames that are both key frames do not tell yet how frames come, which the part target is made of.
    const { frames, startMs } = this.#spans.video;
    const isTold = frames >= LEAST_FRAMES || dtsMs - startMs >= this.#fragmentMs / 2;
    if (isTold) this.#setTarget(this.#lengthOf(dtsMs - last));
  }

  /** Of segments, when GOPs are so long. */
  #lengthOf(gopMs: number): number {
    return Math.max(1, Math.ceil((this.#fragmentMs - EARLY_MS) / gopMs)) * gopMs;
  }

  #setTarget(lengthMs: number): void {
    if (this.#targetMs !== undefined) return;
    const seconds = Math.max(1, Math.ceil((lengthMs - ROUND_DOWN_MS) / 1_000));
    this.#targetMs = seconds * 1_000;
    this.#sink.onTarget(seconds);
  }

  #forgetGops(): void {
    this.#gops.length = 0;
    this.#longestGopMs = 0;
    this.#lastKeyMs = undefined;
    this.#isCutGop = false;
  }
}
