import type { AudioCodec, AudioTrack, VideoCodec, VideoTrack } from '../track.ts';

/** A video track from its decoder configuration (see Track.config). Throws FormatError 'codec-config'. */
export function makeVideoTrack(id: number, codec: VideoCodec, config: Buffer): VideoTrack {
  void [id, codec, config];
  throw new Error('to come');
}
/**
 * An audio track from its decoder configuration; `hint` is what the container says of a codec without one.
 * Throws FormatError 'codec-config'.
 */
export function makeAudioTrack(
  id: number,
  codec: AudioCodec,
  config: Buffer,
  hint?: { readonly sampleRate: number; readonly channels: number },
): AudioTrack {
  void [id, codec, config, hint];
  throw new Error('to come');
}
