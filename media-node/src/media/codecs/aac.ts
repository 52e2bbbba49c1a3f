import { BitReader } from '../../lib/bit-reader.ts';
import { FormatError } from '../../lib/format-error.ts';

/** AudioSpecificConfig. ISO/IEC 14496-3 §1.6.2.1. */
export interface AacConfig {
  /** Audio object type of the core: 2 is AAC LC. */
  readonly objectType: number;
  /** Hz of the core. */
  readonly coreSampleRate: number;
  /** Hz of what a decoder puts out: twice the core's where SBR is signalled. */
  readonly sampleRate: number;
  /** Channels of what a decoder puts out: 2 where parametric stereo is signalled. */
  readonly channels: number;
  /** channelConfiguration as it stands in the configuration (table 1.19); 0: told by a program config element. */
  readonly channelConfig: number;
  /** Spectral band replication and parametric stereo, signalled explicitly. */
  readonly sbr: boolean;
  readonly ps: boolean;
  /** Samples that a frame decodes to, at `sampleRate`: 1024 for AAC LC, 2048 where SBR is signalled. */
  readonly frameSamples: number;
}

// ISO/IEC 14496-3 table 1.18.
const SAMPLE_RATES = [96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350];
// ISO/IEC 14496-3 table 1.19; 0 is told by a program config element.
const CHANNELS = [0, 1, 2, 3, 4, 5, 6, 8, 0, 0, 0, 7, 8, 0, 8];
const AOT_SBR = 5;
const AOT_PS = 29;
const AOT_LD = 23;
const AOT_ELD = 39;
/** Object types whose configuration goes on with GASpecificConfig. */
const GENERAL_AUDIO = new Set([1, 2, 3, 4, 6, 7, 17, 19, 20, 21, 22, 23]);

/** Reads the configuration. Throws FormatError 'codec-config'. */
export function parseAacConfig(bytes: Buffer): AacConfig {
  const bits = new BitReader(bytes, 'AAC AudioSpecificConfig');
  let objectType = readObjectType(bits);
  const coreSampleRate = readSampleRate(bits);
  let sampleRate = coreSampleRate;
  const channelConfig = bits.bits(4);
  let sbr = false;
  let ps = false;
  if (objectType === AOT_SBR || objectType === AOT_PS) {
    sbr = true;
    ps = objectType === AOT_PS;
    sampleRate = readSampleRate(bits);
    objectType = readObjectType(bits);
  }
  let channels = CHANNELS[channelConfig] ?? 0;
  const isLowDelay = objectType === AOT_LD || objectType === AOT_ELD;
  let coreFrameSamples = isLowDelay ? 512 : 1024;
  if (objectType === AOT_ELD && bits.bitsLeft >= 1 && bits.flag()) coreFrameSamples = 480;
  if (GENERAL_AUDIO.has(objectType) && bits.bitsLeft >= 3) {
    if (bits.flag()) coreFrameSamples = isLowDelay ? 480 : 960;
    if (bits.flag()) bits.skip(14); // coreCoderDelay
    bits.skip(1); // extensionFlag
    if (channelConfig === 0) channels = readProgramConfig(bits);
  }
  // Backward compatible signalling: old decoders stop before it. §1.6.5.2
  if (
    !sbr &&
    channelConfig !== 0 &&
    bits.bitsLeft >= 16 &&
    bits.bits(11) === 0x2b7 &&
    readObjectType(bits) === AOT_SBR
  ) {
    sbr = bits.bitsLeft >= 1 && bits.flag();
    if (sbr) sampleRate = readSampleRate(bits);
    if (sbr && bits.bitsLeft >= 12 && bits.bits(11) === 0x548) ps = bits.flag();
  }
  if (ps && channels === 1) channels = 2;
  const frameSamples = Math.round((coreFrameSamples * sampleRate) / coreSampleRate);
  return { objectType, coreSampleRate, sampleRate, channels, channelConfig, sbr, ps, frameSamples };
}

function readObjectType(bits: BitReader): number {
  const type = bits.bits(5);
  return type === 31 ? 32 + bits.bits(6) : type;
}

function readSampleRate(bits: BitReader): number {
  const index = bits.bits(4);
  const rate = index === 15 ? bits.bits(24) : (SAMPLE_RATES[index] ?? 0);
  if (rate === 0)
    throw new FormatError('codec-config', `AAC AudioSpecificConfig has the reserved sample rate index ${index}`);
  return rate;
}

/** Channels of a program_config_element. ISO/IEC 14496-3 §4.4.1.1. */
function readProgramConfig(bits: BitReader): number {
  bits.skip(4 + 2 + 4);
  const groups = [bits.bits(4), bits.bits(4), bits.bits(4)];
  const lfe = bits.bits(2);
  bits.skip(3 + 4); // associated data and coupling channel elements
  for (let mixdown = 0; mixdown < 2; mixdown++) if (bits.flag()) bits.skip(4);
  if (bits.flag()) bits.skip(3);
  let channels = lfe;
  for (const count of groups) {
    for (let i = 0; i < count; i++) {
      channels += bits.flag() ? 2 : 1;
      bits.skip(4);
    }
  }
  return channels;
}

const PROFILES: ReadonlyMap<number, string> = new Map([
  [1, 'Main'],
  [2, 'LC'],
  [3, 'SSR'],
  [4, 'LTP'],
]);

/** The profile as SRS's API prints it: `LC`, `HE`, `HEv2`. */
export function aacProfileName(config: AacConfig): string {
  if (config.ps) return 'HEv2';
  if (config.sbr) return 'HE';
  return PROFILES.get(config.objectType) ?? 'Other';
}
