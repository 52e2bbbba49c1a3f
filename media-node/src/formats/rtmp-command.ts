import { EMPTY } from '../lib/bytes.ts';
import { FormatError } from '../lib/format-error.ts';
import { Amf0Decoder, type AmfObject, type AmfValue, encodeAmf0, isAmfObject } from './amf0.ts';
import { RTMP_COMMAND_AMF3, RTMP_DATA_AMF3, type RtmpMessage } from './rtmp-message.ts';

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
 * Reads a command of type 20 (AMF0) or 17 (AMF3: a leading 0, then AMF0 with switches to AMF3). A transaction id that is
 * missing or no number is 0. Throws FormatError 'amf' for a name that is no string.
 */
export function decodeCommand(message: Pick<RtmpMessage, 'type' | 'payload'>): RtmpCommand {
  const decoder = new Amf0Decoder(amf0Part(message.type, message.payload));
  const name = decoder.value();
  if (typeof name !== 'string') {
    throw new FormatError(
      'amf',
      `RTMP command begins with ${name === null ? 'null' : `a ${typeof name}`}, not with a name`,
    );
  }
  const transactionId = decoder.bytesLeft > 0 ? decoder.value() : 0;
  const object = decoder.bytesLeft > 0 ? decoder.value() : undefined;
  const args: AmfValue[] = [];
  while (decoder.bytesLeft > 0) args.push(decoder.value());
  return {
    name,
    transactionId: typeof transactionId === 'number' ? transactionId : 0,
    object: isAmfObject(object) ? object : undefined,
    args,
  };
}

/** The AMF0 of a command or data message: those of AMF3 (17, 15) put a format byte 0 before it, which some leave out. */
export function amf0Part(type: number, payload: Buffer): Buffer {
  if (type !== RTMP_COMMAND_AMF3 && type !== RTMP_DATA_AMF3) return payload;
  if (payload.length === 0) return EMPTY;
  return payload[0] === 0 ? payload.subarray(1) : payload;
}

/** The payload of a command of type 20. `object` is null, undefined or a plain object. */
export function encodeCommand(
  name: string,
  transactionId: number,
  object: unknown,
  ...args: readonly unknown[]
): Buffer {
  return encodeAmf0(name, transactionId, object, ...args);
}
