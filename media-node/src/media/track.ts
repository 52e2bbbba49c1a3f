/** Codec of a video track. */
export type VideoCodec = 'h264' | 'hevc' | 'av1' | 'vp9';
/** Codec of an audio track. */
export type AudioCodec = 'aac' | 'mp3' | 'opus' | 'ac3' | 'eac3' | 'flac' | 'pcma' | 'pcmu' | 'speex';

interface TrackBase {
  /** Counts up by one for each new configuration in a stream: two tracks with the same id are the same object's content. */
  readonly id: number;
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
