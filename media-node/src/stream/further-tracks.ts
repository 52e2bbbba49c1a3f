import type { Frame } from '../media/frame.ts';
import type { Track } from '../media/track.ts';
import { isSameTrack } from '../media/track.ts';
import type { Timeline } from './timeline.ts';

/** A frame that stands further from the stream's last one follows another clock, or was held up: nobody could show them together. */
const MOST_DISTANCE_MS = 10_000;
/** Pictures that wait for the first track's; past it they go on without. */
const MOST_WAITING = 64;
const MOST_WAITING_BYTES = 8 * 1024 * 1024;

interface FurtherTrack {
  /** The publisher's object and the stream's. */
  declared: Track;
  track: Track;
  /** Its decoder begins anew. */
  waitsForKey: boolean;
  /** Time of the last frame given out. */
  lastMs: number;
  /** What is not later was given out before, by a publisher that this one goes on with, or takes the place of. */
  afterMs: number;
}

/**
 * A stream's tracks beside the first of each kind. They follow those: their times are mapped as theirs are, and a picture does
 * not come before the first track's of the same time, so that who begins with a key frame gets what belongs to it. What does
 * not follow is dropped; nothing here holds the first tracks up.
 */
export class FurtherTracks {
  readonly #timeline: Timeline;
  readonly #out: (frame: Frame, timeMs: number) => void;
  readonly #onDropped: () => void;
  #known: FurtherTrack[] = [];
  #tracks: readonly Track[] = [];
  #waiting: Frame[] = [];
  #waitingBytes = 0;
  /** Publisher's time of the first video track. */
  #videoMs = -Infinity;
  /** The latest time given out before the present publisher. */
  #floorMs = -Infinity;

  /** `out` gets frames with the stream's own track and their time on its timeline; `onDropped` is told of each that it does not. */
  constructor(timeline: Timeline, out: (frame: Frame, timeMs: number) => void, onDropped: () => void) {
    this.#timeline = timeline;
    this.#out = out;
    this.#onDropped = onDropped;
  }

  /** In the order of their declaration; another array when they change. */
  get tracks(): readonly Track[] {
    return this.#tracks;
  }

  /** A publisher begins; `goesOn`: where the one before it was. */
  begin(goesOn: boolean): void {
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#videoMs = -Infinity;
    for (const known of this.#known) {
      known.afterMs = known.lastMs;
      this.#floorMs = Math.max(this.#floorMs, known.lastMs);
    }
    if (goesOn) return;
    this.#known = [];
    this.#tracks = [];
  }

  /** Declares or replaces a track; gives the stream's object for it, made by `adopt`, where that is another one than before. */
  declare(track: Track, adopt: (track: Track) => Track): Track | undefined {
    const waitsForKey = track.kind === 'video';
    const known = this.#known.find((each) => each.track.kind === track.kind && each.track.index === track.index);
    if (known !== undefined) {
      known.declared = track;
      if (isSameTrack(known.track, track)) return undefined;
    }
    const adopted = adopt(track);
    if (known === undefined) {
      const afterMs = this.#floorMs;
      this.#known.push({ declared: track, track: adopted, waitsForKey, lastMs: afterMs, afterMs });
    } else {
      known.track = adopted;
      known.waitsForKey = waitsForKey;
    }
    this.#tracks = this.#known.map((each) => each.track);
    return adopted;
  }

  /** Takes a frame; `hasVideo`: the stream has a first video track, which pictures wait for. */
  push(frame: Frame, hasVideo: boolean): void {
    if (frame.track.kind !== 'video' || !hasVideo) {
      this.#give(frame);
      return;
    }
    this.#waiting.push(frame);
    this.#waitingBytes += frame.data.length;
    this.#release();
  }

  /** The first video track has come to this time of the publisher's. */
  follow(videoMs: number): void {
    this.#videoMs = videoMs;
    this.#release();
  }

  #release(): void {
    const waiting = this.#waiting;
    while (waiting.length > 0) {
      const isTooMuch = waiting.length > MOST_WAITING || this.#waitingBytes > MOST_WAITING_BYTES;
      if (waiting[0]!.dtsMs > this.#videoMs && !isTooMuch) return;
      const frame = waiting.shift()!;
      this.#waitingBytes -= frame.data.length;
      this.#give(frame);
    }
  }

  #give(frame: Frame): void {
    const known = this.#known.find(({ declared }) => declared === frame.track);
    if (known === undefined) {
      this.#onDropped();
      return;
    }
    const besideMs = this.#timeline.beside(frame.track.kind, frame.dtsMs);
    const lastMs = this.#timeline.lastMs;
    if (besideMs === undefined || lastMs === undefined || Math.abs(besideMs - lastMs) > MOST_DISTANCE_MS) {
      known.waitsForKey = frame.track.kind === 'video';
      this.#onDropped();
      return;
    }
    if (besideMs < 0 || besideMs <= known.afterMs || (known.waitsForKey && !frame.isKey)) {
      this.#onDropped();
      return;
    }
    known.waitsForKey = false;
    const timeMs = Math.max(besideMs, known.lastMs + 1);
    known.lastMs = timeMs;
    this.#out(known.track === frame.track ? frame : { ...frame, track: known.track }, timeMs);
  }
}
