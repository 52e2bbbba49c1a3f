import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import type { MergeWindow } from './merge-window.ts';
import { StreamRegistry } from './stream-registry.ts';
import type { StreamObserver } from './stream-observer.ts';
import { AUDIO, audio, FakePlayer, FakePublisher, FakeTap, ManualFlush, video, VIDEO } from './testing.ts';

const FRAME_MS = 40;

/** A stream whose source sends a picture each 40 ms, through a tap. */
function setUp(mwLatency: MergeWindow = 350) {
  const time = new ManualFlush();
  const rules = { mwLatency, atc: false, mixCorrect: false };
  const registry = new StreamRegistry({
    flushPolicy: time,
    now: () => time.nowMs,
    rules: () => rules,
    autoWindow: { windowMs: () => 0 },
  });
  const stream = registry.open({ vhost: 'v', app: 'live', stream: 's' });
  const tap = new FakeTap();
  const source = new FakePublisher('encoder', tap);
  const ingest = stream.attach(source);
  ingest.track(VIDEO);
  ingest.track(AUDIO);
  let sent = 0;
  let nextMs = 0;
  let isSilent = false;
  const send = (): void => {
    if (isSilent || time.nowMs < nextMs) return;
    nextMs += FRAME_MS;
    const dtsMs = sent++ * FRAME_MS;
    tap.receive(() => ingest.frame(video(dtsMs, dtsMs % 1_000 === 0)));
  };
  const pass = (ms: number): void => {
    const untilMs = time.nowMs + ms;
    while (time.nowMs < untilMs) {
      send();
      time.run(time.nowMs + 1);
    }
  };
  /** How many frames waited at most, over a while. */
  const mostWaiting = (ms: number): number => {
    let most = 0;
    for (let at = 0; at < ms; at += 5) {
      pass(5);
      most = Math.max(most, tap.waiting.length);
    }
    return most;
  };
  /** The event loop is held up: frames come, and what was due meanwhile is late. */
  const stall = (ms: number): void => {
    for (const untilMs = time.nowMs + ms; time.nowMs < untilMs; time.nowMs++) send();
    time.run(time.nowMs);
  };
  const silence = (value: boolean): void => {
    isSilent = value;
    nextMs = Math.max(nextMs, time.nowMs);
  };
  return { time, rules, stream, tap, ingest, source, pass, stall, mostWaiting, silence, sent: () => sent };
}

function observer(mostDelayMs?: number): StreamObserver & { frames: number } {
  return {
    ...(mostDelayMs !== undefined && { mostDelayMs }),
    frames: 0,
    onTracks: () => undefined,
    onFrame() {
      this.frames++;
    },
    onMetadata: () => undefined,
    onSeam: () => undefined,
  };
}

describe('the pace of a source', () => {
  test('is real time until the first frame, whatever came before', () => {
    const { tap, stream, time } = setUp();
    stream.observe(observer());
    time.run(5_000);
    assert.equal(tap.isOpen, true);
  });

  test('without anybody is a few draws a second, and nothing is lost', () => {
    const { tap, pass, stream, sent } = setUp();
    pass(3_000);
    tap.draws = 0;
    pass(2_000);
    assert.equal(tap.isOpen, false);
    assert.equal(tap.draws, 10);
    assert.equal(stream.stats().framesIn + tap.waiting.length, sent());
  });

  test('with viewers in a window is a draw for each flush, which writes what came up to it', () => {
    const { tap, pass, stream, time, sent } = setUp(350);
    const player = new FakePlayer();
    const writesAt: number[] = [];
    const write = player.write.bind(player);
    player.write = (bytes) => {
      writesAt.push(time.nowMs);
      // All that the source had sent is in it, or was written before.
      assert.ok(stream.stats().framesIn >= sent() - 1);
      write(bytes);
    };
    stream.play(player);
    pass(3_000);
    tap.draws = 0;
    writesAt.length = 0;
    pass(3_500);
    assert.equal(tap.isOpen, false);
    assert.equal(writesAt.length, 10);
    assert.equal(tap.draws, 10);
  });

  test('is real time for viewers in real time, from the moment that they come', () => {
    const { tap, pass, stream, mostWaiting } = setUp('realtime');
    pass(1_000);
    assert.equal(tap.isOpen, false);
    const playback = stream.play(new FakePlayer());
    assert.equal(tap.isOpen, true);
    assert.equal(mostWaiting(1_000), 0);
    playback.leave();
    assert.ok(mostWaiting(1_000) > 0);
  });

  test('in real time follows the cadence of the video: a draw a frame, and audio comes with it', () => {
    const { tap, pass, stream, ingest, time } = setUp('realtime');
    const player = new FakePlayer();
    stream.play(player);
    pass(2_000);
    tap.draws = 0;
    player.writes.length = 0;
    for (let second = 0; second < 100; second++) {
      const dtsMs = Math.round(time.nowMs);
      tap.receive(() => ingest.frame(audio(dtsMs)));
      pass(40);
    }
    assert.ok(tap.draws >= 85 && tap.draws <= 115, `${tap.draws} draws of 100 frames`);
    assert.ok(player.writes.length <= 102, `${player.writes.length} writes`);
  });

  test('in real time listens for a video frame that is late, and for audio that comes alone', () => {
    const { tap, pass, silence, stream, ingest, time } = setUp('realtime');
    stream.play(new FakePlayer());
    pass(2_000);
    silence(true);
    pass(50);
    assert.equal(tap.isOpen, true);
    for (let count = 0; count < 20; count++) {
      const dtsMs = Math.round(time.nowMs);
      tap.receive(() => ingest.frame(audio(dtsMs)));
      assert.equal(tap.waiting.length, 0);
      pass(20);
    }
    silence(false);
    pass(1_000);
    assert.equal(tap.isOpen, false);
  });

  test('follows the window as it changes', () => {
    const { pass, stream, rules, mostWaiting } = setUp('auto');
    stream.play(new FakePlayer());
    assert.equal(mostWaiting(1_000), 0);
    rules.mwLatency = 350;
    pass(1_000);
    assert.ok(mostWaiting(1_000) >= 7);
    rules.mwLatency = 'auto';
    pass(400);
    assert.equal(mostWaiting(1_000), 0);
  });

  test('is 20 ms for other nodes in a window, real time without one', () => {
    const { tap, pass, stream, rules, mostWaiting } = setUp(350);
    stream.play(new FakePlayer({ isRelay: true }));
    pass(1_000);
    tap.draws = 0;
    assert.ok(mostWaiting(1_000) <= 1);
    assert.ok(tap.draws >= 25 && tap.draws <= 50, `${tap.draws}`);
    rules.mwLatency = 'realtime';
    pass(100);
    assert.equal(mostWaiting(1_000), 0);
  });

  test('is what observers bear: 100 ms, or as they say', () => {
    const { pass, stream, mostWaiting } = setUp(350);
    stream.play(new FakePlayer());
    const leave = stream.observe(observer());
    pass(1_000);
    assert.equal(mostWaiting(1_000), 3);
    const leaveQuick = stream.observe(observer(20));
    pass(100);
    assert.ok(mostWaiting(1_000) <= 1);
    leaveQuick();
    leave();
    pass(500);
    assert.ok(mostWaiting(1_000) > 3);
  });

  test('leaves no more bytes in the socket than it has room for', () => {
    const { tap, pass, mostWaiting } = setUp(350);
    // 20 Mb/s.
    tap.bytesEach = 100_000;
    pass(3_000);
    const most = mostWaiting(2_000);
    assert.ok(most >= 2 && most * tap.bytesEach <= 300_000, `${most}`);
    // Too much to wait at all.
    tap.bytesEach = 1_000_000;
    pass(1_000);
    assert.equal(mostWaiting(1_000), 0);
    // Not for ever.
    tap.bytesEach = 10_000;
    pass(8_000);
    assert.ok(mostWaiting(1_000) >= 4);
  });

  test('is not misled by a key frame at the beginning', () => {
    const { tap, pass, mostWaiting } = setUp(350);
    tap.bytesEach = 200_000;
    pass(30);
    tap.bytesEach = 10_000;
    pass(3_000);
    assert.ok(mostWaiting(1_000) >= 4);
  });

  test('of a source that falls silent is real time: its end and its next frame are noticed at once', () => {
    const { tap, pass, silence, stream } = setUp(350);
    stream.play(new FakePlayer());
    pass(1_000);
    silence(true);
    pass(800);
    assert.equal(tap.isOpen, true);
    const { framesIn } = stream.stats();
    silence(false);
    pass(1);
    assert.equal(stream.stats().framesIn, framesIn + 1);
    pass(100);
    assert.equal(tap.isOpen, false);
  });

  test('goes on when a flush is so late that the next one finds nothing', () => {
    for (let lateMs = 1; lateMs <= 800; lateMs++) {
      const { pass, stall, stream, sent } = setUp(350);
      stream.play(new FakePlayer());
      pass(2_000);
      stall(lateMs);
      pass(1_000);
      assert.ok(stream.stats().framesIn >= sent() - 10, `after ${lateMs} ms`);
    }
  });

  test('goes on when the last viewer leaves', () => {
    for (const window of ['realtime', 100, 350] as const) {
      const { pass, stream, sent } = setUp(window);
      const playback = stream.play(new FakePlayer());
      pass(2_000);
      playback.leave();
      pass(1_000);
      assert.ok(stream.stats().framesIn >= sent() - 6, `${window}`);
    }
  });

  test('goes on whatever happens: who comes and goes, other windows, silence, a held-up event loop', () => {
    const window = fc.constantFrom<MergeWindow>('realtime', 'auto', 20, 100, 350, 1_000);
    const ms = fc.oneof(fc.nat(60), fc.nat(800));
    const step = fc.oneof(
      fc.record({ kind: fc.constantFrom('pass', 'stall', 'silence'), ms }),
      fc.record({ kind: fc.constant('window'), window }),
      fc.record({ kind: fc.constantFrom('viewer', 'relay', 'observer') }),
      fc.record({ kind: fc.constant('leave'), who: fc.nat() }),
      fc.record({ kind: fc.constant('bytes'), each: fc.constantFrom(100, 1_000, 20_000, 1_000_000) }),
    );
    fc.assert(
      fc.property(window, fc.array(step, { size: 'max', maxLength: 40 }), (first, steps) => {
        const { tap, pass, stall, silence, stream, rules, sent } = setUp(first);
        const leavers: (() => void)[] = [];
        const play = (isRelay: boolean): void => {
          const playback = stream.play(new FakePlayer({ isRelay }));
          leavers.push(() => playback.leave());
        };
        for (const each of steps) {
          if ('ms' in each) {
            if (each.kind === 'silence') silence(true);
            (each.kind === 'stall' ? stall : pass)(each.ms);
            silence(false);
          } else if ('window' in each) rules.mwLatency = each.window;
          else if ('each' in each) tap.bytesEach = each.each;
          else if ('who' in each) leavers.splice(each.who % Math.max(1, leavers.length), 1)[0]?.();
          else if (each.kind === 'observer') leavers.push(stream.observe(observer()));
          else play(each.kind === 'relay');
        }
        pass(1_000);
        assert.ok(stream.stats().framesIn >= sent() - 11, `${sent() - stream.stats().framesIn} frames wait`);
        for (const leave of leavers) leave();
        pass(1_000);
        assert.ok(stream.stats().framesIn >= sent() - 6, `${sent() - stream.stats().framesIn} frames wait for nobody`);
      }),
      { numRuns: 300 },
    );
  });

  test('ends with the source: its tap is open again, the next source has its own', () => {
    const { tap, pass, ingest, stream, time } = setUp();
    pass(1_000);
    assert.equal(tap.isOpen, false);
    ingest.detach();
    assert.equal(tap.isOpen, true);
    const next = new FakeTap();
    const second = stream.attach(new FakePublisher('encoder', next));
    second.track(VIDEO);
    second.track(AUDIO);
    second.frame(video(0, true));
    assert.deepEqual([tap.isOpen, next.isOpen], [true, false]);
    stream.close('the test is over');
    assert.equal(next.isOpen, true);
    time.run();
    assert.equal(time.isIdle, true);
  });

  test('a draw may end the source, or the viewer whose flush it was', () => {
    const { tap, pass, ingest, stream } = setUp(350);
    const player = new FakePlayer();
    const playback = stream.play(player);
    pass(1_000);
    const { length } = player.writes;
    tap.receive(() => {
      playback.leave();
      ingest.detach();
    });
    pass(1_000);
    assert.equal(player.writes.length, length);
    assert.equal(stream.publisher, undefined);
  });

  test('who asks whether the source is still there waits until all that it sent is read', async () => {
    const { tap, pass, ingest, stream } = setUp();
    pass(1_000);
    assert.equal(tap.isOpen, false);
    // Media, and then the end, which the event loop finds in its own time.
    tap.receive(() => ingest.frame(video(10_000, true)));
    tap.receive(() => void setImmediate(() => ingest.detach()));
    await stream.settle();
    assert.equal(stream.publisher, undefined);
  });

  test('a source without a tap is left alone', () => {
    const { stream, time } = setUp();
    const other = stream.attach(new FakePublisher('encoder'));
    other.track(VIDEO);
    other.track(AUDIO);
    other.frame(video(0, true));
    time.run();
    assert.equal(time.isIdle, true);
  });
});
