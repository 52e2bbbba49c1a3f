import type { PackagingSnapshot, RenditionName } from '#contract/packaging.ts';
import { hasManifest, manifest, manifestText } from '../formats/dash-mpd.ts';
import { hlsRenditions, multivariantPlaylist } from '../formats/hls-multivariant.ts';
import { address, folderOf, mediaPlaylist } from '../formats/hls-playlist.ts';
import type { PathNames } from '../lib/path-template.ts';
import type { StreamFiles } from './file-store.ts';
import type { VhostPaths } from './vhost-paths.ts';

/** What is wanted of a stream beside its segments. */
export interface DiskPlaylistSettings {
  readonly paths: VhostPaths;
  readonly hls: { readonly enabled: boolean; readonly container: 'ts' | 'fmp4' };
  readonly dash: { readonly enabled: boolean };
}

/**
 * Playlists and the manifest of a stream beside its segments on a disk, for whoever serves or copies the folder: they name
 * the files there, and nothing that is in memory alone (parts).
 *
 * MPEG-TS has its media playlist at `m3u8File`. Of fragmented MP4 the multivariant playlist is there, and each track's media
 * playlist beside it: with `[app]/[stream].m3u8` at `live/s.m3u8`, `live/s-video.m3u8` and `live/s-audio.m3u8`. Those two are
 * nowhere over HTTP, and a stream of such a name has its own playlist in their place.
 */
export class DiskPlaylists {
  readonly #stream: PathNames;
  readonly #files: StreamFiles;
  readonly #now: () => number;
  #written: ReadonlySet<string> = new Set();

  /** `now`: milliseconds since 1970. */
  constructor(stream: PathNames, files: StreamFiles, now: () => number) {
    this.#stream = stream;
    this.#files = files;
    this.#now = now;
  }

  /** Writes what a snapshot says, after its files; what was written before and is not wanted any more goes. */
  write(snapshot: PackagingSnapshot, settings: DiskPlaylistSettings): void {
    const texts = textsOf(wholeSegmentsOf(snapshot), this.#stream, settings, this.#now());
    for (const [path, text] of texts) this.#files.writeBeside(path, text);
    for (const path of this.#written) if (!texts.has(path)) this.#files.removeBeside(path);
    this.#written = new Set(texts.keys());
  }

  /** Removes what was written. */
  remove(): void {
    for (const path of this.#written) this.#files.removeBeside(path);
    this.#written = new Set();
  }
}

/** By path, each after those that it names. */
function textsOf(
  snapshot: PackagingSnapshot,
  stream: PathNames,
  { paths, hls, dash }: DiskPlaylistSettings,
  nowMs: number,
): Map<string, string> {
  const texts = new Map<string, string>();
  if (dash.enabled && hasManifest(snapshot)) {
    const path = paths.manifest(stream);
    texts.set(path, manifestText(manifest(snapshot, { path, isStatic: snapshot.isEnded }), nowMs));
  }
  const renditions = hls.enabled && snapshot.segments.length > 0 ? hlsRenditions(snapshot, hls.container) : [];
  if (renditions.length === 0) return texts;
  const main = paths.playlist(stream);
  const media = (rendition: RenditionName, path: string): string =>
    mediaPlaylist(snapshot, { rendition, path, isDelta: false });
  if (renditions[0] === 'ts') return texts.set(main, media('ts', main));
  const ofTrack = (rendition: RenditionName): string => main.replace(/\.m3u8$/, `-${rendition}.m3u8`);
  for (const rendition of renditions) texts.set(ofTrack(rendition), media(rendition, ofTrack(rendition)));
  const base = { folder: folderOf(main), query: '' };
  return texts.set(
    main,
    multivariantPlaylist(snapshot, renditions, (rendition) => address(ofTrack(rendition), base)),
  );
}

/** Without what is in memory alone: parts, and the segment that is being written. */
function wholeSegmentsOf(snapshot: PackagingSnapshot): PackagingSnapshot {
  const whole = { ...snapshot };
  delete whole.open;
  delete whole.nextPart;
  delete whole.partTargetMs;
  return whole;
}
