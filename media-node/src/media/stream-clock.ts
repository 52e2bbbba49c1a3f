import type { Track } from './track.ts';

/** The time line of one kind of track. */
interface KindClock {
  seen: boolean;
  /** The publisher's last timestamp, 32 bits and unrolled. */
  rawLast: number;
  unrolled: number;
}

/**
 * Turns a publisher's 32-bit millisecond timestamps into times that go on behind the wrap, the same for both kinds of track.
 * The first one is kept as it is. Jumps, steps back and equal times stay what they are, and may lead below 0: whether players
 * get to see them is for the stream's Timeline to say.
 */
export class StreamClock {
  readonly #audio: KindClock = { seen: false, rawLast: 0, unrolled: 0 };
  readonly #video: KindClock = { seen: false, rawLast: 0, unrolled: 0 };

  /** The time of a frame with this unsigned 32-bit timestamp. Call once a frame, in wire order. */
  dtsMs(kind: Track['kind'], timestamp: number): number {
    const own = kind === 'audio' ? this.#audio : this.#video;
    own.unrolled = this.besideMs(kind, timestamp);
    own.rawLast = timestamp;
    own.seen = true;
    return own.unrolled;
  }

  /** The time of a frame of a further track of this kind: it follows the first one, or the other kind. Changes nothing. */
  besideMs(kind: Track['kind'], timestamp: number): number {
    const [same, other] = kind === 'audio' ? [this.#audio, this.#video] : [this.#video, this.#audio];
    const led = same.seen ? same : other;
    return led.seen ? led.unrolled + ((timestamp - led.rawLast) | 0) : timestamp;
  }
}
