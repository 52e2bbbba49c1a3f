import { EMPTY, readU24, readU32 } from '../lib/bytes.ts';
import { FormatError } from '../lib/format-error.ts';
import { decodeSetChunkSize, decodeU32Payload } from './rtmp-control.ts';
import { RTMP_ABORT, RTMP_SET_CHUNK_SIZE, type RtmpMessage } from './rtmp-message.ts';

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
 * Payloads of up to a quarter of it stand one behind the other in one piece of memory: Node pays for pieces, and for each
 * of them again when it collects garbage. Frames live and die in the order they came in, so little is held in vain.
 */
const SLAB_BYTES = 128 * 1024;

/** The longest chunk header: basic 3, message 11, extended timestamp 4. */
const MAX_HEADER_BYTES = 18;
const MESSAGE_HEADER_BYTES = [11, 7, 3, 0];
const EXTENDED = 0xffffff;

/** What a chunk stream remembers between its chunks. */
interface ChunkStream {
  readonly id: number;
  /** The current message's absolute time. */
  timestampMs: number;
  /** The last timestamp field as sent: an absolute time or a delta, unsigned 32-bit. */
  field: number;
  /** The last field went into an extended timestamp. */
  extended: boolean;
  length: number;
  type: number;
  streamId: number;
  /** The message being filled; undefined between messages. */
  payload: Buffer | undefined;
  filled: number;
}

/**
 * RTMP chunks → messages (RTMP 1.0 §5.3). Set Chunk Size and Abort take effect here, at their place in the input, and are
 * handed on all the same. Payload is copied once, from the input into the message's own buffer: the caller may reuse the
 * input's memory after push returns. After an error the reader is dead: push throws the same error again.
 */
export class ChunkReader {
  readonly #onMessage: (message: RtmpMessage) => void;
  readonly #streams = new Map<number, ChunkStream>();
  /** A header that the input ended within. */
  readonly #carry = Buffer.alloc(MAX_HEADER_BYTES);
  #carried = 0;
  #limits: ChunkReaderLimits;
  #chunkSize = 128;
  #bytesReceived = 0;
  #pendingBytes = 0;
  /** The chunk whose payload comes next. */
  #current: ChunkStream | undefined;
  #chunkLeft = 0;
  #stopped = false;
  #error: unknown;
  /** The piece of memory that payloads share; undefined where each has its own. */
  #slab: Buffer | undefined;
  #slabUsed = 0;

  constructor(onMessage: (message: RtmpMessage) => void, limits: ChunkReaderLimits = DEFAULT_CHUNK_READER_LIMITS) {
    this.#onMessage = onMessage;
    this.#limits = limits;
  }

  /** Largest chunk payload the peer sends now; 128 until its Set Chunk Size. */
  get chunkSize(): number {
    return this.#chunkSize;
  }

  /** All bytes pushed so far, for acknowledgements (§5.4.3); a plain number, take `>>> 0` for the wire. */
  get bytesReceived(): number {
    return this.#bytesReceived;
  }

  /** Puts other bounds in force for what comes from now on; a session has small ones until it may publish. */
  setLimits(limits: ChunkReaderLimits): void {
    this.#limits = limits;
  }

  /**
   * From now on payloads share memory with those before and after them: for a connection that carries media. Who keeps
   * one for long copies it.
   */
  shareMemory(): void {
    this.#slab ??= EMPTY;
  }

  /**
   * Takes the next bytes from the socket and calls onMessage for each message they complete. Throws FormatError 'chunk'
   * or 'message-too-large', and whatever onMessage throws.
   */
  push(input: Buffer): void {
    if (this.#error !== undefined) throw this.#error;
    if (this.#stopped) return;
    this.#bytesReceived += input.length;
    try {
      this.#read(input);
    } catch (error) {
      this.#error = error;
      this.#release();
      throw error;
    }
  }

  /** Drops all state; later and remaining input is ignored. For a session that closes within onMessage. Idempotent. */
  stop(): void {
    this.#stopped = true;
    this.#release();
  }

  #release(): void {
    this.#streams.clear();
    this.#current = undefined;
    this.#slab = undefined;
    this.#pendingBytes = 0;
  }

  #read(input: Buffer): void {
    let offset = 0;
    while (offset < input.length && !this.#stopped) {
      if (this.#current !== undefined) {
        offset = this.#readPayload(this.#current, input, offset);
      } else if (this.#carried === 0 && input.length - offset >= MAX_HEADER_BYTES) {
        offset += this.#readHeader(input, offset, input.length);
      } else {
        offset = this.#readSplitHeader(input, offset);
      }
    }
  }

  /** Takes a header of which a part may stand in the carry, and the input may not hold the rest. */
  #readSplitHeader(input: Buffer, offset: number): number {
    const carried = this.#carried;
    const available = carried + input.copy(this.#carry, carried, offset);
    this.#carried = 0;
    const used = this.#readHeader(this.#carry, 0, available);
    if (used === 0) {
      this.#carried = available;
      return input.length;
    }
    if (used < carried) {
      // The bytes looked at for an extended timestamp were payload after all.
      this.#read(Buffer.from(this.#carry.subarray(used, carried)));
      return offset;
    }
    return offset + used - carried;
  }

  /** Reads the chunk header at `start`. Returns its length, or 0 where more bytes are needed; until then nothing changes. */
  #readHeader(bytes: Buffer, start: number, end: number): number {
    const first = bytes[start]!;
    const format = first >> 6;
    let id = first & 0x3f;
    let offset = start + (id < 2 ? 2 + id : 1);
    const fieldsEnd = offset + MESSAGE_HEADER_BYTES[format]!;
    if (fieldsEnd > end) return 0;
    if (id === 0) id = 64 + bytes[start + 1]!;
    else if (id === 1) id = 64 + bytes[start + 1]! + bytes[start + 2]! * 256;

    const known = this.#streams.get(id);
    if (format === 3) {
      if (known === undefined) throw new FormatError('chunk', `RTMP chunk stream ${id} begins with a type 3 header`);
      if (known.extended) {
        const repeated = repeatsTimestamp(known, bytes, offset, end);
        if (repeated === undefined) return 0;
        if (repeated) offset += 4;
      }
      if (known.payload === undefined) {
        known.timestampMs = (known.timestampMs + known.field) >>> 0;
        this.#beginMessage(known);
      }
      this.#beginChunk(known);
      return offset - start;
    }

    if (known?.payload !== undefined) {
      throw new FormatError(
        'chunk',
        `RTMP chunk stream ${id} has a type ${format} header at byte ${known.filled} of a message of ${known.length}: ` +
          'the rest must come in type 3 chunks',
      );
    }
    let field = readU24(bytes, offset);
    const extended = field === EXTENDED;
    if (extended) {
      if (fieldsEnd + 4 > end) return 0;
      field = readU32(bytes, fieldsEnd);
    }
    const chunkStream = known ?? this.#addStream(id, format);
    chunkStream.field = field;
    chunkStream.extended = extended;
    chunkStream.timestampMs = format === 0 ? field : (chunkStream.timestampMs + field) >>> 0;
    if (format < 2) {
      chunkStream.length = readU24(bytes, offset + 3);
      chunkStream.type = bytes[offset + 6]!;
      if (format === 0) chunkStream.streamId = bytes.readUInt32LE(offset + 7);
    }
    this.#beginMessage(chunkStream);
    this.#beginChunk(chunkStream);
    return fieldsEnd + (extended ? 4 : 0) - start;
  }

  #addStream(id: number, format: number): ChunkStream {
    // A type 1 header tells all but the message stream; librtmp begins its control stream so.
    if (format > 1) throw new FormatError('chunk', `RTMP chunk stream ${id} begins with a type ${format} header`);
    if (this.#streams.size >= this.#limits.maxChunkStreams) {
      throw new FormatError('chunk', `RTMP peer uses over ${this.#limits.maxChunkStreams} chunk streams`);
    }
    const chunkStream: ChunkStream = {
      id,
      timestampMs: 0,
      field: 0,
      extended: false,
      length: 0,
      type: 0,
      streamId: 0,
      payload: undefined,
      filled: 0,
    };
    this.#streams.set(id, chunkStream);
    return chunkStream;
  }

  #beginMessage(chunkStream: ChunkStream): void {
    const { length } = chunkStream;
    if (length > this.#limits.maxMessageBytes) {
      throw new FormatError(
        'message-too-large',
        `RTMP message of type ${chunkStream.type} has ${length} bytes, over the limit of ${this.#limits.maxMessageBytes}`,
      );
    }
    if (this.#pendingBytes + length > this.#limits.maxPendingBytes) {
      throw new FormatError(
        'message-too-large',
        `RTMP peer has over ${this.#limits.maxPendingBytes} bytes of unfinished messages on its chunk streams`,
      );
    }
    this.#pendingBytes += length;
    chunkStream.payload = this.#allocate(length);
    chunkStream.filled = 0;
  }

  #allocate(length: number): Buffer {
    if (this.#slab === undefined || length > SLAB_BYTES / 4) return Buffer.allocUnsafe(length);
    if (this.#slabUsed + length > this.#slab.length) {
      this.#slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
      this.#slabUsed = 0;
    }
    const start = this.#slabUsed;
    this.#slabUsed += length;
    return this.#slab.subarray(start, start + length);
  }

  #beginChunk(chunkStream: ChunkStream): void {
    this.#chunkLeft = Math.min(this.#chunkSize, chunkStream.length - chunkStream.filled);
    if (this.#chunkLeft > 0) this.#current = chunkStream;
    else this.#endMessage(chunkStream);
  }

  #readPayload(chunkStream: ChunkStream, input: Buffer, offset: number): number {
    const count = Math.min(this.#chunkLeft, input.length - offset);
    input.copy(chunkStream.payload!, chunkStream.filled, offset, offset + count);
    chunkStream.filled += count;
    this.#chunkLeft -= count;
    if (this.#chunkLeft === 0) {
      this.#current = undefined;
      if (chunkStream.filled === chunkStream.length) this.#endMessage(chunkStream);
    }
    return offset + count;
  }

  #endMessage(chunkStream: ChunkStream): void {
    const payload = chunkStream.payload!;
    chunkStream.payload = undefined;
    this.#pendingBytes -= chunkStream.length;
    if (chunkStream.type === RTMP_SET_CHUNK_SIZE) this.#chunkSize = decodeSetChunkSize(payload);
    else if (chunkStream.type === RTMP_ABORT) this.#abort(decodeU32Payload(payload, 'Abort'));
    this.#onMessage({
      chunkStreamId: chunkStream.id,
      type: chunkStream.type,
      streamId: chunkStream.streamId,
      timestampMs: chunkStream.timestampMs,
      payload,
    });
  }

  #abort(id: number): void {
    const chunkStream = this.#streams.get(id);
    if (chunkStream?.payload === undefined) return;
    this.#pendingBytes -= chunkStream.length;
    chunkStream.payload = undefined;
  }
}

/**
 * Whether a type 3 chunk repeats the extended timestamp, which the specification asks for and not every peer does:
 * the four bytes are it where they equal the field last sent or the message's time. Undefined where too few bytes tell.
 */
function repeatsTimestamp(chunkStream: ChunkStream, bytes: Buffer, offset: number, end: number): boolean | undefined {
  if (offset + 4 <= end) {
    const value = readU32(bytes, offset);
    return value === chunkStream.field || (chunkStream.payload !== undefined && value === chunkStream.timestampMs);
  }
  // A difference in the first bytes already tells: a peer that repeats nothing may have sent all it will send.
  for (const value of [chunkStream.field, chunkStream.timestampMs]) {
    let same = true;
    for (let i = 0; offset + i < end; i++) same &&= bytes[offset + i] === ((value >>> (24 - 8 * i)) & 0xff);
    if (same) return undefined;
  }
  return false;
}
