import { FormatError } from '../../lib/format-error.ts';

/** What a codec's own header says of the sound. */
export interface AudioInfo {
  readonly sampleRate: number;
  readonly channels: number;
}

/** The identification header of Opus (RFC 7845 §5.1). The decoder's rate is 48 kHz whatever the input's was. */
export function parseOpusHead(bytes: Buffer): AudioInfo {
  if (bytes.length < 19 || bytes.toString('latin1', 0, 8) !== 'OpusHead') {
    throw new FormatError('codec-config', 'Opus configuration is not an OpusHead of 19 bytes or more');
  }
  return { sampleRate: 48000, channels: bytes[9]! };
}

/** `fLaC` and the head of a STREAMINFO block that is the last one of 34 bytes. RFC 9639 §8.1. */
const FLAC_HEAD = Buffer.from('664c614380000022', 'hex');
const STREAMINFO_BYTES = 34;

/** A FLAC configuration with its marker: ffmpeg sends STREAMINFO alone, where E-RTMP v2 wants both. */
export function withFlacMarker(config: Buffer): Buffer {
  return config.length === STREAMINFO_BYTES ? Buffer.concat([FLAC_HEAD, config]) : config;
}

/** `fLaC` and the STREAMINFO block. RFC 9639 §8.2. */
export function parseFlacHead(bytes: Buffer): AudioInfo {
  if (bytes.length < 42 || bytes.toString('latin1', 0, 4) !== 'fLaC' || (bytes[4]! & 0x7f) !== 0) {
    throw new FormatError('codec-config', 'FLAC configuration is not fLaC followed by a STREAMINFO block');
  }
  const packed = bytes.readUInt32BE(18); // 20 bits of rate, 3 of channels - 1, 5 of bits - 1, 4 more
  return { sampleRate: packed >>> 12, channels: ((packed >>> 9) & 7) + 1 };
}

const MPEG_RATES = [44100, 48000, 32000];

/** An MPEG audio frame header (ISO/IEC 11172-3 §2.4.1.3); undefined where the bytes are none. */
export function parseMpegAudioHeader(bytes: Buffer): AudioInfo | undefined {
  if (bytes.length < 4 || bytes[0] !== 0xff || (bytes[1]! & 0xe0) !== 0xe0) return undefined;
  const version = (bytes[1]! >> 3) & 3; // 3 is MPEG 1, 2 is MPEG 2, 0 is MPEG 2.5
  const rate = MPEG_RATES[(bytes[2]! >> 2) & 3];
  if (version === 1 || rate === undefined) return undefined;
  const divisor = version === 3 ? 1 : version === 2 ? 2 : 4;
  return { sampleRate: rate / divisor, channels: bytes[3]! >> 6 === 3 ? 1 : 2 };
}

const AC3_RATES = [48000, 44100, 32000];
// Channels of acmod, the LFE channel apart. ATSC A/52 table 5.8.
const AC3_CHANNELS = [2, 1, 2, 3, 3, 4, 4, 5];

/** An AC-3 or E-AC-3 sync frame (ATSC A/52 §5.3, annex E §2.2); undefined where the bytes are none. */
export function parseAc3Header(bytes: Buffer): AudioInfo | undefined {
  if (bytes.length < 8 || bytes[0] !== 0x0b || bytes[1] !== 0x77) return undefined;
  const bsid = bytes[5]! >> 3;
  if (bsid > 10) {
    const code = bytes[4]! >> 6;
    const sampleRate = code === 3 ? (AC3_RATES[(bytes[4]! >> 4) & 3] ?? 0) / 2 : AC3_RATES[code]!;
    return { sampleRate, channels: AC3_CHANNELS[(bytes[4]! >> 1) & 7]! + (bytes[4]! & 1) };
  }
  const acmod = bytes[6]! >> 5;
  // Mix levels stand between acmod and lfeon, each where the layout has something to mix.
  let lfeBit = 3;
  if ((acmod & 1) === 1 && acmod !== 1) lfeBit += 2;
  if ((acmod & 4) !== 0) lfeBit += 2;
  if (acmod === 2) lfeBit += 2;
  const lfe = (bytes[6]! >> (7 - lfeBit)) & 1;
  return { sampleRate: AC3_RATES[bytes[4]! >> 6] ?? 0, channels: AC3_CHANNELS[acmod]! + lfe };
}
