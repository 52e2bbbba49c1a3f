import type { PackagingSnapshot } from '#contract/packaging.ts';
import type { SegmentKeys } from './segment-keys.ts';
import type { SegmentList } from './segment-list.ts';
import type { SegmentWriter } from './segment-writer.ts';
import type { TrackFigures } from './track-figures.ts';

/** What a snapshot is made of. */
export interface SnapshotSources {
  readonly list: SegmentList;
  readonly figures: TrackFigures;
  readonly writer: SegmentWriter;
  readonly keys: SegmentKeys;
  readonly ownFrom: number | undefined;
}

/** The snapshot of now; `before` where there is nothing to list for a moment, because another format begins. */
export function renderSnapshot(
  { list, figures, writer, keys, ownFrom }: SnapshotSources,
  present: Pick<PackagingSnapshot, 'nodeId' | 'revision' | 'isEnded'>,
  before: PackagingSnapshot | undefined,
): PackagingSnapshot | undefined {
  const open = present.isEnded ? undefined : writer.open();
  // Parts alone are no list to go on with: players take it for an empty one.
  const isListed = before !== undefined && !before.isEnded && before.segments.length > 0;
  if (list.length === 0 && (open === undefined || isListed)) {
    if (!present.isEnded || before === undefined) return before;
    const { open: _, nextPart: __, ...rest } = before;
    return { ...rest, ...present };
  }
  const { partTargetMs } = writer;
  const isOpenIndependent = [open?.media.video, open?.media.audio].every((media) => media?.isIndependent ?? true);
  const formerTracks = figures.former(list.first?.seq ?? open?.seq ?? 0);
  const nextPart = present.isEnded ? undefined : writer.nextParts();
  return {
    version: 1,
    ...present,
    targetDurationS: list.targetDurationS,
    ...(partTargetMs !== undefined && { partTargetMs }),
    isIndependent: list.isIndependent && isOpenIndependent,
    discontinuitySequence: list.discontinuitySequence,
    tracks: figures.tracks(),
    ...(formerTracks.length > 0 && { formerTracks: [...formerTracks] }),
    segments: list.segments(),
    ...(ownFrom !== undefined && (list.first?.seq ?? ownFrom) < ownFrom && { ownFrom }),
    ...(open !== undefined && { open }),
    ...(nextPart !== undefined && { nextPart }),
    lineage: { format: writer.settings.format.id, salt: keys.salt },
  };
}
