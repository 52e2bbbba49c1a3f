import type { Logger } from 'pino';
import type { CodecLeftOut } from '#contract/admin-api.ts';
import { carries } from '../formats/fmp4.ts';
import { TsMuxer } from '../formats/mpegts-muxer.ts';
import type { Track } from '../media/track.ts';
import type { PackagingFormat } from './packaging-format.ts';

/** Tells of tracks that segments lack, for what they are written in does not carry their codec. */
export class LeftOutTracks {
  readonly #log: Logger;
  readonly #onLeftOut: (codec: string, detail: CodecLeftOut) => void;
  /** The log has them. */
  readonly #logged = new WeakSet<Track>();

  constructor(log: Logger, onLeftOut: (codec: string, detail: CodecLeftOut) => void) {
    this.#log = log;
    this.#onLeftOut = onLeftOut;
  }

  /** Segments of this format have the track from now on, as far as they carry it; said again, it is logged once. */
  look(track: Track, { hasTs, hasCmaf }: Pick<PackagingFormat, 'hasTs' | 'hasCmaf'>): void {
    const { codec } = track;
    const [isInTs, isInMp4] = [TsMuxer.carries(track), carries(track)];
    const isNowhere = !isInMp4 && (hasCmaf || !isInTs);
    if (!isNowhere && (isInTs || !hasTs)) return;
    this.#onLeftOut(codec, { inMp4: isInMp4 ? 1 : 0 });
    if (this.#logged.has(track)) return;
    this.#logged.add(track);
    if (isNowhere) {
      this.#log.warn({ codec }, 'track left out of segments: they do not carry its codec');
      return;
    }
    this.#log.warn(
      { codec },
      'track left out of segments of MPEG-TS, which does not carry its codec: set hls.container of the Vhost to fmp4, or publish another codec',
    );
  }
}
