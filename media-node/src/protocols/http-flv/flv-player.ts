import type { EndlessBody } from '../../http/endless-body.ts';
import type { FrameEncoder } from '../../stream/frame-encoder.ts';
import type { Player, PlayOptions } from '../../stream/player.ts';
import { FLV_CHUNK_ENCODER, FLV_ENCODER } from './flv-encoder.ts';

/** A viewer by HTTP-FLV: the answer to its request. */
export class FlvPlayer implements Player {
  readonly id: string;
  readonly protocol = 'flv';
  readonly ip: string;
  readonly isRelay = false;
  readonly encoder: FrameEncoder;
  readonly options: PlayOptions;
  /** Why it ended; undefined while it has not, and where the viewer left by itself. */
  endReason: string | undefined;
  readonly #body: EndlessBody;

  constructor(body: EndlessBody, about: Pick<Player, 'id' | 'ip' | 'options'>) {
    this.#body = body;
    this.encoder = body.isChunked ? FLV_CHUNK_ENCODER : FLV_ENCODER;
    this.id = about.id;
    this.ip = about.ip;
    this.options = about.options;
  }

  get writableLength(): number {
    return this.#body.writableLength;
  }

  write(bytes: Buffer): void {
    this.#body.write(bytes);
  }

  close(reason: string): void {
    this.endReason ??= reason;
    this.#body.end();
  }
}
