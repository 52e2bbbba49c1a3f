import { readU24 } from '../lib/bytes.ts';
import { FormatError } from '../lib/format-error.ts';
import type { RtmpMessage } from './rtmp-message.ts';

/** Type, length, time, upper byte of time, message stream: an FLV tag's header. */
const HEADER_BYTES = 11;
const BACK_POINTER_BYTES = 4;

/**
 * Splits an aggregate message (type 22, RTMP 1.0 §7.1.6) into its audio, video and data messages, with times moved so that
 * the first has the aggregate's own. Payloads share the aggregate's memory. The back pointers are not judged, and the last
 * one may be missing. Throws FormatError 'chunk' for a part that goes beyond the end.
 */
export function splitAggregate(aggregate: RtmpMessage, onMessage: (message: RtmpMessage) => void): void {
  const { payload } = aggregate;
  let shift: number | undefined;
  let offset = 0;
  while (offset < payload.length) {
    const start = offset + HEADER_BYTES;
    const end = start <= payload.length ? start + readU24(payload, offset + 1) : Infinity;
    if (end > payload.length) {
      throw new FormatError(
        'chunk',
        `RTMP aggregate of ${payload.length} bytes ends within the part at byte ${offset}`,
      );
    }
    const timestamp = ((payload[offset + 7]! << 24) | readU24(payload, offset + 4)) >>> 0;
    shift ??= aggregate.timestampMs - timestamp;
    onMessage({
      chunkStreamId: aggregate.chunkStreamId,
      type: payload[offset]!,
      streamId: aggregate.streamId,
      timestampMs: (timestamp + shift) >>> 0,
      payload: payload.subarray(start, end),
    });
    offset = end + BACK_POINTER_BYTES;
  }
}
