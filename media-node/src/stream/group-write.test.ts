import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { SendToAll } from '../lib/send-to-all.ts';
import { StreamRegistry } from './stream-registry.ts';
import { AUDIO, FakePlayer, FakePublisher, ManualFlush, video, VIDEO } from './testing.ts';

/** A stream whose viewers' sockets are numbers: `taken` of a number says how much of a write its kernel takes. */
function setUp(viewers: number) {
  const time = new ManualFlush();
  const got = new Map<number, string>();
  const taken = new Map<number, number>();
  const calls: number[] = [];
  const sendToAll: SendToAll = (descriptors, count, bytes, sent) => {
    calls.push(count);
    let unfinished = 0;
    for (let index = 0; index < count; index++) {
      const descriptor = descriptors[index]!;
      const takes = Math.min(taken.get(descriptor) ?? Infinity, bytes.length);
      if (takes > 0) got.set(descriptor, (got.get(descriptor) ?? '') + Buffer.from(bytes).toString('utf8', 0, takes));
      sent[index] = takes;
      if (takes !== bytes.length) unfinished++;
    }
    return unfinished;
  };
  const registry = new StreamRegistry({ flushPolicy: time, now: () => time.nowMs, sendToAll });
  const stream = registry.open({ vhost: 'v', app: 'live', stream: 's' });
  const ingest = stream.attach(new FakePublisher('encoder'));
  ingest.track(VIDEO);
  ingest.track(AUDIO);
  const players = Array.from({ length: viewers }, (_, index) => {
    const player = new FakePlayer();
    player.descriptor = 100 + index;
    const playback = stream.play(player);
    return { player, playback, own: () => Buffer.concat(player.writes).toString() };
  });
  const frame = (dtsMs: number, isKey = false): void => {
    ingest.frame(video(dtsMs, isKey));
    time.run();
  };
  frame(0, true);
  calls.length = 0;
  for (const { player } of players) player.writes.length = 0;
  return { players, frame, got, taken, calls, stream };
}

const EAGAIN = -11;

describe('a write to a whole group', () => {
  test('is one call for all that are in step, and counted for each', () => {
    const { players, frame, got, calls } = setUp(3);
    const before = players.map(({ playback }) => playback.stats().bytesOut);
    frame(40);
    frame(80);
    assert.deepEqual(calls, [3, 3]);
    for (const [index, { player, playback }] of players.entries()) {
      assert.equal(got.get(100 + index), 'p40 p80 ');
      assert.deepEqual(player.writes, []);
      assert.equal(playback.stats().bytesOut - before[index]!, 'p40 p80 '.length);
    }
  });

  test('leaves to a player what its socket does not take, and what breaks it', () => {
    const { players, frame, got, taken } = setUp(4);
    taken.set(101, 3).set(102, EAGAIN).set(103, 0);
    frame(40);
    assert.deepEqual(
      players.map(({ own }, index) => [got.get(100 + index) ?? '', own()]),
      [
        ['p40 ', ''],
        ['p40', ' '],
        ['', 'p40 '],
        ['', 'p40 '],
      ],
    );
  });

  test('goes around those without a descriptor, those that are out of step and those that pause', () => {
    const { players, frame, got, calls, stream } = setUp(3);
    const [first, second, third] = players;
    first!.player.descriptor = -1;
    second!.playback.pause();
    // Ahead of its group by what came since the last flush.
    frame(40);
    assert.deepEqual(calls, [1]);
    assert.equal(first!.own(), 'p40 ');
    assert.equal(got.get(101), undefined);
    assert.equal(got.get(102), 'p40 ');
    const late = new FakePlayer();
    late.descriptor = 200;
    stream.play(late);
    assert.match(Buffer.concat(late.writes).toString(), /K0 p40 $/);
    third!.playback.leave();
    frame(80);
    assert.equal(got.get(102), 'p40 ');
    assert.equal(got.get(200), 'p80 ');
  });

  test('one that ends a viewer does not disturb the others', () => {
    const { players, frame, got, taken } = setUp(3);
    taken.set(100, -32);
    const [first] = players;
    first!.player.write = () => first!.playback.leave();
    frame(40);
    frame(80);
    assert.equal(got.get(100), undefined);
    assert.equal(got.get(101), 'p40 p80 ');
    assert.equal(got.get(102), 'p40 p80 ');
  });

  test('of more other nodes than its arrays hold is several calls', () => {
    const { stream, frame, got } = setUp(0);
    for (let index = 0; index < 600; index++) {
      const relay = new FakePlayer({ isRelay: true });
      relay.descriptor = 1_000 + index;
      stream.play(relay);
    }
    frame(40);
    for (let index = 0; index < 600; index++) assert.equal(got.get(1_000 + index), 'p40 ');
  });
});
