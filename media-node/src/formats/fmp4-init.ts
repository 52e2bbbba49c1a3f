import { EMPTY } from '../lib/bytes.ts';
import type { Track } from '../media/track.ts';
import { timescaleOf } from './fmp4-clock.ts';
import { audioSampleEntry, toldSize, videoSampleEntry } from './fmp4-sample-entry.ts';
import { box, fullBox, u16, u32, u64 } from './mp4-box.ts';

/** ISO/IEC 14496-12 §8.8.3.1. Sound and key frames: depends on no other sample. Others: depends on some, is no sync sample. */
export const SAMPLE_FLAGS_KEY = 0x0200_0000;
export const SAMPLE_FLAGS_OTHER = 0x0101_0000;
/** Of mvhd and mehd. */
export const MOVIE_TIMESCALE = 1_000;

const UNITY_MATRIX = u32(0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x4000_0000);
/** tkhd: enabled, in the movie. */
const TRACK_IN_USE = 3;
/** `und` of ISO 639-2, five bits a letter. */
const LANGUAGE_UNDETERMINED = 0x55c4;

/**
 * The initialization section of tracks, whose ids are their places beginning with 1: ftyp, and moov without samples. One track
 * makes it CMAF's (ISO/IEC 23000-19 §7.3.1). `forFile`: with an mehd box, whose duration a recorder fills in at the end (see
 * Fmp4File.finish). Throws FormatError 'codec-config'.
 */
export function initSegment(tracks: readonly Track[], forFile = false): Buffer {
  const brands = tracks.length === 1 ? ['iso6', 'cmfc', 'mp41'] : ['iso6', 'mp41'];
  const ftyp = box('ftyp', Buffer.from('iso6'), u32(0), Buffer.from(brands.join('')));
  const mvhd = fullBox(
    'mvhd',
    0,
    0,
    u32(0, 0, MOVIE_TIMESCALE, 0),
    u32(0x10000), // rate 1
    u16(0x100, 0), // volume 1
    u32(0, 0),
    UNITY_MATRIX,
    Buffer.alloc(24),
    u32(tracks.length + 1), // next_track_ID
  );
  const mvex = box('mvex', forFile ? fullBox('mehd', 1, 0, u64(0)) : EMPTY, ...tracks.map(trackExtends));
  return Buffer.concat([ftyp, box('moov', mvhd, ...tracks.map(trackBox), mvex)]);
}

function trackExtends(track: Track, index: number): Buffer {
  const flags = track.kind === 'video' ? SAMPLE_FLAGS_OTHER : SAMPLE_FLAGS_KEY;
  return fullBox('trex', 0, 0, u32(index + 1, 1, 0, 0, flags));
}

function trackBox(track: Track, index: number): Buffer {
  const isVideo = track.kind === 'video';
  const { width, height } = isVideo ? toldSize(track) : { width: 0, height: 0 };
  const tkhd = fullBox(
    'tkhd',
    0,
    TRACK_IN_USE,
    u32(0, 0, index + 1, 0, 0),
    u32(0, 0),
    u16(0, 0, isVideo ? 0 : 0x100, 0), // layer, alternate group, volume
    UNITY_MATRIX,
    u32(width * 0x10000, height * 0x10000),
  );
  const timescale = timescaleOf(track);
  const mdhd = fullBox('mdhd', 0, 0, u32(0, 0, timescale, 0), u16(LANGUAGE_UNDETERMINED, 0));
  const handler = Buffer.from(isVideo ? 'vide' : 'soun');
  const hdlr = fullBox('hdlr', 0, 0, u32(0), handler, u32(0, 0, 0), Buffer.from(isVideo ? 'Video\0' : 'Audio\0'));
  const header = isVideo ? fullBox('vmhd', 0, 1, u16(0, 0, 0, 0)) : fullBox('smhd', 0, 0, u16(0, 0));
  // The media is in this file.
  const dinf = box('dinf', fullBox('dref', 0, 0, u32(1), fullBox('url ', 0, 1)));
  const entry = isVideo ? videoSampleEntry(track) : audioSampleEntry(track, timescale);
  const stbl = box(
    'stbl',
    fullBox('stsd', 0, 0, u32(1), entry),
    fullBox('stts', 0, 0, u32(0)),
    fullBox('stsc', 0, 0, u32(0)),
    fullBox('stsz', 0, 0, u32(0, 0)),
    fullBox('stco', 0, 0, u32(0)),
  );
  return box('trak', tkhd, box('mdia', mdhd, hdlr, box('minf', header, dinf, stbl)));
}
