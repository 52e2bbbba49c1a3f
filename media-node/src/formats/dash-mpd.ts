import type { PackagedMedia, PackagedSegment, PackagedTrack, PackagingSnapshot } from '#contract/packaging.ts';
import { address, folderOf } from './hls-playlist.ts';

/*
 * Media presentation descriptions of DASH (ISO/IEC 23009-1), made from what is packaged. Sections are that document's.
 *
 * The presentation's time line is the wall clock: availabilityStartTime is 1970, a Period begins at the seconds since then at
 * which its first sample was there. So any node says the same of a stream, however often it changed its origin, and needs to
 * remember nothing. Every run of segments without a discontinuity is a Period.
 */

/** Ticks a second of the times that are written; those of segments' own timescales need not be known. */
const TIMESCALE = 90_000;
/** How far players stay from the end, in target durations: as HLS players do. */
const DELAY_TARGETS = 3;
/** How much later than the last segment's end the time of day may be: until the next segment is there, and some delay. */
const MOST_LATER_TARGETS = 2;
/** Segments of a run whose times differ from an unbroken line by less than this are told as one. */
const SEAMLESS_MS = 100;
/** What is told of a track before any of its segments was complete, in bits a second. */
const BANDWIDTH_BEFORE: Readonly<Record<PackagedTrack['kind'], number>> = { video: 2_000_000, audio: 128_000 };
/** HLS's name of MP3 in MP4 is no object type that MP4 knows; these are (ISO/IEC 14496-1 table 5). */
const MP3_IN_HLS = 'mp4a.40.34';
const MP3_IN_DASH = 'mp4a.6B';
const MP3_OF_LOW_RATES_IN_DASH = 'mp4a.69';

export interface ManifestRequest {
  /** Path of the manifest below the root, as PackagedFile's: addresses are relative to it. */
  readonly path: string;
  /** What follows every file's address, with its leading `?`; default nothing. */
  readonly query?: string;
  /** Of a stream that ended: everybody who watched it has had a manifest that says where. */
  readonly isStatic?: boolean;
}

/** What is the same for everybody who asks for a manifest, in two parts; manifestText makes it one viewer's. */
export interface Manifest {
  readonly head: string;
  readonly periods: string;
  /** Where the last segment ends, in the presentation; and the most that the time of day may be later, as it is told. */
  readonly endMs: number;
  readonly mostLaterMs: number;
}

/** Whether there is anything to play: a complete segment of fragmented MP4 of a track that is known. */
export function hasManifest({ segments, tracks }: PackagingSnapshot): boolean {
  return segments.some((segment) => tracks.some(({ kind }) => has(segment, kind)));
}

/**
 * The manifest of a snapshot. One that ended tells where (§5.3.1.2). It stays dynamic until players have read that, then it is
 * static, so that players end and those who come later begin at its beginning.
 *
 * A static one begins with its first segment: shaka moves its segments by as much as its first Period begins later or earlier
 * than the window that it knew, which is `timeShiftBufferDepth` before the last segment's end.
 */
export function manifest(snapshot: PackagingSnapshot, request: ManifestRequest): Manifest {
  const { isEnded, targetDurationS } = snapshot;
  const isStatic = isEnded && request.isStatic === true;
  const runs = runsOf(snapshot).map((segments): Run => ({ segments, began: beginningOf(segments, isStatic) }));
  const periods = runs.map((run) => periodOf(run, snapshot, request)).join('');
  const [first, last] = [runs[0], runs.at(-1)];
  const endMs = last === undefined ? 0 : endOf(last);
  const beginMs = first === undefined ? 0 : isStatic ? first.began.atMs : (first.segments[0]?.programDateTimeMs ?? 0);
  const targetMs = targetDurationS * 1_000;
  const delayMs = targetMs * DELAY_TARGETS;
  const depthMs = endMs - beginMs;
  const attributes = [
    'xmlns="urn:mpeg:dash:schema:mpd:2011"',
    // Lists are none of the live profile's.
    `profiles="urn:mpeg:dash:profile:${periods.includes('<SegmentList') ? 'full' : 'isoff-live'}:2011"`,
    `type="${isStatic ? 'static' : 'dynamic'}"`,
    'availabilityStartTime="1970-01-01T00:00:00Z"',
    `publishTime="${new Date(endMs).toISOString()}"`,
    ...(isEnded ? [`mediaPresentationDuration="${seconds(endMs)}"`] : []),
    ...(isStatic ? [] : [`minimumUpdatePeriod="${seconds(targetMs)}"`]),
    `minBufferTime="${seconds(targetMs)}"`,
    // Of a stream that just began as well: players would keep a delay that fits into less.
    `timeShiftBufferDepth="${seconds(isStatic ? depthMs : Math.max(delayMs, depthMs))}"`,
    `suggestedPresentationDelay="${seconds(delayMs)}"`,
  ];
  const head = `<?xml version="1.0" encoding="UTF-8"?>\n<MPD ${attributes.join(' ')}>\n`;
  return { head, periods, endMs, mostLaterMs: targetMs * MOST_LATER_TARGETS };
}

/**
 * A manifest at a time of day (§5.8.4.11), so that players whose clocks are wrong find the end. `location`: where this viewer
 * asks for it from now on (§5.4), relative to where it is.
 *
 * Encoders' clocks go wrong by seconds a day, and a run's time line goes with its encoder's. The time that is told is therefore
 * never far from the last segment: a player that trusts it finds the end of a channel that has been on for weeks.
 */
export function manifestText(manifest: Manifest, nowMs: number, location?: string): string {
  const { head, periods, endMs, mostLaterMs } = manifest;
  const toldMs = Math.min(Math.max(nowMs, endMs), endMs + mostLaterMs);
  const moved = location === undefined ? '' : `<Location>${escapeXml(location)}</Location>\n`;
  const time = `<UTCTiming schemeIdUri="urn:mpeg:dash:utc:direct:2014" value="${new Date(toldMs).toISOString()}"/>`;
  return `${head}${moved}${periods}${time}\n</MPD>\n`;
}

const KINDS = ['video', 'audio'] as const;
type Kind = (typeof KINDS)[number];

function has(segment: PackagedSegment, kind: Kind): boolean {
  return !segment.isGap && segment.media[kind] !== undefined;
}

/** Consecutive segments without a discontinuity; those that nobody has are left out. */
function runsOf({ segments }: PackagingSnapshot): PackagedSegment[][] {
  const runs: PackagedSegment[][] = [];
  let isNew = true;
  for (const segment of segments) {
    if (segment.isDiscontinuity) isNew = true;
    if (!KINDS.some((kind) => has(segment, kind))) continue;
    if (isNew) runs.push([]);
    isNew = false;
    runs.at(-1)!.push(segment);
  }
  return runs;
}

/** Consecutive segments, the first of them somewhere in the Period. */
interface Run {
  readonly segments: readonly PackagedSegment[];
  readonly began: Began;
}

/** Where a Period begins: with its first picture, not with that picture's decoding. */
interface Began {
  readonly id: number;
  /** In the presentation, and in the media. */
  readonly atMs: number;
  readonly originMs: number;
}

function periodOf({ segments, began }: Run, snapshot: PackagingSnapshot, request: ManifestRequest): string {
  const sets = KINDS.map((kind) => {
    const own = segments.filter((segment) => has(segment, kind));
    const track = trackOf(kind, own, snapshot);
    return track === undefined ? '' : adaptationSet(track, own, began.originMs, request);
  });
  // Of a track that is there no more. Players take no Period without anything.
  if (sets.every((set) => set === '')) return '';
  return `<Period id="${began.id}" start="${seconds(began.atMs)}">\n${sets.join('')}</Period>\n`;
}

/** What a track's segments hold; the last of them tells. Undefined where there are none. */
function trackOf(
  kind: Kind,
  segments: readonly PackagedSegment[],
  { tracks, formerTracks = [] }: PackagingSnapshot,
): PackagedTrack | undefined {
  const last = segments.at(-1);
  if (last === undefined) return undefined;
  const former = formerTracks.find(({ beforeSeq }) => last.seq < beforeSeq);
  return (former?.tracks ?? tracks).find((track) => track.kind === kind);
}

/** Of the run, where it is told, and else, or `fromFirst`, of the first segment that is listed. */
function beginningOf(segments: readonly PackagedSegment[], fromFirst: boolean): Began {
  const [first] = segments;
  const { run = first!, media } = first!;
  const { programDateTimeMs } = run;
  const ownMs = (media.video ?? media.audio)!.startMs;
  const shownMs = segments.find((segment) => has(segment, 'video'))?.media.video?.compositionMs ?? 0;
  const originMs = ('startMs' in run ? run.startMs : ownMs) + shownMs;
  // Numbers might begin anew where what was known of a stream has been lost.
  const id = Math.round(programDateTimeMs);
  const laterMs = fromFirst ? Math.max(0, ownMs + shownMs - originMs) : 0;
  return { id, atMs: programDateTimeMs + laterMs, originMs: originMs + laterMs };
}

/** Where the longest of a run's tracks ends, in the presentation. */
function endOf({ segments, began }: Run): number {
  const ends = KINDS.flatMap((kind) => {
    const last = segments.findLast((segment) => has(segment, kind))?.media[kind];
    return last === undefined ? [] : [shownAt(last) + last.durationMs];
  });
  return began.atMs + Math.max(...ends) - began.originMs;
}

function adaptationSet(
  track: PackagedTrack,
  segments: readonly PackagedSegment[],
  originMs: number,
  request: ManifestRequest,
): string {
  const { kind, width = 0, height = 0, frameRate = 0, sampleRate = 0, channels = 0 } = track;
  const bandwidth = Math.max(track.peakBitrate, track.averageBitrate) || BANDWIDTH_BEFORE[kind];
  const attributes = [`id="${kind}"`, `bandwidth="${bandwidth}"`, `codecs="${escapeXml(codecsOf(track))}"`];
  if (width > 0 && height > 0) attributes.push(`width="${width}" height="${height}"`);
  if (frameRate > 0) attributes.push(`frameRate="${frameRateText(frameRate)}"`);
  if (sampleRate > 0) attributes.push(`audioSamplingRate="${sampleRate}"`);
  // §5.3.7.2: of every segment, and one that was cut in the middle of a GOP has none.
  const sap = segments.every((segment) => segment.media[kind]!.isIndependent) ? ' startWithSAP="1"' : '';
  const lines = [
    `<AdaptationSet id="${KINDS.indexOf(kind)}" contentType="${kind}" mimeType="${kind}/mp4" segmentAlignment="true"${sap}>`,
    `<Representation ${attributes.join(' ')}>`,
    ...(channels > 0 ? [`<AudioChannelConfiguration schemeIdUri="${CHANNELS_SCHEME}" value="${channels}"/>`] : []),
    ...segmentInformation(kind, segments, originMs, request),
    '</Representation>',
    '</AdaptationSet>',
  ];
  return `${lines.join('\n')}\n`;
}

const CHANNELS_SCHEME = 'urn:mpeg:dash:23003:3:audio_channel_configuration:2011';

function codecsOf({ codecs, sampleRate = 0 }: PackagedTrack): string {
  if (codecs !== MP3_IN_HLS) return codecs;
  return sampleRate > 0 && sampleRate < 32_000 ? MP3_OF_LOW_RATES_IN_DASH : MP3_IN_DASH;
}

/** A number or a fraction (§5.3.7.2). */
function frameRateText(frameRate: number): string {
  return Number.isInteger(frameRate) ? `${frameRate}` : `${Math.round(frameRate * 1_000)}/1000`;
}

/** A SegmentTemplate where the addresses follow a pattern, as most do; else a SegmentList, which goes with any. */
function segmentInformation(
  kind: Kind,
  segments: readonly PackagedSegment[],
  originMs: number,
  { path, query = '' }: ManifestRequest,
): string[] {
  const base = { folder: folderOf(path), query };
  const uri = (file: string): string => escapeXml(address(file, base));
  const files = segments.map((segment) => uri(segment.media[kind]!.file));
  const init = segments.find((segment) => segment.media[kind]!.init !== undefined)?.media[kind]!.init;
  const times = `timescale="${TIMESCALE}" presentationTimeOffset="${ticks(originMs)}"`;
  const pattern = numberPattern(segments, files);
  // dash.js takes the n-th address of a list for the n-th S element, however often that repeats.
  const elements = timelineOf(segments, kind, ticks(originMs), pattern !== undefined);
  const timeline = `<SegmentTimeline>${elements}</SegmentTimeline>`;
  if (pattern !== undefined) {
    const initialization = init === undefined ? '' : ` initialization="${uri(init.file)}"`;
    return [
      `<SegmentTemplate ${times} startNumber="${segments[0]!.seq}"${initialization} media="${pattern}">`,
      timeline,
      '</SegmentTemplate>',
    ];
  }
  return [
    `<SegmentList ${times}>`,
    ...(init === undefined ? [] : [`<Initialization sourceURL="${uri(init.file)}"/>`]),
    timeline,
    ...files.map((file) => `<SegmentURL media="${file}"/>`),
    '</SegmentList>',
  ];
}

/** The addresses with `$Number$` where their segments' numbers stand; undefined where no place is right for all. */
function numberPattern(segments: readonly PackagedSegment[], files: readonly string[]): string | undefined {
  const last = segments.length - 1;
  if (segments[last]!.seq - segments[0]!.seq !== last) return undefined;
  const file = files[last]!;
  const number = `${segments[last]!.seq}`;
  for (let at = file.lastIndexOf(number); at >= 0; at = at === 0 ? -1 : file.lastIndexOf(number, at - 1)) {
    const before = file.slice(0, at);
    const after = file.slice(at + number.length);
    if (segments.every(({ seq }, index) => files[index] === `${before}${seq}${after}`)) {
      return `${before}$Number$${after}`;
    }
  }
  return undefined;
}

/** S elements (§5.3.9.6): each with its time where it does not follow the one before; equal ones as one that `repeats`. */
function timelineOf(segments: readonly PackagedSegment[], kind: Kind, origin: number, repeats: boolean): string {
  const elements: { readonly time: number | undefined; readonly duration: number; repeat: number }[] = [];
  let end: number | undefined;
  for (const [index, segment] of segments.entries()) {
    const media = segment.media[kind]!;
    const next = segments[index + 1]?.media[kind];
    const endMs = shownAt(media) + media.durationMs;
    const nextMs = next === undefined ? endMs : shownAt(next);
    // Sound of before the first picture is not played: a player would wait at its beginning for the picture.
    const start = Math.max(origin, ticks(shownAt(media)));
    const until = ticks(Math.abs(nextMs - endMs) < SEAMLESS_MS ? nextMs : endMs);
    const duration = Math.max(1, until - start);
    const previous = elements.at(-1);
    if (repeats && start === end && previous?.duration === duration) previous.repeat++;
    else elements.push({ time: start === end ? undefined : start, duration, repeat: 0 });
    end = start + duration;
  }
  return elements
    .map(({ time, duration, repeat }) => {
      return `<S${time === undefined ? '' : ` t="${time}"`} d="${duration}"${repeat === 0 ? '' : ` r="${repeat}"`}/>`;
    })
    .join('');
}

/** In the media's time. */
function shownAt({ startMs, compositionMs = 0 }: PackagedMedia): number {
  return startMs + compositionMs;
}

function ticks(ms: number): number {
  return Math.round((ms * TIMESCALE) / 1_000);
}

/** An xs:duration. */
function seconds(ms: number): string {
  return `PT${Number((ms / 1_000).toFixed(3))}S`;
}

function escapeXml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&apos;');
}
