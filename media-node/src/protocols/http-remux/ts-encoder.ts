import { TsMuxer } from '../../formats/mpegts-muxer.ts';
import { EMPTY } from '../../lib/bytes.ts';
import type { Frame } from '../../media/frame.ts';
import type { Track } from '../../media/track.ts';
import type { EncoderSource, FrameEncoder } from '../../stream/frame-encoder.ts';
import type { OnLeftOut } from './left-out.ts';
import { LeftOut } from './left-out.ts';

/** How often the tables come in a stream without video; with video they come before each key frame. */
const TABLES_EVERY_MS = 500;

/**
 * A stream as MPEG-TS. Tables stand before every frame that a player may begin with, and before the first one of other
 * tracks, so that nothing has to be said to a player that comes or goes on, except where each frame is a beginning.
 */
export class TsEncoder implements FrameEncoder {
  readonly id = 'ts';
  readonly #source: EncoderSource;
  readonly #onLeftOut: OnLeftOut;
  readonly #leftOut: LeftOut;
  readonly #muxer = new TsMuxer([]);
  #tracks: readonly Track[] = [];
  #hasVideo = false;
  /** Whether there is a track at all that MPEG-TS carries: without, not even tables are worth sending. */
  #carries = false;
  #tablesAtMs = -Infinity;

  /** Without a source it encodes nothing: every output has its own, see `forOutput`. */
  constructor(onLeftOut: OnLeftOut, source: EncoderSource = { tracks: [] }) {
    this.#onLeftOut = onLeftOut;
    this.#leftOut = new LeftOut(onLeftOut);
    this.#source = source;
  }

  forOutput(source: EncoderSource): FrameEncoder {
    return new TsEncoder(this.#onLeftOut, source);
  }

  header(): Buffer {
    return this.#carries && !this.#hasVideo ? this.#muxer.lastTables() : EMPTY;
  }

  config(): Buffer {
    return EMPTY;
  }

  metadata(): Buffer {
    return EMPTY;
  }

  encode(frame: Frame): Buffer {
    const isOther = this.#source.tracks !== this.#tracks && this.#follow(this.#source.tracks);
    if (!this.#carries) return EMPTY;
    const packets = this.#packets(frame);
    if (!isOther && !this.#isBeginning(frame)) return packets;
    this.#tablesAtMs = frame.dtsMs;
    return Buffer.concat([this.#muxer.tables(), packets]);
  }

  #packets(frame: Frame): Buffer {
    try {
      return this.#muxer.frame(frame);
    } catch (error) {
      this.#leftOut.add(error);
      return EMPTY;
    }
  }

  /** Takes the tracks; whether they are other ones. */
  #follow(tracks: readonly Track[]): boolean {
    const before = this.#tracks;
    this.#tracks = tracks;
    if (tracks.length === before.length && tracks.every((track, index) => track === before[index])) return false;
    this.#muxer.setTracks(tracks);
    this.#carries = tracks.some((track) => TsMuxer.carries(track));
    this.#hasVideo = tracks.some(({ kind }) => kind === 'video');
    return true;
  }

  #isBeginning({ track, isKey, dtsMs }: Frame): boolean {
    if (this.#hasVideo) return track.kind === 'video' && isKey;
    // Backwards: another publisher, where times are the publishers' own.
    return dtsMs >= this.#tablesAtMs + TABLES_EVERY_MS || dtsMs < this.#tablesAtMs;
  }
}
