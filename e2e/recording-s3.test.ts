import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { freePort } from '../contract/testing/free-port.ts';
import { NODE_FILES } from '../media-node/src/recording/file-system.ts';
import type { StoredFile } from '../media-node/src/recording/recording-store.ts';
import { S3ObjectStore } from '../media-node/src/recording/s3/s3-object-store.ts';
import { S3Store } from '../media-node/src/recording/s3/s3-store.ts';
import { UploadJournal } from '../media-node/src/recording/s3/upload-journal.ts';
import { dvr, probe, recorderOf, silent, testMedia } from '../media-node/src/recording/testing.ts';
import { ensureTools } from './cluster/tools.ts';
import { until } from './lib/until.ts';

/*
 * Recordings into a real S3 server, whose objects are files here: whole in the end, and not lost with their node.
 */

const BUCKET = 'tapes';
const KEY = { accessKeyId: 'recorder', secretAccessKey: 'sesame-of-a-test' };
const PART_BYTES = 5 * 1024 * 1024;

const scratch = mkdtempSync(join(tmpdir(), 'livecluster-s3-'));
const bucketFolder = join(scratch, 'root', BUCKET);
const listObjects = () =>
  readdirSync(bucketFolder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(bucketFolder.length + 1))
    .filter((path) => !path.startsWith('.sgwtmp'));
let server: ChildProcess;
let endpoint = '';
let folders = 0;

before(async () => {
  const { versitygw } = await ensureTools();
  mkdirSync(bucketFolder, { recursive: true });
  mkdirSync(join(scratch, 'meta'));
  const port = await freePort();
  endpoint = `http://127.0.0.1:${port}`;
  const args = ['--port', `127.0.0.1:${port}`, '--quiet', 'posix', '--sidecar', join(scratch, 'meta')];
  server = spawn(versitygw, [...args, join(scratch, 'root')], {
    env: { ...process.env, ROOT_ACCESS_KEY: KEY.accessKeyId, ROOT_SECRET_KEY: KEY.secretAccessKey },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const store = bucket();
  await until('the S3 server answers', async () => !(await store.exists('nothing')));
  store.close();
});

after(async () => {
  if (server.exitCode === null) {
    server.kill();
    await once(server, 'exit');
  }
  rmSync(scratch, { recursive: true, force: true });
});

function bucket(credentials: () => Promise<typeof KEY | undefined> = () => Promise.resolve(KEY)): S3ObjectStore {
  return new S3ObjectStore({ bucket: BUCKET, endpoint, region: 'us-east-1', pathStyle: true, credentials });
}

const newFolder = () => join(scratch, `spool-${++folders}`);

function storeIn(folder: string, prefix: string, objects = bucket()) {
  mkdirSync(folder, { recursive: true });
  const stored: StoredFile[] = [];
  const store = new S3Store({
    store: objects,
    prefix,
    owner: `pod-${folders}`,
    folder,
    files: NODE_FILES,
    log: silent,
    onStored: (file) => void stored.push(file),
  });
  return { store, stored };
}

for (const ending of ['flv', 'mp4']) {
  test(`a long ${ending} recording is uploaded while it is made, and is whole`, async () => {
    const media = testMedia(200);
    const folder = newFolder();
    const { store } = storeIn(folder, `long-${ending}/`);
    const recording = recorderOf(store, dvr({ path: `[app]/[stream].${ending}` }), { batchBytes: 200_000 });
    const { recorder, files, counts } = recording;
    recorder.onTracks(media.tracks);
    for (const [index, frame] of media.frames.entries()) {
      recorder.onFrame(frame);
      if (index % 1_000 === 0) await until('the disk keeps up', () => counts.queuedBytes < 2_000_000, { everyMs: 1 });
    }
    await recorder.end();
    await until('the object is there', () => files.length === 1);
    const path = join(bucketFolder, `long-${ending}/live/cam.${ending}`);
    const { size } = statSync(path);
    assert.equal(size, files[0]!.bytes);
    assert.ok(size > PART_BYTES, `${size} bytes are more than a part`);
    const { packets, durationMs } = probe(path);
    assert.equal(packets.length, media.frames.length);
    assert.ok(Math.abs(durationMs - media.lengthMs) < 100, `${durationMs}`);
    assert.deepEqual(readdirSync(folder), []);
    assert.deepEqual(
      listObjects().filter((each) => each.startsWith(`long-${ending}/.livecluster`)),
      [],
    );
    await store.close(1_000);
  });
}

test('without credentials, and with wrong ones, a recording waits; with right ones it is uploaded', async () => {
  let credentials: typeof KEY | undefined;
  const { store } = storeIn(
    newFolder(),
    'late/',
    bucket(() => Promise.resolve(credentials)),
  );
  const { tracks, frames } = testMedia(1);
  const { recorder, files } = recorderOf(store, dvr({ path: '[stream].flv' }));
  recorder.onTracks(tracks);
  for (const frame of frames) recorder.onFrame(frame);
  await recorder.end();
  assert.ok(store.waitingBytes > 0);
  credentials = { ...KEY, secretAccessKey: 'wrong' };
  await assert.rejects(bucket(() => Promise.resolve(credentials)).exists('late/cam.flv'), { code: 'refused' });
  assert.deepEqual(files, []);
  credentials = KEY;
  await until('the object is there', () => files.length === 1);
  assert.equal(probe(join(bucketFolder, 'late/cam.flv')).packets.length, frames.length);
  await store.close(1_000);
});

test('a bucket that does not exist is told as a fault to mend', async () => {
  const store = new S3ObjectStore({
    bucket: 'no-such-bucket',
    endpoint,
    region: 'us-east-1',
    pathStyle: true,
    credentials: () => Promise.resolve(KEY),
  });
  await assert.rejects(store.put('a', Buffer.from('x'), 'video/mp4'), { code: 'refused' });
  store.close();
});

const src = (path: string) => new URL(`../media-node/src/recording/${path}`, import.meta.url).href;
const WRITER = `
import { NODE_FILES } from '${src('file-system.ts')}';
import { S3ObjectStore } from '${src('s3/s3-object-store.ts')}';
import { S3Store } from '${src('s3/s3-store.ts')}';
import { dvr, recorderOf, silent, testMedia } from '${src('testing.ts')}';
const [folder, prefix, ending, endpoint] = process.argv.slice(1);
const credentials = () => Promise.resolve(${JSON.stringify(KEY)});
const objects = new S3ObjectStore({ bucket: '${BUCKET}', endpoint, region: 'us-east-1', pathStyle: true, credentials });
const options = { store: objects, prefix, owner: 'killed', folder, files: NODE_FILES, log: silent, onStored: () => undefined };
const store = new S3Store(options);
const { recorder, counts } = recorderOf(store, dvr({ path: '[stream].' + ending }), { batchBytes: 100_000 });
const { tracks, frames, lengthMs } = testMedia(5);
recorder.onTracks(tracks);
let shiftMs = 0;
setInterval(() => {
  for (const frame of frames) {
    recorder.onFrame({ ...frame, dtsMs: frame.dtsMs + shiftMs, ptsMs: frame.ptsMs + shiftMs });
  }
  shiftMs += lengthMs;
  // At least one part is in the bucket.
  if (counts.bytes - store.waitingBytes > ${PART_BYTES}) process.stdout.write('.');
}, 20);
`;

/** A process that records and is killed once a part is uploaded. */
async function killed(folder: string, prefix: string, ending: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const child = spawn(
    process.execPath,
    ['--input-type=module', '--eval', WRITER, '--', folder, prefix, ending, endpoint],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  const isGone = once(child, 'exit').then(() => true);
  const ended = await Promise.race([once(child.stdout, 'data').then(() => false), isGone]);
  assert.equal(ended, false, 'it records until it is killed');
  child.kill('SIGKILL');
  await isGone;
  assert.equal(existsSync(join(bucketFolder, prefix, `cam.${ending}`)), false);
}

for (const ending of ['flv', 'mp4']) {
  test(`a container killed while it uploads ${ending}: the next one in the pod completes it from the disk`, async () => {
    const folder = newFolder();
    const prefix = `restart-${ending}/`;
    await killed(folder, prefix, ending);
    const { store, stored } = storeIn(folder, prefix);
    await store.recover();
    await until('the object is there', () => stored.length === 1);
    const path = join(bucketFolder, prefix, `cam.${ending}`);
    assert.equal(statSync(path).size, stored[0]!.bytes);
    assert.ok(stored[0]!.bytes > PART_BYTES);
    probe(path);
    assert.deepEqual(readdirSync(folder), []);
    await store.close(1_000);
  });

  test(`a node gone with its disk while it uploads ${ending}: another node completes what was uploaded`, async () => {
    const prefix = `lost-${ending}/`;
    await killed(newFolder(), prefix, ending);
    const objects = bucket();
    const foreign = await objects.beginUpload(`${prefix}foreign.flv`, 'video/x-flv');
    const later = () => Date.now() + 3_600_000;
    const journal = new UploadJournal({ store: objects, prefix, owner: 'another', log: silent, now: later });
    await journal.rescue();
    const path = join(bucketFolder, prefix, `cam.${ending}`);
    assert.ok(statSync(path).size >= PART_BYTES);
    probe(path);
    assert.deepEqual(await objects.listParts(`${prefix}foreign.flv`, foreign), [], 'uploads of others are theirs');
    assert.deepEqual(
      listObjects().filter((each) => each.startsWith(`${prefix}.livecluster`)),
      [],
    );
    await journal.close();
    objects.close();
  });
}
