import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StreamRegistry } from '../stream/stream-registry.ts';
import { FakePlayer, FakePublisher, ManualFlush, VIDEO, video } from '../stream/testing.ts';
import { SAMPLE_MS } from './rate-window.ts';
import { Traffic } from './traffic.ts';

class Named extends FakePlayer {
  override readonly id: string;
  constructor(id: string) {
    super();
    this.id = id;
  }
}

test('the timer reads everything in pieces, and tells who is there', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const registry = new StreamRegistry({ flushPolicy: new ManualFlush() });
  const stream = registry.open({ vhost: 'v', app: 'live', stream: 's' });
  stream.attach(new FakePublisher());
  for (let index = 0; index < 2_000; index++) stream.play(new Named(`viewer-${index}`));
  const told = Promise.withResolvers<ReadonlySet<string>>();
  const traffic = new Traffic({ streams: () => registry.streams(), onSessions: told.resolve });
  t.after(() => traffic.close());
  let turns = 0;
  let isTold = false;
  void told.promise.then(() => (isTold = true));
  const count = (): void => {
    turns++;
    if (!isTold) setImmediate(count);
  };
  setImmediate(count);
  t.mock.timers.tick(SAMPLE_MS);
  assert.equal((await told.promise).size, 2_001);
  assert.ok(turns >= 5, `${turns} turns of the event loop meanwhile`);
});

test('rates of a stream, its publisher and its viewers stand for the last 30 s, and bytes of what is gone stay', () => {
  const clock = { ms: 0 };
  const flush = new ManualFlush();
  const registry = new StreamRegistry({ now: () => clock.ms, flushPolicy: flush });
  const traffic = new Traffic({ streams: () => registry.streams(), now: () => clock.ms });
  traffic.close();
  const stream = registry.open({ vhost: 'v', app: 'live', stream: 's' });
  const ingest = stream.attach(new FakePublisher());
  ingest.track(VIDEO);
  ingest.metadata({ width: 640 });
  const playback = stream.play(new FakePlayer());
  const second = (bytes: number): void => {
    ingest.frame({ ...video(clock.ms, clock.ms === 0), data: Buffer.alloc(bytes, '.') });
    flush.run();
    clock.ms += 1_000;
    if (clock.ms % SAMPLE_MS === 0) traffic.sample();
  };
  for (let passed = 0; passed < 60; passed++) second(12_500);
  assert.equal(traffic.stream(stream).kbps.recv_30s, 100);
  // The test's format adds a few bytes to each frame.
  assert.ok(Math.abs(traffic.playback(playback).kbps.send_30s - 100) <= 1);
  for (let passed = 0; passed < 35; passed++) second(0);
  assert.equal(traffic.stream(stream).kbps.recv_30s, 0);
  assert.equal(traffic.vhost('v').recv_bytes, 750_000);
  registry.close('gone');
  assert.equal(traffic.vhost('v').recv_bytes, 750_000);
  assert.equal(traffic.node().recv_bytes, 750_000);
  assert.equal(traffic.vhost('w').recv_bytes, 0);
});
