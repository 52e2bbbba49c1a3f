import { Fmp4Writer } from '../formats/fmp4.ts';
import { TsMuxer } from '../formats/mpegts-muxer.ts';
import type { Frame } from '../media/frame.ts';
import type { Track } from '../media/track.ts';
import { isPartFull } from './part-target.ts';
import type { FramePace } from './part-target.ts';
import { SegmentArena } from './segment-arena.ts';
import type { Span } from './segmenter.ts';
import { TrackSpan } from './track-span.ts';

/** Audio frames go together into one PES packet until they are so long: each alone fills its packets badly. */
const AUDIO_PES_MS = 60;
/** An audio frame further from the one before than this begins another PES packet, for its time to be told. */
const AUDIO_GAP_MS = 60;

/** Everything of a stream that MPEG-TS carries, as segments that each begin with PAT and PMT. */
export class TsRendition {
  readonly #muxer: TsMuxer;
  #tracks: readonly Track[];
  readonly #arena = new SegmentArena();
  #sound: Frame[] = [];
  /** Media of the open segment, by kind: how its bytes are shared out. */
  readonly payload = { video: 0, audio: 0 };

  /** At least one of the tracks is carried. */
  constructor(tracks: readonly Track[]) {
    this.#muxer = new TsMuxer(tracks, this.#arena.take);
    this.#tracks = tracks;
  }

  /** Another configuration, late tracks: from the next segment on. */
  setTracks(tracks: readonly Track[]): void {
    this.#muxer.setTracks(tracks);
    this.#tracks = tracks;
  }

  begin(): void {
    this.#arena.undo();
    this.#arena.keep(this.#muxer.tables());
    this.payload.video = 0;
    this.payload.audio = 0;
  }

  /** A frame whose NAL units are whole; one of another track is passed over. */
  frame(frame: Frame): void {
    if (!this.#tracks.includes(frame.track)) return;
    const { kind } = frame.track;
    this.payload[kind] += frame.data.length;
    if (kind === 'video') {
      // One that was broken has left what it had taken.
      this.#arena.undo();
      this.#arena.keep(this.#muxer.frame(frame));
      return;
    }
    const last = this.#sound.at(-1);
    if (last !== undefined && frame.dtsMs - last.dtsMs > AUDIO_GAP_MS) this.#flushSound();
    this.#sound.push(frame);
    if (frame.dtsMs - this.#sound[0]!.dtsMs >= AUDIO_PES_MS) this.#flushSound();
  }

  /** The segment's bytes. */
  end(): Buffer {
    this.#flushSound();
    return this.#arena.end();
  }

  #flushSound(): void {
    const sound = this.#sound;
    if (sound.length === 0) return;
    // First, so that a broken frame is thrown out with it.
    this.#sound = [];
    this.#arena.undo();
    this.#arena.keep(this.#muxer.audio(sound));
  }
}

/** A part as it comes out. */
export interface CmafPart {
  readonly bytes: Buffer;
  readonly startMs: number;
  readonly durationMs: number;
  readonly isIndependent: boolean;
}

/** One track in CMAF: segments of one fragment each, or of one a part. */
export class CmafRendition {
  readonly track: Track;
  /** The initialization section. */
  readonly init: Buffer;
  readonly #writer: Fmp4Writer;
  readonly #onPart: ((rendition: CmafRendition, part: CmafPart) => void) | undefined;
  #partTargetMs: number | undefined;
  #samples: Frame[] = [];
  /** Those of `#samples`. */
  readonly #pace: TrackSpan;

  /**
   * `onPart`: gets each part as soon as it is complete, once `setPartTarget` has said how long parts are; without it there are
   * no parts. Throws FormatError 'codec-config'.
   */
  constructor(track: Track, onPart?: (rendition: CmafRendition, part: CmafPart) => void) {
    this.track = track;
    this.#writer = new Fmp4Writer([track]);
    this.init = this.#writer.init;
    this.#onPart = onPart;
    this.#pace = new TrackSpan(track.kind);
  }

  /** How its frames come; undefined before there are two in the open segment, or since parts are made. */
  get pace(): FramePace | undefined {
    const samples = this.#samples;
    const startMs = samples[0]?.dtsMs ?? 0;
    const meanMs = ((samples.at(-1)?.dtsMs ?? 0) - startMs) / (samples.length - 1);
    if (samples.length < 2 || this.#partTargetMs !== undefined) return undefined;
    const frameMs = this.track.kind === 'audio' ? this.#pace.usualMs : meanMs;
    const offMs = samples.map(({ dtsMs }, index) => Math.abs(dtsMs - startMs - index * meanMs));
    return { frameMs, jitterMs: Math.max(...offMs.map((ms) => ms - 1), 0) };
  }

  /** Makes parts, of what has been held back since the segment's beginning too. */
  setPartTarget(partTargetMs: number): void {
    this.#partTargetMs = partTargetMs;
    if (this.#onPart === undefined) return;
    const held = this.#samples;
    this.#samples = [];
    this.#pace.reset();
    for (const frame of held) this.frame(frame);
  }

  /** A frame of its track whose NAL units are whole. */
  frame(frame: Frame): void {
    const target = this.#partTargetMs;
    if (target !== undefined && this.#onPart !== undefined && this.#samples.length > 0) {
      if (isPartFull(this.#samples[0]!.dtsMs, frame.dtsMs, this.#pace.usualMs, target)) this.#closePart(frame.dtsMs);
    }
    this.#samples.push(frame);
    this.#pace.add(frame);
  }

  /** Ends the segment; `span` is the segment's of its track. Its bytes, or without parts having been made of all; undefined where parts tell them. */
  end(span: Span | undefined): Buffer | undefined {
    if (this.#samples.length === 0) return undefined;
    if (this.#onPart !== undefined && this.#partTargetMs !== undefined) {
      this.#closePart(span?.nextMs);
      return undefined;
    }
    const bytes = this.#writer.fragment({ track: this.track, samples: this.#samples, endDtsMs: span?.nextMs });
    this.#samples = [];
    this.#pace.reset();
    return bytes;
  }

  #closePart(endDtsMs: number | undefined): void {
    const samples = this.#samples;
    const [first] = samples;
    if (first === undefined) return;
    const bytes = this.#writer.fragment({ track: this.track, samples, endDtsMs });
    const durationMs = Math.min((endDtsMs ?? this.#pace.endMs) - first.dtsMs, this.#partTargetMs ?? Infinity);
    this.#samples = [];
    this.#pace.reset();
    this.#onPart?.(this, { bytes, startMs: first.dtsMs, durationMs, isIndependent: first.isKey });
  }
}
