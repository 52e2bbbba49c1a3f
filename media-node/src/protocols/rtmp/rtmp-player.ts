import type { Socket } from 'node:net';
import type { FrameEncoder } from '../../stream/frame-encoder.ts';
import type { Player, PlayOptions } from '../../stream/player.ts';
import type { RtmpConnection } from './connection.ts';
import { RtmpEncoder } from './rtmp-encoder.ts';

/** Media goes out on the message stream that createStream always answers, so all players share their bytes. */
export const MEDIA_STREAM_ID = 1;
const MEDIA_ENCODER = new RtmpEncoder(MEDIA_STREAM_ID);
const AUDIO_ENCODER = new RtmpEncoder(MEDIA_STREAM_ID, 'audio');
const VIDEO_ENCODER = new RtmpEncoder(MEDIA_STREAM_ID, 'video');
const NO_ENCODER = new RtmpEncoder(MEDIA_STREAM_ID, 'none');

/** What a viewer wants to get: receiveAudio and receiveVideo. */
export interface Wish {
  readonly audio: boolean;
  readonly video: boolean;
}

export const WISH_ALL: Wish = { audio: true, video: true };

/** The encoder of a wish: players with the same one share their bytes. */
export function encoderOf({ audio, video }: Wish): FrameEncoder {
  if (audio && video) return MEDIA_ENCODER;
  if (audio) return AUDIO_ENCODER;
  return video ? VIDEO_ENCODER : NO_ENCODER;
}

/**
 * For other nodes: they begin with the cache, so that one that comes again misses nothing, and nothing is skipped lightly,
 * for every viewer behind the link would see it.
 */
export const RELAY_PLAY_OPTIONS: PlayOptions = { gopCache: true, queueLengthMs: 30_000 };

/** A player behind an RTMP connection: a viewer of ours, or another node that we publish to or that plays from us. */
export class RtmpPlayer implements Player {
  readonly id: string;
  readonly protocol = 'rtmp';
  readonly ip: string;
  readonly isRelay: boolean;
  readonly encoder: FrameEncoder;
  readonly options: PlayOptions;
  readonly #connection: RtmpConnection;
  readonly #close: (reason: string) => void;

  constructor(
    connection: RtmpConnection,
    about: Pick<Player, 'id' | 'ip' | 'isRelay' | 'options'> & { readonly encoder?: FrameEncoder },
    close: (reason: string) => void,
  ) {
    this.#connection = connection;
    this.id = about.id;
    this.ip = about.ip;
    this.isRelay = about.isRelay;
    this.options = about.options;
    this.encoder = about.encoder ?? MEDIA_ENCODER;
    this.#close = close;
  }

  get writableLength(): number {
    return this.#connection.writableLength;
  }

  get socket(): Socket | undefined {
    return this.#connection.isOpen ? this.#connection.socket : undefined;
  }

  write(bytes: Buffer): void {
    this.#connection.write(bytes);
  }

  close(reason: string): void {
    this.#close(reason);
  }
}
