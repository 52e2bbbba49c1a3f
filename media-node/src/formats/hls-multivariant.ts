import type { PackagedTrack, PackagingSnapshot, RenditionName } from '#contract/packaging.ts';

/*
 * Multivariant playlists (draft-pantos-hls-rfc8216bis-16 §4.4.6).
 */

/** What is told of a track before any of its segments was complete, in bits a second. */
const BITRATE_BEFORE: Readonly<Record<PackagedTrack['kind'], number>> = { video: 2_000_000, audio: 128_000 };
const AUDIO_GROUP = 'audio';

/** Which renditions of a stream HLS offers, as its Vhost's container says; empty while there is nothing. */
export function hlsRenditions(snapshot: PackagingSnapshot, container: 'ts' | 'fmp4'): readonly RenditionName[] {
  const has = (name: RenditionName): boolean =>
    (snapshot.open?.media[name]?.parts.length ?? 0) > 0 ||
    snapshot.segments.some(({ media }) => media[name] !== undefined);
  const tracks = (['video', 'audio'] as const).filter(has);
  // A Vhost whose container was changed goes on with the old one until the next segment begins.
  if (container === 'ts' ? has('ts') || tracks.length === 0 : tracks.length === 0) return has('ts') ? ['ts'] : [];
  return tracks;
}

/**
 * The multivariant playlist of one variant. `uriOf`: the address of a rendition's media playlist, relative to this one.
 * `renditions` as of {@link hlsRenditions}: `ts` alone, or `video`, `audio` or both.
 */
export function multivariantPlaylist(
  snapshot: PackagingSnapshot,
  renditions: readonly RenditionName[],
  uriOf: (rendition: RenditionName) => string,
): string {
  const lines = ['#EXTM3U', `#EXT-X-VERSION:${renditions.includes('ts') ? 3 : 6}`];
  if (snapshot.isIndependent) lines.push('#EXT-X-INDEPENDENT-SEGMENTS');
  const audio = snapshot.tracks.find(({ kind }) => kind === 'audio');
  const hasAudioGroup = renditions.includes('video') && renditions.includes('audio');
  if (hasAudioGroup) {
    const channels = audio?.channels === undefined || audio.channels === 0 ? '' : `,CHANNELS="${audio.channels}"`;
    lines.push(
      `#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="${AUDIO_GROUP}",NAME="Audio",DEFAULT=YES,AUTOSELECT=YES${channels},URI="${uriOf('audio')}"`,
    );
  }
  const [main] = renditions;
  if (main === undefined) return `${lines.join('\n')}\n`;
  const tracks = snapshot.tracks.filter(({ kind, isInTs }) =>
    renditions.includes('ts') ? isInTs !== false : renditions.includes(kind),
  );
  lines.push(`#EXT-X-STREAM-INF:${streamInf(tracks, hasAudioGroup)}`, uriOf(main));
  return `${lines.join('\n')}\n`;
}

function streamInf(tracks: readonly PackagedTrack[], hasAudioGroup: boolean): string {
  const peak = sum(tracks, ({ kind, peakBitrate, averageBitrate }) =>
    peakBitrate > 0 ? Math.max(peakBitrate, averageBitrate) : BITRATE_BEFORE[kind],
  );
  const average = sum(tracks, ({ averageBitrate }) => averageBitrate);
  const attributes = [`BANDWIDTH=${Math.max(1, peak)}`];
  if (average > 0) attributes.push(`AVERAGE-BANDWIDTH=${average}`);
  const codecs = tracks.map((track) => track.codecs).join(',');
  if (codecs !== '') attributes.push(`CODECS="${codecs.replaceAll('"', '')}"`);
  const { width = 0, height = 0, frameRate = 0 } = tracks.find(({ kind }) => kind === 'video') ?? {};
  if (width > 0 && height > 0) attributes.push(`RESOLUTION=${width}x${height}`);
  if (frameRate > 0) attributes.push(`FRAME-RATE=${frameRate.toFixed(3)}`);
  if (hasAudioGroup) attributes.push(`AUDIO="${AUDIO_GROUP}"`);
  return attributes.join(',');
}

function sum(tracks: readonly PackagedTrack[], pick: (track: PackagedTrack) => number): number {
  return tracks.reduce((total, track) => total + pick(track), 0);
}
