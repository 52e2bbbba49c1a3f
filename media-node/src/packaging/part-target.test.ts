import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { CmafPart } from './renditions.ts';
import { CmafRendition } from './renditions.ts';
import { partTargetOf } from './part-target.ts';
import { audio, video } from './testing.ts';

const pace = (frameMs: number, jitterMs = 0) => ({ frameMs, jitterMs });
const SOUND = pace(1_024 / 48);

test('the part target is the wished one, or the next that whole frames fill', () => {
  const table: [wishedMs: number, fps: number, targetMs: number][] = [
    [200, 30, 202],
    [200, 30_000 / 1_001, 203],
    [200, 25, 202],
    [500, 25, 500],
    [500, 24, 500],
    [200, 24, 211],
    [200, 60, 200],
    [100, 30, 109],
    [500, 1, 1_002],
    [1_000, 30, 1_000],
  ];
  for (const [wishedMs, fps, targetMs] of table) {
    assert.equal(partTargetOf(wishedMs, [pace(1_000 / fps), SOUND], 2_000), targetMs, `${wishedMs} ms at ${fps} fps`);
  }
  assert.equal(partTargetOf(500, [pace(3_000)], 2_000), 2_000, 'never above the target duration of segments');
  assert.equal(partTargetOf(200, [], 2_000), 200);
});

test('no part exceeds the target, and all but a segment’s last one are nearly full', () => {
  const shape = fc.record({
    wishedMs: fc.integer({ min: 100, max: 2_000 }),
    fps: fc.constantFrom(24, 25, 30, 50, 60, 30_000 / 1_001),
    startMs: fc.integer({ min: 0, max: 1_000 }),
    jitters: fc.array(fc.integer({ min: -5, max: 5 }), { minLength: 1, maxLength: 40 }),
  });
  fc.assert(
    fc.property(shape, ({ wishedMs, fps, startMs, jitters }) => {
      const parts: Record<'video' | 'audio', CmafPart[]> = { video: [], audio: [] };
      const onPart = ({ track }: CmafRendition, part: CmafPart) => parts[track.kind].push(part);
      const picture = new CmafRendition(video(0).track, onPart);
      const sound = new CmafRendition(audio(0).track, onPart);
      const seconds = Math.ceil((wishedMs * 4) / 1_000) + 1;
      const timeMs = (n: number, frameMs: number) =>
        Math.round(startMs + 10 + n * frameMs + (n === 0 ? 0 : (jitters[n % jitters.length] ?? 0)));
      const feed = (fromS: number, toS: number) => {
        for (let n = Math.ceil(fromS * fps); n < toS * fps; n++) picture.frame(video(timeMs(n, 1_000 / fps), n === 0));
        for (let n = Math.ceil(fromS * 46.875); n < toS * 46.875; n++) sound.frame(audio(timeMs(n, 1_024 / 48)));
      };
      feed(0, seconds);
      const paces = [picture.pace, sound.pace].filter((each) => each !== undefined);
      const targetMs = partTargetOf(wishedMs, paces, 60_000);
      for (const rendition of [picture, sound]) rendition.setPartTarget(targetMs);
      feed(seconds, 2 * seconds);
      for (const rendition of [picture, sound]) rendition.end(undefined);
      for (const kind of ['video', 'audio'] as const) {
        for (const [index, { durationMs }] of parts[kind].entries()) {
          assert.ok(durationMs <= targetMs);
          const isLast = index === parts[kind].length - 1;
          const isSmall = wishedMs < 200;
          if (!isLast && !isSmall) assert.ok(durationMs >= 0.85 * targetMs, `${kind}: ${durationMs} of ${targetMs} ms`);
        }
      }
    }),
    {
      numRuns: 60,
      examples: [
        [{ wishedMs: 235, fps: 24, startMs: 0, jitters: [0, 0, -4, 5, 0, 0] }],
        [{ wishedMs: 200, fps: 30_000 / 1_001, startMs: 0, jitters: [0, 0, 0, 0, 1, 3] }],
        [{ wishedMs: 222, fps: 25, startMs: 0, jitters: [-4, -3, 3, 0, 0, 2] }],
      ],
    },
  );
});
