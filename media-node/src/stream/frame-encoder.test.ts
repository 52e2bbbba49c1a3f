import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Frame } from '../media/frame.ts';
import type { EncoderSource, FrameEncoder } from './frame-encoder.ts';
import { StreamRegistry } from './stream-registry.ts';
import { AUDIO, audio, FakePlayer, FakePublisher, ManualFlush, TextEncoder, VIDEO, video } from './testing.ts';

/** Counts its frames, and tells the kinds of its source's tracks. */
class CountingEncoder extends TextEncoder {
  readonly #source: EncoderSource | undefined;
  constructor(source?: EncoderSource) {
    super('counting');
    this.#source = source;
  }
  forOutput(source: EncoderSource): FrameEncoder {
    return new CountingEncoder(source);
  }
  override encode(frame: Frame): Buffer {
    super.encode(frame);
    const kinds = this.#source?.tracks.map(({ kind }) => kind).join('+');
    return Buffer.from(`${this.encoded}:${frame.dtsMs}:${kinds} `);
  }
}

test('metadata and data beside the media do not grow what players begin with past a bound', () => {
  const flush = new ManualFlush();
  const registry = new StreamRegistry({ flushPolicy: flush, now: () => flush.nowMs });
  class DataEncoder extends TextEncoder {
    data(amf0: Buffer, dtsMs: number): Buffer {
      return Buffer.concat([Buffer.from(`[data @${dtsMs}] `), amf0]);
    }
  }
  const stream = registry.open({ vhost: 'v', app: 'live', stream: 's' });
  const encoder = new DataEncoder();
  const watch = (): FakePlayer => {
    const player = new FakePlayer({ encoder });
    stream.play(player);
    flush.run();
    return player;
  };
  const first = watch();
  const ingest = stream.attach(new FakePublisher());
  ingest.metadata({ videocodecid: 7 });
  ingest.track(VIDEO);
  ingest.data(Buffer.from('too early '));
  ingest.frame(video(0, true));
  ingest.data(Buffer.from('a '));
  ingest.frame(video(40));
  flush.run();
  assert.match(first.text, /K0 \[data @0\] a p40 $/);
  assert.match(watch().text, /K0 \[data @0\] a p40 $/);
  const large = Buffer.alloc(256 * 1024, 'x');
  for (let count = 0; count < 20; count++) ingest.data(large);
  ingest.frame(video(80));
  flush.run();
  assert.match(first.text, /p80 $/);
  const late = watch();
  assert.equal(late.text, '');
  ingest.frame(video(120, true));
  flush.run();
  assert.match(late.text, /^\[header .*K120 $/);
  registry.close('the test is over');
});

test('an encoder whose frames change a state is made for each output, and sees its stream’s tracks', () => {
  const flush = new ManualFlush();
  const registry = new StreamRegistry({ flushPolicy: flush, now: () => flush.nowMs });
  const encoder = new CountingEncoder();
  const watch = (
    name: string,
  ): { player: FakePlayer; ingest: ReturnType<ReturnType<typeof registry.open>['attach']> } => {
    const stream = registry.open({ vhost: 'v', app: 'live', stream: name });
    const player = new FakePlayer({ encoder });
    stream.play(player);
    return { player, ingest: stream.attach(new FakePublisher()) };
  };
  const [one, two] = [watch('one'), watch('two')];
  for (const { ingest } of [one, two]) {
    ingest.metadata({ width: 640 });
    ingest.track(VIDEO);
  }
  one.ingest.frame(video(0, true));
  two.ingest.frame(video(0, true));
  flush.run();
  one.ingest.track(AUDIO);
  one.ingest.frame(audio(20));
  one.ingest.frame(video(40, true));
  flush.run();
  assert.match(one.player.text, /1:0:video .*2:20:video\+audio 3:40:video\+audio $/);
  assert.match(two.player.text, /1:0:video $/);
  assert.equal(encoder.encoded, 0);
  registry.close('the test is over');
});
