import { gzipSync } from 'node:zlib';
import type { PackagingSnapshot } from '#contract/packaging.ts';
import type { MediaPlaylistRequest } from '../../formats/hls-playlist.ts';
import { mediaPlaylist } from '../../formats/hls-playlist.ts';

/**
 * Playlists kept of one snapshot: renditions, whole and as deltas; more only where somebody plays with the query. Those that
 * were asked for last: whoever makes queries up takes nothing from the others.
 */
const MAX_KEPT = 8;

/** Shorter playlists fit into a few packets anyway. */
const MIN_GZIP_BYTES = 4_096;
/** About a millisecond for the longest playlists, a tenth of their length. */
const GZIP_LEVEL = 4;

/** Media playlists as they were made: all viewers of a snapshot get the same bytes. */
export class PlaylistCache {
  readonly #zipped = new WeakMap<Buffer, Buffer>();
  readonly #bySnapshot = new WeakMap<PackagingSnapshot, Map<string, Buffer>>();

  get(snapshot: PackagingSnapshot, request: MediaPlaylistRequest): Buffer {
    const id = `${request.rendition} ${request.isDelta} ${request.query ?? ''} ${request.path}`;
    let kept = this.#bySnapshot.get(snapshot);
    if (kept === undefined) {
      kept = new Map();
      this.#bySnapshot.set(snapshot, kept);
    }
    let bytes = kept.get(id);
    if (bytes === undefined) {
      bytes = Buffer.from(mediaPlaylist(snapshot, request));
    } else {
      kept.delete(id);
    }
    kept.set(id, bytes);
    const [oldest] = kept.keys();
    if (kept.size > MAX_KEPT && oldest !== undefined) kept.delete(oldest);
    return bytes;
  }

  /** A long playlist of this cache compressed; undefined for a short one. */
  zipped(playlist: Buffer): Buffer | undefined {
    if (playlist.length < MIN_GZIP_BYTES) return undefined;
    let zipped = this.#zipped.get(playlist);
    if (zipped === undefined) {
      zipped = gzipSync(playlist, { level: GZIP_LEVEL });
      this.#zipped.set(playlist, zipped);
    }
    return zipped;
  }
}
