import type { Socket } from 'node:net';
import type { FrameEncoder } from '../../stream/frame-encoder.ts';
import type { Player, PlayOptions } from '../../stream/player.ts';
import type { RtmpConnection } from './connection.ts';
import type { RtmpForm } from './rtmp-encoder.ts';
import { RtmpEncoder } from './rtmp-encoder.ts';

/** Media goes out on the message stream that createStream always answers, so all players share their bytes. */
export const MEDIA_STREAM_ID = 1;

/** What a viewer wants to get: receiveAudio and receiveVideo. */
export interface Wish {
  readonly audio: boolean;
  readonly video: boolean;
}

export const WISH_ALL: Wish = { audio: true, video: true };

type Only = RtmpForm['only'];

/** The four encoders of players that take one track of a kind, or several. */
function encoders(isMultitrack: boolean): (only: Only) => FrameEncoder {
  const [all, audio, video, none] = ([undefined, 'audio', 'video', 'none'] as const).map((only) => {
    const plain = new RtmpEncoder(MEDIA_STREAM_ID, { only });
    if (!isMultitrack) return plain;
    const multitrack = new RtmpEncoder(MEDIA_STREAM_ID, { only, id: `${plain.id}/multitrack` });
    return new RtmpEncoder(MEDIA_STREAM_ID, { only, multitrack });
  });
  return (only) => (only === undefined ? all! : only === 'audio' ? audio! : only === 'video' ? video! : none!);
}

const PLAIN_ENCODER = encoders(false);
const MULTITRACK_ENCODER = encoders(true);

/** The encoder of a wish: players with the same one share their bytes. `isMultitrack`: the player takes several tracks of a kind. */
export function encoderOf({ audio, video }: Wish, isMultitrack: boolean): FrameEncoder {
  const only = audio ? (video ? undefined : 'audio') : video ? 'video' : 'none';
  return (isMultitrack ? MULTITRACK_ENCODER : PLAIN_ENCODER)(only);
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
    this.encoder = about.encoder ?? PLAIN_ENCODER(undefined);
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
