import type { SegmentWriterOptions } from './segment-writer.ts';
import { ledgerText, MAX_SEGMENTS_BYTES } from './ledger-state.ts';
import { SegmentKeys } from './segment-keys.ts';
import { SegmentList } from './segment-list.ts';
import { SegmentWriter } from './segment-writer.ts';
import { Segmenter } from './segmenter.ts';
import type { Beginning } from './take-over.ts';
import { TrackFigures } from './track-figures.ts';

/** What works on a stream's frames, once it is known which playlist goes on. */
export interface Works {
  readonly list: SegmentList;
  readonly figures: TrackFigures;
  readonly writer: SegmentWriter;
  readonly segmenter: Segmenter;
  readonly keys: SegmentKeys;
  /** Number of the first segment that this node made, in a playlist that it went on with. */
  readonly ownFrom: number | undefined;
  /** Number of the last segment listed; -1 before there is one. */
  lastSeq: number;
}

export interface WorksOptions extends Pick<
  SegmentWriterOptions,
  'stream' | 'settings' | 'files' | 'now' | 'log' | 'onPart' | 'onSegment' | 'onLongGop' | 'onLeftOut'
> {
  readonly fragmentMs: number;
  readonly windowMs: number;
  /** What the cluster's nodes alone know. */
  readonly secret: Buffer;
}

export function buildWorks(beginning: Beginning, options: WorksOptions): Works {
  const { fragmentMs, windowMs, secret, ...rest } = options;
  const { files, stream } = options;
  const keys = new SegmentKeys(secret, stream, beginning.salt);
  const list = new SegmentList(files, windowMs);
  list.targetDurationS = beginning.targetDurationS ?? list.targetDurationS;
  list.discontinuitySequence = beginning.discontinuitySequence;
  for (const segment of beginning.segments) {
    const group = files.group();
    const { key } = segment;
    if (key?.seq !== undefined && beginning.salt !== undefined) {
      group.share(key.file);
      group.add(key.file, keys.key(key.seq), 'small');
    }
    for (const media of [segment.media.ts, segment.media.video, segment.media.audio]) {
      for (const file of [media, media?.init]) if (file !== undefined) group.adopt(file.file, file.bytes);
    }
    list.push(segment, group);
  }
  const figures = new TrackFigures();
  figures.restore(beginning.tracks, beginning.formerTracks);
  const { seq, isContinued, partTargetMs, endMs, targetDurationS } = beginning;
  const writer = new SegmentWriter({ ...rest, list, figures, keys, seq, isContinued, partTargetMs, endMs });
  const segmenter = new Segmenter(writer, { fragmentMs, targetDurationS });
  const ownFrom = isContinued ? seq : undefined;
  return { list, figures, writer, segmenter, keys, ownFrom, lastSeq: seq - 1 };
}

/**
 * The numbers alone, for when the playlist has been disposed of: they go on for long, and a store that is full of what ended
 * would have no room for what lives.
 */
export function numbersTextOf({ list, writer, keys, lastSeq }: Works, nodeId: string, atMs: number): string {
  const listed = list.segments().filter(({ isDiscontinuity }) => isDiscontinuity).length;
  const state = {
    nodeId,
    atMs,
    seq: lastSeq,
    // Nothing is open.
    isLowLatency: false,
    format: '',
    targetDurationS: list.targetDurationS,
    discontinuitySequence: list.discontinuitySequence + listed,
    salt: keys.salt,
    endMs: writer.endMs,
    tracks: [],
  };
  return ledgerText(state, []);
}

/** What the next node needs to go on, for the ledger. */
export function stateTextOf({ list, writer, figures, keys, lastSeq }: Works, nodeId: string, atMs: number): string {
  const { texts, discontinuitySequence } = list.texts(MAX_SEGMENTS_BYTES);
  const { format } = writer.settings;
  const formerTracks = figures.former(list.first?.seq ?? lastSeq);
  return ledgerText(
    {
      nodeId,
      atMs,
      seq: lastSeq,
      isLowLatency: format.partMs !== undefined,
      format: format.id,
      targetDurationS: list.targetDurationS,
      ...(writer.partTargetMs !== undefined && { partTargetMs: writer.partTargetMs }),
      discontinuitySequence,
      salt: keys.salt,
      endMs: writer.endMs,
      tracks: figures.tracks(),
      ...(formerTracks.length > 0 && { formerTracks: [...formerTracks] }),
    },
    texts,
  );
}
