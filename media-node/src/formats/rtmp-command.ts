import type { AmfObject, AmfValue } from './amf0.ts';
import type { RtmpMessage } from './rtmp-message.ts';

/** A command message (RTMP 1.0 §7.1.1). */
export interface RtmpCommand {
  readonly name: string;
  readonly transactionId: number;
  /** The command object; undefined where the peer sent null or something else. */
  readonly object: AmfObject | undefined;
  /** What follows the command object, such as play's stream name. */
  readonly args: readonly AmfValue[];
}
/**
 * Reads a command of type 20 (AMF0) or 17 (AMF3: a leading 0, then AMF0 with switches to AMF3). A missing transaction id
 * is 0. Throws FormatError 'amf' for a name that is no string.
 */
export function decodeCommand(message: RtmpMessage): RtmpCommand {
  void message;
  throw new Error('to come');
}
/** The payload of a command of type 20. `object` is null, undefined or a plain object. */
export function encodeCommand(
  name: string,
  transactionId: number,
  object: unknown,
  ...args: readonly unknown[]
): Buffer {
  void [name, transactionId, object, args];
  throw new Error('to come');
}
