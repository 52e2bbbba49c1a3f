import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Frame } from '../media/frame.ts';
import type { Track } from '../media/track.ts';
import type { SegmentBegin, SegmentEnd, SegmenterOptions } from './segmenter.ts';
import { Segmenter } from './segmenter.ts';
import { AUDIO, VIDEO, audio, audioTrack, streamOf, video, videoTrack } from './testing.ts';

interface Cut {
  readonly begin: SegmentBegin;
  readonly frames: Frame[];
  end?: SegmentEnd;
}

/** Keeps what comes out, and that begin, frames and end come by turns. */
function recorder(options: SegmenterOptions) {
  const cuts: Cut[] = [];
  const targets: number[] = [];
  const open = () => {
    const last = cuts.at(-1);
    assert.ok(last !== undefined && last.end === undefined, 'a segment is open');
    return last;
  };
  const segmenter = new Segmenter(
    {
      onTarget: (seconds) => targets.push(seconds),
      onBegin: (begin) => {
        assert.ok(cuts.at(-1)?.end !== undefined || cuts.length === 0, 'the segment before has ended');
        cuts.push({ begin, frames: [] });
      },
      onFrame: (frame) => open().frames.push(frame),
      onEnd: (end) => {
        assert.ok(
          targets.length > 0 || options.targetDurationS !== undefined,
          'the target duration is known before a segment ends',
        );
        open().end = end;
      },
    },
    options,
  );
  const feed = (frames: readonly Frame[]) => {
    for (const frame of frames) segmenter.frame(frame);
  };
  return { segmenter, cuts, targets, feed };
}

const BOTH: readonly Track[] = [VIDEO, AUDIO];
const durations = (cuts: readonly Cut[]) => cuts.flatMap(({ end }) => (end === undefined ? [] : [end.durationMs]));

test('segments end at the first key frame at or after the least length, and the target is their length', () => {
  const table: [fragmentMs: number, fps: number, gop: number, targetS: number, lengthMs: number][] = [
    [2_000, 30, 60, 2, 2_000],
    [2_000, 30, 30, 2, 2_000],
    [2_000, 30, 45, 3, 3_000],
    [2_000, 30, 150, 5, 5_000],
    [500, 30, 30, 1, 1_000],
    [500, 60, 15, 1, 500],
    [2_000, 24, 48, 2, 2_000],
    [2_000, 30_000 / 1_001, 60, 2, 2_002],
    [10_000, 25, 50, 10, 10_000],
    [2_000, 1, 2, 2, 2_000],
  ];
  for (const [fragmentMs, fps, gop, targetS, lengthMs] of table) {
    const { segmenter, cuts, targets, feed } = recorder({ fragmentMs });
    segmenter.tracks(BOTH);
    feed(streamOf({ seconds: 31, fps, gop }));
    assert.deepEqual(targets, [targetS], `${fragmentMs} ms at ${fps} fps, GOP ${gop}`);
    assert.ok(durations(cuts).every((ms) => Math.abs(ms - lengthMs) <= 1));
    assert.equal(segmenter.forcedCuts, 0);
    assert.ok(cuts.every(({ frames }) => frames[0]!.isKey && frames[0]!.track === VIDEO));
  }
});

test('a later, longer GOP is cut without a key frame, and its next key frame begins a segment again', () => {
  const { segmenter, cuts, targets, feed } = recorder({ fragmentMs: 2_000 });
  segmenter.tracks(BOTH);
  feed(streamOf({ seconds: 4, gop: 60 }));
  feed(streamOf({ startMs: 4_000, seconds: 5, gop: 300 }));
  feed(streamOf({ startMs: 9_000, seconds: 5, gop: 60 }));
  assert.deepEqual(targets, [2]);
  assert.deepEqual(
    cuts.map(({ frames, end }) => [frames[0]!.dtsMs, end?.video?.isIndependent, end?.isForced]),
    [
      [0, true, false],
      [2_000, true, false],
      [4_000, true, true],
      [6_433, false, true],
      [8_433, false, false],
      [9_000, true, false],
      [11_000, true, false],
      [13_000, undefined, undefined],
    ],
  );
  assert.equal(segmenter.forcedCuts, 2);
  for (const ms of durations(cuts)) assert.ok(Math.round(ms / 1_000) <= 2);
});

test('GOPs of many lengths are cut early rather than without a key frame', () => {
  const { segmenter, cuts, feed } = recorder({ fragmentMs: 2_000 });
  segmenter.tracks([VIDEO]);
  // As an encoder that begins a GOP at each change of the picture, and after two seconds at the latest.
  const keys = [0, 2_000, 4_000, 5_200, 7_200, 7_880, 9_880, 11_000, 12_600];
  for (let dtsMs = 0; dtsMs < 13_000; dtsMs += 40) {
    const key = keys.find((each) => Math.abs(each - dtsMs) < 20);
    segmenter.frame(video(dtsMs, key !== undefined));
  }
  assert.equal(segmenter.forcedCuts, 0);
  assert.ok(cuts.every(({ frames }) => frames[0]!.isKey));
  feed([]);
});

test('a first GOP without end is cut, and its length is the target', () => {
  const { segmenter, cuts, targets, feed } = recorder({ fragmentMs: 2_000 });
  segmenter.tracks(BOTH);
  feed(streamOf({ seconds: 30, gop: 10_000 }));
  assert.deepEqual(targets, [12]);
  assert.deepEqual(durations(cuts).map(Math.round), [12_000, 12_000]);
});

test('sound alone is cut by its own time, a picture alone by its key frames', () => {
  const sound = recorder({ fragmentMs: 2_000 });
  sound.segmenter.tracks([AUDIO]);
  sound.feed(streamOf({ seconds: 20, gop: 0 }));
  assert.deepEqual(sound.targets, [2]);
  assert.equal(sound.segmenter.forcedCuts, 0);
  assert.ok(durations(sound.cuts).length >= 9);
  for (const ms of durations(sound.cuts)) assert.ok(ms > 1_950 && ms < 2_050, `${ms} ms`);
  const picture = recorder({ fragmentMs: 2_000 });
  picture.segmenter.tracks([VIDEO]);
  picture.feed(streamOf({ seconds: 9, hasAudio: false }));
  assert.deepEqual(durations(picture.cuts), [2_000, 2_000, 2_000, 2_000]);
});

test('sound is cut with the picture, and what comes before the first key frame is dropped', () => {
  const { segmenter, cuts, feed } = recorder({ fragmentMs: 2_000 });
  segmenter.tracks(BOTH);
  feed([audio(0), video(5), audio(21), video(33, true), audio(43)]);
  assert.deepEqual([segmenter.dropped, cuts[0]?.frames.length], [3, 2]);
});

test('a picture that was announced and never comes is not waited for', () => {
  const { segmenter, cuts, feed } = recorder({ fragmentMs: 2_000 });
  segmenter.tracks(BOTH);
  feed(streamOf({ seconds: 7, gop: 0 }));
  assert.equal(cuts.length, 3);
  feed([video(7_010, true), video(7_050)]);
  assert.deepEqual(cuts.at(-1)?.begin.isDiscontinuity, false, 'its track was in the segments all the time');
  assert.equal(cuts.at(-1)?.frames[0]?.track, VIDEO);
});

test('sound that begins late or changes its codec waits for the next cut, which is a discontinuity', () => {
  const { segmenter, cuts, feed } = recorder({ fragmentMs: 2_000 });
  segmenter.tracks([VIDEO]);
  feed(streamOf({ seconds: 4.5, hasAudio: false }));
  segmenter.tracks(BOTH);
  feed(streamOf({ startMs: 4_500, seconds: 1.5, gop: 1_000 }).filter(({ isKey, track }) => track === AUDIO || !isKey));
  feed(streamOf({ startMs: 6_000, seconds: 2.1 }));
  const changed = audioTrack(7);
  segmenter.tracks([VIDEO, changed]);
  feed([audio(8_110, changed), video(8_120), video(8_160, true), audio(8_170, changed)]);
  feed([video(9_000), audio(9_010, changed), video(10_160, true)]);
  assert.deepEqual(
    cuts.map(({ begin }) => [begin.tracks.length, begin.isDiscontinuity]),
    [
      [1, false],
      [1, false],
      [1, false],
      [2, true],
      [2, false],
      [2, true],
    ].slice(0, cuts.length),
  );
  assert.ok(cuts.length >= 5);
  for (const { begin, frames } of cuts) for (const { track } of frames) assert.ok(begin.tracks.includes(track));
});

test('another configuration of the picture cuts at its key frame, a seam at the next one', () => {
  const { segmenter, cuts, feed } = recorder({ fragmentMs: 2_000 });
  segmenter.tracks(BOTH);
  feed(streamOf({ seconds: 3 }));
  const changed = videoTrack(9);
  segmenter.tracks([changed, AUDIO]);
  feed([video(3_010, false, changed), video(3_050, true, changed), video(3_090, false, changed)]);
  segmenter.seam();
  feed([video(3_130, false, changed), audio(3_131), video(3_170, true, changed), audio(3_180)]);
  assert.deepEqual(
    cuts.map(({ begin, frames }) => [frames[0]!.dtsMs, begin.isDiscontinuity]),
    [
      [0, false],
      [2_000, false],
      [3_050, true],
      [3_170, true],
    ],
  );
  assert.equal(cuts[2]?.end?.video?.nextMs, undefined, 'what comes after a seam is not its next frame');
});

test('after its end a stream may come back, at any time of its clock', () => {
  const { segmenter, cuts, targets, feed } = recorder({ fragmentMs: 2_000, targetDurationS: 4 });
  segmenter.tracks(BOTH);
  feed(streamOf({ startMs: 90_000, seconds: 3 }));
  segmenter.end();
  segmenter.end();
  segmenter.tracks(BOTH);
  feed(streamOf({ seconds: 3 }));
  assert.deepEqual(
    cuts.map(({ begin, end }) => [begin.isDiscontinuity, end === undefined ? undefined : Math.round(end.durationMs)]),
    [
      [false, 2_000],
      [false, 1_000],
      [true, 2_000],
      [false, undefined],
    ],
  );
  assert.deepEqual(targets, [], 'the playlist goes on with the target it has');
});

test('a change of the least length begins another playlist at the next key frame', () => {
  const { segmenter, cuts, targets, feed } = recorder({ fragmentMs: 2_000 });
  segmenter.tracks(BOTH);
  feed(streamOf({ seconds: 5 }));
  segmenter.restart(6_000);
  feed(streamOf({ startMs: 5_000, seconds: 13 }));
  assert.deepEqual(targets, [2, 6]);
  assert.deepEqual(durations(cuts).map(Math.round), [2_000, 2_000, 1_000, 6_000, 6_000]);
  assert.equal(cuts[3]?.begin.isDiscontinuity, true);
});

test('a segment of too many bytes is cut, key frame or not', () => {
  const { segmenter, cuts, feed } = recorder({ fragmentMs: 2_000, maxBytes: 1_000 });
  segmenter.tracks([VIDEO]);
  feed(streamOf({ seconds: 2, hasAudio: false }));
  assert.ok(cuts.length > 2 && segmenter.forcedCuts > 1);
  for (const { frames } of cuts) assert.ok(frames.reduce((sum, { data }) => sum + data.length, 0) < 1_300);
});

test('whatever an encoder does, no segment is longer than the target and each frame lands in one', () => {
  const step = fc.record({
    gapMs: fc.oneof({ weight: 20, arbitrary: fc.integer({ min: 1, max: 60 }) }, fc.integer({ min: 60, max: 3_000 })),
    isKey: fc.oneof({ weight: 30, arbitrary: fc.constant(false) }, fc.constant(true)),
    skewMs: fc.integer({ min: -400, max: 400 }),
    event: fc.oneof(
      { weight: 200, arbitrary: fc.constant('none' as const) },
      fc.constantFrom('seam', 'video', 'audio', 'no-audio', 'restart', 'end'),
    ),
  });
  const shape = fc.record({
    fragmentMs: fc.integer({ min: 500, max: 8_000 }),
    steps: fc.array(step, { minLength: 50, maxLength: 400 }),
    hasVideo: fc.oneof({ weight: 5, arbitrary: fc.constant(true) }, fc.constant(false)),
  });
  fc.assert(
    fc.property(shape, ({ fragmentMs, steps, hasVideo }) => {
      const { segmenter, cuts, targets, feed } = recorder({ fragmentMs });
      let [picture, sound] = [VIDEO, AUDIO as ReturnType<typeof audioTrack> | undefined];
      let id = 10;
      const announce = () => segmenter.tracks([...(hasVideo ? [picture] : []), ...(sound ? [sound] : [])]);
      announce();
      let videoMs = 1_000;
      let audioMs = 1_000;
      let fed = 0;
      const one = (frame: Frame) => {
        fed += 1;
        feed([frame]);
      };
      for (const { gapMs, isKey, skewMs, event } of steps) {
        if (event === 'seam') segmenter.seam();
        if (event === 'restart') segmenter.restart(fragmentMs + 500);
        if (event === 'end') segmenter.end();
        if (event === 'video') picture = videoTrack(id++);
        if (event === 'audio') sound = audioTrack(id++);
        if (event === 'no-audio') sound = undefined;
        if (event !== 'none') announce();
        videoMs += gapMs;
        if (hasVideo) one(video(videoMs, isKey || event === 'video', picture));
        if (sound === undefined) audioMs = Math.max(audioMs, videoMs);
        const track = sound;
        if (track === undefined) continue;
        for (; audioMs < videoMs + skewMs; audioMs += 21) one(audio(audioMs, track));
      }
      segmenter.end();
      const out = cuts.flatMap(({ frames }) => frames);
      assert.equal(out.length + segmenter.dropped, fed);
      assert.equal(new Set(out).size, out.length);
      const target = Math.max(...targets, 0);
      for (const [index, { begin, frames, end }] of cuts.entries()) {
        assert.ok(end !== undefined && frames.length > 0);
        for (const span of [end.video, end.audio, end]) {
          assert.ok(
            span === undefined || Math.round(span.durationMs / 1_000) <= target,
            JSON.stringify({ end, targets }),
          );
          assert.ok(span === undefined || span.durationMs > 0);
        }
        for (const kind of ['video', 'audio'] as const) {
          const own = frames.filter(({ track }) => track.kind === kind);
          assert.ok(
            own.every(({ dtsMs }, at) => at === 0 || dtsMs > own[at - 1]!.dtsMs),
            'times rise',
          );
          assert.equal(end[kind]?.frames ?? 0, own.length);
          const next = cuts[index + 1]?.frames.find(({ track }) => track.kind === kind);
          const nextMs: number | undefined = end[kind]?.nextMs;
          if (nextMs !== undefined) assert.equal(nextMs, next?.dtsMs);
        }
        for (const { track } of frames) assert.ok(begin.tracks.includes(track));
        const first = frames.find(({ track }) => track.kind === 'video');
        assert.equal(end.video?.isIndependent, first?.isKey);
        if (first !== undefined && !first.isKey) {
          const sinceForced = cuts.slice(0, index).findLast((cut) => cut.end?.isForced || cut.end?.video !== undefined);
          assert.ok(sinceForced?.end?.isForced, 'only a cut that was forced is not at a key frame');
        }
      }
    }),
    { numRuns: 150 },
  );
});
