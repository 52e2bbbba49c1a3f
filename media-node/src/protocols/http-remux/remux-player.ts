import type { Socket } from 'node:net';
import type { EndlessBody } from '../../http/endless-body.ts';
import type { FrameEncoder } from '../../stream/frame-encoder.ts';
import type { Player, PlayOptions } from '../../stream/player.ts';
import type { RemuxFormat, RemuxName } from './remux-format.ts';

/** A viewer of an endless file over HTTP: the answer to its request. */
export class RemuxPlayer implements Player {
  readonly id: string;
  readonly protocol: RemuxName;
  readonly ip: string;
  readonly isRelay = false;
  readonly encoder: FrameEncoder;
  readonly options: PlayOptions;
  /** Why it ended; undefined while it has not, and where the viewer left by itself. */
  endReason: string | undefined;
  readonly #body: EndlessBody;

  constructor(format: RemuxFormat, body: EndlessBody, about: Pick<Player, 'id' | 'ip' | 'options'>) {
    this.#body = body;
    this.protocol = format.name;
    this.encoder = body.isChunked ? format.chunked : format.plain;
    this.id = about.id;
    this.ip = about.ip;
    this.options = about.options;
  }

  get writableLength(): number {
    return this.#body.writableLength;
  }

  get socket(): Socket | undefined {
    return this.#body.socket;
  }

  write(bytes: Buffer): void {
    this.#body.write(bytes);
  }

  close(reason: string): void {
    this.endReason ??= reason;
    this.#body.end();
  }
}
