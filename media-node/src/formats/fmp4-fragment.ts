import { fourCc, readU32, writeU32 } from '../lib/bytes.ts';
import { FormatError } from '../lib/format-error.ts';
import type { Frame } from '../media/frame.ts';
import type { Track } from '../media/track.ts';
import type { SampleClock } from './fmp4-clock.ts';
import { SAMPLE_FLAGS_KEY, SAMPLE_FLAGS_OTHER } from './fmp4-init.ts';
import { writeU64 } from './mp4-box.ts';

/** A frame as far as a fragment tells of it. */
export type Sample = Pick<Frame, 'dtsMs' | 'ptsMs' | 'isKey' | 'data'>;

/** Consecutive samples of one track, at least one. */
export interface SampleRun {
  /** Its id in the initialization section. */
  readonly trackId: number;
  readonly track: Track;
  readonly clock: SampleClock;
  readonly samples: readonly Sample[];
  /** The next sample's dtsMs; undefined where it is not known yet: then the last one has its usual length. */
  readonly endDtsMs?: number | undefined;
}

const MOOF = fourCc('moof');
const MFHD = fourCc('mfhd');
const TRAF = fourCc('traf');
const TFHD = fourCc('tfhd');
const TFDT = fourCc('tfdt');
const TRUN = fourCc('trun');
const MDAT = fourCc('mdat');
const BOX_BYTES = 8;
const MFHD_BYTES = 16;
const TFHD_BYTES = 16;
const TFDT_BYTES = 20;
const TRUN_BYTES = 20;
const TRAF_BYTES = BOX_BYTES + TFHD_BYTES + TFDT_BYTES + TRUN_BYTES;
/** trun: duration, size, flags and composition offset of each; sound has duration and size. */
const VIDEO_SAMPLE_BYTES = 16;
const AUDIO_SAMPLE_BYTES = 8;

// ISO/IEC 14496-12 §8.8.7.1, §8.8.8.1
const TFHD_DEFAULT_BASE_IS_MOOF = 0x02_0000;
const TRUN_DATA_OFFSET = 0x001;
const TRUN_DURATION = 0x100;
const TRUN_SIZE = 0x200;
const TRUN_FLAGS = 0x400;
const TRUN_COMPOSITION = 0x800;
const TRUN_AUDIO = TRUN_DATA_OFFSET | TRUN_DURATION | TRUN_SIZE;
/** Version 1: composition offsets have a sign. */
const TRUN_VIDEO = 0x0100_0000 | TRUN_AUDIO | TRUN_FLAGS | TRUN_COMPOSITION;

/** A box's size field has 32 bits. */
const MAX_FRAGMENT_BYTES = 0xffff_ffff;

/**
 * One fragment: moof with a traf for each run, and mdat with the runs' data one behind the other. ISO/IEC 14496-12 §8.8, and
 * of one run a CMAF chunk (ISO/IEC 23000-19 §7.3.2.3). Memory is allocated once, each sample copied once. Throws FormatError
 * 'frame' where a sample's NAL unit lengths do not add up; the clocks have then not moved.
 */
export function encodeFragment(sequenceNumber: number, runs: readonly SampleRun[]): Buffer {
  let moofBytes = BOX_BYTES + MFHD_BYTES;
  let mediaBytes = 0;
  for (const { track, samples } of runs) {
    const lengthSize = nalLengthSize(track);
    moofBytes += TRAF_BYTES + samples.length * (track.kind === 'video' ? VIDEO_SAMPLE_BYTES : AUDIO_SAMPLE_BYTES);
    for (const { data } of samples) {
      if (lengthSize > 0) checkNalLengths(data, lengthSize);
      mediaBytes += data.length;
    }
  }
  const size = moofBytes + BOX_BYTES + mediaBytes;
  if (size > MAX_FRAGMENT_BYTES) throw new RangeError(`a fragment of ${size} bytes is over MP4's 32-bit box sizes`);
  // Out of Node's pool, a small part would keep 8 KiB of others' bytes.
  const out = Buffer.allocUnsafeSlow(size);
  let at = writeBox(out, 0, moofBytes, MOOF);
  at = writeBox(out, at, MFHD_BYTES, MFHD);
  at = writeU32(out, 0, at);
  at = writeU32(out, sequenceNumber, at);
  let dataAt = moofBytes + BOX_BYTES;
  for (const run of runs) {
    at = writeTraf(out, at, dataAt, run);
    for (const { data } of run.samples) {
      out.set(data, dataAt);
      dataAt += data.length;
    }
  }
  writeBox(out, at, BOX_BYTES + mediaBytes, MDAT);
  return out;
}

function writeBox(out: Buffer, offset: number, size: number, type: number): number {
  return writeU32(out, type, writeU32(out, size, offset));
}

function writeTraf(out: Buffer, offset: number, dataOffset: number, run: SampleRun): number {
  const { trackId, track, clock, samples, endDtsMs } = run;
  const isVideo = track.kind === 'video';
  const trunBytes = TRUN_BYTES + samples.length * (isVideo ? VIDEO_SAMPLE_BYTES : AUDIO_SAMPLE_BYTES);
  let start = clock.begin(samples[0]!.dtsMs);
  let at = writeBox(out, offset, BOX_BYTES + TFHD_BYTES + TFDT_BYTES + trunBytes, TRAF);
  at = writeBox(out, at, TFHD_BYTES, TFHD);
  at = writeU32(out, TFHD_DEFAULT_BASE_IS_MOOF, at);
  at = writeU32(out, trackId, at);
  at = writeBox(out, at, TFDT_BYTES, TFDT);
  at = writeU32(out, 0x0100_0000, at);
  at = writeU64(out, start, at);
  at = writeBox(out, at, trunBytes, TRUN);
  at = writeU32(out, isVideo ? TRUN_VIDEO : TRUN_AUDIO, at);
  at = writeU32(out, samples.length, at);
  at = writeU32(out, dataOffset, at);
  for (let index = 0; index < samples.length; index++) {
    const { ptsMs, isKey, data } = samples[index]!;
    const following = samples[index + 1];
    const end = following === undefined ? clock.end(start, data, endDtsMs) : clock.next(start, data, following.dtsMs);
    at = writeU32(out, end - start, at);
    at = writeU32(out, data.length, at);
    if (isVideo) {
      at = writeU32(out, isKey ? SAMPLE_FLAGS_KEY : SAMPLE_FLAGS_OTHER, at);
      at = writeU32(out, clock.exact(ptsMs) - start, at);
    }
    start = end;
  }
  return at;
}

/** Bytes of a NAL unit's length field in the track's frames; 0 for codecs without. */
function nalLengthSize({ codec, config }: Track): number {
  if (codec === 'h264') return (config[4]! & 3) + 1;
  return codec === 'hevc' ? (config[21]! & 3) + 1 : 0;
}

/**
 * Whether a frame can be carried: a browser gives up the whole stream at one frame whose NAL unit lengths do not add up, so
 * that it is better left out.
 */
export function isWholeFrame(frame: Pick<Frame, 'track' | 'data'>): boolean {
  const lengthSize = nalLengthSize(frame.track);
  return lengthSize === 0 || endOfNals(frame.data, lengthSize) === frame.data.length;
}

function checkNalLengths(data: Buffer, lengthSize: number): void {
  if (endOfNals(data, lengthSize) === data.length) return;
  throw new FormatError('frame', `a frame of ${data.length} bytes has NAL units whose lengths do not add up to it`);
}

function endOfNals(data: Buffer, lengthSize: number): number {
  let at = 0;
  while (at + lengthSize <= data.length) {
    let length: number;
    if (lengthSize === 4) length = readU32(data, at);
    else length = lengthSize === 2 ? data.readUInt16BE(at) : data[at]!;
    at += lengthSize + length;
  }
  return at;
}
