import type { PackagingSnapshot } from '#contract/packaging.ts';
import type { MediaPlaylistRequest } from '../../formats/hls-playlist.ts';
import { mediaPlaylist } from '../../formats/hls-playlist.ts';

/** Playlists kept of one snapshot: renditions, whole and as deltas; more only where somebody plays with the query. */
const MAX_KEPT = 8;

/** Media playlists as they were made: all viewers of a snapshot get the same bytes. */
export class PlaylistCache {
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
      if (kept.size < MAX_KEPT) kept.set(id, bytes);
    }
    return bytes;
  }
}
