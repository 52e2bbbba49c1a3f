import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import * as fc from 'fast-check';
import { FormatError } from '../lib/format-error.ts';
import { makeAudioTrack, makeVideoTrack } from '../media/codecs/make-track.ts';
import type { Frame } from '../media/frame.ts';
import { StreamClock } from '../media/stream-clock.ts';
import type { Track } from '../media/track.ts';
import { FlvDemuxer } from './flv-demuxer.ts';
import { FlvReader } from './flv-file.ts';
import { TS_CLOCK_LEAD_MS, TS_TIME_OFFSET_MS, TsMuxer } from './mpegts-muxer.ts';
import { crc32Mpeg } from './mpegts-tables.ts';
import {
  AVC_PPS,
  AVC_SPS,
  aacTrack,
  avcTrack,
  frameOf,
  hevcTrack,
  prefixed,
  readPackets,
  readPes,
  readProgramMap,
  startCoded,
} from './testing-mpegts.ts';
import { readHexFile, unhex } from './testing.ts';

const AUD = unhex('09f0');
const SLICE = unhex('41aabbcc');
const ticksOf = (ms: number): number => ((ms + TS_TIME_OFFSET_MS) * 90) % 2 ** 33;
const stuffed = (head: string, tail: string): string =>
  head + 'ff'.repeat(188 - (head.length + tail.length) / 2) + tail;
/** Hexadecimal digits without the spaces that tell fields apart. */
const digits = (text: string): string => text.replaceAll(' ', '');
const hexOf = (bytes: Buffer): string => bytes.toString('hex');

test('the checksum of sections is CRC-32/MPEG-2', () => {
  assert.equal(crc32Mpeg(Buffer.from('123456789')), 0x0376e6e7);
});

test('the tables of H.264 and AAC, byte by byte', () => {
  const muxer = new TsMuxer([aacTrack(), avcTrack()]);
  const pat = digits('4740001100 00b00d0001c100000001f0002ab104b2');
  const pmt = digits('4750001100 02b0170001c10000e100f0001be100f0000fe101f0002f44b99b');
  assert.equal(hexOf(muxer.tables()), pat.padEnd(376, 'f') + pmt.padEnd(376, 'f'));
  assert.deepEqual(
    readPackets(muxer.tables()).map(({ counter }) => counter),
    [2, 2],
    'repetitions count on',
  );
  assert.deepEqual(
    readPackets(muxer.lastTables()).map(({ counter }) => counter),
    [2, 2],
  );
});

test('a small video frame, byte by byte', () => {
  const muxer = new TsMuxer([avcTrack()]);
  const [frame] = [muxer.frame(frameOf(avcTrack(), 1_000, prefixed([SLICE]), false, 40))];
  // PTS 2040 ms is 183600, DTS 2000 ms is 180000, the clock's reference 1800 ms is 162000.
  const head = digits('47410030 a0 10 00013c687e00');
  const pes = digits('000001e0 001b 84c00a 31000b9a61 11000b7e41 0000000109f0 0000000141aabbcc');
  assert.equal(hexOf(frame), stuffed(head, pes).replace('a0', (183 - pes.length / 2).toString(16)));
});

test('an AAC frame beside video, byte by byte', () => {
  const muxer = new TsMuxer([avcTrack(), aacTrack()]);
  muxer.frame(frameOf(avcTrack(), 1_000, prefixed([SLICE])));
  const frame = muxer.frame(frameOf(aacTrack(), 1_000, unhex('aabbcc')));
  const pes = digits('000001c0 0012 848005 21000b7e41 fff14c80015ffc aabbcc');
  assert.equal(hexOf(frame), stuffed(`47410130${(183 - pes.length / 2).toString(16)}00`, pes));
});

test('a key frame says so and holds the clock, frames between hold the clock alone', () => {
  const muxer = new TsMuxer([avcTrack(), aacTrack()]);
  const bytes = Buffer.concat([
    muxer.frame(frameOf(avcTrack(), 0, prefixed([unhex('65aa')]), true)),
    muxer.frame(frameOf(avcTrack(), 40, prefixed([SLICE]))),
    muxer.frame(frameOf(aacTrack(), 40, SLICE)),
  ]);
  const clock = (ms: number): number => ticksOf(ms - TS_CLOCK_LEAD_MS);
  assert.deepEqual(
    readPes(bytes).map(({ pid, isRandomAccess, pcr, pts }) => [pid, isRandomAccess, pcr, pts]),
    [
      [0x100, true, clock(0), ticksOf(0)],
      [0x100, false, clock(40), ticksOf(40)],
      [0x101, false, undefined, ticksOf(40)],
    ],
  );
  assert.deepEqual(readPes(bytes)[0]?.payload, startCoded([AUD, AVC_SPS, AVC_PPS, unhex('65aa')]));
});

test('without video the clock is in the audio', () => {
  const muxer = new TsMuxer([aacTrack()]);
  assert.equal(readProgramMap(muxer.tables()).pcrPid, 0x101);
  const [pes] = readPes(muxer.frame(frameOf(aacTrack(), 0, SLICE)));
  assert.deepEqual([pes?.isRandomAccess, pes?.pcr], [true, ticksOf(-TS_CLOCK_LEAD_MS)]);
});

test('where video pauses, audio brings its clock on; where it does not, it leaves the clock to video', () => {
  const [video, audio] = [avcTrack(), aacTrack()];
  const muxer = new TsMuxer([video, audio]);
  const parts: Buffer[] = [];
  for (let ms = 0; ms <= 6_000; ms += 20) {
    if (ms % 40 === 0 && (ms <= 2_000 || ms >= 4_000)) parts.push(muxer.frame(frameOf(video, ms, prefixed([SLICE]))));
    // Ahead of its video, as some encoders send it.
    parts.push(muxer.frame(frameOf(audio, ms + 300, SLICE)));
  }
  const bytes = Buffer.concat(parts);
  readPes(bytes);
  const clock = readPackets(bytes).filter(({ pcr }) => pcr !== undefined);
  const alone = clock.filter(({ payload }) => payload.length === 0).map(({ pcr }) => pcr! / 90 - TS_TIME_OFFSET_MS);
  assert.deepEqual(
    alone,
    Array.from({ length: 17 }, (_, index) => 1_900 + index * 100),
  );
  for (const [index, { pcr, pid }] of clock.entries()) {
    assert.equal(pid, 0x100);
    const step = pcr! - (clock[index - 1]?.pcr ?? pcr! - 1);
    assert.ok(step > 0 && step <= 500 * 90, `${step}`);
  }
});

test('every fill of the last packet is lawful, with and without the clock', () => {
  for (const [track, wrap] of [
    [avcTrack(), (bytes: Buffer) => prefixed([bytes])],
    [makeAudioTrack(2, 'mp3', Buffer.alloc(0)), (bytes: Buffer) => bytes],
  ] as const) {
    const muxer = new TsMuxer([avcTrack(), makeAudioTrack(2, 'mp3', Buffer.alloc(0))]);
    const sent: Buffer[] = [];
    const parts: Buffer[] = [];
    for (let bytes = 1; bytes <= 600; bytes++) {
      sent.push(Buffer.alloc(bytes, 0x41 + (bytes % 7) * 0x20));
      parts.push(muxer.frame(frameOf(track, bytes * 40, wrap(sent.at(-1)!))));
    }
    const found = readPes(Buffer.concat(parts)).map(({ payload }) => payload);
    assert.deepEqual(found, track.kind === 'video' ? sent.map((nal) => startCoded([AUD, nal])) : sent);
  }
});

test('video beyond 65535 bytes has no length, everything else has one', () => {
  const video = avcTrack();
  const of = (bytes: number): number =>
    readPes(new TsMuxer([video]).frame(frameOf(video, 0, prefixed([Buffer.alloc(bytes, 0x41)]))))[0]!.length;
  // 3 bytes of flags, 5 of PTS, 6 of delimiter, 4 of start code
  assert.equal(of(65_535 - 18), 65_535);
  assert.equal(of(65_536 - 18), 0);
  const audio = makeAudioTrack(2, 'mp3', Buffer.alloc(0));
  assert.throws(
    () => new TsMuxer([audio]).frame(frameOf(audio, 0, Buffer.alloc(65_536))),
    (error) => error instanceof FormatError && error.code === 'frame' && /over 65535/.test(error.message),
  );
});

test('several audio frames share PES packets, of a bounded size', () => {
  const track = aacTrack();
  const frames = Array.from({ length: 60 }, (_, index) =>
    frameOf(track, index * 21, Buffer.alloc(1_000 + index, index)),
  );
  const muxer = new TsMuxer([avcTrack(), track]);
  const together = muxer.audio(frames);
  const found = readPes(together);
  assert.deepEqual(
    found.map(({ pts }) => pts),
    [ticksOf(0), ticksOf(32 * 21)],
  );
  const apart = new TsMuxer([track]);
  const expected = frames.flatMap((frame) => readPes(apart.frame(frame))).map(({ payload }) => payload);
  assert.deepEqual(Buffer.concat(found.map(({ payload }) => payload)), Buffer.concat(expected));
  assert.equal(muxer.audio([]).length, 0);
});

test('negative composition offsets never put presentation before decoding, nor decoding back', () => {
  const track = avcTrack();
  const muxer = new TsMuxer([track]);
  const offsets = [0, 80, -40, -40, 80, -40, -40, -900];
  const parts = offsets.map((offset, index) =>
    muxer.frame(frameOf(track, index * 40, prefixed([SLICE]), false, offset)),
  );
  const found = readPes(Buffer.concat(parts));
  for (const [index, { pts, dts, pcr }] of found.entries()) {
    assert.ok(pts >= dts && dts > (found[index - 1]?.dts ?? 0));
    assert.ok(pcr !== undefined && pcr < dts);
  }
  // At most a tick for each offset that had to give way.
  const wanted = offsets.slice(0, -1).map((offset, index) => ticksOf(index * 40 + offset));
  assert.ok(found.slice(0, -1).every(({ pts }, index) => pts - wanted[index]! <= 2));
});

test('a time that goes back says that the clock does not go on', () => {
  const track = avcTrack();
  const muxer = new TsMuxer([track]);
  const parts = [5_000, 5_040, 0, 40].map((dtsMs) => muxer.frame(frameOf(track, dtsMs, prefixed([SLICE]))));
  assert.deepEqual(
    readPes(Buffer.concat(parts)).map(({ dts, isDiscontinuity }) => [dts, isDiscontinuity]),
    [
      [ticksOf(5_000), false],
      [ticksOf(5_040), false],
      [ticksOf(0), true],
      [ticksOf(40), false],
    ],
  );
});

test('a late track makes a new version of the tables, and counters go on', () => {
  const [video, audio] = [avcTrack(), aacTrack()];
  const muxer = new TsMuxer([video]);
  assert.equal(muxer.frame(frameOf(audio, 0, SLICE)).length, 0, 'a track that was not announced');
  const parts = [muxer.tables(), muxer.frame(frameOf(video, 0, prefixed([SLICE])))];
  muxer.setTracks([video, audio]);
  const second = muxer.tables();
  parts.push(second, muxer.frame(frameOf(video, 40, prefixed([SLICE]))), muxer.frame(frameOf(audio, 40, SLICE)));
  assert.deepEqual(
    readPes(Buffer.concat(parts)).map(({ pid }) => pid),
    [0x100, 0x100, 0x101],
  );
  const maps = [readProgramMap(parts[0]!), readProgramMap(second)];
  assert.deepEqual(
    maps.map(({ version, streams }) => [version, streams.length]),
    [
      [0, 1],
      [1, 2],
    ],
  );
});

const OPUS = '4f707573486561640102380180bb0000000000';
const FAMILY_255 = '4f707573486561640104380180bb00000000ff0400000102030405';
const CARRIED: readonly (readonly [name: string, track: Track, streamType: number, descriptors: string])[] = [
  ['H.264', avcTrack(), 0x1b, ''],
  ['HEVC', hevcTrack(), 0x24, '050448455643'],
  ['AAC', aacTrack(), 0x0f, ''],
  ['MP3 of 44.1 kHz', makeAudioTrack(2, 'mp3', Buffer.alloc(0), { sampleRate: 44100, channels: 2 }), 3, ''],
  ['MP3 of 22.05 kHz', makeAudioTrack(2, 'mp3', Buffer.alloc(0), { sampleRate: 22050, channels: 2 }), 4, ''],
  ['AC-3', makeAudioTrack(2, 'ac3', Buffer.alloc(0)), 0x81, '050441432d33'],
  ['E-AC-3', makeAudioTrack(2, 'eac3', Buffer.alloc(0)), 0x87, '050445414333'],
  ['Opus', makeAudioTrack(2, 'opus', unhex(OPUS)), 6, '05044f7075737f028002'],
];
for (const [name, track, streamType, descriptors] of CARRIED) {
  test(`${name} is carried as stream type ${streamType}`, () => {
    assert.equal(TsMuxer.carries(track), true);
    const { streams } = readProgramMap(new TsMuxer([track]).tables());
    assert.deepEqual(
      streams.map((stream) => [stream.streamType, stream.pid, hexOf(stream.descriptors)]),
      [[streamType, track.kind === 'video' ? 0x100 : 0x101, descriptors]],
    );
  });
}

const NOT_CARRIED: readonly (readonly [name: string, track: Track])[] = [
  ['AV1', makeVideoTrack(1, 'av1', unhex('81000c00'))],
  ['VP9', makeVideoTrack(1, 'vp9', unhex('000a820101010000'))],
  ['G.711', makeAudioTrack(2, 'pcma', Buffer.alloc(0))],
  ['AAC that ADTS cannot tell', makeAudioTrack(2, 'aac', unhex('1194'))],
  ['Opus of a layout of its own', makeAudioTrack(2, 'opus', unhex(FAMILY_255))],
];
for (const [name, track] of NOT_CARRIED) {
  test(`${name} is not carried, and left out beside what is`, () => {
    assert.equal(TsMuxer.carries(track), false);
    const other = track.kind === 'video' ? aacTrack() : avcTrack();
    const muxer = new TsMuxer([track, other]);
    assert.equal(readProgramMap(muxer.tables()).streams.length, 1);
    assert.equal(muxer.frame(frameOf(track, 0, SLICE)).length, 0);
  });
}

test('Opus packets stand behind their control header', () => {
  const track = makeAudioTrack(2, 'opus', unhex(OPUS));
  for (const [bytes, header] of [
    [3, '7fe003'],
    [254, '7fe0fe'],
    [255, '7fe0ff00'],
    [600, '7fe0ffff5a'],
  ] as const) {
    const [pes] = readPes(new TsMuxer([track]).frame(frameOf(track, 0, Buffer.alloc(bytes, 0xaa))));
    assert.equal(hexOf(pes!.payload), header + 'aa'.repeat(bytes));
    assert.equal(pes?.streamId, 0xbd);
  }
});

const nals = fc
  .array(fc.uint8Array({ minLength: 1, maxLength: 900 }), { minLength: 1, maxLength: 4 })
  .map((list) => list.map((bytes) => Buffer.concat([Buffer.from([0x41]), bytes])));

test('across the wrap of 2^33, whatever comes, each elementary stream comes back whole and its times rise', () => {
  const frame = fc.record({
    isAudio: fc.boolean(),
    isKey: fc.boolean(),
    stepMs: fc.integer({ min: 1, max: 120 }),
    offsetMs: fc.integer({ min: -90, max: 200 }),
    nals,
  });
  fc.assert(
    fc.property(fc.array(frame, { maxLength: 40 }), fc.integer({ min: -3_000, max: 500 }), (steps, startMs) => {
      const [video, audio] = [avcTrack(), aacTrack()];
      const muxer = new TsMuxer([video, audio]);
      const frames: Frame[] = [];
      // Where PTS, DTS and the clock begin again at 0.
      let timeMs = Math.floor(2 ** 33 / 90) - TS_TIME_OFFSET_MS + startMs;
      for (const { isAudio, isKey, stepMs, offsetMs, nals: list } of steps) {
        timeMs += stepMs;
        const data = isAudio ? Buffer.concat(list) : prefixed(list);
        frames.push(frameOf(isAudio ? audio : video, timeMs, data, isKey, isAudio ? 0 : offsetMs));
      }
      const found = readPes(Buffer.concat([muxer.tables(), ...frames.map((one) => muxer.frame(one))]));
      for (const track of [video, audio]) {
        const own = frames.filter((one) => one.track === track);
        const out = found.filter(({ pid }) => pid === (track === video ? 0x100 : 0x101));
        assert.equal(out.length, own.length);
        for (const [index, { dts, pts, payload, isRandomAccess }] of out.entries()) {
          const { data, isKey } = own[index]!;
          const tail = track === video ? startCoded(unprefixed(data)) : data;
          assert.ok(payload.subarray(-tail.length).equals(tail));
          const extra = track === audio ? 7 : 6 + (isKey ? 8 + AVC_SPS.length + AVC_PPS.length : 0);
          assert.equal(payload.length, tail.length + extra);
          assert.equal(isRandomAccess, track === video && isKey);
          const step = (dts - (out[index - 1]?.dts ?? dts - 1) + 2 ** 33) % 2 ** 33;
          assert.ok(step > 0 && step < 2 ** 32 && (pts - dts + 2 ** 33) % 2 ** 33 < 2 ** 32);
        }
      }
    }),
    { numRuns: 60 },
  );
});

function unprefixed(data: Buffer): Buffer[] {
  const list: Buffer[] = [];
  for (let at = 0; at < data.length; at += 4 + data.readUInt32BE(at)) {
    list.push(data.subarray(at + 4, at + 4 + data.readUInt32BE(at)));
  }
  return list;
}

test('FFmpeg reads what an encoder sent, and has nothing to warn of', async () => {
  const tracks: Track[] = [];
  const frames: Frame[] = [];
  let id = 0;
  const demuxer = new FlvDemuxer(
    {
      onTrack: (track) => tracks.push(track),
      onFrame: (frame) => frames.push({ ...frame, data: Buffer.from(frame.data) }),
      onMetadata: () => {},
      onIgnored: () => {},
    },
    new StreamClock(),
    () => (id += 1),
  );
  new FlvReader({ onHeader: () => {}, onTag: (...tag) => demuxer.push(...tag) }).push(
    readHexFile('ffmpeg-h264-aac.flv'),
  );
  const muxer = new TsMuxer(tracks);
  const bytes = Buffer.concat([muxer.tables(), ...frames.map((frame) => muxer.frame(frame))]);
  const running = promisify(execFile)('ffprobe', [
    '-v',
    'warning',
    '-f',
    'mpegts',
    '-show_entries',
    'packet=codec_type,pts',
    '-of',
    'csv=p=0',
    'pipe:0',
  ]);
  running.child.stdin?.end(bytes);
  const { stdout, stderr } = await running;
  assert.equal(stderr, '');
  const read = stdout
    .trim()
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split(',').slice(0, 2).join(' '));
  const sent = frames.map(({ track, ptsMs }) => `${track.kind} ${ticksOf(ptsMs)}`);
  assert.deepEqual(read.toSorted(), sent.toSorted());
});
