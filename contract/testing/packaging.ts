import fc from 'fast-check';
import { PackagingSnapshot } from '../packaging.ts';
import type { PackagedMedia, PackagedSegment, RenditionName } from '../packaging.ts';

/* Packaging snapshots for tests: one that is easy to read, and any that a packager could make. */

/** What a made-up snapshot is to look like. */
export interface SnapshotShape {
  readonly renditions: readonly RenditionName[];
  /** Of the complete segments, in milliseconds. */
  readonly durationsMs: readonly number[];
  readonly firstSeq?: number;
  readonly partTargetMs?: number | undefined;
  /** Parts of the open segment; low latency alone. */
  readonly openParts?: number;
  readonly isEnded?: boolean;
  /** Numbers of the segments that are gaps, that don't continue, and that have another key or initialization section. */
  readonly gaps?: readonly number[];
  readonly seams?: readonly number[];
  readonly keys?: readonly number[];
  readonly isIndependent?: boolean;
  /** Path without the ending; default `live/s`. */
  readonly stem?: string;
}

/** 2026-01-02T03:04:05Z, the wall clock of the first sample of a shape's first segment. */
export const SNAPSHOT_EPOCH_MS = Date.UTC(2026, 0, 2, 3, 4, 5);

/** A snapshot of a shape, as a packager with the default templates would make it. */
export function snapshotOf(shape: SnapshotShape): PackagingSnapshot {
  const { renditions, durationsMs, firstSeq = 0, partTargetMs, openParts = 0, isEnded = false } = shape;
  const { stem = 'live/s', gaps = [], seams = [], keys = [] } = shape;
  let startMs = 0;
  let init = firstSeq;
  let key = firstSeq;
  let run = { seq: firstSeq, programDateTimeMs: SNAPSHOT_EPOCH_MS, startMs };
  const segment = (seq: number, durationMs: number, complete: boolean): PackagedSegment => {
    if (seams.includes(seq)) {
      init = seq;
      run = { seq, programDateTimeMs: SNAPSHOT_EPOCH_MS + startMs, startMs };
    }
    if (keys.includes(seq)) key = seq;
    const made: PackagedSegment = {
      seq,
      programDateTimeMs: SNAPSHOT_EPOCH_MS + startMs,
      isDiscontinuity: seams.includes(seq),
      run,
      isGap: gaps.includes(seq),
      ...(keys.length > 0 && {
        key: { file: `${stem}-${key}.key`, uri: `${stem}-${key}.key`, iv: seq.toString(16).padStart(32, '0') },
      }),
      media: Object.fromEntries(
        renditions.map((name) => [
          name,
          mediaOf(name, {
            seq,
            stem,
            startMs,
            durationMs,
            init,
            partTargetMs,
            parts: complete ? undefined : openParts,
          }),
        ]),
      ),
    };
    startMs += durationMs;
    return made;
  };
  const segments = durationsMs.map((durationMs, index) => segment(firstSeq + index, durationMs, true));
  const openSeq = firstSeq + durationsMs.length;
  const longestMs = Math.max(1_000, ...durationsMs);
  return PackagingSnapshot.parse({
    version: 1,
    nodeId: 'origin-0',
    revision: 1,
    isEnded,
    targetDurationS: Math.round(longestMs / 1_000),
    ...(partTargetMs !== undefined && { partTargetMs }),
    isIndependent: shape.isIndependent ?? true,
    discontinuitySequence: 0,
    tracks: [
      ...(renditions.some((name) => name !== 'audio') ? [VIDEO_TRACK] : []),
      ...(renditions.some((name) => name !== 'video') ? [AUDIO_TRACK] : []),
    ],
    segments,
    ...(partTargetMs !== undefined && {
      ...(openParts > 0 && { open: segment(openSeq, openParts * partTargetMs, false) }),
      ...(!isEnded && {
        nextPart: Object.fromEntries(renditions.map((name) => [name, `${stem}-${name}-${openSeq}.p${openParts}.m4s`])),
      }),
    }),
  });
}

const VIDEO_TRACK = {
  kind: 'video',
  codecs: 'avc1.64001f',
  peakBitrate: 2_500_000,
  averageBitrate: 2_000_000,
  width: 1280,
  height: 720,
  frameRate: 25,
} as const;
const AUDIO_TRACK = {
  kind: 'audio',
  codecs: 'mp4a.40.2',
  peakBitrate: 130_000,
  averageBitrate: 128_000,
  sampleRate: 48_000,
  channels: 2,
} as const;

interface MediaShape {
  readonly seq: number;
  readonly stem: string;
  readonly startMs: number;
  readonly durationMs: number;
  readonly init: number;
  readonly partTargetMs: number | undefined;
  /** Of an open segment. */
  readonly parts: number | undefined;
}

function mediaOf(name: RenditionName, shape: MediaShape): PackagedMedia {
  const { seq, stem, startMs, durationMs, init, partTargetMs } = shape;
  const file = name === 'ts' ? `${stem}-${seq}.ts` : `${stem}-${name}-${seq}.m4s`;
  const parts = shape.parts ?? (partTargetMs === undefined ? 0 : Math.ceil(durationMs / partTargetMs));
  return {
    file,
    bytes: 10_000,
    startMs,
    durationMs,
    isIndependent: true,
    parts: Array.from({ length: parts }, (_, index) => ({
      file: file.replace(/\.m4s$/, `.p${index}.m4s`),
      bytes: 1_000,
      durationMs: Math.min(partTargetMs ?? 0, durationMs - index * (partTargetMs ?? 0)),
      isIndependent: name === 'audio' || index === 0,
    })),
    ...(name !== 'ts' && { init: { file: `${stem}-${name}-init-${init}.mp4`, bytes: 800 } }),
  };
}

/** Any shape: containers, seams, gaps and keys, with and without low latency, names that need encoding. */
export const anyShape: fc.Arbitrary<SnapshotShape> = fc
  .record({
    container: fc.constantFrom<readonly RenditionName[]>(['ts'], ['video', 'audio'], ['video'], ['audio']),
    durationsMs: fc.array(fc.integer({ min: 500, max: 8_000 }), { maxLength: 30 }),
    firstSeq: fc.oneof(fc.nat(5), fc.constantFrom(1_800_000_000, 2 ** 40)),
    partTargetMs: fc.option(fc.integer({ min: 100, max: 2_000 }), { nil: undefined }),
    openParts: fc.nat(6),
    isEnded: fc.boolean(),
    isIndependent: fc.boolean(),
    marks: fc.array(fc.nat(30), { maxLength: 6 }),
    hasKeys: fc.boolean(),
    stem: fc.constantFrom('live/s', 'live/eu/a b', '라이브/스트림 "1"', 's', 'live/50%, #1?'),
  })
  .map(
    ({ container, marks, hasKeys, partTargetMs, durationsMs, firstSeq, isEnded, isIndependent, stem, openParts }) => {
      const seqs = marks.map((mark) => firstSeq + mark);
      const isLowLatency = partTargetMs !== undefined && !container.includes('ts');
      return {
        renditions: container,
        durationsMs,
        firstSeq,
        isEnded,
        isIndependent,
        stem,
        partTargetMs: isLowLatency ? partTargetMs : undefined,
        openParts: isLowLatency && !isEnded ? openParts : 0,
        gaps: seqs.filter((_, index) => index % 3 === 0),
        seams: seqs.filter((_, index) => index % 3 === 1),
        keys: hasKeys && container.includes('ts') ? [firstSeq, ...seqs.filter((_, index) => index % 3 === 2)] : [],
      };
    },
  );
