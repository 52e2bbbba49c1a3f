import { Adts } from '../../formats/adts.ts';
import { EMPTY } from '../../lib/bytes.ts';
import type { Frame } from '../../media/frame.ts';
import type { AudioTrack, Track } from '../../media/track.ts';
import type { FrameEncoder } from '../../stream/frame-encoder.ts';
import type { OnLeftOut } from './left-out.ts';
import { LeftOut } from './left-out.ts';

/** A stream's AAC as ADTS frames: each says how it is decoded, so there is no header. */
export class AacEncoder implements FrameEncoder {
  readonly id = 'aac';
  readonly #onLeftOut: OnLeftOut;
  readonly #leftOut: LeftOut;
  #track: Track | undefined;
  #adts: Adts | undefined;

  constructor(onLeftOut: OnLeftOut) {
    this.#onLeftOut = onLeftOut;
    this.#leftOut = new LeftOut(onLeftOut);
  }

  /** It keeps what it read of the configuration last. */
  forOutput(): FrameEncoder {
    return new AacEncoder(this.#onLeftOut);
  }

  header(): Buffer {
    return EMPTY;
  }

  config(): Buffer {
    return EMPTY;
  }

  metadata(): Buffer {
    return EMPTY;
  }

  encode({ track, data }: Frame): Buffer {
    if (track.codec !== 'aac' || data.length === 0) return EMPTY;
    try {
      return this.#of(track).frame(data);
    } catch (error) {
      this.#leftOut.add(error);
      return EMPTY;
    }
  }

  #of(track: AudioTrack): Adts {
    if (this.#adts === undefined || this.#track !== track) {
      this.#track = track;
      this.#adts = undefined;
      this.#adts = new Adts(track);
    }
    return this.#adts;
  }
}

/** A stream's MP3 frames as they are. */
export const MP3_ENCODER: FrameEncoder = {
  id: 'mp3',
  header: () => EMPTY,
  config: () => EMPTY,
  metadata: () => EMPTY,
  encode: ({ track, data }) => (track.codec === 'mp3' ? data : EMPTY),
};
