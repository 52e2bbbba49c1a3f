import type { Logger } from 'pino';
import type { CodecLeftOut, KeyFramesTooFar } from '#contract/admin-api.ts';
import type { VhostConfig } from '#contract/node-config.ts';
import type { PackagedMedia, PackagedSegment, PackagingSnapshot } from '#contract/packaging.ts';
import { carries } from '../formats/fmp4.ts';
import { TsMuxer } from '../formats/mpegts-muxer.ts';
import { FormatError } from '../lib/format-error.ts';
import type { Frame } from '../media/frame.ts';
import type { Track } from '../media/track.ts';
import type { StreamKey } from '../stream/stream-key.ts';
import type { FileGroup, StreamFiles } from './file-store.ts';
import { ForcedCuts } from './forced-cuts.ts';
import { LeftOutTracks } from './left-out-tracks.ts';
import type { PackagingFormat } from './packaging-format.ts';
import { partTargetOf } from './part-target.ts';
import type { CmafPart } from './renditions.ts';
import { CmafRendition, TsRendition } from './renditions.ts';
import { encrypt, keySeqOf, keyUri, newIv } from './segment-keys.ts';
import type { SegmentKeys } from './segment-keys.ts';
import type { SegmentList } from './segment-list.ts';
import type { Kind, SegmentBegin, SegmentEnd, SegmentSink, Span } from './segmenter.ts';
import type { TrackFigures } from './track-figures.ts';
import type { VhostPaths } from './vhost-paths.ts';

/** What may change from one segment to the next. */
export interface WriterSettings {
  readonly format: PackagingFormat;
  readonly paths: VhostPaths;
  readonly keys: Pick<VhostConfig['hls']['keys'], 'fragmentsPerKey' | 'keyUrl'>;
}

export interface SegmentWriterOptions {
  readonly stream: StreamKey;
  readonly settings: WriterSettings;
  readonly files: StreamFiles;
  readonly list: SegmentList;
  readonly figures: TrackFigures;
  readonly keys: SegmentKeys;
  /** Number of the first segment; whether it goes on after others in the list. */
  readonly seq: number;
  readonly isContinued: boolean;
  readonly partTargetMs: number | undefined;
  /** The wall clock of no segment is before it. */
  readonly endMs: number;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly log: Logger;
  /** There is another part. */
  readonly onPart: () => void;
  /** There is another complete segment. */
  readonly onSegment: (isForced: boolean) => void;
  /** A GOP was longer than the target duration. */
  readonly onLongGop: (detail: KeyFramesTooFar) => void;
  /** A track of this codec is left out; said again while no track at all is carried. */
  readonly onLeftOut: (codec: string, detail: CodecLeftOut) => void;
}

type Media = PackagingSnapshot['segments'][number]['media'];

/** The segment that is being written. */
interface Open {
  readonly seq: number;
  readonly startMs: number;
  readonly programDateTimeMs: number;
  readonly isDiscontinuity: boolean;
  readonly run: NonNullable<PackagedSegment['run']>;
  readonly group: FileGroup;
  /** Of low latency: parts so far. */
  readonly parts: Record<Kind, PackagedMedia | undefined>;
}

interface Cmaf {
  readonly rendition: CmafRendition;
  readonly init: { readonly file: string; readonly bytes: number };
}

/** Of a segment that is as long as the target duration; a snapshot may have twice as many. */
const MOST_PARTS = 500;

const KINDS = ['video', 'audio'] as const;

/** Turns a Segmenter's cuts into files and a list of segments. */
export class SegmentWriter implements SegmentSink {
  readonly #options: SegmentWriterOptions;
  #settings: WriterSettings;
  #next: WriterSettings | undefined;
  #seq: number;
  #isContinued: boolean;
  #tracks: readonly Track[] = [];
  #ts: TsRendition | undefined;
  readonly #cmaf: Record<Kind, Cmaf | undefined> = { video: undefined, audio: undefined };
  #open: Open | undefined;
  #run: PackagedSegment['run'];
  #key: { readonly seq: number; readonly file: string; readonly uri: string } | undefined;
  /** From the stream's time to wall clock; the same until a discontinuity. */
  #clockMs: number | undefined;
  /** Wall clock at which the last segment ended. */
  endMs: number;
  partTargetMs: number | undefined;
  /** Frames that a muxer could not take. */
  broken = 0;
  readonly #forcedCuts: ForcedCuts;
  readonly #leftOut: LeftOutTracks;

  constructor(options: SegmentWriterOptions) {
    this.#options = options;
    this.#forcedCuts = new ForcedCuts(options.log, options.onLongGop);
    this.#leftOut = new LeftOutTracks(options.log, options.onLeftOut);
    this.#settings = options.settings;
    this.#seq = options.seq;
    this.#isContinued = options.isContinued;
    this.partTargetMs = options.partTargetMs;
    this.endMs = options.endMs;
  }

  get settings(): WriterSettings {
    return this.#settings;
  }

  /** In force from the next segment on. With another format the list begins anew there: the Segmenter has to `restart`. */
  configure(settings: WriterSettings): void {
    this.#next = settings;
  }

  /** Whether the list begins anew with the next segment. */
  get isBeforeOtherFormat(): boolean {
    return this.#next !== undefined && this.#next.format.id !== this.#settings.format.id;
  }

  /** The segment being written, once it has a part. */
  open(): PackagedSegment | undefined {
    const open = this.#open;
    if (open === undefined) return undefined;
    const media: Media = {};
    for (const kind of KINDS) {
      const parts = open.parts[kind];
      if (parts !== undefined) media[kind] = { ...parts, parts: [...parts.parts] };
    }
    if (media.video === undefined && media.audio === undefined) return undefined;
    const { seq, programDateTimeMs, isDiscontinuity, run } = open;
    return { seq, programDateTimeMs, isDiscontinuity, run, isGap: false, media };
  }

  /** Where the next parts will be. */
  nextParts(): PackagingSnapshot['nextPart'] {
    const open = this.#open;
    if (open === undefined || this.partTargetMs === undefined) return undefined;
    const next: NonNullable<PackagingSnapshot['nextPart']> = {};
    for (const kind of KINDS) {
      if (this.#cmaf[kind] === undefined) continue;
      next[kind] = this.#partName(open, kind, open.parts[kind]?.parts.length ?? 0);
    }
    return next;
  }

  onTarget(targetDurationS: number): void {
    const { list, figures } = this.#options;
    list.targetDurationS = targetDurationS;
    const { partMs } = (this.#next ?? this.#settings).format;
    this.partTargetMs = undefined;
    if (partMs === undefined) return;
    const paces = KINDS.map((kind) => this.#cmaf[kind]?.rendition.pace ?? figures.pace(kind));
    const known = paces.filter((each) => each !== undefined);
    const wishedMs = Math.max(partMs, (targetDurationS * 1_000) / MOST_PARTS);
    this.partTargetMs = partTargetOf(wishedMs, known, targetDurationS * 1_000);
    // Where another format begins, its renditions are told when they are made.
    if (this.#next !== undefined && this.#next.format.id !== this.#settings.format.id) return;
    for (const kind of KINDS) this.#cmaf[kind]?.rendition.setPartTarget(this.partTargetMs);
  }

  onBegin({ startMs, tracks, isDiscontinuity }: SegmentBegin): void {
    const { list, files, figures, now } = this.#options;
    const isSeam = isDiscontinuity || this.#isContinued;
    this.#isContinued = false;
    this.#configureNow();
    const wallMs = now();
    if (this.#clockMs === undefined || isSeam) this.#clockMs = Math.max(wallMs, this.endMs) - startMs;
    const programDateTimeMs = startMs + this.#clockMs;
    const seq = this.#seq;
    if (isSeam || this.#run === undefined) this.#run = { seq, programDateTimeMs, startMs: Math.max(0, startMs) };
    const group = files.group();
    const parts: Open['parts'] = { video: undefined, audio: undefined };
    const isFirst = list.length === 0 && seq === this.#options.seq;
    this.#open = { seq, startMs, programDateTimeMs, isDiscontinuity: isSeam && !isFirst, run: this.#run, group, parts };
    if (
      tracks.length !== this.#tracks.length ||
      tracks.some((track) => !this.#tracks.includes(track)) ||
      !this.#hasAny
    ) {
      this.#setTracks(tracks);
      figures.setTracks(
        tracks.filter((track) => this.#carries(track)),
        seq,
      );
    }
    this.#ts?.begin();
    for (const kind of KINDS) {
      const init = this.#cmaf[kind]?.init;
      if (init !== undefined) group.share(init.file);
    }
  }

  onFrame(frame: Frame): void {
    try {
      this.#ts?.frame(frame);
      this.#cmaf[frame.track.kind]?.rendition.frame(frame);
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      if (this.broken++ === 0)
        this.#options.log.warn({ fault: error.message }, 'a frame is left out of segments: it is broken');
    }
  }

  onEnd(end: SegmentEnd): void {
    const { list, onSegment } = this.#options;
    const open = this.#open;
    if (open === undefined) return;
    const media: Media = {};
    const key = this.#ts === undefined ? undefined : this.#endTs(this.#ts, open, end, media);
    for (const kind of KINDS) this.#endCmaf(kind, open, end, media);
    this.#open = undefined;
    if (Object.keys(media).length === 0) {
      open.group.forget();
      return;
    }
    this.#seq += 1;
    this.endMs = open.programDateTimeMs + end.durationMs;
    const { seq, programDateTimeMs, isDiscontinuity, run, group } = open;
    list.push(
      { seq, programDateTimeMs, isDiscontinuity, run, isGap: false, ...(key !== undefined && { key }), media },
      group,
    );
    const { targetDurationS } = list;
    this.#forcedCuts.add(end, { seq, targetDurationS, fragmentMs: this.#settings.format.fragmentMs });
    onSegment(end.isForced);
  }

  get #hasAny(): boolean {
    return this.#ts !== undefined || this.#cmaf.video !== undefined || this.#cmaf.audio !== undefined;
  }

  #carries(track: Track): boolean {
    const { hasTs, hasCmaf } = this.#settings.format;
    return (hasTs && TsMuxer.carries(track)) || (hasCmaf && carries(track));
  }

  #configureNow(): void {
    const next = this.#next;
    if (next === undefined) return;
    this.#next = undefined;
    const isOther = next.format.id !== this.#settings.format.id;
    this.#settings = next;
    if (!isOther) return;
    this.#options.list.clear();
    this.#tracks = [];
    this.#ts = undefined;
    this.#cmaf.video = undefined;
    this.#cmaf.audio = undefined;
    this.#key = undefined;
  }

  #setTracks(tracks: readonly Track[]): void {
    const { hasTs, hasCmaf } = this.#settings.format;
    this.#tracks = tracks;
    for (const track of tracks) this.#leftOut.look(track, this.#settings.format);
    const ofTs = hasTs ? tracks.filter((track) => TsMuxer.carries(track)) : [];
    if (ofTs.length === 0) this.#ts = undefined;
    else if (this.#ts === undefined) this.#ts = new TsRendition(ofTs);
    else this.#ts.setTracks(ofTs);
    for (const kind of KINDS) {
      const track = hasCmaf ? tracks.find((each) => each.kind === kind && carries(each)) : undefined;
      if (this.#cmaf[kind]?.rendition.track !== track) this.#cmaf[kind] = track && this.#newCmaf(track);
    }
  }

  #newCmaf(track: Track): Cmaf | undefined {
    const { format, paths } = this.#settings;
    const { stream, log } = this.#options;
    const open = this.#open;
    if (open === undefined) return undefined;
    try {
      const rendition =
        format.partMs === undefined
          ? new CmafRendition(track)
          : new CmafRendition(track, (_, part) => this.#part(track.kind, part));
      if (this.partTargetMs !== undefined) rendition.setPartTarget(this.partTargetMs);
      const file = paths.init(stream, this.#values(open, track.kind));
      open.group.add(file, rendition.init, 'small');
      return { rendition, init: { file, bytes: rendition.init.length } };
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      log.warn({ codec: track.codec, fault: error.message }, 'track left out of segments: its configuration is broken');
      return undefined;
    }
  }

  #part(kind: Kind, { bytes, startMs, durationMs, isIndependent }: CmafPart): void {
    const open = this.#open;
    if (open === undefined) return;
    let parts = open.parts[kind];
    if (parts === undefined) {
      const file = this.#settings.paths.fmp4Segment(this.#options.stream, this.#values(open, kind));
      const init = this.#cmaf[kind]?.init;
      const base = { file, bytes: 0, startMs: Math.max(0, startMs), durationMs: 0, parts: [], isIndependent };
      parts = init === undefined ? base : { ...base, init };
      open.parts[kind] = parts;
    }
    const file = this.#partName(open, kind, parts.parts.length);
    parts.bytes += bytes.length;
    parts.durationMs += durationMs;
    parts.parts.push({ file, bytes: bytes.length, durationMs, isIndependent });
    open.group.add(file, bytes, 'part');
    this.#options.figures.addPart(kind, bytes.length, durationMs);
    this.#options.onPart();
  }

  #partName(open: Open, kind: Kind, part: number): string {
    return this.#settings.paths.part(this.#options.stream, this.#values(open, kind), part);
  }

  #values({ seq, programDateTimeMs }: Open, track: Kind, durationMs = 0) {
    return { seq, timestampMs: programDateTimeMs, durationMs, track };
  }

  #endTs(ts: TsRendition, open: Open, end: SegmentEnd, media: Media) {
    const { stream, figures, list } = this.#options;
    const { paths, format } = this.#settings;
    const { video, audio } = ts.payload;
    const plain = ts.end();
    if (video + audio === 0) return undefined;
    for (const kind of KINDS) {
      const span = end[kind];
      if (span === undefined || ts.payload[kind] === 0) continue;
      figures.add(kind, (plain.length * ts.payload[kind]) / (video + audio), span, list.targetDurationS);
    }
    const key = format.isEncrypted ? this.#useKey(open) : undefined;
    const bytes = key === undefined ? plain : encrypt(plain, key.bytes, Buffer.from(key.told.iv, 'hex'));
    const file = paths.tsSegment(stream, this.#values(open, 'video', end.durationMs));
    open.group.add(file, bytes, 'segment');
    const isIndependent = video === 0 || end.video?.isIndependent === true;
    media.ts = {
      file,
      bytes: bytes.length,
      startMs: Math.max(0, end.startMs),
      durationMs: end.durationMs,
      parts: [],
      isIndependent,
    };
    return key?.told;
  }

  #endCmaf(kind: Kind, open: Open, end: SegmentEnd, media: Media): void {
    const cmaf = this.#cmaf[kind];
    const span: Span | undefined = end[kind];
    if (cmaf === undefined || span === undefined) return;
    const { stream, figures, list } = this.#options;
    const whole = cmaf.rendition.end(span);
    const parts = open.parts[kind];
    const bytes = whole?.length ?? parts?.bytes;
    if (bytes === undefined) return;
    const file = this.#settings.paths.fmp4Segment(stream, this.#values(open, kind, span.durationMs));
    if (whole !== undefined) open.group.add(file, whole, 'segment');
    else open.group.addJoined(file, parts?.parts.map((part) => part.file) ?? []);
    if (!this.#settings.format.hasTs) figures.add(kind, bytes, span, list.targetDurationS);
    const { startMs, durationMs, compositionMs, isIndependent } = span;
    media[kind] = {
      file,
      bytes,
      startMs: Math.max(0, startMs),
      durationMs,
      ...(compositionMs !== 0 && { compositionMs }),
      parts: parts?.parts ?? [],
      isIndependent,
      ...(cmaf.init !== undefined && { init: cmaf.init }),
    };
  }

  #useKey(open: Open) {
    const { stream, keys } = this.#options;
    const { paths, keys: settings } = this.#settings;
    const seq = keySeqOf(open.seq, settings.fragmentsPerKey);
    if (this.#key?.seq !== seq) {
      const values = { ...this.#values(open, 'video'), seq };
      const file = paths.key(stream, values);
      this.#key = { seq, file, uri: keyUri(settings.keyUrl, file, stream, paths.vhost, values) };
    }
    const { file, uri } = this.#key;
    const bytes = keys.key(seq);
    open.group.share(file);
    open.group.add(file, bytes, 'small');
    return { bytes, told: { file, uri, iv: newIv().toString('hex'), seq } };
  }
}
