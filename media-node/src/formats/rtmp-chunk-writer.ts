import { EMPTY, writeU24, writeU32 } from '../lib/bytes.ts';

/** The chunk size that a connection starts with. RTMP 1.0 §5.4.1. */
export const RTMP_DEFAULT_CHUNK_SIZE = 128;
/** What we announce and send; as SRS does. */
export const RTMP_OUT_CHUNK_SIZE = 60000;
/** The largest chunk size we may be configured to send. */
export const RTMP_MAX_OUT_CHUNK_SIZE = 65536;

const EXTENDED = 0xffffff;

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
  body: Buffer = EMPTY,
): Buffer {
  const length = head.length + body.length;
  if (!(chunkSize >= 1 && chunkSize <= RTMP_MAX_OUT_CHUNK_SIZE)) {
    throw new RangeError(`RTMP chunk size ${chunkSize} is not within 1 to ${RTMP_MAX_OUT_CHUNK_SIZE}`);
  }
  if (!(chunkStreamId >= 2 && chunkStreamId <= 65599)) {
    throw new RangeError(`RTMP chunk stream ${chunkStreamId} is not within 2 to 65599`);
  }
  if (length > 0xffffff) throw new RangeError(`RTMP message of ${length} bytes is over 0xFFFFFF`);

  const basicBytes = chunkStreamId < 64 ? 1 : chunkStreamId < 320 ? 2 : 3;
  const time = timestampMs % 0x100000000;
  const extendedBytes = time >= EXTENDED ? 4 : 0;
  const continuations = length === 0 ? 0 : Math.ceil(length / chunkSize) - 1;
  const out = Buffer.allocUnsafe(
    basicBytes + 11 + extendedBytes + length + continuations * (basicBytes + extendedBytes),
  );

  let offset = writeBasicHeader(out, 0, 0, chunkStreamId);
  offset = writeU24(out, extendedBytes > 0 ? EXTENDED : time, offset);
  offset = writeU24(out, length, offset);
  out[offset++] = type;
  offset = out.writeUInt32LE(streamId, offset);
  if (extendedBytes > 0) offset = writeU32(out, time, offset);

  let sent = 0;
  while (true) {
    const end = Math.min(sent + chunkSize, length);
    if (sent < head.length) {
      const count = Math.min(end, head.length) - sent;
      head.copy(out, offset, sent, sent + count);
      offset += count;
      sent += count;
    }
    if (sent < end) {
      body.copy(out, offset, sent - head.length, end - head.length);
      offset += end - sent;
      sent = end;
    }
    if (sent === length) return out;
    offset = writeBasicHeader(out, offset, 3, chunkStreamId);
    if (extendedBytes > 0) offset = writeU32(out, time, offset);
  }
}

function writeBasicHeader(out: Buffer, offset: number, format: number, chunkStreamId: number): number {
  if (chunkStreamId < 64) {
    out[offset] = (format << 6) | chunkStreamId;
    return offset + 1;
  }
  const id = chunkStreamId - 64;
  out[offset + 1] = id;
  if (id < 256) {
    out[offset] = format << 6;
    return offset + 2;
  }
  out[offset] = (format << 6) | 1;
  out[offset + 2] = id >> 8;
  return offset + 3;
}
