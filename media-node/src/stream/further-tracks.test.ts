import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import type { Frame } from '../media/frame.ts';
import type { Track } from '../media/track.ts';
import { FurtherTracks } from './further-tracks.ts';
import type { Ingest } from './publisher.ts';
import type { Stream } from './stream.ts';
import { StreamRegistry } from './stream-registry.ts';
import { AUDIO, audio, FakePlayer, FakePublisher, ManualFlush, TextEncoder, VIDEO, video } from './testing.ts';
import { Timeline } from './timeline.ts';

const VIDEO_1: Track & { kind: 'video' } = { ...VIDEO, id: 3, index: 1, config: Buffer.from('avcC1') };
const AUDIO_1: Track & { kind: 'audio' } = { ...AUDIO, id: 4, index: 1, config: Buffer.from('asc1') };
/** Of the second tracks, told from the first ones by capitals: `V0`, `v40`, `A0`. */
const video1 = (dtsMs: number, isKey = false, track = VIDEO_1): Frame => ({
  ...video(dtsMs, isKey, track),
  data: Buffer.from(isKey ? 'V' : 'v'),
});
const audio1 = (dtsMs: number): Frame => ({ ...audio(dtsMs, AUDIO_1), data: Buffer.from('A') });

class SeveralEncoder extends TextEncoder {
  readonly multitrack = new TextEncoder('several');
}

class Setup {
  readonly flush = new ManualFlush();
  readonly stream: Stream;
  readonly encoder = new SeveralEncoder();
  constructor() {
    this.stream = new StreamRegistry({ flushPolicy: this.flush }).open({ vhost: 'v', app: 'a', stream: 's' });
  }
  publish(clock?: string): Ingest {
    return this.stream.attach(Object.assign(new FakePublisher(), { clock }));
  }
  /** A player that takes several tracks. */
  play(): FakePlayer {
    const player = new FakePlayer({ encoder: this.encoder });
    this.stream.play(player);
    return player;
  }
  /** One that takes one of each kind. */
  plain(): FakePlayer {
    const player = new FakePlayer();
    this.stream.play(player);
    return player;
  }
  send(ingest: Ingest, ...frames: readonly Frame[]): void {
    for (const frame of frames) ingest.frame(frame);
    this.flush.run();
  }
}

function declare(ingest: Ingest): void {
  for (const track of [VIDEO_1, VIDEO, AUDIO, AUDIO_1]) ingest.track(track);
}

describe('a stream with further tracks', () => {
  test('begins each GOP with the first track’s key frame, though the second one’s came before', () => {
    const setup = new Setup();
    const ingest = setup.publish();
    declare(ingest);
    const [several, plain] = [setup.play(), setup.plain()];
    setup.send(ingest, video1(0, true), video(0, true), audio(10), audio1(10), video1(40), video(40));
    const joined = setup.play();
    setup.send(ingest, video1(80, true), video(80, true));
    const first = '[header video+audio+video+audio @0] K0 V0 a10 A10 p40 v40 ';
    assert.deepEqual([several.text, joined.text], [`${first}K80 V80 `, `${first}K80 V80 `]);
    assert.equal(plain.text, '[header video+audio @0] K0 a10 p40 K80 ');
    assert.equal(setup.stream.tracks.length, 2);
    assert.equal(setup.stream.stats().framesIn, 8);
  });

  test('waits for no key frame but the first track’s, and shows no picture of the second before its own', () => {
    const setup = new Setup();
    const ingest = setup.publish();
    declare(ingest);
    const several = setup.play();
    setup.send(ingest, video1(0), video(0, true), video1(40), video(40), video1(80, true), video(80), video1(120));
    setup.send(ingest, video(120));
    assert.equal(several.text, '[header video+audio+video+audio @0] K0 p40 p80 V80 p120 v120 ');
    assert.equal(setup.stream.stats().framesDropped, 2);
  });

  test('has one encoding for all while there are none, and again when the next publisher has none', () => {
    const setup = new Setup();
    const before = setup.publish();
    before.track(VIDEO);
    before.track(AUDIO);
    const several = setup.play();
    const plain = new FakePlayer({ encoder: setup.encoder });
    setup.stream.play(plain);
    setup.send(before, video(0, true), audio(10));
    assert.deepEqual([setup.encoder.encoded, setup.encoder.multitrack.encoded], [2, 0]);
    before.track(VIDEO_1);
    setup.send(before, video(40), video1(40, true));
    assert.equal(setup.encoder.multitrack.encoded, 0);
    setup.send(before, video(80, true), video1(80, true), audio(90));
    assert.ok(setup.encoder.multitrack.encoded > 0);
    before.detach();
    const next = setup.publish();
    next.track(VIDEO);
    next.track(AUDIO);
    setup.send(next, video(0, true));
    const encoded = setup.encoder.multitrack.encoded;
    setup.send(next, video(40), audio(50));
    assert.equal(setup.encoder.multitrack.encoded, encoded);
    assert.equal(several.text, plain.text);
    assert.match(several.text, /V80 a90 .*K\d+ p\d+ a\d+ $/);
    assert.deepEqual(setup.stream.furtherTracks, []);
  });

  test('moves a player that pauses or is slow, and it goes on at a key frame with every configuration', () => {
    const setup = new Setup();
    const ingest = setup.publish();
    ingest.track(VIDEO);
    ingest.track(AUDIO);
    const paused = new FakePlayer({ encoder: setup.encoder });
    const playback = setup.stream.play(paused);
    const slow = setup.play();
    setup.send(ingest, video(0, true));
    playback.pause();
    slow.writableLength = 20 * 1024 * 1024;
    setup.send(ingest, video(40));
    ingest.track(VIDEO_1);
    setup.send(ingest, video(80, true), video1(80, true));
    playback.resume();
    slow.writableLength = 0;
    setup.send(ingest, video(120), video1(120));
    setup.send(ingest, video(160, true), video1(160, true));
    const rest = '[video avcC @160] [audio asc @160] [video avcC1 @160] K160 V160 ';
    assert.deepEqual(
      [paused.text, slow.text],
      [`[header video+audio @0] K0 ${rest}`, `[header video+audio @0] K0 ${rest}`],
    );
    playback.leave();
    assert.equal(setup.stream.playbacks().length, 1);
  });

  test('tells those who play of another configuration, and lets nobody begin with frames of the one before', () => {
    const setup = new Setup();
    const ingest = setup.publish();
    declare(ingest);
    const several = setup.play();
    setup.send(ingest, video(0, true), video1(0, true));
    const changed = { ...VIDEO_1, id: 9, config: Buffer.from('new') };
    ingest.track(changed);
    setup.send(ingest, video1(40, false, changed), video(40), video(80), video1(80, true, changed));
    const joined = setup.play();
    const plain = setup.plain();
    setup.send(ingest, video(120, true));
    assert.equal(several.text, '[header video+audio+video+audio @0] K0 V0 [video new @0] p40 p80 V80 K120 ');
    assert.equal(joined.text, '[header video+audio+video+audio @120] K120 ');
    assert.equal(plain.text, '[header video+audio @0] K0 p40 p80 K120 ');
  });

  test('goes on where it was with a source that begins again: nothing comes twice', () => {
    const setup = new Setup();
    const several = setup.play();
    const frames = [video(0, true), video1(0, true), audio1(5), video(40), video1(40)];
    const first = setup.publish('clock');
    declare(first);
    setup.send(first, ...frames, audio(50));
    const again = setup.publish('clock');
    declare(again);
    setup.send(again, ...frames, audio(50), video(80), video1(80), audio1(85));
    assert.equal(several.text, '[header video+audio+video+audio @0] K0 V0 A5 p40 v40 a50 p80 v80 A85 ');
  });

  test('without a first track gives nothing out, and with one nothing that is far from it', () => {
    const setup = new Setup();
    const several = setup.play();
    const ingest = setup.publish();
    ingest.track(AUDIO_1);
    setup.send(ingest, audio1(0), audio1(1_000), audio1(2_000));
    assert.equal(several.text, '');
    ingest.track(AUDIO);
    setup.send(ingest, audio(3_000), audio1(3_001), audio1(60_000), audio1(3_001), audio(3_020));
    assert.equal(several.text, '[header audio+audio @3000] a3000 A3001 A3002 a3020 ');
    assert.equal(setup.stream.stats().framesDropped, 4);
  });

  test('without video has players change over at once, also into an output that others are in, and back', () => {
    const setup = new Setup();
    const before = setup.publish();
    before.track(AUDIO);
    before.metadata({ audiocodecid: 10 });
    const several = setup.play();
    const plain = setup.plain();
    setup.send(before, audio(0));
    before.track(AUDIO_1);
    const joined = setup.play();
    setup.send(before, audio(20), audio1(20), audio(40));
    assert.equal(
      several.text,
      '[header audio {"audiocodecid":10} @0] a0 [audio asc @20] [audio asc1 @20] a20 A20 a40 ',
    );
    assert.ok(joined.text.endsWith('a0 a20 A20 a40 '));
    const next = setup.publish();
    next.track(AUDIO);
    next.metadata({ audiocodecid: 10 });
    for (const ms of [60, 80, 100]) next.frame(audio(ms));
    setup.flush.run();
    const sounds = (player: FakePlayer): string[] => player.text.match(/a\d+/g) ?? [];
    assert.equal(sounds(plain).length, 6);
    assert.deepEqual(sounds(several), sounds(plain));
    assert.deepEqual(sounds(joined), sounds(plain));
  });

  test('keeps the cache of the first tracks when the others are too large for theirs', () => {
    const setup = new Setup();
    const ingest = setup.publish();
    declare(ingest);
    setup.send(ingest, video(0, true), audio(1));
    for (let ms = 1; ms <= 4_100; ms++) ingest.frame(audio1(ms));
    const [plain, several] = [setup.plain(), setup.play()];
    setup.send(ingest, video(40));
    assert.equal(plain.text, '[header video+audio @0] K0 a1 p40 ');
    // What was given up is missed by who comes now, until the next key frame.
    assert.ok(several.text.startsWith('[header video+audio+video+audio @0] K0 a1 A4098 '));
  });
});

test('whatever comes in whatever order, times of a further track rise, pictures follow the first track’s, and little waits', () => {
  const step = fc.record({ isFirst: fc.boolean(), ms: fc.integer({ min: -15_000, max: 30_000 }), isKey: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const timeline = new Timeline();
      let last = -1;
      let given = 0;
      let dropped = 0;
      let taken = 0;
      const further = new FurtherTracks(
        timeline,
        (frame, timeMs) => {
          assert.ok(timeMs > last && timeline.lastMs !== undefined && frame.track.index === 1);
          last = timeMs;
          given++;
        },
        () => dropped++,
      );
      further.declare(VIDEO_1, (track) => track);
      for (const { isFirst, ms, isKey } of steps) {
        if (isFirst) {
          if (timeline.map('video', Math.max(0, ms)) !== undefined) further.follow(ms);
        } else {
          taken++;
          further.push(video1(ms, isKey), true);
        }
        assert.ok(taken - given - dropped <= 64);
      }
    }),
  );
});
