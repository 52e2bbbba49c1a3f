/** The chunk size that a connection starts with. RTMP 1.0 §5.4.1. */
export const RTMP_DEFAULT_CHUNK_SIZE = 128;
/** What we announce and send; as SRS does. */
export const RTMP_OUT_CHUNK_SIZE = 60000;
/** The largest chunk size we may be configured to send. */
export const RTMP_MAX_OUT_CHUNK_SIZE = 65536;

/**
 * Encodes one message as chunks into one buffer that any connection with this out chunk size and message stream can send
 * at any message boundary: a type 0 header with the absolute time, then type 3 continuations, each repeating the extended
 * timestamp from 0xFFFFFF ms on (RTMP 1.0 §5.3.1). The payload is `head` followed by `body`, each copied once.
 *
 * @param chunkSize 1 to 65536: what this side announced by Set Chunk Size (128 before)
 * @param timestampMs any non-negative integer; its low 32 bits go out
 * @throws RangeError for a chunk stream outside 2 to 65599, a chunk size out of range, a payload over 0xFFFFFF bytes
 */
export function encodeRtmpMessage(
  chunkSize: number,
  chunkStreamId: number,
  type: number,
  streamId: number,
  timestampMs: number,
  head: Buffer,
  body?: Buffer,
): Buffer {
  void [chunkSize, chunkStreamId, type, streamId, timestampMs, head, body];
  throw new Error('to come');
}
