import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { SendToAll } from '../lib/send-to-all.ts';
import type { Playback } from './player.ts';
import { StreamRegistry } from './stream-registry.ts';
import { AUDIO, FakePlayer, FakePublisher, ManualFlush, video, VIDEO } from './testing.ts';

/** As Node names it. */
class TCP {
  readonly fd: number;
  constructor(fd: number) {
    this.fd = fd;
  }
}

interface FakeSocket {
  _handle: object | null;
  writableLength: number;
  writableEnded: boolean;
}

/** A player on a connection with this descriptor. */
function connect(player: FakePlayer, descriptor: number, handle: object = new TCP(descriptor)): FakeSocket {
  const socket = { _handle: handle, writableLength: 0, writableEnded: false };
  player.socket = socket as unknown as Socket;
  return socket;
}

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
    const socket = connect(player, 100 + index);
    const playback = stream.play(player);
    return { player, socket, playback, own: () => Buffer.concat(player.writes).toString() };
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

describe('players that are in step', () => {
  test('get a flush by one call, counted for each', () => {
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

  test('get by themselves what their sockets do not take, and what breaks those', () => {
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

  for (const [why, change] of [
    ['is closed, whose number another file may have', (socket: FakeSocket) => (socket._handle = null)],
    ['is ended', (socket: FakeSocket) => (socket.writableEnded = true)],
    ['has something that waits', (socket: FakeSocket) => (socket.writableLength = 1)],
  ] as const) {
    test(`are no more those whose socket ${why}`, () => {
      const { players, frame, got, calls } = setUp(3);
      frame(40);
      change(players[0]!.socket);
      frame(80);
      assert.deepEqual(calls, [3, 2]);
      assert.equal(got.get(100), 'p40 ');
      assert.equal(players[0]!.own(), 'p80 ');
      assert.equal(got.get(101), 'p40 p80 ');
      assert.equal(got.get(102), 'p40 p80 ');
    });
  }

  test('are written to where their connection is now', () => {
    const { players, frame, got } = setUp(1);
    frame(40);
    players[0]!.socket._handle = new TCP(500);
    frame(80);
    assert.equal(got.get(100), 'p40 ');
    assert.equal(got.get(500), 'p80 ');
  });

  test('are again those whose socket has taken what waited, and all is counted', () => {
    const { players, frame, got, calls } = setUp(2);
    const [{ player, socket, playback, own }] = players as [(typeof players)[number]];
    const before = playback.stats().bytesOut;
    frame(40);
    socket.writableLength = player.writableLength = 4;
    frame(80);
    socket.writableLength = player.writableLength = 0;
    frame(120);
    frame(160);
    assert.deepEqual(calls, [2, 1, 2, 2]);
    assert.equal(got.get(100), 'p40 p120 p160 ');
    assert.equal(own(), 'p80 ');
    assert.equal(playback.stats().bytesOut - before, 'p40 p80 p120 p160 '.length);
    playback.leave();
    assert.equal(playback.stats().bytesOut - before, 'p40 p80 p120 p160 '.length);
  });

  test('are none over TLS, and none without a socket of their own', () => {
    const { stream, frame, calls } = setUp(0);
    class TLSWrap extends TCP {}
    const secured = new FakePlayer();
    connect(secured, 7, new TLSWrap(7));
    const bare = new FakePlayer();
    for (const player of [secured, bare]) stream.play(player);
    frame(40);
    frame(80);
    assert.deepEqual(calls, []);
    for (const { writes } of [secured, bare]) assert.match(Buffer.concat(writes).toString(), /p40 p80 $/);
  });

  test('are not those who pause, and who comes joins at the next flush', () => {
    const { players, frame, got, stream } = setUp(3);
    const [, second, third] = players;
    frame(40);
    second!.playback.pause();
    third!.playback.leave();
    const late = new FakePlayer();
    connect(late, 200);
    stream.play(late);
    assert.match(Buffer.concat(late.writes).toString(), /K0 p40 $/);
    frame(80);
    second!.playback.resume();
    frame(120, true);
    frame(160);
    assert.equal(got.get(100), 'p40 p80 K120 p160 ');
    assert.equal(got.get(101), 'p40 p160 ');
    assert.match(second!.own(), /K120 $/);
    assert.equal(got.get(102), 'p40 ');
    assert.equal(got.get(200), 'p80 K120 p160 ');
  });

  test('are not disturbed by one whose end their flush finds', () => {
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

  test('may be many', () => {
    const { stream, frame, got } = setUp(0);
    for (let index = 0; index < 600; index++) {
      const relay = new FakePlayer({ isRelay: true });
      connect(relay, 1_000 + index);
      stream.play(relay);
    }
    frame(40);
    for (let index = 0; index < 600; index++) assert.equal(got.get(1_000 + index), 'p40 ');
  });

  test('get what they would get one by one, whatever they do', () => {
    const step = fc.record({
      act: fc.constantFrom('frame', 'frame', 'key', 'join', 'leave', 'pause', 'resume', 'block', 'free', 'short'),
      who: fc.nat(7),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const [together, alone] = [true, false].map((isTogether) => live(steps, isTogether));
        assert.deepEqual(together, alone);
      }),
      { numRuns: 300 },
    );
  });
});

interface Step {
  readonly act: 'frame' | 'key' | 'join' | 'leave' | 'pause' | 'resume' | 'block' | 'free' | 'short';
  readonly who: number;
}

/** Plays the steps; answers what each player got, in order, and what was counted. */
function live(steps: readonly Step[], isTogether: boolean) {
  const time = new ManualFlush();
  const got: string[] = [];
  const short = new Set<number>();
  const sendToAll: SendToAll = (descriptors, count, bytes, sent) => {
    let unfinished = 0;
    for (let index = 0; index < count; index++) {
      const descriptor = descriptors[index]!;
      sent[index] = short.has(descriptor) ? bytes.length >> 1 : bytes.length;
      got[descriptor] += Buffer.from(bytes).toString('latin1', 0, sent[index]);
      if (sent[index] !== bytes.length) unfinished++;
    }
    return unfinished;
  };
  const registry = new StreamRegistry({ flushPolicy: time, now: () => time.nowMs, ...(isTogether && { sendToAll }) });
  const stream = registry.open({ vhost: 'v', app: 'live', stream: 's' });
  const ingest = stream.attach(new FakePublisher('encoder'));
  ingest.track(VIDEO);
  ingest.track(AUDIO);
  const joined: { player: FakePlayer; socket: FakeSocket; playback: Playback }[] = [];
  let dtsMs = 0;
  for (const { act, who } of steps) {
    const chosen = joined[who % (joined.length || 1)];
    if (act === 'frame' || act === 'key') {
      ingest.frame(video(dtsMs, act === 'key'));
      dtsMs += 40;
      time.run(time.nowMs + 40);
    } else if (act === 'join' && joined.length < 8) {
      const player = new FakePlayer({ queueLengthMs: 200 });
      const descriptor = got.push('') - 1;
      player.write = (bytes) => void (got[descriptor] += bytes.toString('latin1'));
      joined.push({ player, socket: connect(player, descriptor), playback: stream.play(player) });
    } else if (chosen !== undefined) {
      const { player, socket, playback } = chosen;
      if (act === 'leave') playback.leave();
      else if (act === 'pause') playback.pause();
      else if (act === 'resume') playback.resume();
      else if (act === 'short') short.add(joined.indexOf(chosen));
      else if (act === 'block') socket.writableLength = player.writableLength = 40;
      else if (act === 'free') socket.writableLength = player.writableLength = 0;
    }
  }
  const { bytesOut, skips, framesSkipped } = stream.stats();
  const each = joined.map(({ playback }) => [playback.stats(), playback.queuedMs]);
  return { got, bytesOut, skips, framesSkipped, each };
}
