import type { Frame, Metadata } from '../media/frame.ts';
import type { Track } from '../media/track.ts';
import { encodeFlvHeader } from '../formats/flv-file.ts';
import { encodeFlvMedia, flvFrame, flvMetadata, flvSequenceHeader } from '../formats/flv-muxer.ts';
import type { Container, Patch } from './container.ts';

/** Fields of onMetaData that belong to the stream as it was sent, not to this file. */
const NOT_OURS = new Set([
  'duration',
  'filesize',
  'lasttimestamp',
  'lastkeyframetimestamp',
  'keyframes',
  'canSeekToEnd',
]);

/** FLV: header, onMetaData, sequence headers, tags. What onMetaData says of the file's length is filled in at the end. */
export class FlvContainer implements Container {
  readonly tracks: readonly Track[];
  readonly #originMs: number;
  readonly #metadata: Metadata;
  readonly #metadataAt: number;
  #units: Buffer[] = [];
  #endMs = 0;
  #lastKeyMs = 0;

  constructor(tracks: readonly Track[], metadata: Metadata | undefined, originMs: number) {
    this.tracks = tracks;
    this.#originMs = originMs;
    this.#metadata = Object.fromEntries(Object.entries(metadata ?? {}).filter(([name]) => !NOT_OURS.has(name)));
    const has = (kind: Track['kind']) => tracks.some((track) => track.kind === kind);
    const header = encodeFlvHeader(has('audio'), has('video'));
    this.#metadataAt = header.length;
    this.#units.push(header, this.#encodeMetadata(0));
    for (const track of tracks) {
      const payload = flvSequenceHeader(track, 0);
      if (payload !== undefined) this.#units.push(encodeFlvMedia(payload));
    }
  }

  get durationMs(): number {
    return this.#endMs;
  }

  frame(frame: Frame): void {
    const dtsMs = frame.dtsMs - this.#originMs;
    if (dtsMs < 0 || !this.tracks.includes(frame.track)) return;
    const moved = { ...frame, dtsMs, ptsMs: frame.ptsMs - this.#originMs };
    this.#units.push(encodeFlvMedia(flvFrame(moved)));
    this.#endMs = Math.max(this.#endMs, dtsMs);
    if (frame.track.kind === 'video' && frame.isKey) this.#lastKeyMs = dtsMs;
  }

  take(): Buffer[] {
    const units = this.#units;
    this.#units = [];
    return units;
  }

  end(): void {
    // Every tag is a unit of its own.
  }

  patch(fileBytes: number): Patch {
    return { position: this.#metadataAt, bytes: this.#encodeMetadata(fileBytes) };
  }

  /** As long whatever the figures are: a number of AMF0 has 8 bytes. */
  #encodeMetadata(fileBytes: number): Buffer {
    const own = {
      duration: this.#endMs / 1_000,
      filesize: fileBytes,
      lasttimestamp: this.#endMs / 1_000,
      lastkeyframetimestamp: this.#lastKeyMs / 1_000,
    };
    return encodeFlvMedia(flvMetadata({ ...own, ...this.#metadata }, 0));
  }
}
