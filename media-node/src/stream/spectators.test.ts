import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { StreamObserver } from './stream-observer.ts';
import { StreamRegistry } from './stream-registry.ts';
import { AUDIO, audio, FakePublisher, VIDEO, video } from './testing.ts';

const KEY = { vhost: 'v', app: 'live', stream: 's' };

function recorder(): StreamObserver & { readonly seen: string[] } {
  const seen: string[] = [];
  return {
    seen,
    onTracks: (tracks) => seen.push(tracks.map(({ kind }) => kind).join('+')),
    onFrame: ({ track, dtsMs, isKey }) =>
      seen.push(`${track.kind[0]}${dtsMs}${isKey && track.kind === 'video' ? 'K' : ''}`),
    onMetadata: (metadata) => seen.push(JSON.stringify(metadata)),
    onSeam: () => seen.push('seam'),
  };
}

test('an observer gets tracks, metadata and frames in order, and a seam where another publisher goes on', () => {
  const registry = new StreamRegistry();
  const stream = registry.open(KEY);
  const observer = recorder();
  const leave = stream.observe(observer);
  const first = stream.attach(new FakePublisher());
  first.track(VIDEO);
  first.metadata({ width: 1 });
  first.frame(video(100, true));
  first.track(AUDIO);
  first.frame(audio(110));
  first.detach();
  const second = stream.attach(new FakePublisher());
  second.track(VIDEO);
  second.track(AUDIO);
  second.frame(video(5, true));
  second.frame(video(90_000));
  leave();
  leave();
  second.frame(video(90_040));
  assert.deepEqual(observer.seen, [
    '{"width":1}',
    'video',
    'v100K',
    'video+audio',
    'a110',
    'seam',
    'v150K',
    'seam',
    'v200',
  ]);
  registry.close('test');
});

test('whoever observes later is told the tracks of now, and times that go on even with atc', () => {
  const registry = new StreamRegistry({ rules: () => ({ mwLatency: 'realtime', atc: true, mixCorrect: false }) });
  const stream = registry.open(KEY);
  const ingest = stream.attach(new FakePublisher());
  ingest.track(VIDEO);
  ingest.frame(video(1_000, true));
  const observer = recorder();
  stream.observe(observer);
  ingest.frame(video(0, true));
  assert.deepEqual(observer.seen, ['video', 'v1000K', 'seam', 'v1040K']);
  registry.close('test');
});

test('viewers without a connection are counted and keep the stream', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const registry = new StreamRegistry({ idleMs: 10 });
  const stream = registry.open(KEY);
  const attendance = stream.attend('hls');
  attendance.sent(7);
  t.mock.timers.tick(100);
  assert.equal(registry.get(KEY), stream);
  assert.equal(stream.stats().viewers.hls, 1);
  assert.equal(stream.isWanted, false, 'no pull is made for them');
  attendance.leave();
  attendance.leave();
  assert.deepEqual([stream.stats().viewers.hls, stream.stats().bytesOut], [0, 7]);
  t.mock.timers.tick(100);
  assert.equal(registry.get(KEY), undefined);
});

test('a source is told when an encoder comes, and gone when nobody is waited for any more', () => {
  const registry = new StreamRegistry();
  const told: string[] = [];
  registry.addSourceListener({
    onSource: ({ key }) => told.push(`${key.stream} comes`),
    onSourceGone: ({ key }) => told.push(`${key.stream} gone`),
  });
  const stream = registry.open(KEY);
  stream.attach(new FakePublisher('relay')).detach();
  const letGo = stream.hold();
  assert.deepEqual(told, []);
  stream.attach(new FakePublisher()).detach();
  stream.attach(new FakePublisher());
  assert.deepEqual(told, ['s comes']);
  stream.attach(new FakePublisher()).detach();
  assert.deepEqual(told, ['s comes'], 'waited for');
  letGo();
  assert.deepEqual(told, ['s comes', 's gone']);
  stream.attach(new FakePublisher());
  registry.close('test');
  assert.deepEqual(told, ['s comes', 's gone', 's comes', 's gone']);
});
