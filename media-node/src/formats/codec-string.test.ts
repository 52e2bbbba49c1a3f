import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeAudioTrack, makeVideoTrack } from '../media/codecs/make-track.ts';
import type { AudioCodec, VideoCodec } from '../media/track.ts';
import { codecString } from './codec-string.ts';
import { unhex } from './testing.ts';

const HEVC_MAIN10 = '0122200000009000000000005df000fcfdfafa00000f00';
const video: readonly (readonly [VideoCodec, string, string])[] = [
  ['h264', '014d400dffe10019674d400deca0a8cf11360220000003002000000641e28532c001000568ebe3cb20', 'avc1.4d400d'],
  ['h264', '0142c00dffe100186742c00dd901519e226c0440000003004000000c83c50a9201000568cb83cb20', 'avc1.42c00d'],
  ['hevc', '01016000000090000000000001ef000fcfdf8f800000f00'.replace('0001ef', '001ef'), 'hvc1.1.6.L30.90'],
  ['hevc', HEVC_MAIN10, 'hvc1.2.4.H93.90'],
  ['av1', '81000c000a0a00000003b5feb00be001', 'av01.0.00M.08'],
  ['av1', '81484c00', 'av01.2.08M.10'],
  ['av1', '814de000', 'av01.2.13H.12'],
  ['vp9', '01000000000a820202020000', 'vp09.00.10.08'],
  ['vp9', '020aa20202020000', 'vp09.02.10.10'],
];
for (const [codec, config, expected] of video) {
  test(`${codec} is ${expected}`, () => {
    assert.equal(codecString(makeVideoTrack(1, codec, unhex(config))), expected);
  });
}

const audio: readonly (readonly [AudioCodec, string, string | undefined])[] = [
  ['aac', '1210', 'mp4a.40.2'],
  ['aac', '2b920800', 'mp4a.40.5'],
  ['aac', 'eb8a0800', 'mp4a.40.29'],
  ['mp3', '', 'mp4a.40.34'],
  ['opus', '4f707573486561640102380180bb0000000000', 'opus'],
  ['ac3', '', 'ac-3'],
  ['eac3', '', 'ec-3'],
  ['flac', '', 'fLaC'],
  ['pcma', '', undefined],
  ['speex', '', undefined],
];
for (const [codec, config, expected] of audio) {
  test(`${codec} ${config} is ${expected}`, () => {
    assert.equal(codecString(makeAudioTrack(1, codec, unhex(config))), expected);
  });
}
