import type { ChunkReaderLimits } from '../../formats/rtmp-chunk-reader.ts';
import { DEFAULT_CHUNK_READER_LIMITS } from '../../formats/rtmp-chunk-reader.ts';

/** What one connection may make this node keep for it; docs/limits.md has the sums. */
export interface ConnectionBounds {
  /** Unfinished input. */
  readonly input: ChunkReaderLimits;
  /** Bytes written and not yet taken by the kernel. */
  readonly maxUnsentBytes: number;
}

/** A client that neither publishes nor plays yet says and hears a few hundred bytes at a time. */
export const SETUP_BOUNDS: ConnectionBounds = {
  input: { maxMessageBytes: 64 * 1024, maxPendingBytes: 64 * 1024, maxChunkStreams: 16 },
  maxUnsentBytes: 256 * 1024,
};

/** A viewer still says little; what it may leave unread is above what its queue may hold. */
export const PLAY_BOUNDS: ConnectionBounds = { input: SETUP_BOUNDS.input, maxUnsentBytes: 24 * 1024 * 1024 };

/** An encoder, or another node in either direction. */
export const MEDIA_BOUNDS: ConnectionBounds = {
  input: DEFAULT_CHUNK_READER_LIMITS,
  maxUnsentBytes: 24 * 1024 * 1024,
};

/** Messages that may wait while a session asks its gate; the socket is paused, so they are those of one read. */
export const MAX_HELD_MESSAGES = 1_024;
