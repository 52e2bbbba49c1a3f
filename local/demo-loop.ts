import { readFileSync } from 'node:fs';
import { FLV_TAG_AUDIO, FLV_TAG_SCRIPT, FLV_TAG_VIDEO, FlvReader } from '../media-node/src/formats/flv-file.ts';

/** One message of the loop, ready for RTMP: its type is the FLV tag's, its payload the tag's body. */
export interface LoopTag {
  readonly type: number;
  /** Milliseconds from the loop's begin. */
  readonly atMs: number;
  readonly payload: Buffer;
}

export interface DemoLoop {
  /** Metadata and decoder configurations: once, before all else. */
  readonly headers: readonly LoopTag[];
  /** In order of time; the loop begins with a key frame. */
  readonly frames: readonly LoopTag[];
  /** After this time the loop begins again. */
  readonly lengthMs: number;
}

/** The test picture and tone; demo.sh makes it. */
export const DEMO_FILE = new URL('demo.flv', import.meta.url);

/** Reads an FLV file as a loop. Throws FormatError for what is no FLV, Error for one without video. */
export function readLoop(file: URL | string = DEMO_FILE): DemoLoop {
  const tags: LoopTag[] = [];
  const reader = new FlvReader({
    onHeader: () => undefined,
    onTag: (type, timestampMs, payload) => void tags.push({ type, atMs: timestampMs, payload }),
  });
  reader.push(readFileSync(file));
  const isHeader = (tag: LoopTag) => tag.type === FLV_TAG_SCRIPT || isSequenceHeader(tag);
  const media = tags.filter((tag) => !isHeader(tag) && !isEndOfSequence(tag));
  const video = media.filter(({ type }) => type === FLV_TAG_VIDEO);
  const first = video[0];
  const last = video.at(-1);
  if (first === undefined || last === undefined || video.length < 2)
    throw new Error(`${String(file)} has no video to loop`);
  // The last frame is shown as long as the others are on average, so the loop's length is exact.
  const lengthMs = Math.round(((last.atMs - first.atMs) * video.length) / (video.length - 1));
  return {
    headers: tags.filter(isHeader).map(({ type, payload }) => ({ type, payload, atMs: 0 })),
    // Audio outside the picture's time is the encoder's run-in and run-out; played again it would be heard as a seam.
    frames: media
      .map(({ type, payload, atMs }) => ({ type, payload, atMs: atMs - first.atMs }))
      .filter(({ atMs }) => atMs >= 0 && atMs < lengthMs)
      .sort((a, b) => a.atMs - b.atMs),
    lengthMs,
  };
}

/** AVC or AAC decoder configuration. FLV 10.1 §E.4.2.2, §E.4.3.2. */
function isSequenceHeader({ type, payload }: LoopTag): boolean {
  const codec = payload[0] ?? 0;
  if (type === FLV_TAG_VIDEO) return (codec & 0x0f) === 7 && payload[1] === 0;
  return type === FLV_TAG_AUDIO && codec >> 4 === 10 && payload[1] === 0;
}

/** AVC end of sequence: the loop has none. */
function isEndOfSequence({ type, payload }: LoopTag): boolean {
  return type === FLV_TAG_VIDEO && ((payload[0] ?? 0) & 0x0f) === 7 && payload[1] === 2;
}
