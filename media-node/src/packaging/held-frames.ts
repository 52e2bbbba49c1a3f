import type { Frame } from '../media/frame.ts';
import type { Track } from '../media/track.ts';

const MAX_BYTES = 32 * 1024 * 1024;
const MAX_COUNT = 5_000;

/** What a stream brought, in its order. */
type Held = { readonly frame: Frame } | { readonly tracks: readonly Track[] } | 'seam';

/** Who gets it afterwards. */
export interface HeldListener {
  frame(frame: Frame): void;
  tracks(tracks: readonly Track[]): void;
  seam(): void;
}

/** What comes of a stream before it is known how its packaging begins; bounded. */
export class HeldFrames {
  readonly #held: Held[] = [];
  #bytes = 0;

  /** It has to be given on now. */
  get isFull(): boolean {
    return this.#bytes > MAX_BYTES || this.#held.length > MAX_COUNT;
  }

  add(held: Held): void {
    this.#held.push(held);
    if (typeof held === 'object' && 'frame' in held) this.#bytes += held.frame.data.length;
  }

  replay(listener: HeldListener): void {
    for (const held of this.#held) {
      if (held === 'seam') listener.seam();
      else if ('tracks' in held) listener.tracks(held.tracks);
      else listener.frame(held.frame);
    }
  }
}
