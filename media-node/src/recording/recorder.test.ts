import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { DiskStore } from './disk-store.ts';
import { NODE_FILES } from './file-system.ts';
import type { FileSystem } from './file-system.ts';
import { dvr, probe, recorderOf, silent, temporaryFolder, testMedia } from './testing.ts';

const storeIn = (folder: string, files: FileSystem = NODE_FILES, mostBytes?: number) =>
  new DiskStore({ folder, files, mostBytes, log: silent, onStored: () => undefined });
const filesIn = (folder: string) =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();

for (const ending of ['flv', 'mp4']) {
  test(`a session becomes one ${ending} file with every frame, from time 0, that ffmpeg decodes without a word`, async () => {
    const folder = temporaryFolder();
    const { tracks, frames, lengthMs } = testMedia(2);
    const { recorder, counts, files } = recorderOf(
      storeIn(folder),
      dvr({ path: `[app]/[stream].[timestamp].${ending}` }),
    );
    recorder.onTracks(tracks);
    const shiftMs = 1_000_000_000;
    for (const frame of frames) {
      recorder.onFrame({ ...frame, dtsMs: frame.dtsMs + shiftMs, ptsMs: frame.ptsMs + shiftMs });
    }
    await recorder.end();
    assert.equal(counts.queuedBytes, 0);
    assert.deepEqual(
      filesIn(folder),
      files.map(({ path }) => path),
    );
    const [file] = files;
    assert.match(file!.path, new RegExp(`^live/cam\\.\\d{13}\\.${ending}$`));
    const path = join(folder, file!.path);
    assert.equal(statSync(path).size, file!.bytes);
    assert.equal(counts.bytes, file!.bytes);
    const { packets, durationMs } = probe(path, true);
    assert.equal(packets.length, frames.length);
    for (const kind of ['video', 'audio']) {
      const own = frames.filter(({ track }) => track.kind === kind);
      const seen = packets.filter((packet) => packet.kind === kind);
      assert.deepEqual(
        seen.map(({ size }) => size),
        own.map(({ data }) => data.length),
        kind,
      );
      assert.equal(
        seen.findIndex(({ isKey }) => isKey),
        0,
      );
    }
    assert.ok(packets[0]!.dtsMs <= 0 && packets[0]!.dtsMs > -200, `${packets[0]!.dtsMs}`);
    assert.ok(Math.abs(durationMs - lengthMs) < 100, `${durationMs} of ${lengthMs}`);
    assert.ok(Math.abs(file!.durationMs - lengthMs) < 100, `${file!.durationMs} of ${lengthMs}`);
  });

  test(`plan Segment cuts ${ending} files at key frames, and together they hold every frame`, async () => {
    const folder = temporaryFolder();
    const { tracks, frames } = testMedia(2);
    const settings = dvr({ plan: 'Segment', durationMs: 2_000, path: `[stream].${ending}` });
    const { recorder, files } = recorderOf(storeIn(folder), settings);
    recorder.onTracks(tracks);
    for (const frame of frames) recorder.onFrame(frame);
    await recorder.end();
    assert.deepEqual(
      files.map(({ path }) => path),
      [1, 2, 3, 4].map((number) => (number === 1 ? `cam.${ending}` : `cam-${number}.${ending}`)),
      'paths that are taken get numbers',
    );
    let video = 0;
    for (const { path } of files) {
      const { packets } = probe(join(folder, path));
      const pictures = packets.filter(({ kind }) => kind === 'video');
      assert.equal(pictures[0]!.isKey, true, path);
      video += pictures.length;
    }
    assert.equal(video, frames.filter(({ track }) => track.kind === 'video').length);
  });
}

test('without waitKeyframe a segment ends at once', async () => {
  const folder = temporaryFolder();
  const { tracks, frames } = testMedia(1);
  const settings = dvr({ plan: 'Segment', durationMs: 1_000, waitKeyframe: false });
  const { recorder, files } = recorderOf(storeIn(folder), settings);
  recorder.onTracks(tracks);
  for (const frame of frames) recorder.onFrame(frame);
  await recorder.end();
  assert.equal(files.length, 5);
  for (const { durationMs } of files) assert.ok(durationMs < 1_000, `${durationMs}`);
});

test('another configuration of a codec begins another file, at a key frame', async () => {
  const folder = temporaryFolder();
  const { tracks, frames } = testMedia(1);
  const { recorder, files } = recorderOf(storeIn(folder), dvr({ path: '[stream].flv' }));
  recorder.onTracks(tracks);
  const cut = Math.floor(frames.length / 2);
  for (const frame of frames.slice(0, cut)) recorder.onFrame(frame);
  const changed = tracks.map((track) => ({ ...track, id: track.id + 10 }));
  recorder.onTracks(changed);
  for (const frame of frames.slice(cut)) {
    recorder.onFrame({ ...frame, track: changed[tracks.indexOf(frame.track)]! });
  }
  await recorder.end();
  assert.deepEqual(
    files.map(({ path }) => path),
    ['cam.flv', 'cam-2.flv'],
  );
  const picture = probe(join(folder, 'cam-2.flv')).packets.find(({ kind }) => kind === 'video');
  assert.equal(picture!.isKey, true);
});

test('the same tracks again, and a seam, go on in the same file', async () => {
  const folder = temporaryFolder();
  const { tracks, frames } = testMedia(1);
  const { recorder, files } = recorderOf(storeIn(folder));
  recorder.onTracks(tracks);
  const cut = Math.floor(frames.length / 2);
  for (const [index, frame] of frames.entries()) {
    if (index === cut) {
      recorder.onTracks([...tracks]);
      recorder.onSeam();
    }
    recorder.onFrame(frame);
  }
  await recorder.end();
  assert.equal(files.length, 1);
  assert.equal(probe(join(folder, files[0]!.path)).packets.length, frames.length);
});

test('what an encoder says of itself is in the file, and the lengths are the file’s own', async () => {
  const folder = temporaryFolder();
  const { tracks, frames } = testMedia(1);
  const { recorder, files } = recorderOf(storeIn(folder), dvr({ path: '[stream].flv' }));
  recorder.onTracks(tracks);
  recorder.onMetadata({ encoder: 'obs', duration: 12_345, width: 640 });
  for (const frame of frames) recorder.onFrame(frame);
  await recorder.end();
  const text = readFileSync(join(folder, 'cam.flv')).subarray(0, 400);
  assert.ok(text.includes('obs'));
  const size = text.indexOf('filesize') + 'filesize'.length + 1;
  assert.equal(text.readDoubleBE(size), files[0]!.bytes);
  const at = text.indexOf('duration') + 'duration'.length + 1;
  assert.ok(Math.abs(text.readDoubleBE(at) - 4.8) < 0.1);
  assert.equal(text.lastIndexOf('duration'), text.indexOf('duration'));
});

test('settings change while a stream is recorded', async () => {
  const folder = temporaryFolder();
  const { tracks, frames } = testMedia(2);
  let settings = dvr({ path: 'a/[stream].flv' });
  const { recorder, files } = recorderOf(storeIn(folder), () => settings, { batchBytes: 1 });
  recorder.onTracks(tracks);
  for (const frame of frames) {
    recorder.onFrame(frame);
    if (frame.dtsMs > 5_000) settings = dvr({ path: 'b/[stream].mp4', plan: 'Segment', durationMs: 3_000 });
    // Lets the writer take it with the settings of its time.
    await new Promise((resolve) => setImmediate(resolve));
  }
  await recorder.end();
  assert.equal(files[0]!.path, 'a/cam.flv');
  assert.ok(files.slice(1).every(({ path }) => path.startsWith('b/')));
  assert.ok(files.length > 1);
  for (const { path } of files) probe(join(folder, path));
});

test('a stream of sound alone is recorded', async () => {
  const folder = temporaryFolder();
  const { tracks, frames } = testMedia(1);
  for (const ending of ['flv', 'mp4']) {
    const { recorder, files } = recorderOf(storeIn(folder), dvr({ path: `[stream].${ending}` }));
    recorder.onTracks(tracks.filter(({ kind }) => kind === 'audio'));
    const sound = frames.filter(({ track }) => track.kind === 'audio');
    for (const frame of sound) recorder.onFrame(frame);
    await recorder.end();
    assert.equal(probe(join(folder, files[0]!.path)).packets.length, sound.length, ending);
  }
});

test('a disk that is too slow costs frames up to a key frame, and never blocks or grows without bound', async () => {
  const folder = temporaryFolder();
  const { promise: released, resolve: release } = Promise.withResolvers<void>();
  const { promise: opened, resolve: open } = Promise.withResolvers<void>();
  const slow: FileSystem = {
    ...NODE_FILES,
    open: async (path, flags) => {
      open();
      await released;
      return NODE_FILES.open(path, flags);
    },
  };
  const { tracks, frames } = testMedia(1);
  const { recorder, counts, files } = recorderOf(storeIn(folder, slow), dvr({ path: '[stream].flv' }), {
    batchBytes: 20_000,
    mostQueuedBytes: 200_000,
  });
  recorder.onTracks(tracks);
  let count = 0;
  for (let loop = 0; loop < 20; loop++) {
    for (const frame of frames) {
      const shiftMs = loop * 4_800;
      recorder.onFrame({ ...frame, dtsMs: frame.dtsMs + shiftMs, ptsMs: frame.ptsMs + shiftMs });
      count++;
    }
    // Lets the writer begin.
    await new Promise((resolve) => setImmediate(resolve));
  }
  await opened;
  assert.ok(counts.droppedFrames > 0);
  assert.ok(counts.queuedBytes <= 250_000, `${counts.queuedBytes}`);
  release();
  await recorder.end();
  assert.equal(counts.queuedBytes, 0);
  assert.equal(probe(join(folder, files[0]!.path)).packets.length + counts.droppedFrames, count);
});

test('whatever an encoder sends while the disk hangs, the list stays bounded', async () => {
  const folder = temporaryFolder();
  const { promise: released, resolve: release } = Promise.withResolvers<void>();
  const hung: FileSystem = { ...NODE_FILES, mkdir: (path) => released.then(() => NODE_FILES.mkdir(path)) };
  const { tracks, frames } = testMedia(1);
  const { recorder, counts } = recorderOf(storeIn(folder, hung), dvr({ path: '[stream].flv' }), {
    batchBytes: 1_000,
    mostQueuedBytes: 100_000,
  });
  recorder.onTracks(tracks);
  recorder.onFrame(frames[0]!);
  for (let count = 0; count < 20_000; count++) {
    recorder.onFrame({ ...frames[0]!, dtsMs: count, isKey: false, data: Buffer.alloc(1) });
    recorder.onMetadata({ count });
  }
  assert.ok(counts.droppedFrames > 19_000, `${counts.droppedFrames}`);
  release();
  await recorder.end();
  assert.equal(counts.queuedBytes, 0);
});

test('a full disk ends the file whole; recording goes on in another one when there is room', async () => {
  const folder = temporaryFolder();
  let room = 200_000;
  const small: FileSystem = {
    ...NODE_FILES,
    open: async (path, flags) => {
      const file = await NODE_FILES.open(path, flags);
      return {
        writev: async (buffers, position) => {
          const size = buffers.reduce((sum, { byteLength }) => sum + byteLength, 0);
          if (size > room) {
            // As a disk does: a part of it, then the error.
            await file.writev([buffers[0]!], position);
            throw Object.assign(new Error('full'), { code: 'ENOSPC' });
          }
          room -= size;
          return file.writev(buffers, position);
        },
        read: (...args) => file.read(...args),
        stat: () => file.stat(),
        truncate: (length) => file.truncate(length),
        datasync: () => file.datasync(),
        close: () => file.close(),
      };
    },
  };
  let nowMs = 1_000_000;
  const { tracks, frames } = testMedia(8);
  const { recorder, counts, files } = recorderOf(storeIn(folder, small), dvr({ path: '[stream].flv' }), {
    now: () => nowMs,
    batchBytes: 20_000,
  });
  recorder.onTracks(tracks);
  for (const frame of frames) {
    recorder.onFrame(frame);
    if (counts.errors > 0 && nowMs === 1_000_000) {
      nowMs += 2_000;
      room = Infinity;
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  await recorder.end();
  assert.equal(counts.errors, 1);
  assert.ok(counts.droppedFrames > 0);
  const paths = filesIn(folder);
  assert.deepEqual(paths, files.map(({ path }) => path).sort());
  for (const path of paths) assert.ok(probe(join(folder, path)).packets.length > 0);
});

test('a folder with a limit takes no more, and counts anew when files were deleted', async () => {
  const folder = temporaryFolder();
  const { tracks, frames } = testMedia(1);
  const record = async (store: DiskStore) => {
    const { recorder, counts, files } = recorderOf(store, dvr({ path: '[stream].flv' }));
    recorder.onTracks(tracks);
    for (const frame of frames) recorder.onFrame(frame);
    await recorder.end();
    return { counts, files };
  };
  const { files: first } = await record(storeIn(folder));
  const limited = () => storeIn(folder, NODE_FILES, first[0]!.bytes * 1.5);
  const { counts, files } = await record(limited());
  assert.equal(counts.errors, 1);
  assert.deepEqual(files, []);
  assert.deepEqual(filesIn(folder), ['cam.flv']);
  await NODE_FILES.unlink(join(folder, 'cam.flv'));
  assert.equal((await record(limited())).files.length, 1);
});
