import { FormatError } from '../../lib/format-error.ts';
import type { AudioCodec, AudioTrack, VideoCodec, VideoTrack } from '../track.ts';
import { aacProfileName, parseAacConfig } from './aac.ts';
import { parseAv1Config, parseAv1SequenceHeader } from './av1.ts';
import { type AudioInfo, parseFlacHead, parseOpusHead } from './audio-headers.ts';
import { type SpsInfo, h264LevelName, h264ProfileName, parseAvcConfig, parseH264Sps } from './h264.ts';
import { hevcLevelName, hevcProfileName, parseHevcConfig, parseHevcSps } from './hevc.ts';

const AV1_PROFILES = ['Main', 'High', 'Professional'];

/**
 * A video track from its decoder configuration (see Track.config). A broken record is a FormatError 'codec-config'; a
 * picture size that cannot be read out of a whole record is 0 by 0, for decoders know more than this reader.
 */
export function makeVideoTrack(id: number, codec: VideoCodec, config: Buffer): VideoTrack {
  let size: SpsInfo = { width: 0, height: 0 };
  let profile = '';
  let level = '';
  switch (codec) {
    case 'h264': {
      const avc = parseAvcConfig(config);
      size = sizeOf(parseH264Sps, avc.sps[0]);
      profile = h264ProfileName(avc.profileIdc);
      level = h264LevelName(avc.levelIdc, avc.profileIdc, avc.constraintFlags);
      break;
    }
    case 'hevc': {
      const hevc = parseHevcConfig(config);
      size = sizeOf(parseHevcSps, hevc.sps[0]);
      profile = hevcProfileName(hevc.profileIdc);
      level = hevcLevelName(hevc.levelIdc);
      break;
    }
    case 'av1': {
      const av1 = parseAv1Config(config);
      size = sizeOf(parseAv1SequenceHeader, av1.obus.length > 0 ? av1.obus : undefined);
      profile = AV1_PROFILES[av1.profile] ?? 'Other';
      level = `${2 + (av1.levelIndex >> 2)}.${av1.levelIndex & 3}`;
      break;
    }
    case 'vp9': {
      // VPCodecConfigurationRecord, with or without the version and flags of its MP4 box before it.
      const record = config.length >= 12 && config[0] === 1 ? config.subarray(4) : config;
      if (record.length < 2)
        throw new FormatError('codec-config', `VPCodecConfigurationRecord has ${config.length} bytes`);
      profile = `${record[0]}`;
      level = record[1] === 0 ? '' : `${Math.floor(record[1]! / 10)}.${record[1]! % 10}`;
      break;
    }
  }
  return { kind: 'video', id, codec, config, width: size.width, height: size.height, profile, level };
}

function sizeOf(parse: (bytes: Buffer) => SpsInfo, bytes: Buffer | undefined): SpsInfo {
  try {
    if (bytes !== undefined) return parse(bytes);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
  }
  return { width: 0, height: 0 };
}

/**
 * An audio track from its decoder configuration; `hint` is what the container or the frame's own header says of a codec
 * without one. Throws FormatError 'codec-config'.
 */
export function makeAudioTrack(id: number, codec: AudioCodec, config: Buffer, hint?: AudioInfo): AudioTrack {
  let info: AudioInfo = hint ?? { sampleRate: 0, channels: 0 };
  let profile = '';
  if (codec === 'aac') {
    const aac = parseAacConfig(config);
    info = aac;
    profile = aacProfileName(aac);
  } else if (codec === 'opus' && config.length > 0) {
    info = parseOpusHead(config);
  } else if (codec === 'flac' && config.length > 0) {
    info = parseFlacHead(config);
  }
  return { kind: 'audio', id, codec, config, sampleRate: info.sampleRate, channels: info.channels, profile };
}
