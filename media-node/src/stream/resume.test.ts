import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Stream } from './stream.ts';
import { StreamRegistry } from './stream-registry.ts';
import { AUDIO, audio, FakePlayer, FakePublisher, ManualFlush, VIDEO, video } from './testing.ts';
import { Timeline } from './timeline.ts';

/** Brings the clock `clock`, as a pull from another node does. */
class Relayed extends FakePublisher {
  readonly clock: string;
  constructor(clock: string) {
    super('relay');
    this.clock = clock;
  }
}

function setUp(): { stream: Stream; player: FakePlayer; text: () => string } {
  const flush = new ManualFlush();
  const registry = new StreamRegistry({ flushPolicy: flush });
  const stream = registry.open({ vhost: 'v', app: 'live', stream: 's' });
  const player = new FakePlayer();
  stream.play(player);
  const text = (): string => {
    flush.run();
    return player.text;
  };
  return { stream, player, text };
}

function pull(stream: Stream, clock: string): ReturnType<Stream['attach']> {
  const ingest = stream.attach(new Relayed(clock));
  ingest.track(VIDEO);
  ingest.track(AUDIO);
  return ingest;
}

describe('a pull that begins again', () => {
  test('goes on where it was: nothing twice, no step in time, nothing missing', () => {
    const { stream, text } = setUp();
    const first = pull(stream, 'x');
    for (const frame of [video(1_000, true), audio(1_010), video(1_040), audio(1_033)]) first.frame(frame);
    first.detach();
    const second = pull(stream, 'x');
    for (const frame of [video(1_000, true), audio(1_010), video(1_040), audio(1_033)]) second.frame(frame);
    for (const frame of [video(1_080), audio(1_056), video(1_120)]) second.frame(frame);
    assert.equal(text(), '[header video+audio @1000] K1000 a1010 p1040 a1033 p1080 a1056 p1120 ');
    assert.deepEqual([stream.stats().seams, stream.stats().framesDropped], [0, 4]);
  });

  test('lets a viewer that comes meanwhile, or right after, begin with the cache', () => {
    const { stream, text } = setUp();
    const first = pull(stream, 'x');
    first.frame(video(0, true));
    first.frame(video(40));
    text();
    first.detach();
    const meanwhile = new FakePlayer();
    stream.play(meanwhile);
    assert.match(meanwhile.text, /K0 p40 $/);
    const second = pull(stream, 'x');
    for (const frame of [video(0, true), video(40), video(80)]) second.frame(frame);
    text();
    const after = new FakePlayer();
    stream.play(after);
    assert.match(after.text, /K0 p40 p80 $/);
    assert.equal(meanwhile.text, after.text);
  });

  test('after longer than a GOP goes on with the times that the other node gives', () => {
    const { stream, text } = setUp();
    const first = pull(stream, 'x');
    first.frame(video(0, true));
    first.frame(video(40));
    text();
    first.detach();
    const second = pull(stream, 'x');
    second.frame(video(2_000, true));
    second.frame(video(2_040));
    assert.match(text(), /K0 p40 K2000 p2040 $/);
  });

  test('from another clock begins at a seam', () => {
    const { stream, text } = setUp();
    const first = pull(stream, 'x');
    first.frame(video(1_000, true));
    first.frame(video(1_040));
    text();
    first.detach();
    const second = pull(stream, 'y');
    second.frame(video(1_000, true));
    assert.match(text(), /K1000 p1040 K1080 $/);
    assert.equal(stream.stats().seams, 1);
  });
});

describe('the clock of a stream', () => {
  test('is its own for an encoder, and stays when another one goes on', () => {
    const { stream } = setUp();
    const own = stream.clock;
    const first = stream.attach(new FakePublisher());
    first.frame(video(0, true));
    first.detach();
    stream.attach(new FakePublisher()).frame(video(9_000, true));
    assert.equal(stream.clock, own);
    assert.notEqual(own, setUp().stream.clock);
  });

  test('is that of its first source as long as times pass as they come', () => {
    const { stream } = setUp();
    const own = stream.clock;
    const ingest = pull(stream, 'x');
    for (const frame of [video(500, true), audio(500), video(540)]) ingest.frame(frame);
    assert.equal(stream.clock, 'x');
    ingest.frame(video(99_000));
    assert.equal(stream.clock, own);
  });

  test('is its own again when another source goes on, before that has sent anything', () => {
    const { stream } = setUp();
    const own = stream.clock;
    pull(stream, 'x').frame(video(500, true));
    stream.attach(new FakePublisher('encoder'));
    assert.equal(stream.clock, own);
  });
});

describe('timeline', () => {
  test('a source that goes on after its 32-bit times wrapped is recognised', () => {
    const timeline = new Timeline();
    const wrap = 2 ** 32;
    timeline.map('video', wrap - 80);
    timeline.map('video', wrap - 40);
    timeline.map('audio', wrap - 50);
    timeline.map('video', wrap + 0);
    timeline.resume();
    assert.equal(timeline.map('video', 0), undefined);
    assert.equal(timeline.map('audio', 10), wrap + 10);
    assert.equal(timeline.map('video', 40), wrap + 40);
  });

  test('a clock that stands far before the last frame is not the one it was said to be', () => {
    const timeline = new Timeline();
    timeline.map('video', 100_000);
    timeline.resume();
    assert.equal(timeline.map('video', 5), 100_040);
    assert.equal(timeline.map('video', 45), 100_080);
  });

  test('wherever a source is cut and goes on, players get each frame once, at its time', () => {
    const frames = Array.from({ length: 60 }, (_, index) => ({
      kind: index % 2 === 0 ? ('video' as const) : ('audio' as const),
      dtsMs: 10_000 + index * 20 + (index % 2) * 7,
    }));
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(59), fc.nat(30)), { maxLength: 6 }), (cuts) => {
        const timeline = new Timeline();
        const out: (number | undefined)[] = [];
        let at = 0;
        for (const [cut, back] of [...cuts, [60, 0] as const]) {
          for (; at < cut; at++) out.push(timeline.map(frames[at]!.kind, frames[at]!.dtsMs));
          if (at >= 60) break;
          timeline.resume();
          at = Math.max(0, at - back);
        }
        assert.deepEqual(
          out.filter((dtsMs) => dtsMs !== undefined),
          frames.map(({ dtsMs }) => dtsMs),
        );
      }),
    );
  });
});
