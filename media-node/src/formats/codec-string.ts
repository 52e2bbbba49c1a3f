import { parseAacConfig } from '../media/codecs/aac.ts';
import type { Track } from '../media/track.ts';

/**
 * The codecs parameter of a track in MP4 (RFC 6381), as playlists and MediaSource take it; undefined for codecs that have
 * none (G.711, Speex). The track's configuration has been found whole by makeVideoTrack or makeAudioTrack.
 */
export function codecString(track: Track): string | undefined {
  const { config } = track;
  switch (track.codec) {
    case 'h264':
      return `avc1.${config.toString('hex', 1, 4)}`;
    case 'hevc':
      return hevcString(config);
    case 'av1':
      return av1String(config);
    case 'vp9':
      return vp9String(config);
    case 'aac': {
      const { objectType, sbr, ps } = parseAacConfig(config);
      return `mp4a.40.${ps ? 29 : sbr ? 5 : objectType}`;
    }
    case 'mp3':
      // What HLS players take for MP3 in MP4; see MP3_IN_DASH of dash-mpd.ts.
      return 'mp4a.40.34';
    case 'opus':
      return 'opus';
    case 'ac3':
      return 'ac-3';
    case 'eac3':
      return 'ec-3';
    case 'flac':
      return 'fLaC';
    default:
      return undefined;
  }
}

/** ISO/IEC 14496-15 annex E.3: profile, compatibility flags in reverse order, tier and level, constraint bytes. */
function hevcString(config: Buffer): string {
  const space = ['', 'A', 'B', 'C'][config[1]! >> 6]!;
  const tier = (config[1]! & 0x20) === 0 ? 'L' : 'H';
  const flags = config.readUInt32BE(2);
  let reversed = 0;
  for (let bit = 0; bit < 32; bit++) if (((flags >>> bit) & 1) === 1) reversed += 2 ** (31 - bit);
  const constraints = [...config.subarray(6, 12)];
  while (constraints.at(-1) === 0) constraints.pop();
  return [
    `hvc1.${space}${config[1]! & 31}`,
    reversed.toString(16).toUpperCase(),
    `${tier}${config[12]!}`,
    ...constraints.map((byte) => byte.toString(16).toUpperCase()),
  ].join('.');
}

/** AV1 in ISOBMFF §5: profile, level, tier, bit depth. */
function av1String(config: Buffer): string {
  const [profile, level] = [config[1]! >> 5, config[1]! & 31];
  const flags = config[2]!;
  const depth = (flags & 0x40) === 0 ? 8 : (flags & 0x20) === 0 ? 10 : 12;
  return `av01.${profile}.${two(level)}${(flags & 0x80) === 0 ? 'M' : 'H'}.${two(depth)}`;
}

/** VP Codec ISO Media File Format Binding §Codecs Parameter String: profile, level, bit depth. */
function vp9String(config: Buffer): string {
  const record = vpcRecord(config);
  return `vp09.${two(record[0]!)}.${two(record[1]!)}.${two((record[2] ?? 0x80) >> 4)}`;
}

/** VPCodecConfigurationRecord without the version and flags of its MP4 box, which some encoders send before it. */
export function vpcRecord(config: Buffer): Buffer {
  return config.length >= 12 && config[0] === 1 ? config.subarray(4) : config;
}

function two(value: number): string {
  return `${value}`.padStart(2, '0');
}
