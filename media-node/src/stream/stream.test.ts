import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Stream } from './stream.ts';
import { perProtocol } from './publisher.ts';
import { StreamRegistry } from './stream-registry.ts';
import { AUDIO, audio, FakePlayer, FakePublisher, ManualFlush, TextEncoder, VIDEO, video } from './testing.ts';

const KEY = { vhost: 'v', app: 'live', stream: 's' };

function setUp(): { stream: Stream; registry: StreamRegistry; flush: ManualFlush; clock: { ms: number } } {
  const flush = new ManualFlush();
  const clock = { ms: 0 };
  const registry = new StreamRegistry({ flushPolicy: flush, now: () => clock.ms });
  return { stream: registry.open(KEY), registry, flush, clock };
}

/** Attaches an encoder that has declared video and audio. */
function publish(stream: Stream, publisher = new FakePublisher()): ReturnType<Stream['attach']> {
  const ingest = stream.attach(publisher);
  ingest.track(VIDEO);
  ingest.track(AUDIO);
  return ingest;
}

describe('fan-out', () => {
  test('a frame is encoded once, and every player gets the same Buffer in one write a flush', () => {
    const { stream, flush } = setUp();
    const encoder = new TextEncoder();
    const players = [1, 2, 3].map(() => new FakePlayer({ encoder }));
    for (const player of players) stream.play(player);
    const ingest = publish(stream);
    ingest.frame(video(0, true));
    flush.run();
    for (const player of players) assert.equal(player.text, '[header video+audio @0] K0 ');
    for (const player of players) player.writes = [];
    ingest.frame(audio(10));
    ingest.frame(video(40));
    flush.run();
    assert.equal(encoder.encoded, 3);
    for (const player of players) {
      assert.equal(player.text, 'a10 p40 ');
      assert.equal(player.writes.length, 1);
      assert.equal(player.writes[0], players[0]?.writes[0]);
    }
  });

  test('each format has its own bytes, and none is encoded without a player', () => {
    const { stream, flush } = setUp();
    const [a, b] = [new TextEncoder('a'), new TextEncoder('b')];
    const ingest = publish(stream);
    ingest.frame(video(0, true));
    const playback = stream.play(new FakePlayer({ encoder: a }));
    assert.equal(a.encoded, 1, 'the GOP cache');
    ingest.frame(video(40));
    stream.play(new FakePlayer({ encoder: b }));
    assert.equal(b.encoded, 2, 'the GOP cache');
    playback.leave();
    ingest.frame(video(80));
    flush.run();
    assert.deepEqual([a.encoded, b.encoded], [2, 3]);
  });

  test('a player that leaves, or is closed, while a batch is written harms nobody', () => {
    const { stream, flush } = setUp();
    const ingest = publish(stream);
    const encoder = new TextEncoder();
    const players = [1, 2, 3, 4].map(() => new FakePlayer({ encoder }));
    const playbacks = players.map((player) => stream.play(player));
    players[1]!.write = () => playbacks[1]!.leave();
    players[2]!.write = () => playbacks[0]!.leave();
    ingest.frame(video(0, true));
    flush.run();
    ingest.frame(video(40));
    flush.run();
    assert.match(players[3]!.text, /K0 p40 $/);
    assert.equal(stream.playbacks().length, 2);
    for (const playback of playbacks) playback.leave();
    assert.equal(stream.playbacks().length, 0);
  });
});

describe('joining', () => {
  test('a player begins with the GOP cache at once and no frame comes twice or is missing', () => {
    const { stream, flush } = setUp();
    const ingest = publish(stream);
    const early = new FakePlayer();
    stream.play(early);
    ingest.metadata({ width: 640 });
    ingest.frame(video(0, true));
    ingest.frame(audio(10));
    flush.run();
    ingest.frame(video(40));
    const late = new FakePlayer();
    stream.play(late);
    assert.equal(late.text, '[header video+audio {"width":640} @0] K0 a10 p40 ');
    ingest.frame(video(80));
    flush.run();
    assert.match(late.text, /K0 a10 p40 p80 $/);
    assert.match(early.text, /K0 a10 p40 p80 $/);
  });

  test('without the GOP cache it begins at the next key frame', () => {
    const { stream, flush } = setUp();
    const ingest = publish(stream);
    ingest.frame(video(0, true));
    const player = new FakePlayer({ gopCache: false });
    stream.play(player);
    ingest.frame(video(40));
    flush.run();
    assert.equal(player.text, '');
    ingest.frame(video(80));
    ingest.frame(video(120, true));
    ingest.frame(audio(130));
    flush.run();
    assert.equal(player.text, '[header video+audio @120] K120 a130 ');
  });

  test('a new key frame in the same batch does not lose the frames before it', () => {
    const { stream, flush } = setUp();
    const ingest = publish(stream);
    const player = new FakePlayer();
    stream.play(player);
    ingest.frame(video(0, true));
    flush.run();
    for (const frame of [video(40), video(80, true), video(120), video(160, true)]) ingest.frame(frame);
    flush.run();
    assert.equal(player.text, '[header video+audio @0] K0 p40 K80 p120 K160 ');
    const late = new FakePlayer();
    stream.play(late);
    assert.equal(late.text, '[header video+audio @160] K160 ');
  });

  test('audio alone plays from the last second', () => {
    const { stream, flush } = setUp();
    const ingest = stream.attach(new FakePublisher());
    ingest.metadata({ audiocodecid: 10 });
    ingest.track(AUDIO);
    for (let ms = 0; ms < 2_500; ms += 500) ingest.frame(audio(ms));
    const player = new FakePlayer();
    stream.play(player);
    assert.equal(player.text, '[header audio {"audiocodecid":10} @2000] a2000 ');
    ingest.frame(audio(2_500));
    flush.run();
    assert.match(player.text, /a2000 a2500 $/);
  });

  test('players wait for a publisher, and then get everything', () => {
    const { stream, flush } = setUp();
    const player = new FakePlayer();
    stream.play(player);
    assert.equal(player.text, '');
    publish(stream).frame(video(7, true));
    flush.run();
    assert.equal(player.text, '[header video+audio @7] K7 ');
  });
});

describe('tracks', () => {
  test('the header waits until both tracks are known', () => {
    const { stream, flush } = setUp();
    const player = new FakePlayer();
    stream.play(player);
    const ingest = stream.attach(new FakePublisher());
    ingest.frame(audio(0));
    ingest.frame(audio(23));
    flush.run();
    assert.equal(player.text, '');
    ingest.frame(video(30, true));
    ingest.frame(audio(46));
    flush.run();
    assert.equal(player.text, '[header video+audio @30] K30 a46 ');
  });

  test('video alone begins after half a second of media, or at once where metadata says so', () => {
    const { stream, flush } = setUp();
    const player = new FakePlayer();
    stream.play(player);
    const ingest = stream.attach(new FakePublisher());
    for (let ms = 0; ms <= 480; ms += 40) ingest.frame(video(ms, ms === 0));
    flush.run();
    assert.equal(player.text, '');
    ingest.frame(video(520));
    flush.run();
    assert.match(player.text, /^\[header video @0\] K0 p40 .*p520 $/);

    const other = setUp();
    const told = new FakePlayer();
    other.stream.play(told);
    const quick = other.stream.attach(new FakePublisher());
    quick.metadata({ videocodecid: 7 });
    quick.frame(video(0, true));
    other.flush.run();
    assert.match(told.text, /^\[header video .*K0 $/);
  });

  test('a configuration that changes goes out before its frames, and frames up to the key frame are dropped', () => {
    const { stream, flush } = setUp();
    const player = new FakePlayer();
    stream.play(player);
    const ingest = publish(stream);
    ingest.frame(video(0, true));
    flush.run();
    const changed = { ...VIDEO, id: 9, config: Buffer.from('avc2') };
    ingest.frame(video(40, false, changed));
    ingest.frame(video(80, true, changed));
    flush.run();
    assert.equal(player.text, '[header video+audio @0] K0 [video avc2 @0] K80 ');
    assert.equal(stream.stats().framesDropped, 1);
    assert.equal(new Set(stream.tracks.map(({ id }) => id)).size, 2);
  });

  test('a late track is announced in mid-stream', () => {
    const { stream, flush } = setUp();
    const player = new FakePlayer();
    stream.play(player);
    const ingest = stream.attach(new FakePublisher());
    ingest.metadata({ width: 640 });
    ingest.frame(video(0, true));
    flush.run();
    ingest.frame(audio(10));
    flush.run();
    assert.match(player.text, /K0 \[audio asc @0\] a10 $/);
  });

  test('audio does not wait for ever where video is declared and never comes', () => {
    const { stream, flush } = setUp();
    const player = new FakePlayer({ gopCache: false });
    stream.play(player);
    const ingest = publish(stream);
    for (let ms = 0; ms < 6_000; ms += 100) ingest.frame(audio(ms));
    ingest.frame(video(6_000, true));
    ingest.frame(video(6_040, true));
    flush.run();
    assert.match(player.text, /K6000 K6040 $/);
    assert.equal(stream.stats().framesDropped, 50);
  });
});

describe('continuity', () => {
  test('another publisher goes on in the same stream: times increase, a key frame comes first', () => {
    const { stream, flush } = setUp();
    const player = new FakePlayer();
    stream.play(player);
    const first = new FakePublisher();
    const ingest = publish(stream, first);
    ingest.frame(video(1_000, true));
    ingest.frame(video(1_040));
    flush.run();
    const second = publish(stream);
    assert.equal(first.closed.length, 1);
    ingest.frame(video(1_080));
    second.frame(video(0));
    second.frame(audio(10));
    second.frame(video(40, true));
    second.frame(audio(55));
    flush.run();
    assert.equal(player.text, '[header video+audio @1000] K1000 p1040 K1080 a1095 ');
    assert.equal(stream.stats().seams, 1);
    assert.deepEqual(player.closed, []);
  });

  test('a publisher of another codec announces it, and pts keep their distance', () => {
    const { stream, flush } = setUp();
    const player = new FakePlayer();
    stream.play(player);
    publish(stream).frame(video(0, true));
    flush.run();
    const other = { ...VIDEO, codec: 'hevc', config: Buffer.from('hvcC') } as const;
    const ingest = stream.attach(new FakePublisher());
    ingest.metadata({ videocodecid: 12 });
    ingest.frame(video(500, true, other));
    flush.run();
    assert.match(player.text, /K0 \[\{"videocodecid":12\}\] \[video hvcC @0\] K40 $/);
  });

  test('who joins between two publishers waits for the next, never gets the old pictures', () => {
    const { stream, flush } = setUp();
    const ingest = publish(stream);
    ingest.frame(video(0, true));
    ingest.detach();
    const player = new FakePlayer();
    stream.play(player);
    assert.equal(player.text, '');
    publish(stream).frame(video(90, true));
    flush.run();
    assert.equal(player.text, '[header video+audio @40] K40 ');
  });
});

describe('slow players', () => {
  test('one that is too far behind skips to the next key frame and is counted, others get everything', () => {
    const { stream, flush } = setUp();
    const encoder = new TextEncoder();
    const slow = new FakePlayer({ encoder, queueLengthMs: 1_000 });
    const quick = new FakePlayer({ encoder });
    stream.play(slow);
    stream.play(quick);
    const ingest = publish(stream);
    const send = (ms: number, isKey = false): void => {
      const before = slow.writes.length;
      ingest.frame(video(ms, isKey));
      flush.run();
      // It reads nothing.
      for (const bytes of slow.writes.slice(before)) slow.writableLength += bytes.length;
    };
    send(0, true);
    for (let ms = 100; ms <= 2_000; ms += 100) send(ms);
    assert.match(slow.text, /p900 p1000 $/);
    send(2_100, true);
    assert.match(slow.text, /p1000 $/, 'it has not read yet, a key frame does not help');
    slow.writableLength = 0;
    send(2_200);
    assert.match(slow.text, /p1000 $/, 'it may read, but can only go on at a key frame');
    send(2_300, true);
    send(2_400);
    assert.match(slow.text, /p1000 \[video avcC @2300\] \[audio asc @2300\] K2300 p2400 $/);
    assert.match(quick.text, /p1100 p1200 .*K2300 p2400 $/);
    const { skips, framesSkipped } = stream.stats();
    assert.deepEqual({ skips, framesSkipped }, { skips: 1, framesSkipped: 12 });
  });

  test('one that does not recover in 30 s is closed', () => {
    const { stream, flush, clock } = setUp();
    const slow = new FakePlayer({ queueLengthMs: 100 });
    const playback = stream.play(slow);
    slow.onClose = () => playback.leave();
    const ingest = publish(stream);
    ingest.frame(video(0, true));
    flush.run();
    slow.writableLength = 1_000_000;
    for (let ms = 40; ms <= 31_000; ms += 40) {
      clock.ms = ms;
      ingest.frame(video(ms, ms % 1_000 === 0));
      flush.run();
    }
    assert.deepEqual(slow.closed, ['too slow']);
    assert.equal(stream.playbacks().length, 0);
    assert.ok(stream.stats().framesSkipped > 700);
  });

  test('bytes are bounded too, whatever the queue length in time', () => {
    const { stream, flush } = setUp();
    const slow = new FakePlayer({ queueLengthMs: 3_600_000 });
    stream.play(slow);
    const ingest = publish(stream);
    ingest.frame(video(0, true));
    flush.run();
    slow.writableLength = 17 * 1024 * 1024;
    ingest.frame(video(40));
    flush.run();
    assert.equal(stream.stats().skips, 1);
  });

  test('the burst of a long GOP does not count as being slow while it drains', () => {
    const { stream, flush } = setUp();
    const ingest = publish(stream);
    for (let ms = 0; ms <= 20_000; ms += 100) ingest.frame(video(ms, ms === 0));
    const player = new FakePlayer({ queueLengthMs: 5_000 });
    stream.play(player);
    player.writableLength = player.writes.reduce((sum, { length }) => sum + length, 0);
    ingest.frame(video(20_100));
    flush.run();
    assert.match(player.text, /p20100 $/);
    assert.equal(stream.stats().skips, 0);
  });

  test('paused, nothing comes; resumed, it goes on at a key frame', () => {
    const { stream, flush } = setUp();
    const player = new FakePlayer();
    const playback = stream.play(player);
    const ingest = publish(stream);
    ingest.frame(video(0, true));
    flush.run();
    playback.pause();
    ingest.frame(video(40));
    flush.run();
    playback.resume();
    ingest.frame(video(80));
    ingest.frame(video(120, true));
    flush.run();
    assert.match(player.text, /K0 \[video avcC @120\] \[audio asc @120\] K120 $/);
  });
});

describe('publishers, demand and idleness', () => {
  test('an encoder takes the place of a relay, a relay never that of an encoder', () => {
    const { stream } = setUp();
    const relay = new FakePublisher('relay');
    stream.attach(relay);
    const encoder = new FakePublisher();
    stream.attach(encoder);
    assert.equal(relay.closed.length, 1);
    assert.throws(() => stream.attach(new FakePublisher('relay')), { name: 'StreamError', code: 'busy' });
    assert.equal(stream.publisher, encoder);
  });

  test('demand is told when players wait without an encoder, and when that ends', () => {
    const { stream, registry } = setUp();
    const calls: string[] = [];
    registry.setDemand({ onWanted: () => calls.push('wanted'), onUnwanted: () => calls.push('unwanted') });
    const one = stream.play(new FakePlayer());
    const two = stream.play(new FakePlayer());
    const relay = stream.attach(new FakePublisher('relay'));
    assert.deepEqual(calls, ['wanted']);
    const encoder = stream.attach(new FakePublisher());
    assert.deepEqual(calls, ['wanted', 'unwanted']);
    relay.detach();
    encoder.detach();
    assert.deepEqual(calls, ['wanted', 'unwanted', 'wanted']);
    one.leave();
    two.leave();
    two.leave();
    assert.deepEqual(calls, ['wanted', 'unwanted', 'wanted', 'unwanted']);
  });

  test('a listener that comes late hears of what is wanted already', () => {
    const { stream, registry } = setUp();
    stream.play(new FakePlayer());
    const wanted: Stream[] = [];
    registry.setDemand({ onWanted: (which) => wanted.push(which), onUnwanted: () => undefined });
    assert.deepEqual(wanted, [stream]);
  });

  test('nodes that play are closed when the publisher leaves, viewers stay', () => {
    const { stream } = setUp();
    const [viewer, node] = [new FakePlayer(), new FakePlayer({ isRelay: true })];
    stream.play(viewer);
    const playback = stream.play(node);
    node.onClose = () => playback.leave();
    const { viewers, relays } = stream.stats();
    assert.deepEqual({ viewers, relays }, { viewers: { ...perProtocol(), rtmp: 1 }, relays: 1 });
    publish(stream).detach();
    assert.equal(node.closed.length, 1);
    assert.deepEqual(viewer.closed, []);
  });

  test('an idle stream is dropped, one in use or held is not', (context) => {
    context.mock.timers.enable({ apis: ['setTimeout'] });
    const registry = new StreamRegistry({ idleMs: 1_000 });
    const stream = registry.open(KEY);
    const release = stream.hold();
    context.mock.timers.tick(5_000);
    assert.equal(registry.get(KEY), stream);
    release();
    release();
    const playback = stream.play(new FakePlayer());
    context.mock.timers.tick(5_000);
    assert.equal(registry.open(KEY), stream);
    playback.leave();
    context.mock.timers.tick(999);
    assert.equal(registry.open(KEY), stream, 'asked for again, it lives its time again');
    context.mock.timers.tick(999);
    assert.equal(registry.get(KEY), stream);
    context.mock.timers.tick(1);
    assert.equal(registry.get(KEY), undefined);
    assert.throws(() => stream.play(new FakePlayer()), { code: 'closed' });
    assert.notEqual(registry.open(KEY), stream);
  });

  test('the number of streams is bounded: the longest idle one makes room, none in use does', () => {
    const registry = new StreamRegistry({ maxStreams: 2 });
    const key = (stream: string): typeof KEY => ({ ...KEY, stream });
    const a = registry.open(key('a'));
    const b = registry.open(key('b'));
    a.hold();
    registry.open(key('c'));
    assert.equal(registry.get(key('b')), undefined);
    assert.throws(() => b.hold(), { code: 'closed' });
    registry.open(key('c')).hold();
    assert.throws(() => registry.open(key('d')), { name: 'StreamError', code: 'too-many' });
    registry.close('test over');
  });

  test('closing the registry ends publishers and players', () => {
    const { stream, registry } = setUp();
    const [player, publisher] = [new FakePlayer(), new FakePublisher()];
    stream.play(player);
    const ingest = stream.attach(publisher);
    registry.close('the node stops');
    registry.close('the node stops');
    ingest.frame(video(0, true));
    assert.deepEqual([player.closed, publisher.closed], [['the node stops'], ['the node stops']]);
    assert.throws(() => registry.open(KEY), { code: 'closed' });
  });
});
