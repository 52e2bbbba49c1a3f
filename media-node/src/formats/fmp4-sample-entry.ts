import { EMPTY } from '../lib/bytes.ts';
import { FormatError } from '../lib/format-error.ts';
import { parseFlacHead, parseOpusHead } from '../media/codecs/audio-headers.ts';
import type { AudioTrack, VideoTrack } from '../media/track.ts';
import { vpcRecord } from './codec-string.ts';
import { box, fullBox, u16, u32 } from './mp4-box.ts';

/** 72 pixels an inch, 16.16. */
const RESOLUTION = 0x00480000;

/** What is told where a configuration has no size, as VP9's: Chromium refuses 0 by 0, and decoders go by the pictures. */
const UNKNOWN_SIZE = { width: 1_280, height: 720 };

/** The size that an initialization section tells of a track, pixels. */
export function toldSize({ width, height }: VideoTrack): { readonly width: number; readonly height: number } {
  return width > 0 && height > 0 ? { width, height } : UNKNOWN_SIZE;
}

/** VisualSampleEntry (ISO/IEC 14496-12 §12.1.3) with the codec's configuration. Throws FormatError 'codec-config'. */
export function videoSampleEntry(track: VideoTrack): Buffer {
  const { config } = track;
  const { width, height } = toldSize(track);
  const entry = (type: string, configuration: Buffer): Buffer =>
    box(
      type,
      u16(0, 0, 0, 1), // reserved, data_reference_index
      Buffer.alloc(16),
      u16(width, height),
      u32(RESOLUTION, RESOLUTION, 0),
      u16(1), // frame_count
      Buffer.alloc(32), // compressorname
      u16(0x0018, 0xffff),
      configuration,
    );
  switch (track.codec) {
    case 'h264':
      return entry('avc1', box('avcC', config));
    case 'hevc':
      return entry('hvc1', box('hvcC', config));
    case 'av1':
      return entry('av01', box('av1C', config));
    case 'vp9':
      return entry('vp09', fullBox('vpcC', 1, 0, vp9Record(config)));
  }
}

/** VP Codec ISO Media File Format Binding, VPCodecConfigurationRecord: 8 bytes, and initialization data, which VP9 has not. */
function vp9Record(config: Buffer): Buffer {
  const record = vpcRecord(config);
  if (record.length < 8) {
    throw new FormatError('codec-config', `VPCodecConfigurationRecord has ${config.length} bytes, 8 at the least`);
  }
  return record;
}

/** Whether audioSampleEntry has an entry for the codec: G.711 and Speex are none of CMAF's. */
export function hasSampleEntry(track: AudioTrack): boolean {
  return track.codec !== 'pcma' && track.codec !== 'pcmu' && track.codec !== 'speex';
}

/** AudioSampleEntry (ISO/IEC 14496-12 §12.2.3) with the codec's configuration. Throws FormatError 'codec-config'. */
export function audioSampleEntry(track: AudioTrack, timescale: number): Buffer {
  const { config } = track;
  const entry = (type: string, configuration: Buffer): Buffer =>
    box(
      type,
      u16(0, 0, 0, 1), // reserved, data_reference_index
      u32(0, 0),
      u16(track.channels || 2, 16, 0, 0),
      // 16.16: rates that do not fit are told by the configuration alone.
      u16(timescale > 0xffff ? 0 : timescale, 0),
      configuration,
    );
  switch (track.codec) {
    case 'aac':
      return entry('mp4a', esds(OBJECT_TYPE_AAC, config));
    case 'mp3':
      // MPEG-2's lower rates are another object type.
      return entry('mp4a', esds(timescale < 32_000 ? OBJECT_TYPE_MPEG2_AUDIO : OBJECT_TYPE_MPEG1_AUDIO, EMPTY));
    case 'opus':
      return entry('Opus', box('dOps', opusBox(track)));
    case 'ac3':
      return entry('ac-3', box('dac3', ac3Box(track, timescale)));
    case 'eac3':
      return entry('ec-3', box('dec3', eac3Box(track, timescale)));
    case 'flac':
      return entry('fLaC', fullBox('dfLa', 0, 0, flacBlock(config)));
    default:
      throw new FormatError('codec-config', `fragmented MP4 does not carry ${track.codec}: publish AAC, MP3 or Opus`);
  }
}

// ISO/IEC 14496-1 table 5.
const OBJECT_TYPE_AAC = 0x40;
const OBJECT_TYPE_MPEG2_AUDIO = 0x69;
const OBJECT_TYPE_MPEG1_AUDIO = 0x6b;
/** streamType 5 (audio), upStream 0, reserved 1. */
const AUDIO_STREAM = 0x15;

/** ES descriptor: ISO/IEC 14496-1 §7.2.6.5. The rates are told by the frames themselves. */
function esds(objectType: number, specificInfo: Buffer): Buffer {
  const decoderConfig = Buffer.concat([
    Buffer.from([objectType, AUDIO_STREAM, 0, 0, 0]),
    u32(0, 0),
    specificInfo.length > 0 ? descriptor(0x05, specificInfo) : EMPTY,
  ]);
  const es = [u16(0), Buffer.from([0]), descriptor(0x04, decoderConfig), descriptor(0x06, Buffer.from([2]))];
  return fullBox('esds', 0, 0, descriptor(0x03, Buffer.concat(es)));
}

/** A descriptor with its length in four bytes of seven bits, as most writers do. ISO/IEC 14496-1 §8.3.3 */
function descriptor(tag: number, body: Buffer): Buffer {
  const size = body.length;
  const length = [0x80 | (size >>> 21), 0x80 | (size >>> 14), 0x80 | (size >>> 7), size & 0x7f];
  return Buffer.concat([Buffer.from([tag, ...length]), body]);
}

/** OpusSpecificBox (Opus in ISOBMFF §4.3.2): OpusHead's fields, big-endian. */
function opusBox(track: AudioTrack): Buffer {
  const { config } = track;
  if (config.length === 0) {
    const head = Buffer.alloc(11);
    head[1] = track.channels || 2;
    head.writeUInt32BE(48_000, 4);
    return head;
  }
  const { channels } = parseOpusHead(config);
  const family = config[18]!;
  const mapping = family === 0 ? EMPTY : config.subarray(19, 21 + channels);
  if (family !== 0 && mapping.length < 2 + channels) {
    throw new FormatError('codec-config', `OpusHead of ${config.length} bytes ends within its channel mapping table`);
  }
  const head = Buffer.alloc(11);
  head[1] = channels;
  head.writeUInt16BE(config.readUInt16LE(10), 2);
  head.writeUInt32BE(config.readUInt32LE(12), 4);
  head.writeUInt16BE(config.readUInt16LE(16), 8);
  head[10] = family;
  return Buffer.concat([head, mapping]);
}

// Of channels without LFE, as ATSC A/52 table 5.8 has them; six channels are five and LFE.
const ACMOD = [2, 1, 2, 3, 6, 7];

/** What the boxes of AC-3 say beside the frames, which decoders go by: made from what is known of the track. */
function ac3Layout(track: AudioTrack, timescale: number): { fscod: number; acmod: number; lfe: number } {
  const lfe = track.channels >= 6 ? 1 : 0;
  const fscod = timescale === 44_100 ? 1 : timescale === 32_000 ? 2 : 0;
  return { fscod, acmod: ACMOD[track.channels - lfe] ?? 2, lfe };
}

/** AC3SpecificBox, ETSI TS 102 366 §F.4: bsid 8, bsmod 0, the bit rate of 448 kb/s. */
function ac3Box(track: AudioTrack, timescale: number): Buffer {
  const { fscod, acmod, lfe } = ac3Layout(track, timescale);
  const bits = (fscod << 22) | (8 << 17) | (acmod << 11) | (lfe << 10) | (15 << 5);
  return Buffer.from([bits >>> 16, bits >>> 8, bits]);
}

/** EC3SpecificBox, ETSI TS 102 366 §F.6: one independent substream, bsid 16. */
function eac3Box(track: AudioTrack, timescale: number): Buffer {
  const { fscod, acmod, lfe } = ac3Layout(track, timescale);
  const substream = (fscod << 22) | (16 << 17) | (acmod << 9) | (lfe << 8);
  return Buffer.concat([u16(448 << 3), Buffer.from([substream >>> 16, substream >>> 8, substream])]);
}

/** STREAMINFO as the last metadata block. Encapsulation of FLAC in ISOBMFF §3.3.2 */
function flacBlock(config: Buffer): Buffer {
  parseFlacHead(config);
  const block = Buffer.from(config.subarray(4, 42));
  block[0] = 0x80;
  return block;
}
