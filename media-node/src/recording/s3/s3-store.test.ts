import assert from 'node:assert/strict';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { until } from '#contract/testing/until.ts';
import { NODE_FILES } from '../file-system.ts';
import type { StoredFile } from '../recording-store.ts';
import { dvr, probe, recorderOf, silent, temporaryFolder, testMedia } from '../testing.ts';
import { ObjectStoreError } from './object-store.ts';
import { S3Store } from './s3-store.ts';
import { MemoryObjectStore } from './testing.ts';
import { UploadJournal } from './upload-journal.ts';

function storeIn(folder: string, bucket: MemoryObjectStore, owner = 'pod-1') {
  const stored: StoredFile[] = [];
  const store = new S3Store({
    store: bucket,
    prefix: 'tv/',
    owner,
    folder,
    files: NODE_FILES,
    log: silent,
    onStored: (file) => void stored.push(file),
  });
  return { store, stored };
}

/** Of about two parts. */
const media = testMedia(150);
const recordings = (bucket: MemoryObjectStore) =>
  [...bucket.objects.keys()].filter((key) => !key.includes('.livecluster'));

/** All frames, as fast as they are written. */
async function feed({ recorder, counts }: Pick<ReturnType<typeof recorderOf>, 'recorder' | 'counts'>): Promise<void> {
  for (const [index, frame] of media.frames.entries()) {
    recorder.onFrame(frame);
    if (index % 1_000 === 0) await until('the queue is short', () => counts.queuedBytes < 2_000_000);
  }
}

function saved(bucket: MemoryObjectStore, key: string): string {
  const path = join(temporaryFolder(), key.replaceAll('/', '_'));
  writeFileSync(path, bucket.objects.get(key)!.body);
  return path;
}

test('a short recording is one object by one request, with its header as it is at the end', async () => {
  const folder = temporaryFolder();
  const bucket = new MemoryObjectStore();
  const { store } = storeIn(folder, bucket);
  const { recorder, files, counts } = recorderOf(store, dvr({ path: '[app]/[stream].flv' }));
  const { tracks, frames } = testMedia(1);
  recorder.onTracks(tracks);
  for (const frame of frames) recorder.onFrame(frame);
  await recorder.end();
  await until('one file is finished', () => files.length === 1);
  assert.deepEqual(recordings(bucket), ['tv/live/cam.flv']);
  assert.equal(files[0]!.path, 'live/cam.flv');
  assert.equal(counts.files, 1);
  assert.deepEqual(bucket.calls, ['exists', 'put']);
  const { packets, durationMs } = probe(saved(bucket, 'tv/live/cam.flv'));
  assert.equal(packets.length, frames.length);
  assert.ok(Math.abs(durationMs - 4_800) < 100);
  assert.deepEqual(readdirSync(folder), []);
  assert.equal(store.waitingBytes, 0);
  await store.close(1_000);
});

for (const ending of ['flv', 'mp4']) {
  test(`a long ${ending} recording is uploaded in parts while it is made, and whole in the end`, async () => {
    const folder = temporaryFolder();
    const bucket = new MemoryObjectStore();
    const { store } = storeIn(folder, bucket);
    const recording = recorderOf(store, dvr({ path: `[stream].${ending}` }), { batchBytes: 100_000 });
    const { recorder, files } = recording;
    recorder.onTracks(media.tracks);
    await feed(recording);
    await until('a part is uploaded', () => bucket.calls.includes('part'));
    assert.equal(bucket.calls.includes('complete'), false);
    await recorder.end();
    await until('one file is finished', () => files.length === 1);
    const { packets, durationMs } = probe(saved(bucket, `tv/cam.${ending}`));
    assert.equal(packets.length, media.frames.length);
    assert.ok(Math.abs(durationMs - media.lengthMs) < 100, `${durationMs}`);
    assert.deepEqual([...bucket.uploads], []);
    assert.deepEqual([...bucket.objects.keys()], [`tv/cam.${ending}`], 'the journal is gone');
    assert.deepEqual(readdirSync(folder), []);
    assert.equal(store.waitingBytes, 0);
    await store.close(1_000);
  });
}

test('two recordings of one path are two objects, and one that is there is not overwritten', async () => {
  const folder = temporaryFolder();
  const bucket = new MemoryObjectStore();
  await bucket.put('tv/cam.flv', Buffer.from('x'));
  const { store } = storeIn(folder, bucket);
  const { tracks, frames } = testMedia(1);
  const all = [1, 2].map(() => recorderOf(store, dvr({ path: '[stream].flv' })));
  for (const { recorder } of all) {
    recorder.onTracks(tracks);
    for (const frame of frames) recorder.onFrame(frame);
  }
  await Promise.all(all.map(({ recorder }) => recorder.end()));
  await until('each has its file', () => all.every(({ files }) => files.length === 1));
  assert.deepEqual(recordings(bucket).sort(), ['tv/cam-2.flv', 'tv/cam-3.flv', 'tv/cam.flv']);
  await store.close(1_000);
});

test('a bucket that is away costs nothing but room on the disk; a node that ends leaves the rest to the next one', async () => {
  const folder = temporaryFolder();
  const bucket = new MemoryObjectStore();
  bucket.fault = new ObjectStoreError('unreachable', 'away');
  const { store } = storeIn(folder, bucket);
  const { recorder, files } = recorderOf(store, dvr({ path: '[stream].flv' }));
  const { tracks, frames } = testMedia(1);
  recorder.onTracks(tracks);
  for (const frame of frames) recorder.onFrame(frame);
  await recorder.end();
  assert.ok(store.waitingBytes > 0);
  await store.close(10);
  assert.deepEqual(files, []);
  assert.equal(readdirSync(folder).length, 1);

  bucket.fault = undefined;
  const next = storeIn(folder, bucket);
  await next.store.recover();
  await until('one file is stored', () => next.stored.length === 1);
  assert.deepEqual(recordings(bucket), ['tv/cam.flv']);
  assert.equal(probe(saved(bucket, 'tv/cam.flv')).packets.length, frames.length);
  assert.deepEqual(readdirSync(folder), []);
  await next.store.close(1_000);
});

/** Records until parts are uploaded, then stops as a killed process does: nothing is finished. */
async function killed(folder: string, bucket: MemoryObjectStore, ending: string) {
  const { store } = storeIn(folder, bucket);
  const recording = recorderOf(store, dvr({ path: `[stream].${ending}` }), { batchBytes: 100_000 });
  recording.recorder.onTracks(media.tracks);
  await feed(recording);
  // A dead process writes no more.
  await until('the queue is empty', () => recording.counts.queuedBytes === 0);
  await until(
    'what fills no part is left',
    () => bucket.calls.includes('part') && store.waitingBytes < 5 * 1024 * 1024,
  );
  // As the kernel would: from here on this process reaches neither the bucket nor its end.
  await store.close(0);
}

for (const ending of ['flv', 'mp4']) {
  test(`a killed process's ${ending} upload is gone on with by the next one from the disk`, async () => {
    const folder = temporaryFolder();
    const bucket = new MemoryObjectStore();
    await killed(folder, bucket, ending);
    assert.equal(bucket.uploads.size, 1);
    const [spool] = readdirSync(folder);
    const chunks = readdirSync(join(folder, spool!)).filter((name) => /^\d+$/.test(name));
    const last = chunks
      .map(Number)
      .sort((a, b) => a - b)
      .at(-1)!;
    writeFileSync(join(folder, spool!, String(last)), Buffer.from([9, 0, 0x40, 0]), { flag: 'a' });

    const { store, stored } = storeIn(folder, bucket);
    await store.recover();
    await until('one file is stored', () => stored.length === 1);
    assert.equal(stored[0]!.path, `cam.${ending}`);
    const { packets } = probe(saved(bucket, `tv/cam.${ending}`));
    assert.ok(packets.length > media.frames.length * 0.9, `${packets.length}`);
    assert.deepEqual([...bucket.uploads], []);
    await store.close(1_000);
  });
}

test('a recording whose node is gone with its disk is completed by another with what was uploaded', async () => {
  const bucket = new MemoryObjectStore();
  await killed(temporaryFolder(), bucket, 'flv');
  let nowMs = Date.now();
  const journal = new UploadJournal({ store: bucket, prefix: 'tv/', owner: 'pod-2', log: silent, now: () => nowMs });
  const foreign = await bucket.beginUpload('tv/other.flv');
  await journal.rescue();
  assert.deepEqual(recordings(bucket), [], 'its node may be alive');
  nowMs += 11 * 60_000;
  await journal.rescue();
  assert.deepEqual([...bucket.objects.keys()], ['tv/cam.flv']);
  assert.ok(probe(saved(bucket, 'tv/cam.flv')).packets.length > 1_000);
  assert.deepEqual([...bucket.uploads.keys()], [foreign], 'uploads of others are theirs');
  await journal.rescue();
  await journal.close();
});

test('an upload that the bucket forgot begins anew with what is still here', async () => {
  const folder = temporaryFolder();
  const bucket = new MemoryObjectStore();
  await killed(folder, bucket, 'flv');
  bucket.uploads.clear();
  const { store, stored } = storeIn(folder, bucket);
  await store.recover();
  await until('one file is stored', () => stored.length === 1);
  assert.ok(probe(saved(bucket, 'tv/cam.flv')).packets.length > 1_000);
  assert.deepEqual(readdirSync(folder), []);
  await store.close(1_000);
});
