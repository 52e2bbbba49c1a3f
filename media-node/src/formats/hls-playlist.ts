import type {
  PackagedMedia,
  PackagedPart,
  PackagedSegment,
  PackagingSnapshot,
  RenditionName,
} from '#contract/packaging.ts';

/*
 * Media playlists of HTTP Live Streaming (draft-pantos-hls-rfc8216bis-16), made from what is packaged. Sections are that
 * document's.
 */

/** Segments further from the end than so many target durations may be skipped (§4.4.3.8: at least six). */
const SKIP_TARGETS = 6;
/** Parts are listed for so many target durations from the end (§4.4.4.9), */
const PART_TARGETS = 3;
/** and of no more complete segments: with the open one that is three, which is how hls-parser reads the rule. */
const SEGMENTS_WITH_PARTS = 2;
/**
 * Length of a segment of which nothing is left: what was open when its origin died. Nobody knows how many of its parts
 * players have. Told too short, the next segment begins within them; told too long, a hole is left behind them, in which
 * hls.js, having parts of the segment, may wait until it is far behind.
 */
const LOST_MS = 50;
/** How far players stay from the end, in target durations and in part targets (§4.4.3.8: at least three). */
const HOLD_BACK_TARGETS = 3;
const HOLD_BACK_PARTS = 3;

/** What of a media playlist is the asking viewer's. */
export interface MediaPlaylistRequest {
  readonly rendition: RenditionName;
  /** Path of the playlist below the root, as PackagedFile's: addresses are relative to it. */
  readonly path: string;
  /** A delta update (§6.2.5.1): old segments are left out where there are any. */
  readonly isDelta: boolean;
  /** What follows every file's address, with its leading `?`; default nothing. */
  readonly query?: string;
}

/**
 * A rendition's media playlist, without rendition reports: those name other playlists, which may be another viewer's.
 * A segment without this rendition is a gap.
 */
export function mediaPlaylist(snapshot: PackagingSnapshot, request: MediaPlaylistRequest): string {
  const { rendition, path, isDelta, query = '' } = request;
  const { segments, open, targetDurationS } = snapshot;
  const base = { folder: folderOf(path), query };
  const lines = ['#EXTM3U', `#EXT-X-VERSION:${versionOf(snapshot, rendition)}`];
  if (snapshot.isIndependent) lines.push('#EXT-X-INDEPENDENT-SEGMENTS');
  lines.push(`#EXT-X-TARGETDURATION:${targetDurationS}`);
  lines.push(...serverControl(snapshot));
  lines.push(`#EXT-X-MEDIA-SEQUENCE:${(segments[0] ?? open)?.seq ?? 0}`);
  lines.push(`#EXT-X-DISCONTINUITY-SEQUENCE:${snapshot.discontinuitySequence}`);
  const skipped = isDelta ? skippable(snapshot, rendition) : 0;
  if (skipped > 0) lines.push(`#EXT-X-SKIP:SKIPPED-SEGMENTS=${skipped}`);
  const partsFrom = firstWithParts(snapshot, rendition);
  const state = { key: undefined, init: undefined } as State;
  for (const [index, segment] of segments.entries()) {
    // What was skipped still has the map and the key that are in force (§4.4.5.2).
    const out = index < skipped ? [] : lines;
    head(out, state, segment, rendition, base);
    const media = segment.media[rendition];
    if (index < skipped) continue;
    if (media !== undefined && index >= partsFrom) parts(out, media, segment.isGap, base);
    if (segment.isGap || media === undefined) out.push('#EXT-X-GAP');
    out.push(`#EXTINF:${seconds(durationMs(segment, rendition) ?? LOST_MS)},`);
    out.push(media === undefined ? `gap-${segment.seq}` : address(media.file, base));
  }
  if (open !== undefined && !snapshot.isEnded) {
    const media = open.media[rendition];
    if (media !== undefined && media.parts.length > 0) {
      head(lines, state, open, rendition, base);
      parts(lines, media, open.isGap, base);
    }
  }
  const next = snapshot.nextPart?.[rendition];
  if (next !== undefined && isLowLatency(snapshot) && !snapshot.isEnded) {
    lines.push(`#EXT-X-PRELOAD-HINT:TYPE=PART,URI="${address(next, base)}"`);
  }
  if (snapshot.isEnded) lines.push('#EXT-X-ENDLIST');
  return `${lines.join('\n')}\n`;
}

/** Tells a playlist's reader how far another one has come (§4.4.5.4); an empty text where there is nothing to tell. */
export function renditionReport(snapshot: PackagingSnapshot, rendition: RenditionName, uri: string): string {
  const last = lastOf(snapshot, rendition);
  if (!isLowLatency(snapshot) || snapshot.isEnded || last === undefined) return '';
  const part = last.part === undefined ? '' : `,LAST-PART=${last.part}`;
  return `#EXT-X-RENDITION-REPORT:URI="${uri}",LAST-MSN=${last.msn}${part}\n`;
}

/** How far a playlist goes. */
export interface PlaylistEnd {
  /** Media sequence number of the last segment, or of the one that the last part belongs to. */
  readonly msn: number;
  /** Index of its last part; undefined for a segment of which no parts are known. */
  readonly part: number | undefined;
  /** Whether that segment is complete. */
  readonly isComplete: boolean;
}

/** The last segment or part of a rendition; undefined while there is none. */
export function lastOf({ segments, open }: PackagingSnapshot, rendition: RenditionName): PlaylistEnd | undefined {
  const openParts = open?.media[rendition]?.parts.length ?? 0;
  if (open !== undefined && openParts > 0) return { msn: open.seq, part: openParts - 1, isComplete: false };
  const last = segments.at(-1);
  if (last === undefined) return undefined;
  const parts = last.media[rendition]?.parts.length ?? 0;
  return { msn: last.seq, part: parts > 0 ? parts - 1 : undefined, isComplete: true };
}

/** Parts, preload hints and blocking reload are offered. */
export function isLowLatency(
  snapshot: PackagingSnapshot,
): snapshot is PackagingSnapshot & { readonly partTargetMs: number } {
  return snapshot.partTargetMs !== undefined;
}

/** Where a playlist lies, and what follows the addresses in it. */
export interface PlaylistBase {
  /** See {@link folderOf}. */
  readonly folder: string;
  readonly query: string;
}

/** The address of a file as a playlist tells it: relative where it lies in the same folder, else an absolute path. */
export function address(file: string, { folder, query }: PlaylistBase): string {
  const rest = file.startsWith(folder) ? file.slice(folder.length) : undefined;
  const path = rest !== undefined && !rest.includes('/') ? rest : `/${file}`;
  return `${path.split('/').map(encodeURIComponent).join('/')}${query}`;
}

/** The folder of a path, with a `/` at its end; empty for the root. */
export function folderOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/') + 1);
}

/** The map and the key that the last segment had. */
interface State {
  key: string | undefined;
  init: string | undefined;
}

/** Media segment tags that stand before a segment, and before its first part where it is not complete (§4.4.4). */
function head(
  out: string[],
  state: State,
  segment: PackagedSegment,
  rendition: RenditionName,
  base: PlaylistBase,
): void {
  if (segment.isDiscontinuity) out.push('#EXT-X-DISCONTINUITY');
  const key = segment.key === undefined ? undefined : keyTag(segment.key, base);
  if (key !== state.key) out.push(key ?? '#EXT-X-KEY:METHOD=NONE');
  state.key = key;
  const init = segment.media[rendition]?.init?.file;
  if (init !== undefined && init !== state.init) {
    out.push(`#EXT-X-MAP:URI="${address(init, base)}"`);
    state.init = init;
  }
  out.push(`#EXT-X-PROGRAM-DATE-TIME:${new Date(segment.programDateTimeMs).toISOString()}`);
}

function keyTag({ file, uri, iv }: NonNullable<PackagedSegment['key']>, base: PlaylistBase): string {
  return `#EXT-X-KEY:METHOD=AES-128,URI="${keyAddress(file, uri, base)}",IV=0x${iv}`;
}

function keyAddress(file: string, uri: string, base: PlaylistBase): string {
  if (uri === file) return address(file, base);
  // From the root, but the same file: it needs what the others need to be found.
  const isOurs = uri === `/${file.split('/').map(encodeURIComponent).join('/')}`;
  return isOurs ? `${uri}${base.query}` : quotable(uri);
}

function parts(out: string[], media: PackagedMedia, isGap: boolean, base: PlaylistBase): void {
  for (const part of media.parts) out.push(partTag(part, isGap, base));
}

function partTag(part: PackagedPart, isGap: boolean, base: PlaylistBase): string {
  const flags = `${part.isIndependent ? ',INDEPENDENT=YES' : ''}${isGap ? ',GAP=YES' : ''}`;
  return `#EXT-X-PART:DURATION=${seconds(part.durationMs)},URI="${address(part.file, base)}"${flags}`;
}

/** §4.4.3.7, §4.4.3.8. */
function serverControl(snapshot: PackagingSnapshot): string[] {
  const { targetDurationS } = snapshot;
  if (!isLowLatency(snapshot)) return [];
  const control = [
    'CAN-BLOCK-RELOAD=YES',
    `CAN-SKIP-UNTIL=${seconds(targetDurationS * SKIP_TARGETS * 1_000)}`,
    `HOLD-BACK=${seconds(targetDurationS * HOLD_BACK_TARGETS * 1_000)}`,
    `PART-HOLD-BACK=${seconds(snapshot.partTargetMs * HOLD_BACK_PARTS)}`,
  ];
  return [
    `#EXT-X-SERVER-CONTROL:${control.join(',')}`,
    `#EXT-X-PART-INF:PART-TARGET=${seconds(snapshot.partTargetMs)}`,
  ];
}

/** §8: the lowest that has what the playlist uses. */
function versionOf(snapshot: PackagingSnapshot, rendition: RenditionName): number {
  // Its delta updates have EXT-X-SKIP, and are of the same version.
  if (isLowLatency(snapshot)) return 9;
  // §8 has no version for EXT-X-GAP, and hls-parser asks for the one in which it came.
  if (snapshot.segments.some(({ isGap, media }) => isGap || media[rendition] === undefined)) return 8;
  return rendition === 'ts' ? 3 : 6;
}

/** Segments from the beginning that a delta update leaves out. */
function skippable(snapshot: PackagingSnapshot, rendition: RenditionName): number {
  if (!isLowLatency(snapshot) || snapshot.isEnded) return 0;
  return indexFromEnd(snapshot, rendition, snapshot.targetDurationS * SKIP_TARGETS * 1_000);
}

function firstWithParts(snapshot: PackagingSnapshot, rendition: RenditionName): number {
  if (!isLowLatency(snapshot)) return Infinity;
  const byTime = indexFromEnd(snapshot, rendition, snapshot.targetDurationS * PART_TARGETS * 1_000);
  return Math.max(byTime, snapshot.segments.length - SEGMENTS_WITH_PARTS);
}

/** The first segment that does not lie wholly further from the end than `ms`. */
function indexFromEnd({ segments, open }: PackagingSnapshot, rendition: RenditionName, ms: number): number {
  let fromEndMs = open?.media[rendition]?.parts.reduce((sum, part) => sum + part.durationMs, 0) ?? 0;
  let index = segments.length;
  while (index > 0 && fromEndMs < ms) {
    index--;
    fromEndMs += durationMs(segments[index]!, rendition) ?? 0;
  }
  return index;
}

/** Of a segment without the rendition, another one's. */
function durationMs({ media }: PackagedSegment, rendition: RenditionName): number | undefined {
  return (media[rendition] ?? media.video ?? media.ts ?? media.audio)?.durationMs;
}

/** Milliseconds as seconds with three decimals. */
function seconds(ms: number): string {
  return (ms / 1_000).toFixed(3);
}

/** §4.2: a quoted string holds neither quotes nor line breaks. */
function quotable(uri: string): string {
  // oxlint-disable-next-line no-control-regex
  return uri.replace(/[\u0000-\u0020"\u007f]/g, encodeURIComponent);
}
