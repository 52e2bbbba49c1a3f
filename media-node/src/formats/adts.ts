import { FormatError } from '../lib/format-error.ts';
import { parseAacConfig } from '../media/codecs/aac.ts';
import type { AudioTrack } from '../media/track.ts';

/** Bytes of a header without a checksum. */
export const ADTS_HEADER_BYTES = 7;
/** aac_frame_length has 13 bits and counts the header. */
const MAX_FRAME_BYTES = 0x1fff - ADTS_HEADER_BYTES;
// ISO/IEC 14496-3 table 1.18: the place of a rate is its index.
const SAMPLE_RATES = [96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350];

/**
 * The headers of one AAC track's frames in an Audio Data Transport Stream (ISO/IEC 14496-3 §1.A.2). SBR and parametric
 * stereo are in it as decoders find them by themselves: the header tells the core. Pure.
 */
export class Adts {
  /** Of the bytes 2 and 3, what is the same for every frame. */
  readonly #byte2: number;
  readonly #byte3: number;

  /** Throws FormatError 'codec-config' for a configuration that is broken, or that the header has no room for. */
  constructor(track: Pick<AudioTrack, 'config'>) {
    const { objectType, coreSampleRate, sampleRate, channelConfig, frameSamples } = parseAacConfig(track.config);
    const rate = SAMPLE_RATES.indexOf(coreSampleRate);
    if (objectType < 1 || objectType > 4) throw unfit(`the object type ${objectType}; it knows 1 to 4 (2 is AAC-LC)`);
    if (rate < 0) throw unfit(`a sample rate of ${coreSampleRate} Hz`);
    if (channelConfig < 1 || channelConfig > 7) throw unfit(`the channel configuration ${channelConfig}`);
    if (frameSamples !== Math.round((1024 * sampleRate) / coreSampleRate))
      throw unfit('frames of other than 1024 samples');
    this.#byte2 = ((objectType - 1) << 6) | (rate << 2) | (channelConfig >> 2);
    this.#byte3 = (channelConfig & 3) << 6;
  }

  /** Writes the header of a raw frame of so many bytes; returns the offset after it. Throws FormatError 'frame'. */
  writeHeader(frameBytes: number, out: Buffer, offset: number): number {
    if (frameBytes > MAX_FRAME_BYTES) {
      throw new FormatError('frame', `an AAC frame of ${frameBytes} bytes, over ADTS's ${MAX_FRAME_BYTES}`);
    }
    const length = ADTS_HEADER_BYTES + frameBytes;
    out[offset] = 0xff;
    out[offset + 1] = 0xf1; // MPEG-4, no checksum
    out[offset + 2] = this.#byte2;
    out[offset + 3] = this.#byte3 | (length >> 11);
    out[offset + 4] = length >> 3;
    out[offset + 5] = ((length & 7) << 5) | 0x1f; // adts_buffer_fullness: variable bit rate
    out[offset + 6] = 0xfc; // one raw data block
    return offset + ADTS_HEADER_BYTES;
  }

  /** A raw frame behind its header. Throws FormatError 'frame'. */
  frame(data: Buffer): Buffer {
    const out = Buffer.allocUnsafe(ADTS_HEADER_BYTES + data.length);
    data.copy(out, this.writeHeader(data.length, out, 0));
    return out;
  }
}

function unfit(what: string): FormatError {
  return new FormatError('codec-config', `an ADTS header cannot tell ${what}`);
}
