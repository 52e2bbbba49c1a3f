import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { FormatError } from '../lib/format-error.ts';
import { makeAudioTrack, makeVideoTrack } from '../media/codecs/make-track.ts';
import type { Frame } from '../media/frame.ts';
import { StreamClock } from '../media/stream-clock.ts';
import type { Track } from '../media/track.ts';
import { FlvDemuxer } from './flv-demuxer.ts';
import { FlvReader } from './flv-file.ts';
import { Fmp4File } from './fmp4-file.ts';
import { isWholeFrame } from './fmp4-fragment.ts';
import { Fmp4Writer, carries } from './fmp4.ts';
import { boxes, find, readFragments } from './testing-mp4.ts';
import { readHexFile, unhex } from './testing.ts';

const AVCC = '014d400dffe10019674d400deca0a8cf11360220000003002000000641e28532c001000568ebe3cb20';
const video = makeVideoTrack(1, 'h264', unhex(AVCC));
const audio = makeAudioTrack(2, 'aac', unhex('1210'));

/** A picture of one NAL unit. */
const picture = (dtsMs: number, isKey = false, ptsMs = dtsMs, size = 6): Frame => {
  const data = Buffer.alloc(size, dtsMs & 0xff);
  data.writeUInt32BE(size - 4, 0);
  return { track: video, dtsMs, ptsMs, isKey, data };
};
const sound = (dtsMs: number, track: Track = audio, size = 3): Frame => {
  return { track, dtsMs, ptsMs: dtsMs, isKey: true, data: Buffer.alloc(size, dtsMs & 0xff) };
};

/** The frames of ffmpeg's file, by track. */
function captured(): { tracks: Track[]; frames: Frame[] } {
  const tracks: Track[] = [];
  const frames: Frame[] = [];
  const sink = {
    onTrack: (track: Track) => tracks.push(track),
    onFrame: (frame: Frame) => frames.push(frame),
    onMetadata: () => undefined,
    onIgnored: () => undefined,
  };
  const demuxer = new FlvDemuxer(sink, new StreamClock(), () => tracks.length + 1);
  const onTag = (type: number, time: number, payload: Buffer) => demuxer.push(type, time, payload);
  new FlvReader({ onHeader: () => undefined, onTag }).push(readHexFile('ffmpeg-h264-aac.flv'));
  return { tracks, frames };
}

/** ffprobe's view of a file on its standard input; fails on anything it has to say of this level. */
function probe(file: Buffer, entries: string, level = 'warning'): string[][] {
  const args = ['-hide_banner', '-loglevel', level, '-show_entries', entries, '-of', 'csv=p=0', 'pipe:0'];
  const { stdout, stderr, error } = spawnSync('ffprobe', args, { input: file, maxBuffer: 1 << 26 });
  if (error !== undefined) throw new Error('ffprobe is needed for this test', { cause: error });
  assert.equal(stderr.toString(), '');
  return stdout
    .toString()
    .trim()
    .split('\n')
    .map((line) => line.replace(/,$/, '').split(','));
}

test('a fragment of two pictures, byte by byte', () => {
  const writer = new Fmp4Writer([video], { sequenceNumber: 7 });
  const bytes = writer.fragment({ track: video, samples: [picture(1000, true, 1040), picture(1040)], endDtsMs: 1080 });
  const expected = `
    00000078 6d6f6f66                              # moof
      00000010 6d666864 00000000 00000007          # mfhd
      00000060 74726166                            # traf
        00000010 74666864 00020000 00000001        # tfhd: default-base-is-moof
        00000014 74666474 01000000 0000000000015f90 # tfdt: 90000
        00000034 7472756e 01000f01 00000002 00000080 # trun: two samples, data behind mdat's header
          00000e10 00000006 02000000 00000e10      # 3600 ticks, 6 bytes, sync, shown 3600 later
          00000e10 00000006 01010000 00000000
    00000014 6d646174                              # mdat
      00000002e8e8 000000021010`;
  assert.equal(bytes.toString('hex'), unhex(expected).toString('hex'));
});

test('a fragment of sound says durations and sizes alone', () => {
  const writer = new Fmp4Writer([audio]);
  const [run] = readFragments(writer.fragment({ track: audio, samples: [sound(1000), sound(1023)] }));
  assert.deepEqual(
    run?.samples.map(({ duration, size, flags }) => [duration, size, flags]),
    [
      [1024, 3, undefined],
      [1024, 3, undefined],
    ],
  );
  assert.equal(run?.start, 44100);
});

test('the initialization section of a track says what CMAF wants', () => {
  const { init } = new Fmp4Writer([video]);
  assert.deepEqual(
    boxes(init).map(({ type, body }) => [type, type === 'ftyp' ? body.toString('latin1').replaceAll('\0', '') : '']),
    [
      ['ftyp', 'iso6iso6cmfcmp41'],
      ['moov', ''],
    ],
  );
  const [moov] = find(init, 'moov');
  assert.deepEqual(
    boxes(moov!).map(({ type }) => type),
    ['mvhd', 'trak', 'mvex'],
  );
  assert.equal(find(init, 'moov/trak/mdia/mdhd')[0]!.readUInt32BE(12), 90_000);
  const [stsd] = find(init, 'moov/trak/mdia/minf/stbl/stsd');
  const [entry] = boxes(stsd!.subarray(8));
  assert.equal(entry?.type, 'avc1');
  assert.equal(find(entry.body.subarray(78), 'avcC')[0]!.toString('hex'), AVCC);
  assert.deepEqual([entry.body.readUInt16BE(24), entry.body.readUInt16BE(26)], [322, 182]);
});

test('ffprobe reads one track’s parts, with the times and bytes of the frames', () => {
  const { tracks, frames } = captured();
  for (const track of tracks) {
    const own = frames.filter((frame) => frame.track === track);
    const writer = new Fmp4Writer([track]);
    const parts = [writer.init];
    for (let at = 0; at < own.length; at += 4) {
      parts.push(writer.fragment({ track, samples: own.slice(at, at + 4), endDtsMs: own[at + 4]?.dtsMs }));
    }
    const seen = probe(Buffer.concat(parts), 'packet=pts_time,dts_time,size,flags').map(([pts, dts, size, flags]) => [
      Math.round(Number(pts) * 1000),
      Math.round(Number(dts) * 1000),
      Number(size),
      flags!.startsWith('K'),
    ]);
    assert.equal(seen.length, own.length);
    for (const [index, frame] of own.entries()) {
      const [ptsMs, dtsMs, size, isKey] = seen[index]!;
      assert.deepEqual([size, isKey], [frame.data.length, frame.isKey]);
      // The capture's sound has times in whole milliseconds; here it is laid end to end.
      const most = track.kind === 'video' ? 0 : 2;
      assert.ok(Math.abs((dtsMs as number) - frame.dtsMs) <= most, `${String(dtsMs)} ${frame.dtsMs}`);
      assert.ok(Math.abs((ptsMs as number) - frame.ptsMs) <= most, `${String(ptsMs)} ${frame.ptsMs}`);
    }
  }
});

/** A configuration of each codec, and what ffprobe calls it. */
const CODECS: readonly (readonly [string, Track])[] = [
  ['h264', video],
  [
    'hevc',
    makeVideoTrack(
      1,
      'hevc',
      unhex(
        '0101600000009000000000001ef000fcfdf8f800000f03200001001840010c01ffff01600000030090000003000003001e9594092100' +
          '01002b42010101600000030090000003000003001ea01a2071c456595952930bc05a020000030002000003000a1022000100064401c073c189',
      ),
    ),
  ],
  ['av1', makeVideoTrack(1, 'av1', unhex('81000c000a0a00000003b5feb00be001'))],
  ['vp9', makeVideoTrack(1, 'vp9', unhex('01000000000a820202020000'))],
  ['aac', audio],
  ['mp3', makeAudioTrack(1, 'mp3', Buffer.alloc(0), { sampleRate: 44100, channels: 2 })],
  ['mp3', makeAudioTrack(1, 'mp3', Buffer.alloc(0), { sampleRate: 22050, channels: 1 })],
  ['opus', makeAudioTrack(1, 'opus', unhex('4f707573486561640102380180bb0000000000'))],
  ['opus', makeAudioTrack(1, 'opus', Buffer.alloc(0), { sampleRate: 48000, channels: 2 })],
  ['ac3', makeAudioTrack(1, 'ac3', Buffer.alloc(0), { sampleRate: 48000, channels: 6 })],
  ['eac3', makeAudioTrack(1, 'eac3', Buffer.alloc(0), { sampleRate: 48000, channels: 2 })],
  [
    'flac',
    makeAudioTrack(
      1,
      'flac',
      unhex('664c614300000022120012000000100000100ac442f00000113a882c7029a5097769b85bd176f5752684'),
    ),
  ],
];
for (const [name, track] of CODECS) {
  test(`ffprobe knows ${name} of ${track.kind === 'audio' ? `${track.sampleRate} Hz` : 'a picture'} by its initialization section`, () => {
    const rate = track.kind === 'audio' ? 'sample_rate,channels' : 'width,height';
    const [seen] = probe(new Fmp4Writer([track]).init, `stream=codec_name,${rate}`, 'error');
    const numbers =
      track.kind === 'audio' ? [track.sampleRate, track.channels] : [track.width || 1_280, track.height || 720];
    assert.deepEqual(seen, [name, ...numbers.map(String)]);
  });
}

test('G.711 and Speex are not carried', () => {
  const speech = (codec: 'pcma' | 'pcmu' | 'speex') =>
    makeAudioTrack(1, codec, Buffer.alloc(0), { sampleRate: 8000, channels: 1 });
  assert.deepEqual([speech('pcma'), speech('pcmu'), speech('speex'), audio, video].map(carries), [
    false,
    false,
    false,
    true,
    true,
  ]);
  assert.throws(() => new Fmp4Writer([speech('pcma')]), { name: 'FormatError', code: 'codec-config' });
});

test('broken configurations are refused', () => {
  const opus = {
    ...makeAudioTrack(1, 'opus', Buffer.alloc(0)),
    config: unhex('4f707573486561640102380180bb0000000001'),
  };
  for (const track of [opus, { ...video, codec: 'vp9', config: unhex('000a82') } as Track]) {
    assert.throws(() => new Fmp4Writer([track]), { name: 'FormatError', code: 'codec-config' });
  }
});

test('a frame whose NAL units do not add up is refused, and the fragment can be written without it', () => {
  const broken = [unhex('00000002aa'), unhex('00000001aa00'), unhex('ffffffffaa')];
  const writer = new Fmp4Writer([video]);
  for (const data of broken) {
    const frame = { ...picture(40), data };
    assert.equal(isWholeFrame(frame), false);
    assert.throws(() => writer.fragment({ track: video, samples: [picture(0, true), frame] }), {
      name: 'FormatError',
      code: 'frame',
    });
  }
  const [run] = readFragments(writer.fragment({ track: video, samples: [picture(0, true), picture(40)] }));
  assert.deepEqual([run?.sequenceNumber, run?.start, run?.samples.length], [1, 0, 2]);
  assert.ok(isWholeFrame(picture(0)) && isWholeFrame(sound(0)));
});

test('NAL unit lengths of one and two bytes are read as such', () => {
  const short = (size: number, hex: string) => {
    const config = Buffer.from(video.config);
    config[4] = 0xfc | (size - 1);
    return isWholeFrame({ track: { ...video, config }, data: unhex(hex) });
  };
  assert.deepEqual(
    [short(1, '02aabb 01cc'), short(2, '0002aabb 0000'), short(2, '0002aa'), short(1, '02')],
    [true, true, false, false],
  );
});

/** What a player sees of consecutive fragments of one track: [start, end] of each sample. */
function spans(fragments: readonly Buffer[]): { starts: number[]; gaps: number[] } {
  const starts: number[] = [];
  const gaps: number[] = [];
  let end: number | undefined;
  for (const fragment of fragments) {
    for (const { start, samples } of readFragments(fragment)) {
      if (end !== undefined) gaps.push(start - end);
      let at = start;
      for (const { duration } of samples) {
        starts.push(at);
        at += duration;
      }
      end = at;
    }
  }
  return { starts, gaps };
}

/** Cuts frames into parts at random and writes them; the next time is known for some. */
function inParts(writer: Fmp4Writer, frames: readonly Frame[], sizes: readonly number[], ends: boolean): Buffer[] {
  const fragments: Buffer[] = [];
  for (let at = 0, part = 0; at < frames.length; part++) {
    const size = sizes[part % sizes.length]!;
    const samples = frames.slice(at, at + size);
    at += size;
    fragments.push(writer.fragment({ track: frames[0]!.track, samples, ...(ends && { endDtsMs: frames[at]?.dtsMs }) }));
  }
  return fragments;
}

const partSizes = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 8 });

test('pictures keep their times whatever the parts, without gap or overlap', () => {
  const steps = fc.array(fc.integer({ min: 1, max: 100 }), { minLength: 2, maxLength: 60 });
  fc.assert(
    fc.property(steps, partSizes, fc.integer({ min: 0, max: 2 ** 40 }), (durations, sizes, startMs) => {
      let dtsMs = startMs;
      const frames = durations.map((step, index) => {
        dtsMs += step;
        return picture(dtsMs, index === 0, dtsMs + (index % 3) * 40);
      });
      const fragments = inParts(new Fmp4Writer([video]), frames, sizes, true);
      const { starts, gaps } = spans(fragments);
      assert.deepEqual(
        starts,
        frames.map((frame) => frame.dtsMs * 90),
      );
      assert.ok(gaps.every((gap) => gap === 0));
      const samples = fragments.flatMap((fragment) => readFragments(fragment).flatMap((run) => run.samples));
      assert.deepEqual(
        samples.map(({ composition }) => composition),
        frames.map((f) => (f.ptsMs - f.dtsMs) * 90),
      );
      assert.ok(samples.every(({ data }, index) => data.equals(frames[index]!.data)));
    }),
  );
});

test('pictures whose end is not known stay end to end within rounding', () => {
  // 30 frames a second in whole milliseconds
  const frames = Array.from({ length: 300 }, (_, index) => picture(Math.round((index * 1000) / 30)));
  const { gaps } = spans(inParts(new Fmp4Writer([video]), frames, [3], false));
  assert.deepEqual(new Set(gaps), new Set([0]));
});

test('sound with times in whole milliseconds has the codec’s lengths and does not drift', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(8_000, 11_025, 22_050, 44_100, 48_000, 96_000),
      partSizes,
      fc.boolean(),
      fc.integer({ min: 0, max: 2 ** 40 }),
      fc.constantFrom(Math.round, Math.floor),
      (sampleRate, sizes, ends, startMs, rounded) => {
        const track = { ...audio, sampleRate };
        const frames = Array.from({ length: 500 }, (_, index) =>
          sound(rounded(startMs + (index * 1024 * 1000) / sampleRate), track),
        );
        const fragments = inParts(new Fmp4Writer([track]), frames, sizes, ends);
        const { starts, gaps } = spans(fragments);
        assert.ok(gaps.every((gap) => gap === 0));
        for (let index = 1; index < starts.length; index++) assert.equal(starts[index]! - starts[index - 1]!, 1024);
        for (const [index, { dtsMs }] of frames.entries()) {
          assert.ok(Math.abs((starts[index]! * 1000) / sampleRate - dtsMs) <= 2);
        }
      },
    ),
    { numRuns: 50 },
  );
});

test('sound that runs fast or slow against its clock is followed without a gap', () => {
  for (const pace of [0.998, 1.002]) {
    const frames = Array.from({ length: 20_000 }, (_, index) => sound(Math.round((index * 1024 * pace) / 44.1)));
    const { starts, gaps } = spans(inParts(new Fmp4Writer([audio]), frames, [9], true));
    assert.ok(gaps.every((gap) => gap === 0));
    for (const [index, { dtsMs }] of frames.entries()) {
      assert.ok(Math.abs(starts[index]! / 44.1 - dtsMs) < 5, `${index}`);
      if (index > 0) assert.ok(Math.abs(starts[index]! - starts[index - 1]! - 1024) <= 16);
    }
  }
});

test('sound that an encoder stamps as it arrives stays end to end', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: -12, max: 12 }), { minLength: 200, maxLength: 200 }), (jitter) => {
      let last = -1;
      const frames = jitter.map((error, index) => {
        last = Math.max(last + 1, Math.round((index * 1024) / 44.1 + 50 + error));
        return sound(last);
      });
      const { starts, gaps } = spans(inParts(new Fmp4Writer([audio]), frames, [9], true));
      assert.ok(gaps.every((gap) => gap === 0));
      for (let index = 1; index < starts.length; index++) {
        assert.ok(Math.abs(starts[index]! - starts[index - 1]! - 1024) <= 16);
      }
      for (const [index, { dtsMs }] of frames.entries()) assert.ok(Math.abs(starts[index]! / 44.1 - dtsMs) < 50);
    }),
    { numRuns: 30 },
  );
});

test('sound that stops for a while goes on at its own time', () => {
  const before = [sound(0), sound(23)];
  const after = [sound(5_000), sound(5_023)];
  const writer = new Fmp4Writer([audio]);
  const { starts } = spans([
    writer.fragment({ track: audio, samples: before }),
    writer.fragment({ track: audio, samples: after }),
  ]);
  assert.deepEqual(starts, [0, 1024, 220_500, 221_524]);
  const joined = spans([new Fmp4Writer([audio]).fragment({ track: audio, samples: [...before, ...after] })]);
  assert.deepEqual(joined.starts, starts);
});

test('several tracks go into one fragment, and one without samples is left out', () => {
  const writer = new Fmp4Writer([video, audio]);
  const fragments = [
    writer.fragment(
      { track: video, samples: [picture(0, true)], endDtsMs: 40 },
      { track: audio, samples: [sound(0), sound(23)] },
    ),
    writer.fragment({ track: video, samples: [] }, { track: audio, samples: [sound(46)] }),
  ];
  assert.deepEqual(
    readFragments(Buffer.concat(fragments)).map(({ sequenceNumber, trackId, start, samples }) => [
      sequenceNumber,
      trackId,
      start,
      samples.length,
    ]),
    [
      [1, 1, 0, 1],
      [1, 2, 0, 2],
      [2, 2, 2048, 1],
    ],
  );
  assert.equal(writer.fragment({ track: video, samples: [] }).length, 0);
  assert.throws(() => writer.fragment({ track: { ...audio }, samples: [sound(70)] }), RangeError);
});

test('ffprobe reads a recording that was cut off, and one that was ended', () => {
  const { tracks, frames } = captured();
  const originMs = frames[0]!.dtsMs;
  const file = new Fmp4File(tracks, { originMs });
  const written = [file.init];
  for (let fromMs = originMs; fromMs < 1_300; fromMs += 500) {
    const samples = (track: Track) =>
      frames.filter((frame) => frame.track === track && frame.dtsMs >= fromMs && frame.dtsMs < fromMs + 500);
    written.push(file.fragment(...tracks.map((track) => ({ track, samples: samples(track) }))));
  }
  const whole = Buffer.concat(written);
  assert.equal(whole.length, file.bytes);
  const counts = (bytes: Buffer) => probe(bytes, 'stream=codec_name:packet=stream_index').length;
  assert.equal(counts(whole), frames.length + 2);
  assert.ok(counts(Buffer.concat(written.slice(0, -1))) < frames.length);

  const end = file.finish();
  const ended = Buffer.concat([whole, end.index]);
  end.duration.bytes.copy(ended, end.duration.offset);
  assert.equal(counts(ended), frames.length + 2);
  const [mehd] = find(ended, 'moov/mvex/mehd');
  const durationMs = Number(mehd!.readBigUInt64BE(4));
  assert.equal(durationMs, Math.round(file.durationMs));
  const last = frames.at(-1)!;
  assert.ok(Math.abs(durationMs - (last.dtsMs - originMs)) < 150, `${durationMs}`);
  const [mfra] = find(ended, 'mfra');
  const [tfra] = find(mfra!, 'tfra');
  assert.deepEqual([tfra!.readUInt32BE(4), tfra!.readUInt32BE(12)], [1, 2]);
  // The places are those of moofs, and their times those of key frames.
  for (const [index, key] of frames.filter((frame) => frame.track.kind === 'video' && frame.isKey).entries()) {
    const at = 16 + index * 19;
    assert.equal(Number(tfra!.readBigUInt64BE(at)), (key.ptsMs - originMs) * 90);
    const offset = Number(tfra!.readBigUInt64BE(at + 8));
    assert.equal(ended.toString('latin1', offset + 4, offset + 8), 'moof');
  }
  assert.equal(ended.readUInt32BE(ended.length - 4), end.index.length);
});

test('any frames and configurations are written or refused with a FormatError', () => {
  const config = fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes));
  fc.assert(
    fc.property(fc.constantFrom(...CODECS), config, config, ([, track], broken, data) => {
      try {
        const odd = { ...track, config: broken } as Track;
        const writer = new Fmp4Writer([odd]);
        const samples = [{ dtsMs: 0, ptsMs: 0, isKey: true, data }];
        readFragments(writer.fragment({ track: odd, samples }));
      } catch (error) {
        assert.ok(error instanceof FormatError, String(error));
      }
    }),
    { numRuns: 500 },
  );
});
