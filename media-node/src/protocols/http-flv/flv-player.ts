import type { ServerResponse } from 'node:http';
import type { Player, PlayOptions } from '../../stream/player.ts';
import { FLV_ENCODER } from './flv-encoder.ts';

/** How long a viewer that we end may take to read the rest. */
const LINGER_MS = 2_000;

/** A viewer by HTTP-FLV: the answer to its request. */
export class FlvPlayer implements Player {
  readonly id: string;
  readonly protocol = 'flv';
  readonly ip: string;
  readonly isRelay = false;
  readonly encoder = FLV_ENCODER;
  readonly options: PlayOptions;
  /** Why it ended; undefined while it has not, and where the viewer left by itself. */
  endReason: string | undefined;
  readonly #response: ServerResponse;

  constructor(response: ServerResponse, about: Pick<Player, 'id' | 'ip' | 'options'>) {
    this.#response = response;
    this.id = about.id;
    this.ip = about.ip;
    this.options = about.options;
  }

  get writableLength(): number {
    return this.#response.writableLength;
  }

  write(bytes: Buffer): void {
    if (this.endReason === undefined) this.#response.write(bytes);
  }

  close(reason: string): void {
    if (this.endReason !== undefined) return;
    this.endReason = reason;
    const response = this.#response;
    response.end();
    const linger = setTimeout(() => response.destroy(), LINGER_MS);
    response.once('close', () => clearTimeout(linger));
  }
}
