import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Frame } from '../media/frame.ts';
import { Interleaver } from './interleaver.ts';
import { audio, video } from './testing.ts';

function run(frames: readonly Frame[], isFlushed = true): string {
  const out: string[] = [];
  const interleaver = new Interleaver((frame) => out.push(`${frame.data.toString()}${frame.dtsMs}`));
  for (const frame of frames) interleaver.push(frame);
  if (isFlushed) interleaver.flush();
  return out.join(' ');
}

describe('audio and video in the order of their times', () => {
  test('a source that sends audio ahead of video', () => {
    assert.equal(
      run([audio(0), audio(23), audio(46), video(0, true), video(40), audio(69), video(80)]),
      'K0 a0 a23 p40 a46 a69 p80',
    );
  });

  test('what is in order comes out as it went in', () => {
    assert.equal(run([video(0, true), audio(1), video(40), audio(41)]), 'K0 a1 p40 a41');
  });

  test('a kind that stops holds the other back by ten frames at most', () => {
    const frames = [audio(0), ...Array.from({ length: 15 }, (_, index) => video(index * 40, index === 0))];
    assert.equal(run(frames, false), 'K0 a0 p40 p80 p120 p160');
  });

  test('nothing is lost or repeated, each kind keeps its order, and skew below ten frames is mended', () => {
    const skew = fc.integer({ min: 0, max: 8 });
    fc.assert(
      fc.property(fc.nat({ max: 60 }), skew, (count, ahead) => {
        const videos = Array.from({ length: count }, (_, index) => video(index * 40, index === 0));
        const audios = Array.from({ length: count }, (_, index) => audio(index * 40 + 1));
        const sent = videos.flatMap((frame, index) => {
          const early = index === 0 ? audios.slice(0, ahead + 1) : audios.slice(index + ahead, index + ahead + 1);
          return [...early, frame];
        });
        const expected = videos.flatMap((frame, index) => [frame, audios[index]!]);
        assert.equal(run(sent), expected.map(({ data, dtsMs }) => `${data.toString()}${dtsMs}`).join(' '));
      }),
    );
  });
});
