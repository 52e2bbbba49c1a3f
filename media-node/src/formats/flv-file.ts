/** FLV tag types, which are RTMP's message types too. FLV 10.1 §E.4.1. */
export const FLV_TAG_AUDIO = 8;
export const FLV_TAG_VIDEO = 9;
export const FLV_TAG_SCRIPT = 18;

export interface FlvSink {
  onHeader(hasAudio: boolean, hasVideo: boolean): void;
  /** `timestampMs` is unsigned 32-bit; `payload` is the tag's own memory. */
  onTag(type: number, timestampMs: number, payload: Buffer): void;
}

/** FLV bytes → tags (FLV 10.1 §E.2 to §E.4); splits anywhere; at most one tag is held. PreviousTagSize is not judged. */
export class FlvReader {
  constructor(sink: FlvSink, maxTagBytes: number = 8 << 20) {
    void [sink, maxTagBytes];
  }
  /** Throws FormatError 'flv' or 'message-too-large', and again on each later call. */
  push(input: Buffer): void {
    void input;
    throw new Error('to come');
  }
  /** Remaining and later input is ignored. */
  stop(): void {}
}

/** The file header with the first PreviousTagSize: 13 bytes. */
export function encodeFlvHeader(hasAudio: boolean, hasVideo: boolean): Buffer {
  void [hasAudio, hasVideo];
  throw new Error('to come');
}
/** One tag and its PreviousTagSize in one buffer; the payload is `head` followed by `body`. RangeError over 0xFFFFFF bytes. */
export function encodeFlvTag(type: number, timestampMs: number, head: Buffer, body?: Buffer): Buffer {
  void [type, timestampMs, head, body];
  throw new Error('to come');
}
