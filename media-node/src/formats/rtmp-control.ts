import { readU32, writeU32 } from '../lib/bytes.ts';
import { FormatError } from '../lib/format-error.ts';

/*
 * Payloads of RTMP's protocol control messages (RTMP 1.0 §5.4) and user control events (§6.2, §7.1.7). They travel on
 * chunk stream 2 and message stream 0.
 */

/** Limit types of Set Peer Bandwidth. */
export const PEER_BANDWIDTH_HARD = 0;
export const PEER_BANDWIDTH_SOFT = 1;
export const PEER_BANDWIDTH_DYNAMIC = 2;

/** User control event types. */
export const USER_STREAM_BEGIN = 0;
export const USER_STREAM_EOF = 1;
export const USER_STREAM_DRY = 2;
export const USER_SET_BUFFER_LENGTH = 3;
export const USER_STREAM_IS_RECORDED = 4;
export const USER_PING_REQUEST = 6;
export const USER_PING_RESPONSE = 7;

/** A user control event. `value` is the stream id, or the ping's timestamp. */
export interface UserControlEvent {
  readonly event: number;
  readonly value: number;
  /** Set Buffer Length only: milliseconds. */
  readonly bufferMs: number;
}

/** Payload of Set Chunk Size, Abort, Acknowledgement and Window Acknowledgement Size: one unsigned 32-bit number. */
export function encodeU32Payload(value: number): Buffer {
  const payload = Buffer.allocUnsafe(4);
  writeU32(payload, value, 0);
  return payload;
}

/** Reads the payload of Abort, Acknowledgement or Window Acknowledgement Size; `what` names it in the error. */
export function decodeU32Payload(payload: Buffer, what: string): number {
  needBytes(payload, 4, what);
  return readU32(payload, 0);
}

/** Reads Set Chunk Size: 1 to 0x7FFFFFFF, else FormatError 'chunk'. */
export function decodeSetChunkSize(payload: Buffer): number {
  const size = decodeU32Payload(payload, 'Set Chunk Size');
  if (size === 0 || size > 0x7fffffff) {
    throw new FormatError('chunk', `RTMP Set Chunk Size of ${size} is not within 1 to 2147483647`);
  }
  return size;
}

/** `limitType` is one of PEER_BANDWIDTH_*. */
export function encodeSetPeerBandwidth(windowBytes: number, limitType: number): Buffer {
  const payload = Buffer.allocUnsafe(5);
  payload[writeU32(payload, windowBytes, 0)] = limitType;
  return payload;
}

/** Throws FormatError 'chunk' for a short payload; the limit type is not judged. */
export function decodeSetPeerBandwidth(payload: Buffer): { readonly windowBytes: number; readonly limitType: number } {
  needBytes(payload, 5, 'Set Peer Bandwidth');
  return { windowBytes: readU32(payload, 0), limitType: payload[4]! };
}

/** `bufferMs` is written for Set Buffer Length alone. */
export function encodeUserControl(event: number, value: number, bufferMs = 0): Buffer {
  const payload = Buffer.allocUnsafe(event === USER_SET_BUFFER_LENGTH ? 10 : 6);
  payload.writeUInt16BE(event, 0);
  const end = writeU32(payload, value, 2);
  if (event === USER_SET_BUFFER_LENGTH) writeU32(payload, bufferMs, end);
  return payload;
}

/** Throws FormatError 'chunk' for a short payload; events no specification names may have one. */
export function decodeUserControl(payload: Buffer): UserControlEvent {
  needBytes(payload, 2, 'User Control');
  const event = payload.readUInt16BE(0);
  if (event <= USER_PING_RESPONSE && event !== 5) {
    needBytes(payload, event === USER_SET_BUFFER_LENGTH ? 10 : 6, `User Control event ${event}`);
  }
  return {
    event,
    value: payload.length >= 6 ? readU32(payload, 2) : 0,
    bufferMs: event === USER_SET_BUFFER_LENGTH ? readU32(payload, 6) : 0,
  };
}

function needBytes(payload: Buffer, count: number, what: string): void {
  if (payload.length < count) {
    throw new FormatError('chunk', `RTMP ${what} has ${payload.length} bytes, ${count} at the least`);
  }
}
