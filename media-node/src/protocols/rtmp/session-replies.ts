import type { AmfObject } from '../../formats/amf0.ts';
import { encodeCommand } from '../../formats/rtmp-command.ts';
import { encodeUserControl } from '../../formats/rtmp-control.ts';
import { RTMP_USER_CONTROL } from '../../formats/rtmp-message.ts';
import type { RtmpConnection } from './connection.ts';
import { MEDIA_STREAM_ID } from './rtmp-player.ts';

/** What a server tells a client, in RTMP's words (RTMP 1.0 §7.2). */
export class SessionReplies {
  readonly #connection: RtmpConnection;

  constructor(connection: RtmpConnection) {
    this.#connection = connection;
  }

  /** Answers a call. */
  result(transactionId: number, object: unknown, ...args: readonly unknown[]): void {
    this.#connection.command(0, encodeCommand('_result', transactionId, object, ...args));
  }

  /** Answers a call that cannot be done, on the message stream that it came on. */
  error(transactionId: number, info: AmfObject, streamId = 0): void {
    this.#connection.command(streamId, encodeCommand('_error', transactionId, null, info));
  }

  /** Tells of the stream. */
  status(info: AmfObject): void {
    this.call('onStatus', info);
  }

  /** Calls the client, on the message stream of the media unless it is 0, and awaits no answer. */
  call(name: string, info: AmfObject, streamId = MEDIA_STREAM_ID): void {
    this.#connection.command(streamId, encodeCommand(name, 0, null, info));
  }

  /** A user control event about the message stream of the media. */
  userControl(event: number): void {
    this.#connection.control(RTMP_USER_CONTROL, encodeUserControl(event, MEDIA_STREAM_ID));
  }
}

/** An information object. */
export function status(level: 'status' | 'error', code: string, description: string): AmfObject {
  return { level, code, description };
}
