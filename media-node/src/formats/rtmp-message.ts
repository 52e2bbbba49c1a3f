/** RTMP message types. RTMP 1.0 §5.4, §6.2, §7.1. */
export const RTMP_SET_CHUNK_SIZE = 1;
export const RTMP_ABORT = 2;
export const RTMP_ACKNOWLEDGEMENT = 3;
export const RTMP_USER_CONTROL = 4;
export const RTMP_WINDOW_ACK_SIZE = 5;
export const RTMP_SET_PEER_BANDWIDTH = 6;
export const RTMP_AUDIO = 8;
export const RTMP_VIDEO = 9;
export const RTMP_DATA_AMF3 = 15;
export const RTMP_SHARED_OBJECT_AMF3 = 16;
export const RTMP_COMMAND_AMF3 = 17;
export const RTMP_DATA = 18;
export const RTMP_SHARED_OBJECT = 19;
export const RTMP_COMMAND = 20;
export const RTMP_AGGREGATE = 22;

/** Chunk streams we send on: one a kind of message, so that every viewer's bytes are alike. */
export const CSID_CONTROL = 2;
export const CSID_COMMAND = 3;
export const CSID_DATA = 5;
export const CSID_AUDIO = 6;
export const CSID_VIDEO = 7;

/** One whole RTMP message as received. */
export interface RtmpMessage {
  readonly chunkStreamId: number;
  /** One of the RTMP_ constants above, or a value no specification names. */
  readonly type: number;
  /** The message stream: 0 for the connection, else what createStream answered. */
  readonly streamId: number;
  /** Unsigned 32-bit milliseconds, which wrap after 49.7 days. */
  readonly timestampMs: number;
  /** No part of the input, never written again: safe to keep; see ChunkReader.shareMemory. */
  readonly payload: Buffer;
}
