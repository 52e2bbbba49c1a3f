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
  void value;
  throw new Error('to come');
}
/** Reads the payload of Abort, Acknowledgement or Window Acknowledgement Size; `what` names it in the error. */
export function decodeU32Payload(payload: Buffer, what: string): number {
  void [payload, what];
  throw new Error('to come');
}
/** Reads Set Chunk Size: 1 to 0x7FFFFFFF, else FormatError. */
export function decodeSetChunkSize(payload: Buffer): number {
  void payload;
  throw new Error('to come');
}
export function encodeSetPeerBandwidth(windowBytes: number, limitType: number): Buffer {
  void [windowBytes, limitType];
  throw new Error('to come');
}
export function decodeSetPeerBandwidth(payload: Buffer): { readonly windowBytes: number; readonly limitType: number } {
  void payload;
  throw new Error('to come');
}
/** `bufferMs` is written for Set Buffer Length alone. */
export function encodeUserControl(event: number, value: number, bufferMs?: number): Buffer {
  void [event, value, bufferMs];
  throw new Error('to come');
}
/** Unknown events are returned with value 0 where the payload is short. */
export function decodeUserControl(payload: Buffer): UserControlEvent {
  void payload;
  throw new Error('to come');
}
