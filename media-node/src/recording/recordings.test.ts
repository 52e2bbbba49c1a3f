import assert from 'node:assert/strict';
import { test } from 'node:test';
import { join } from 'node:path';
import { pino } from 'pino';
import { StreamRegistry } from '../stream/stream-registry.ts';
import { FakePublisher } from '../stream/testing.ts';
import { DiskStore } from './disk-store.ts';
import { NODE_FILES } from './file-system.ts';
import type { RecordingNotice } from './recordings.ts';
import { Recordings } from './recordings.ts';
import { dvr, KEY, probe, silent, temporaryFolder, testMedia } from './testing.ts';

const media = testMedia(1);

function setUp(first: ReturnType<typeof dvr> | undefined, hasStore = true) {
  const folder = temporaryFolder();
  const store = hasStore
    ? new DiskStore({ folder, files: NODE_FILES, log: silent, onStored: () => undefined })
    : undefined;
  const notices: RecordingNotice[] = [];
  const warnings: string[] = [];
  const log = pino(
    { level: 'warn' },
    { write: (line) => void warnings.push((JSON.parse(line) as { msg: string }).msg) },
  );
  let settings = first;
  const recordings = new Recordings({
    store,
    dvrOf: () => settings,
    log,
    onFile: (notice) => void notices.push(notice),
  });
  const registry = new StreamRegistry();
  registry.addSourceListener(recordings);
  const configure = (next: ReturnType<typeof dvr> | undefined) => {
    settings = next;
    recordings.configure();
  };
  return { folder, recordings, registry, notices, warnings, configure };
}

/** Publishes the loop and leaves; `fromMs` is where the encoder's clock begins. */
function publish(registry: StreamRegistry, fromMs = 0, key = KEY): void {
  const ingest = registry.open(key).attach(new FakePublisher());
  for (const track of media.tracks) ingest.track(track);
  for (const frame of media.frames) {
    ingest.frame({ ...frame, dtsMs: frame.dtsMs + fromMs, ptsMs: frame.ptsMs + fromMs });
  }
  ingest.detach();
}

test('a stream whose Vhost is recorded becomes a file when its encoder leaves', async () => {
  const { folder, recordings, registry, notices } = setUp(dvr({ path: '[app]/[stream].mp4' }));
  publish(registry);
  await recordings.close(10_000);
  const [notice] = notices;
  assert.deepEqual(
    [notice?.vhost, notice?.app, notice?.stream, notice?.path],
    ['__defaultVhost__', 'live', 'cam', 'live/cam.mp4'],
  );
  assert.ok(Math.abs(Date.now() - notice!.startedAtMs) < 60_000);
  assert.equal(probe(join(folder, 'live/cam.mp4')).packets.length, media.frames.length);
  assert.equal(recordings.stats().files, 1);
  assert.equal(recordings.stats().recordings, 0);
});

for (const ending of ['flv', 'mp4']) {
  test(`an encoder that comes back while it is awaited goes on in the same ${ending} file`, async () => {
    const { folder, recordings, registry, notices } = setUp(dvr({ path: `[stream].${ending}` }));
    const release = registry.open(KEY).hold();
    publish(registry);
    assert.equal(recordings.stats().recordings, 1);
    publish(registry, 90_000);
    release();
    assert.equal(recordings.stats().recordings, 0);
    await recordings.close(10_000);
    assert.deepEqual(
      notices.map(({ path }) => path),
      [`cam.${ending}`],
    );
    const { packets } = probe(join(folder, `cam.${ending}`));
    assert.ok(packets.length > media.frames.length * 1.9, `${packets.length}`);
  });
}

test('what is recorded follows the configuration while streams run', async () => {
  const { recordings, registry, notices, configure } = setUp(undefined);
  const ingest = registry.open(KEY).attach(new FakePublisher());
  for (const track of media.tracks) ingest.track(track);
  const third = Math.floor(media.frames.length / 3);
  const send = (from: number) => {
    for (const frame of media.frames.slice(from, from + third)) ingest.frame(frame);
  };
  send(0);
  assert.equal(recordings.stats().recordings, 0);
  configure(dvr({ applyTo: ['live/other'] }));
  assert.equal(recordings.stats().recordings, 0);
  configure(dvr({ applyTo: ['live/c*'] }));
  assert.equal(recordings.stats().recordings, 1);
  send(third);
  configure(dvr({ enabled: false }));
  assert.equal(recordings.stats().recordings, 0);
  await recordings.settled(10_000);
  assert.equal(notices.length, 1);
  configure(dvr());
  send(2 * third);
  await recordings.close(10_000);
  assert.equal(notices.length, 2);
});

test('without anywhere to put recordings a stream goes on, and one line says what to set', async () => {
  const { recordings, registry, warnings, configure } = setUp(dvr(), false);
  publish(registry);
  publish(registry, 0, { ...KEY, stream: 'cam2' });
  assert.equal(warnings.length, 1);
  assert.match(warnings[0]!, /set origin\.storage\.dvr of the LiveCluster/);
  configure(undefined);
  await recordings.close(1_000);
});
