import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { FormatError } from '../../lib/format-error.ts';
import type { AudioCodec, VideoCodec } from '../track.ts';
import { aacProfileName, parseAacConfig } from './aac.ts';
import { parseAc3Header, parseMpegAudioHeader } from './audio-headers.ts';
import { h264LevelName, h264ProfileName, parseAvcConfig, parseH264Sps } from './h264.ts';
import { hevcLevelName, parseHevcConfig, parseHevcSps } from './hevc.ts';
import { makeAudioTrack, makeVideoTrack } from './make-track.ts';
import { unescapeNal } from './nal.ts';

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');

/** Configurations as ffmpeg 5.1 writes them: codec, record, [width, height, profile, level]. */
const video: readonly (readonly [string, VideoCodec, string, readonly [number, number, string, string]])[] = [
  [
    'H.264 Baseline with cropping',
    'h264',
    '0142c00dffe100186742c00dd901519e226c0440000003004000000c83c50a9201000568cb83cb20',
    [322, 182, 'Baseline', '1.3'],
  ],
  [
    'H.264 Main',
    'h264',
    '014d400dffe10019674d400deca0a8cf11360220000003002000000641e28532c001000568ebe3cb20',
    [322, 182, 'Main', '1.3'],
  ],
  [
    'H.264 High 4:2:2, interlaced, with the extension fields',
    'h264',
    '017a001effe10018677a001ebcd940b424d8088000000300800000190f8a14cb01000668fba3cb22c0fef8f800',
    [720, 576, 'High(422)', '3'],
  ],
  [
    'HEVC Main with cropping',
    'hevc',
    '0101600000009000000000001ef000fcfdf8f800000f03200001001840010c01ffff01600000030090000003000003001e9594092100' +
      '01002b42010101600000030090000003000003001ea01a2071c456595952930bc05a020000030002000003000a1022000100064401c0' +
      '73c189',
    [194, 110, 'Main', '1'],
  ],
  ['AV1', 'av1', '81000c000a0a00000003b5feb00be001', [192, 108, 'Main', '2.0']],
  ['VP9 with its box header', 'vp9', '01000000000a820202020000', [0, 0, '0', '1.0']],
];
for (const [name, codec, config, [width, height, profile, level]] of video) {
  test(`reads ${name}`, () => {
    const bytes = hex(config);
    assert.deepEqual(makeVideoTrack(3, codec, bytes), {
      kind: 'video',
      id: 3,
      codec,
      config: bytes,
      width,
      height,
      profile,
      level,
    });
  });
}

test('the parameter sets and the length size are those of the record', () => {
  const avc = parseAvcConfig(hex(video[0]![2]));
  assert.equal(avc.lengthSize, 4);
  assert.equal(avc.sps[0]!.toString('hex'), '6742c00dd901519e226c0440000003004000000c83c50a92');
  assert.equal(avc.pps[0]!.toString('hex'), '68cb83cb20');
  const hevc = parseHevcConfig(hex(video[3]![2]));
  assert.deepEqual([hevc.vps.length, hevc.sps.length, hevc.pps.length, hevc.lengthSize], [1, 1, 1, 4]);
  assert.equal(hevc.sps[0]![0], 0x42);
});

test('a whole record with an SPS that cannot be read has an unknown size', () => {
  const track = makeVideoTrack(1, 'h264', hex('0164001fffe10003676400 01000168'));
  assert.deepEqual([track.width, track.height, track.profile, track.level], [0, 0, 'High', '3.1']);
});

test('profiles and levels have the names of the API', () => {
  assert.deepEqual([66, 77, 88, 100, 110, 244, 118].map(h264ProfileName), [
    'Baseline',
    'Main',
    'Extended',
    'High',
    'High(10)',
    'High(444+Predictive)',
    'Other',
  ]);
  assert.deepEqual(
    [10, 31, 40, 42, 51].map((level) => h264LevelName(level)),
    ['1', '3.1', '4', '4.2', '5.1'],
  );
  assert.equal(h264LevelName(11, 66, 0x10), '1b');
  assert.equal(h264LevelName(11, 66, 0), '1.1');
  assert.deepEqual([30, 93, 120, 123, 186].map(hevcLevelName), ['1', '3.1', '4', '4.1', '6.2']);
});

/** AudioSpecificConfig → [output Hz, channels, profile]. */
const aac: readonly (readonly [string, string, readonly [number, number, string]])[] = [
  ['LC, 44.1 kHz, stereo', '1210', [44100, 2, 'LC']],
  ['LC, 48 kHz, 5.1', '11b0', [48000, 6, 'LC']],
  ['Main, 48 kHz, mono', '0988', [48000, 1, 'Main']],
  ['LC with an explicit rate', '1780 5dc0 10', [48000, 2, 'LC']],
  ['HE, hierarchical signalling', '2b118800', [48000, 2, 'HE']],
  ['HE, backward compatible signalling', '131056e59d4800', [48000, 2, 'HE']],
  ['HEv2, hierarchical signalling', 'eb098800', [48000, 2, 'HEv2']],
  ['LC, ffmpeg’s extension that says no SBR', '121056e500', [44100, 2, 'LC']],
  ['LC, 7.1 by channel configuration 12', '1260', [44100, 8, 'LC']],
  ['an escaped object type (USAC)', 'f94640', [48000, 2, 'Other']],
];
for (const [name, config, expected] of aac) {
  test(`reads AAC ${name}`, () => {
    const track = makeAudioTrack(1, 'aac', hex(config));
    assert.deepEqual([track.sampleRate, track.channels, track.profile], expected);
  });
}

test('AAC channels come from the program config element where the configuration number is 0', () => {
  // LC, 44.1 kHz, channelConfiguration 0, GASpecificConfig; then two front elements, a pair and a single, one LFE.
  const bits = [
    '00010',
    '0100',
    '0000',
    '000',
    '0000',
    '01',
    '0100',
    '0010',
    '0000',
    '0000',
    '01',
    '000',
    '0000',
    '000',
  ];
  bits.push('1', '0000', '0', '0000', '0000');
  const text = bits.join('');
  const bytes = Buffer.from(
    text
      .padEnd(Math.ceil(text.length / 8) * 8, '0')
      .match(/.{8}/g)!
      .map((b) => Number.parseInt(b, 2)),
  );
  assert.equal(parseAacConfig(bytes).channels, 4);
  assert.equal(aacProfileName(parseAacConfig(bytes)), 'LC');
});

test('AAC frames have the samples that their configuration says', () => {
  // LC, LC with short windows, HE at twice the core's rate, LD, ELD
  const configs = ['1190', '1194', '2b920800', 'b990', 'f8e64000'];
  assert.deepEqual(
    configs.map((config) => parseAacConfig(hex(config)).frameSamples),
    [1024, 960, 2048, 512, 512],
  );
});

const audio: readonly (readonly [string, AudioCodec, string, readonly [number, number]])[] = [
  ['OpusHead, mono', 'opus', '4f707573486561640101380180bb0000000000', [48000, 1]],
  [
    'FLAC STREAMINFO',
    'flac',
    '664c614300000022120012000000100000100ac442f00000113a882c7029a5097769b85bd176f5752684',
    [44100, 2],
  ],
];
for (const [name, codec, config, expected] of audio) {
  test(`reads ${name}`, () => {
    const track = makeAudioTrack(1, codec, hex(config));
    assert.deepEqual([track.sampleRate, track.channels], expected);
  });
}

test('frame headers of MPEG audio and AC-3 tell rate and channels', () => {
  assert.deepEqual(parseMpegAudioHeader(hex('fff340c40000000348000000')), { sampleRate: 22050, channels: 1 });
  assert.deepEqual(parseMpegAudioHeader(hex('fffb9464000ff00000690000')), { sampleRate: 48000, channels: 2 });
  assert.equal(parseMpegAudioHeader(hex('00112233')), undefined);
  assert.deepEqual(parseAc3Header(hex('0b7728191e40ebf8403eff99')), { sampleRate: 48000, channels: 6 });
  assert.deepEqual(parseAc3Header(hex('0b7701a07487c00020000000')), { sampleRate: 44100, channels: 2 });
  assert.equal(parseAc3Header(hex('0b77')), undefined);
});

test('a codec without a configuration takes the container’s word', () => {
  const track = makeAudioTrack(9, 'mp3', Buffer.alloc(0), { sampleRate: 22050, channels: 1 });
  assert.deepEqual([track.id, track.sampleRate, track.channels, track.profile], [9, 22050, 1, '']);
});

const broken: readonly (readonly [string, VideoCodec | AudioCodec, string, RegExp])[] = [
  ['an empty avcC', 'h264', '', /of 0 bytes, 7 at the least/],
  ['Annex B instead of avcC', 'h264', '00000001674d400d', /version 0, not 1: send MP4's avcC/],
  ['an avcC with an SPS cut short', 'h264', '0164001fffe10018 6742', /ends within a parameter set/],
  ['an avcC with a PPS cut short', 'h264', '0164001fffe10001 67 01', /ends within a parameter set/],
  ['an avcC with lengths of 3 bytes', 'h264', '0164001ffee0 00', /3 bytes, which/],
  ['a short hvcC', 'hevc', '0101', /has 2 bytes, 23/],
  ['an hvcC of version 9', 'hevc', '09'.repeat(23), /version 9/],
  ['an hvcC cut short', 'hevc', `01${'00'.repeat(20)}0301 2000`, /ends within an array/],
  ['an hvcC with a NAL unit cut short', 'hevc', `01${'00'.repeat(20)}0301 200001 0009`, /ends within a NAL unit/],
  ['an av1C without its marker', 'av1', '00000000', /marker and version/],
  ['an empty vpcC', 'vp9', '', /has 0 bytes/],
  ['an AAC configuration of one byte', 'aac', '12', /ends after 1 bytes/],
  ['an AAC configuration with a reserved rate', 'aac', '1690', /reserved sample rate index 13/],
  ['an OpusHead without its name', 'opus', '00'.repeat(19), /OpusHead/],
  ['a FLAC head without STREAMINFO', 'flac', '664c6143', /STREAMINFO/],
];
for (const [name, codec, config, message] of broken) {
  test(`refuses ${name}`, () => {
    const make = () =>
      ['h264', 'hevc', 'av1', 'vp9'].includes(codec)
        ? makeVideoTrack(1, codec as VideoCodec, hex(config))
        : makeAudioTrack(1, codec as AudioCodec, hex(config));
    assert.throws(make, (e) => e instanceof FormatError && e.code === 'codec-config' && message.test(e.message));
  });
}

test('whatever the bytes, a parser returns or throws a FormatError', () => {
  const parsers: ((bytes: Buffer) => unknown)[] = [
    parseAvcConfig,
    parseH264Sps,
    parseHevcConfig,
    parseHevcSps,
    parseAacConfig,
    parseMpegAudioHeader,
    parseAc3Header,
    (bytes) => makeVideoTrack(1, 'av1', Buffer.concat([hex('81000c00'), bytes])),
  ];
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (array) => {
      for (const parse of parsers) {
        try {
          parse(Buffer.from(array));
        } catch (error) {
          if (!(error instanceof FormatError)) throw error;
        }
      }
    }),
    { numRuns: 500 },
  );
});

test('emulation prevention bytes are taken out, and nothing else', () => {
  assert.equal(unescapeNal(hex('67000003000003010000030300000300')).toString('hex'), '670000000001000003000000');
  const plain = hex('6742000102');
  assert.equal(unescapeNal(plain), plain);
});
