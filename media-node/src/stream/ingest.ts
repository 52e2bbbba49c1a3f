import type { Frame, Metadata } from '../media/frame.ts';
import type { Track } from '../media/track.ts';
import { isFurther } from '../media/track.ts';
import type { Ingest } from './publisher.ts';

/** How much media may go by until a source without metadata is taken to have all its tracks. */
const SETTLE_MS = 500;
const SETTLE_FRAMES = 1_000;
const SETTLE_BYTES = 8 * 1024 * 1024;
/** How long audio waits for the first key frame of a declared video track. */
const KEY_FRAME_WAIT_MS = 5_000;

/** What a StreamIngest feeds: its stream. */
export interface IngestTarget {
  /** The stream's own object for a configuration: the present one if it says the same, else a new one with its own id. */
  adopt(track: Track): Track;
  /** The tracks are known; frames follow. Called again when one is added or changed. */
  tracks(tracks: readonly Track[]): void;
  metadata(metadata: Metadata): void;
  data(amf0: Buffer): void;
  frame(frame: Frame): void;
  /** The same of tracks beside the first of their kind; perhaps before those are known. */
  furtherTrack(track: Track): void;
  furtherFrame(frame: Frame): void;
  /** A frame that no player could use. */
  dropped(): void;
  detached(ingest: StreamIngest): void;
}

/**
 * A publisher's side of a stream. Holds the first frames back until the tracks are known, so that every player's header
 * is right, then begins with a key frame. Further tracks (Track.index) decide neither.
 */
export class StreamIngest implements Ingest {
  readonly #target: IngestTarget;
  #isOpen = true;
  #metadata: Metadata | undefined;
  /** By kind: what the publisher declared last, and the stream's object for it. */
  readonly #declared: Partial<Record<Track['kind'], Track>> = {};
  readonly #adopted: Partial<Record<Track['kind'], Track>> = {};
  /** Frames held back; undefined once the tracks are known. */
  #held: Frame[] | undefined = [];
  #heldBytes = 0;
  /** Video waits for its key frame; audio with it, until a time. */
  #videoWaits = true;
  #audioWaits = true;
  #waitsSinceMs: number | undefined;

  constructor(target: IngestTarget) {
    this.#target = target;
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  track(track: Track): void {
    if (!this.#isOpen || this.#declared[track.kind] === track) return;
    if (isFurther(track)) {
      this.#target.furtherTrack(track);
      return;
    }
    const before = this.#adopted[track.kind];
    this.#declared[track.kind] = track;
    const adopted = this.#target.adopt(track);
    if (adopted === before) return;
    // The decoder begins anew: frames up to the next key frame would refer to pictures of the old one.
    if (track.kind === 'video') this.#videoWaits = true;
    this.#adopted[track.kind] = adopted;
    if (this.#held === undefined) this.#target.tracks(this.#tracks());
  }

  metadata(metadata: Metadata): void {
    if (!this.#isOpen) return;
    this.#metadata = metadata;
    if (this.#held === undefined) this.#target.metadata(metadata);
  }

  data(amf0: Buffer): void {
    // Before the first frame it would have no time.
    if (this.#isOpen && this.#held === undefined) this.#target.data(amf0);
  }

  frame(frame: Frame): void {
    if (!this.#isOpen) return;
    if (this.#declared[frame.track.kind] !== frame.track && !isFurther(frame.track)) this.track(frame.track);
    if (this.#held === undefined) {
      this.#pass(frame);
      return;
    }
    this.#held.push(frame);
    this.#heldBytes += frame.data.length;
    if (this.#isSettled(frame)) this.#settle();
  }

  detach(): void {
    if (!this.#isOpen) return;
    this.end();
    this.#target.detached(this);
  }

  /** Ends it without a word to the stream, which knows. */
  end(): void {
    this.#isOpen = false;
    this.#held = undefined;
  }

  #tracks(): readonly Track[] {
    const { video, audio } = this.#adopted;
    return [video, audio].filter((track) => track !== undefined);
  }

  #isSettled(frame: Frame): boolean {
    const { video, audio } = this.#adopted;
    if (video && audio) return true;
    const metadata = this.#metadata;
    if (metadata !== undefined) {
      const says = { video: 'videocodecid' in metadata || 'width' in metadata, audio: 'audiocodecid' in metadata };
      if ((says.video || says.audio) && says.video === Boolean(video) && says.audio === Boolean(audio)) return true;
    }
    const held = this.#held ?? [];
    const spanMs = frame.dtsMs - (held[0]?.dtsMs ?? frame.dtsMs);
    return Math.abs(spanMs) >= SETTLE_MS || held.length >= SETTLE_FRAMES || this.#heldBytes >= SETTLE_BYTES;
  }

  #settle(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    if (this.#metadata !== undefined) this.#target.metadata(this.#metadata);
    this.#target.tracks(this.#tracks());
    for (const frame of held) this.#pass(frame);
  }

  #pass(frame: Frame): void {
    if (isFurther(frame.track)) {
      this.#target.furtherFrame(frame);
      return;
    }
    const { kind } = frame.track;
    const track = this.#adopted[kind] ?? frame.track;
    if (kind === 'video') {
      if (this.#videoWaits && !frame.isKey) {
        this.#waitsSinceMs ??= frame.dtsMs;
        this.#target.dropped();
        return;
      }
      this.#videoWaits = false;
      this.#audioWaits = false;
    } else if (this.#audioWaits) {
      this.#waitsSinceMs ??= frame.dtsMs;
      const waited = Math.abs(frame.dtsMs - this.#waitsSinceMs) >= KEY_FRAME_WAIT_MS;
      if (this.#adopted.video !== undefined && !waited) {
        this.#target.dropped();
        return;
      }
      this.#audioWaits = false;
    }
    this.#target.frame(track === frame.track ? frame : { ...frame, track });
  }
}
