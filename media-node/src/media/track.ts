/** Codec of a video track. */
export type VideoCodec = 'h264' | 'hevc' | 'av1' | 'vp9';
/** Codec of an audio track. */
export type AudioCodec = 'aac' | 'mp3' | 'opus' | 'ac3' | 'eac3' | 'flac' | 'pcma' | 'pcmu' | 'speex';

/** Tracks of one stream, of all kinds. */
export const MOST_TRACKS = 16;

interface TrackBase {
  /** Counts up by one for each new configuration in a stream: two tracks with the same id are the same object's content. */
  readonly id: number;
  /**
   * Set on a further track, one beside the first of its kind: E-RTMP's trackId, 1 to 255. The first ones are the stream as every
   * player gets it; further ones are for players that can take several. See isFurther.
   */
  readonly index?: number;
  /**
   * The decoder configuration as MP4 and FLV carry it: AVCDecoderConfigurationRecord (ISO/IEC 14496-15 §5.3.3.1),
   * HEVCDecoderConfigurationRecord, AV1CodecConfigurationRecord, AudioSpecificConfig (ISO/IEC 14496-3 §1.6.2.1), OpusHead…
   * Empty for codecs without one (MP3, G.711).
   */
  readonly config: Buffer;
}

/** One codec configuration of one elementary stream; never changes: a change in mid-stream makes another Track. */
export interface VideoTrack extends TrackBase {
  readonly kind: 'video';
  readonly codec: VideoCodec;
  /** Pixels, after cropping; 0 where the configuration does not tell. */
  readonly width: number;
  readonly height: number;
  /** As SRS's API names them, such as `High` and `3.1`; empty where unknown. */
  readonly profile: string;
  readonly level: string;
}

/** As VideoTrack, of sound. */
export interface AudioTrack extends TrackBase {
  readonly kind: 'audio';
  readonly codec: AudioCodec;
  /** Hz; 0 where unknown. */
  readonly sampleRate: number;
  readonly channels: number;
  readonly profile: string;
}

/** What a frame is of. */
export type Track = VideoTrack | AudioTrack;

/** Whether it is a track beside the first of its kind. */
export function isFurther(track: Track): boolean {
  return track.index !== undefined;
}

/** Whether both say the same about how to decode. */
export function isSameTrack(a: Track, b: Track): boolean {
  return a.kind === b.kind && a.codec === b.codec && a.config.equals(b.config) && describes(a) === describes(b);
}

/** For codecs whose configuration is empty. */
function describes(track: Track): string {
  return track.kind === 'video' ? `${track.width}x${track.height}` : `${track.sampleRate}/${track.channels}`;
}
