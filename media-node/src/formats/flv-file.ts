import { EMPTY, hex, readU24, readU32, writeU24, writeU32 } from '../lib/bytes.ts';
import { FormatError } from '../lib/format-error.ts';

/** FLV tag types, which are RTMP's message types too. FLV 10.1 §E.4.1. */
export const FLV_TAG_AUDIO = 8;
export const FLV_TAG_VIDEO = 9;
export const FLV_TAG_SCRIPT = 18;

const FILE_HEADER_BYTES = 9;
const TAG_HEADER_BYTES = 11;
const PREVIOUS_TAG_SIZE_BYTES = 4;
const HAS_AUDIO = 4;
const HAS_VIDEO = 1;
/** A DataOffset beyond this is no FLV file: version 1 has 9. */
const MAX_FILE_HEADER_BYTES = 1024;

/** Gets what a file holds, in its order. */
export interface FlvSink {
  onHeader(hasAudio: boolean, hasVideo: boolean): void;
  /** `timestampMs` is unsigned 32-bit; `payload` is the tag's own memory. */
  onTag(type: number, timestampMs: number, payload: Buffer): void;
}

/** What the bytes being gathered are. */
type Part = 'file-header' | 'file-header-rest' | 'tag-header' | 'payload';

/**
 * FLV bytes → tags (FLV 10.1 §E.2 to §E.4); splits anywhere; at most one tag is held. Each payload is copied once, into its
 * own buffer: the caller may reuse the input's memory. PreviousTagSize is not judged, for writers get it wrong.
 */
export class FlvReader {
  readonly #sink: FlvSink;
  readonly #maxTagBytes: number;
  /** File header, or a tag header behind the PreviousTagSize before it. */
  readonly #header = Buffer.alloc(PREVIOUS_TAG_SIZE_BYTES + TAG_HEADER_BYTES);
  #part: Part = 'file-header';
  #target = this.#header;
  #wanted = FILE_HEADER_BYTES;
  #filled = 0;
  #type = 0;
  #timestampMs = 0;
  #stopped = false;
  #error: unknown;

  constructor(sink: FlvSink, maxTagBytes: number = 8 << 20) {
    this.#sink = sink;
    this.#maxTagBytes = maxTagBytes;
  }

  /** Throws FormatError 'flv' or 'message-too-large' or what the sink throws, and the same again on each later call. */
  push(input: Buffer): void {
    if (this.#error !== undefined) throw this.#error;
    try {
      for (let offset = 0; offset < input.length && !this.#stopped;) {
        const count = Math.min(this.#wanted - this.#filled, input.length - offset);
        if (this.#part !== 'file-header-rest') input.copy(this.#target, this.#filled, offset, offset + count);
        this.#filled += count;
        offset += count;
        while (this.#filled === this.#wanted && !this.#stopped) this.#take();
      }
    } catch (error) {
      this.#error = error;
      this.#target = this.#header;
      throw error;
    }
  }

  /** Remaining and later input is ignored. Idempotent. */
  stop(): void {
    this.#stopped = true;
    this.#target = this.#header;
  }

  #want(part: Part, count: number): void {
    this.#part = part;
    this.#wanted = count;
    this.#filled = 0;
  }

  #take(): void {
    switch (this.#part) {
      case 'file-header':
        this.#takeFileHeader();
        break;
      case 'file-header-rest':
        this.#want('tag-header', this.#header.length);
        break;
      case 'tag-header':
        this.#takeTagHeader();
        break;
      case 'payload': {
        const payload = this.#target;
        this.#target = this.#header;
        this.#want('tag-header', this.#header.length);
        this.#sink.onTag(this.#type, this.#timestampMs, payload);
        break;
      }
    }
  }

  #takeFileHeader(): void {
    const header = this.#header;
    if (header.toString('latin1', 0, 3) !== 'FLV' || header[3] !== 1) {
      throw new FormatError('flv', `FLV does not begin with 'FLV' and version 1, but ${header.toString('hex', 0, 4)}`);
    }
    const dataOffset = readU32(header, 5);
    if (dataOffset < FILE_HEADER_BYTES || dataOffset > MAX_FILE_HEADER_BYTES) {
      throw new FormatError('flv', `FLV header says that its data begins at byte ${dataOffset}`);
    }
    const flags = header[4]!;
    if (dataOffset > FILE_HEADER_BYTES) this.#want('file-header-rest', dataOffset - FILE_HEADER_BYTES);
    else this.#want('tag-header', header.length);
    this.#sink.onHeader((flags & HAS_AUDIO) !== 0, (flags & HAS_VIDEO) !== 0);
  }

  #takeTagHeader(): void {
    const tag = this.#header.subarray(PREVIOUS_TAG_SIZE_BYTES);
    const flags = tag[0]!;
    if ((flags & 0x20) !== 0) throw new FormatError('flv', 'FLV tag is encrypted, which is not served');
    if (flags !== FLV_TAG_AUDIO && flags !== FLV_TAG_VIDEO && flags !== FLV_TAG_SCRIPT) {
      throw new FormatError('flv', `FLV tag begins with ${hex(flags)}, which is no tag type`);
    }
    const length = readU24(tag, 1);
    if (length > this.#maxTagBytes) {
      throw new FormatError('message-too-large', `FLV tag has ${length} bytes, over the limit of ${this.#maxTagBytes}`);
    }
    this.#type = flags;
    this.#timestampMs = ((tag[7]! << 24) | readU24(tag, 4)) >>> 0;
    this.#target = Buffer.allocUnsafe(length);
    this.#want('payload', length);
  }
}

/** The file header with the first PreviousTagSize: 13 bytes. */
export function encodeFlvHeader(hasAudio: boolean, hasVideo: boolean): Buffer {
  const header = Buffer.alloc(FILE_HEADER_BYTES + PREVIOUS_TAG_SIZE_BYTES);
  header.write('FLV\x01', 'latin1');
  header[4] = (hasAudio ? HAS_AUDIO : 0) | (hasVideo ? HAS_VIDEO : 0);
  header[8] = FILE_HEADER_BYTES;
  return header;
}

/**
 * One tag and its PreviousTagSize in one buffer; the payload is `head` followed by `body`. The low 32 bits of the time go
 * out. Throws RangeError over 0xFFFFFF bytes.
 */
export function encodeFlvTag(type: number, timestampMs: number, head: Buffer, body: Buffer = EMPTY): Buffer {
  const length = head.length + body.length;
  if (length > 0xffffff) throw new RangeError(`FLV tag of ${length} bytes is over 0xFFFFFF`);
  const tag = Buffer.allocUnsafe(TAG_HEADER_BYTES + length + PREVIOUS_TAG_SIZE_BYTES);
  const time = timestampMs % 0x100000000;
  tag[0] = type;
  writeU24(tag, length, 1);
  writeU24(tag, time, 4);
  tag[7] = time >>> 24;
  writeU24(tag, 0, 8); // StreamID: always 0
  head.copy(tag, TAG_HEADER_BYTES);
  body.copy(tag, TAG_HEADER_BYTES + head.length);
  writeU32(tag, TAG_HEADER_BYTES + length, TAG_HEADER_BYTES + length);
  return tag;
}
