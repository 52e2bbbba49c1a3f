import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { GROUP_PLAYERS } from './player-group.ts';
import type { MergeWindow } from './merge-window.ts';
import type { Stream } from './stream.ts';
import { StreamRegistry } from './stream-registry.ts';
import { AUDIO, audio, FakePlayer, FakePublisher, ManualFlush, TextEncoder, VIDEO, video } from './testing.ts';

interface World {
  readonly stream: Stream;
  readonly flush: ManualFlush;
  readonly rules: { mwLatency: MergeWindow; atc: boolean; mixCorrect: boolean };
  readonly ingest: ReturnType<Stream['attach']>;
}

function setUp(mwLatency: MergeWindow, settings: { atc?: boolean; mixCorrect?: boolean } = {}): World {
  const flush = new ManualFlush();
  const rules = { mwLatency, atc: false, mixCorrect: false, ...settings };
  const registry = new StreamRegistry({ flushPolicy: flush, now: () => flush.nowMs, rules: () => rules });
  const stream = registry.open({ vhost: 'v', app: 'live', stream: 's' });
  const ingest = stream.attach(new FakePublisher());
  ingest.track(VIDEO);
  ingest.track(AUDIO);
  return { stream, flush, rules, ingest };
}

/** The frames of a player's text, in order: `K0`, `p40`, `a43`. */
function framesOf(player: FakePlayer): string[] {
  return player.text.match(/\b[Kpa]\d+/g) ?? [];
}

describe('a window', () => {
  test('merges what comes within it into one write, the same Buffer for all in step', () => {
    const { stream, flush, ingest } = setUp(350);
    const encoder = new TextEncoder();
    const players = [1, 2, 3].map(() => new FakePlayer({ encoder }));
    for (const player of players) stream.play(player);
    for (let ms = 0; ms < 3_500; ms += 40) {
      flush.run(ms);
      ingest.frame(video(ms, ms === 0));
    }
    flush.run(4_000);
    for (const { writes } of players) {
      assert.ok(writes.length >= 11 && writes.length <= 13, `${writes.length}`);
      assert.equal(writes[5], players[0]?.writes[5]);
    }
    assert.equal(framesOf(players[0]!).length, 88);
  });

  test('of a large audience is cut into groups that are written to at instants of their own, evenly spread', () => {
    const { stream, flush, ingest } = setUp(400);
    const encoder = new TextEncoder();
    const players = Array.from({ length: 4 * GROUP_PLAYERS }, () => new FakePlayer({ encoder }));
    for (const player of players) stream.play(player);
    ingest.frame(video(0, true));
    flush.run();
    const instants = new Map<number, number>();
    for (const player of players) {
      player.write = () => instants.set(flush.nowMs, (instants.get(flush.nowMs) ?? 0) + 1);
    }
    const startMs = flush.nowMs;
    for (let ms = 40; ms <= 800; ms += 40) {
      flush.run(startMs + ms);
      ingest.frame(video(ms));
    }
    const times = [...instants.keys()];
    assert.ok(times.length >= 7, times.join());
    for (const count of instants.values()) assert.equal(count, GROUP_PLAYERS);
    for (const [index, atMs] of times.entries()) {
      if (index > 0) assert.ok(Math.abs(atMs - times[index - 1]! - 100) <= 1, times.join());
    }
    assert.equal(stream.playbacks().length, players.length);
  });

  test('who joins within it has the GOP up to now at once, and the group gets the rest in the same flush', () => {
    const { stream, flush, ingest } = setUp(350);
    const encoder = new TextEncoder();
    const [early, late] = [new FakePlayer({ encoder }), new FakePlayer({ encoder })];
    ingest.frame(video(0, true));
    stream.play(early);
    ingest.frame(video(40));
    stream.play(late);
    assert.equal(early.text, '[header video+audio @0] K0 ');
    assert.equal(late.text, '[header video+audio @0] K0 p40 ');
    ingest.frame(video(80));
    flush.run();
    assert.equal(early.writes.at(-1)?.toString(), 'p40 p80 ');
    assert.equal(late.writes.at(-1)?.toString(), 'p80 ');
    ingest.frame(video(120));
    flush.run();
    assert.equal(early.writes.at(-1), late.writes.at(-1), 'in step');
  });

  test('that changes reaches players that are there', () => {
    const { stream, flush, rules, ingest } = setUp(2_000);
    const player = new FakePlayer();
    stream.play(player);
    ingest.frame(video(0, true));
    flush.run();
    const startMs = flush.nowMs + 1;
    flush.run(startMs);
    ingest.frame(video(40));
    flush.run(startMs + 40);
    assert.doesNotMatch(player.text, /p40/);
    rules.mwLatency = 'realtime';
    ingest.frame(video(80));
    flush.run(startMs + 40);
    assert.match(player.text, /p40 p80 $/);
    rules.mwLatency = 1_000;
    ingest.frame(video(120));
    flush.run(startMs + 40);
    assert.match(player.text, /p80 $/);
    flush.run(startMs + 1_040);
    assert.match(player.text, /p120 $/);
  });

  test('in which a slow player gets room again: it goes on at the key frame within, and what it missed is counted', () => {
    const { stream, flush, ingest } = setUp(200);
    const encoder = new TextEncoder();
    const slow = new FakePlayer({ encoder, queueLengthMs: 400 });
    const quick = new FakePlayer({ encoder });
    stream.play(slow);
    stream.play(quick);
    let ms = 0;
    const window = (keyAt = -1): void => {
      const written = slow.writes.length;
      for (let count = 0; count < 5; count++, ms += 40) ingest.frame(video(ms, ms === keyAt));
      flush.run(flush.nowMs + 200);
      for (const { length } of slow.writes.slice(written)) slow.writableLength += length;
    };
    window(0);
    for (let count = 0; count < 4; count++) window();
    assert.equal(stream.stats().skips, 1);
    const lastBefore = framesOf(slow).length;
    slow.writableLength = 0;
    window(1_080);
    const frames = framesOf(slow);
    assert.deepEqual(frames.slice(lastBefore), ['K1080', 'p1120', 'p1160']);
    assert.match(slow.text, /\[video avcC @1080\] \[audio asc @1080\] K1080 /);
    assert.equal(stream.stats().framesSkipped, framesOf(quick).length - frames.length);
    slow.writableLength = 0;
    window();
    assert.equal(slow.writes.at(-1), quick.writes.at(-1), 'in step again');
  });

  test('does not hold back other nodes: windows of several nodes would add up', () => {
    const { stream, flush, ingest } = setUp(2_000);
    const node = new FakePlayer({ isRelay: true });
    stream.play(node);
    const viewer = new FakePlayer();
    stream.play(viewer);
    flush.run(1);
    ingest.frame(video(0, true));
    flush.run(1);
    assert.match(node.text, /K0 $/);
    assert.equal(viewer.text, '');
    flush.run(2_001);
    assert.match(viewer.text, /K0 $/);
  });

  test('auto is asked of the registry', () => {
    const flush = new ManualFlush();
    let windowMs = 0;
    const registry = new StreamRegistry({
      flushPolicy: flush,
      rules: () => ({ mwLatency: 'auto', atc: false, mixCorrect: false }),
      autoWindow: { windowMs: () => windowMs },
    });
    const stream = registry.open({ vhost: 'v', app: 'live', stream: 's' });
    const player = new FakePlayer();
    stream.play(player);
    const ingest = stream.attach(new FakePublisher());
    ingest.track(VIDEO);
    ingest.track(AUDIO);
    ingest.frame(video(0, true));
    flush.run(0);
    assert.match(player.text, /K0 $/);
    windowMs = 350;
    flush.run(10);
    ingest.frame(video(40));
    flush.run(10);
    assert.match(player.text, /K0 $/);
    flush.run(360);
    assert.match(player.text, /p40 $/);
  });
});

describe('realtime', () => {
  test('each video frame goes at once, with the audio before it in the same write', () => {
    const { stream, flush, ingest } = setUp('realtime');
    const player = new FakePlayer();
    stream.play(player);
    ingest.frame(video(0, true));
    flush.run(0);
    player.writes = [];
    ingest.frame(audio(10));
    flush.run(30);
    assert.deepEqual(player.writes, []);
    ingest.frame(audio(33));
    ingest.frame(video(40));
    flush.run(40);
    assert.equal(player.text, 'a10 a33 p40 ');
    assert.equal(player.writes.length, 1);
    flush.run(10_000);
    assert.equal(player.writes.length, 1, 'nothing is left of the wait for audio');
  });

  test('audio does not wait long for video that does not come', () => {
    const { stream, flush, ingest } = setUp('realtime');
    const player = new FakePlayer();
    stream.play(player);
    ingest.frame(video(0, true));
    flush.run(0);
    ingest.frame(audio(10));
    ingest.frame(audio(33));
    flush.run(100);
    assert.match(player.text, /K0 a10 a33 $/);
  });

  test('without video each audio frame goes at once', () => {
    const { stream, flush } = setUp('realtime');
    const player = new FakePlayer();
    stream.play(player);
    const ingest = stream.attach(new FakePublisher());
    ingest.metadata({ audiocodecid: 10 });
    ingest.frame(audio(0));
    flush.run(0);
    assert.match(player.text, /a0 $/);
    ingest.frame(audio(23));
    flush.run(0);
    assert.match(player.text, /a23 $/);
  });
});

describe('whoever comes, whenever', () => {
  test('gets each frame from a key frame on exactly once and in order', () => {
    const event = fc.oneof(
      { weight: 12, arbitrary: fc.record({ do: fc.constant('video' as const) }) },
      { weight: 8, arbitrary: fc.record({ do: fc.constant('audio' as const) }) },
      { weight: 2, arbitrary: fc.record({ do: fc.constant('key' as const) }) },
      { weight: 8, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 400 }) }) },
      {
        weight: 4,
        arbitrary: fc.record({ do: fc.constant('join' as const), gopCache: fc.boolean(), isRelay: fc.boolean() }),
      },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('crowd' as const) }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('leave' as const), who: fc.nat() }) },
      {
        weight: 1,
        arbitrary: fc.record({
          do: fc.constant('window' as const),
          to: fc.oneof(fc.constant('realtime' as const), fc.integer({ min: 10, max: 2_000 })),
        }),
      },
    );
    fc.assert(
      fc.property(fc.array(event, { minLength: 20, maxLength: 150 }), (events) => {
        const { stream, flush, rules, ingest } = setUp(350);
        const encoder = new TextEncoder();
        const sent: string[] = [];
        const players: { player: FakePlayer; leave: () => void; left?: number }[] = [];
        let ms = 0;
        const send = (frame: ReturnType<typeof video>): void => {
          ingest.frame(frame);
          sent.push(`${frame.data.toString()}${frame.dtsMs}`);
        };
        const join = (gopCache: boolean, isRelay = false): void => {
          const player = new FakePlayer({ encoder, gopCache, isRelay });
          const playback = stream.play(player);
          players.push({ player, leave: () => playback.leave() });
        };
        send(video(ms, true));
        for (const step of events) {
          ms += 10;
          switch (step.do) {
            case 'video':
            case 'key':
              send(video(ms, step.do === 'key'));
              break;
            case 'audio':
              send(audio(ms));
              break;
            case 'wait':
              flush.run(flush.nowMs + step.ms);
              break;
            case 'join':
              join(step.gopCache, step.isRelay);
              break;
            case 'crowd':
              for (let count = 0; count < 2 * GROUP_PLAYERS && players.length < 2_000; count++) join(true);
              break;
            case 'leave': {
              const who = players[step.who % Math.max(players.length, 1)];
              who?.leave();
              if (who !== undefined) who.left ??= who.player.writes.length;
              break;
            }
            case 'window':
              rules.mwLatency = step.to;
          }
        }
        send(video(ms + 10, true));
        flush.run();
        const all = sent.join(' ');
        for (const { player, left } of players) {
          const got = framesOf(player).join(' ');
          if (left !== undefined) {
            assert.equal(player.writes.length, left);
            assert.ok(got === '' || (got.startsWith('K') && all.includes(got)), got);
          } else {
            assert.ok(got.startsWith('K') && all.endsWith(got), `${got}\nof ${all}`);
          }
        }
      }),
      { numRuns: 100 },
    );
  });
});

describe('play.atc', () => {
  test("gives players the publisher's own times, whatever they do, while queues stay bounded in time", () => {
    const { stream, flush, ingest } = setUp('realtime', { atc: true });
    const player = new FakePlayer({ queueLengthMs: 1_000 });
    stream.play(player);
    ingest.frame(video(900_000, true));
    flush.run(0);
    ingest.frame(video(900_040));
    ingest.frame(video(100, true));
    flush.run(0);
    assert.equal(player.text, '[header video+audio @900000] K900000 p900040 K100 ');
    const late = new FakePlayer();
    stream.play(late);
    assert.equal(late.text, '[header video+audio @100] K100 ');
    const second = stream.attach(new FakePublisher());
    second.track(VIDEO);
    second.track(AUDIO);
    second.frame(video(5, true));
    flush.run(1);
    assert.match(player.text, /K100 K5 $/);
    player.writableLength = 1;
    for (let ms = 45; ms <= 2_005; ms += 40) {
      second.frame(video(ms));
      player.writableLength += 5;
      flush.run(ms);
    }
    assert.equal(stream.stats().skips, 1);
  });

  test('off, times go on through a jump and another publisher', () => {
    const { stream, flush, ingest } = setUp('realtime');
    const player = new FakePlayer();
    stream.play(player);
    ingest.frame(video(900_000, true));
    flush.run(0);
    ingest.frame(video(900_040));
    ingest.frame(video(100, true));
    flush.run(0);
    assert.equal(player.text, '[header video+audio @900000] K900000 p900040 K900080 ');
  });
});

describe('play.mixCorrect', () => {
  test('audio that comes ahead of its video is put in its place', () => {
    const { stream, flush, ingest } = setUp('realtime', { mixCorrect: true });
    const player = new FakePlayer();
    stream.play(player);
    ingest.frame(video(0, true));
    for (const ms of [10, 33, 56]) ingest.frame(audio(ms));
    for (const ms of [40, 80]) ingest.frame(video(ms));
    ingest.frame(audio(90));
    flush.run();
    assert.equal(player.text, '[header video+audio @0] K0 a10 a33 p40 a56 p80 ');
  });

  test('what another node sends is in order already, and waits for nothing', () => {
    const { stream, flush, ingest } = setUp('realtime', { mixCorrect: true });
    ingest.detach();
    const pulled = stream.attach(new FakePublisher('relay'));
    pulled.track(VIDEO);
    pulled.track(AUDIO);
    const player = new FakePlayer();
    stream.play(player);
    pulled.frame(video(0, true));
    pulled.frame(audio(10));
    flush.run();
    assert.equal(player.text, '[header video+audio @0] K0 a10 ');
  });

  test('what waits goes out when the publisher leaves, and before another configuration', () => {
    const { stream, flush, ingest } = setUp('realtime', { mixCorrect: true });
    const player = new FakePlayer();
    stream.play(player);
    ingest.frame(video(0, true));
    ingest.frame(audio(10));
    ingest.frame(audio(33));
    ingest.frame(video(40, true, { ...VIDEO, id: 9, config: Buffer.from('avc2') }));
    ingest.frame(audio(56));
    ingest.detach();
    flush.run();
    assert.match(player.text, /K0 a10 a33 \[video avc2 @33\] K40 a56 $/);
  });
});
