import type { Track } from './track.ts';

/** One access unit. Read-only once published: every player and cache shares the object and its bytes. */
export interface Frame {
  readonly track: Track;
  /** Decoding time in milliseconds on the stream's own clock; never decreases within a track of one stream. */
  readonly dtsMs: number;
  /** Presentation time in milliseconds; below dtsMs only where an encoder wrote a negative composition offset. */
  readonly ptsMs: number;
  /** Video: a random access point. Audio: always true. */
  readonly isKey: boolean;
  /** The access unit as FLV and MP4 carry it: length-prefixed NAL units, a raw AAC frame, an MP3 frame, an AV1 temporal unit. */
  readonly data: Buffer;
}

/** The stream's metadata (RTMP onMetaData): a flat object of what the encoder said, already decoded. */
export type Metadata = Readonly<Record<string, unknown>>;
