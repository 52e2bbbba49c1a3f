import type { RtmpMessage } from './rtmp-message.ts';

/** Bounds on one connection's unfinished input. */
export interface ChunkReaderLimits {
  /** Largest message in bytes; a longer one is refused at its header. */
  readonly maxMessageBytes: number;
  /** Largest sum of the unfinished messages of all chunk streams. */
  readonly maxPendingBytes: number;
  /** How many chunk streams a peer may use. */
  readonly maxChunkStreams: number;
}

export const DEFAULT_CHUNK_READER_LIMITS: ChunkReaderLimits = {
  maxMessageBytes: 8 << 20,
  maxPendingBytes: 12 << 20,
  maxChunkStreams: 64,
};

/**
 * RTMP chunks → messages (RTMP 1.0 §5.3). Set Chunk Size and Abort take effect here, at their place in the input, and are
 * handed on all the same. Payload is copied once, from the input into the message's own buffer: the caller may reuse the
 * input's memory after push returns. After an error the reader is dead: push throws the same error again.
 */
export class ChunkReader {
  constructor(onMessage: (message: RtmpMessage) => void, limits: ChunkReaderLimits = DEFAULT_CHUNK_READER_LIMITS) {
    void onMessage;
    void limits;
  }

  /** Largest chunk payload the peer sends now; 128 until its Set Chunk Size. */
  get chunkSize(): number {
    return 128;
  }

  /** All bytes pushed so far, for acknowledgements (§5.4.3); a plain number, take `>>> 0` for the wire. */
  get bytesReceived(): number {
    return 0;
  }

  /** Takes the next bytes from the socket and calls onMessage for each message they complete. Throws FormatError. */
  push(input: Buffer): void {
    void input;
    throw new Error('to come');
  }

  /** Drops all state; later and remaining input is ignored. For a session that closes within onMessage. Idempotent. */
  stop(): void {}
}
