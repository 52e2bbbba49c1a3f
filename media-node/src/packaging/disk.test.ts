import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { promisify } from 'node:util';
import { pino } from 'pino';
import { DEFAULT_VHOST } from '#contract/names.ts';
import { until } from '#contract/testing/until.ts';
import type { FolderSystem } from './disk-folder.ts';
import { DiskFolder, NODE_FOLDER_SYSTEM } from './disk-folder.ts';
import { MemoryLedger } from './memory-ledger.ts';
import { configOf, EPOCH_MS, TestNode } from './testing-node.ts';
import { streamOf } from './testing.ts';

/** `nodes`: those that use it, closed before it goes. */
async function emptyFolder(t: TestContext, nodes: TestNode[] = []): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'segments-'));
  t.after(async () => {
    for (const node of nodes) await node.close();
    await rm(folder, { recursive: true, force: true });
  });
  return folder;
}

/** A folder that goes while it is being read is looked at again. */
async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => undefined);
  if (entries === undefined) return filesBelow(folder);
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .toSorted();
}

test('segments, keys and the playlist lie in the folder, are read from there, and leave it with the window', async (t) => {
  const nodes: TestNode[] = [];
  const folder = await emptyFolder(t, nodes);
  const keys = { enabled: true, fragmentsPerKey: 5, keyFile: '[app]/[stream]-[seq].key', keyUrl: '' };
  const node = new TestNode({ hls: { keys } }, { folder });
  nodes.push(node);
  await node.publish();
  node.feed(streamOf({ seconds: 9 }));
  const playlist = join(folder, DEFAULT_VHOST, 'live/stream01.m3u8');
  await until('the playlist', async () => (await readFile(playlist, 'utf8').catch(() => '')).includes('stream01-3.ts'));
  assert.deepEqual(await filesBelow(join(folder, DEFAULT_VHOST)), [
    'live/stream01-0.key',
    'live/stream01-0.ts',
    'live/stream01-1.ts',
    'live/stream01-2.ts',
    'live/stream01-3.ts',
    'live/stream01.m3u8',
  ]);
  await until('memory to be free', () => node.packagings.stats().bytes === 16);
  for (const { media } of node.snapshot.segments) {
    assert.equal((await node.read(media.ts?.file ?? '')).length, media.ts?.bytes);
  }
  assert.match(await readFile(playlist, 'utf8'), /#EXT-X-KEY:METHOD=AES-128,URI="stream01-0.key"/);
  node.feed(streamOf({ startMs: 9_000, seconds: 40 }));
  await until('old files to be gone', async () => !(await filesBelow(folder)).some((file) => file.endsWith('-0.ts')));
  node.config.swap(configOf({ hls: { enabled: false } }));
  await until('the rest to be gone', async () => (await filesBelow(folder)).length === 0);
});

/** What ffprobe finds in a playlist on the disk: the packets of each codec. */
async function packetsOf(path: string): Promise<Record<string, number>> {
  const show = ['-count_packets', '-show_entries', 'stream=codec_name,nb_read_packets', '-of', 'json'];
  const args = ['-v', 'error', '-allowed_extensions', 'ALL', ...show, path];
  const { stdout } = await promisify(execFile)('ffprobe', args);
  const { streams } = JSON.parse(stdout) as { streams: { codec_name: string; nb_read_packets: string }[] };
  return Object.fromEntries(streams.map((each) => [each.codec_name, Number(each.nb_read_packets)]));
}

test('fragmented MP4 has its playlists and manifest on the disk, of whole segments alone, which ffprobe reads there', async (t) => {
  const nodes: TestNode[] = [];
  const folder = await emptyFolder(t, nodes);
  const parts = { lowLatency: { enabled: true, partMs: 400 }, disposeMs: 600_000 };
  const node = new TestNode({ hls: { container: 'fmp4', ...parts }, dash: { enabled: true } }, { folder });
  nodes.push(node);
  await node.publish();
  const frames = streamOf({ seconds: 8 });
  node.feed(frames);
  const live = join(folder, DEFAULT_VHOST, 'live');
  const text = (name: string) => readFile(join(live, name), 'utf8').catch(() => '');
  await until('the playlists', async () => (await text('stream01.m3u8')).includes('stream01-video.m3u8'));
  assert.match(await text('stream01.m3u8'), /TYPE=AUDIO.*URI="stream01-audio.m3u8"\n.*CODECS="avc1[^"]*,mp4a[^"]*"/);
  assert.match(await text('stream01-video.m3u8'), /#EXT-X-MAP:URI="stream01-video-init-0.mp4"/);
  assert.doesNotMatch(await text('stream01-video.m3u8'), /EXT-X-PART|PRELOAD-HINT|SERVER-CONTROL/);
  await until('the manifest', async () => (await text('stream01.mpd')).includes('type="dynamic"'));
  node.unpublish();
  await until('the end', async () => (await text('stream01-audio.m3u8')).includes('#EXT-X-ENDLIST'));
  await until('the end', async () => (await text('stream01.mpd')).includes('type="static"'));
  const count = (kind: string) => frames.filter(({ track }) => track.kind === kind).length;
  assert.deepEqual(await packetsOf(join(live, 'stream01.m3u8')), { h264: count('video'), aac: count('audio') });
  assert.deepEqual(Object.keys(await packetsOf(join(live, 'stream01.mpd'))).toSorted(), ['aac', 'h264']);
  node.config.swap(configOf({ hls: { enabled: false } }));
  await until('all to be gone', async () => (await filesBelow(folder)).length === 0);
});

test('what is wanted no more leaves the disk with the next segment: a manifest, the playlists of another container', async (t) => {
  const nodes: TestNode[] = [];
  const folder = await emptyFolder(t, nodes);
  const node = new TestNode({ hls: { container: 'fmp4' }, dash: { enabled: true } }, { folder });
  nodes.push(node);
  await node.publish();
  node.feed(streamOf({ seconds: 6 }));
  const has = async (name: string) => (await filesBelow(folder)).includes(`${DEFAULT_VHOST}/live/${name}`);
  await until('the manifest', () => has('stream01.mpd'));
  node.config.swap(configOf({ hls: { container: 'fmp4' }, dash: { enabled: false } }));
  node.feed(streamOf({ startMs: 6_000, seconds: 6 }));
  await until('the manifest to be gone', async () => !(await has('stream01.mpd')));
  assert.ok(await has('stream01-video.m3u8'));
  node.config.swap(configOf({ hls: { container: 'ts' } }));
  node.feed(streamOf({ startMs: 12_000, seconds: 6 }));
  await until('the playlist to be gone', async () => !(await has('stream01-video.m3u8')));
  await until('another', async () => {
    const text = await readFile(join(folder, DEFAULT_VHOST, 'live/stream01.m3u8'), 'utf8');
    return /stream01-\d+\.ts/.test(text);
  });
});

test('without cleanup files stay', async (t) => {
  const nodes: TestNode[] = [];
  const folder = await emptyFolder(t, nodes);
  const node = new TestNode({ hls: { cleanup: false } }, { folder });
  await node.publish();
  node.feed(streamOf({ seconds: 41 }));
  const playlist = join(folder, DEFAULT_VHOST, 'live/stream01.m3u8');
  await until('the playlist', async () =>
    (await readFile(playlist, 'utf8').catch(() => '')).includes('stream01-19.ts'),
  );
  await node.close();
  assert.equal((await filesBelow(folder)).length, 21);
});

test('a node that was started again serves what it left, and removes what nobody went on with', async (t) => {
  const nodes: TestNode[] = [];
  const folder = await emptyFolder(t, nodes);
  const ledger = new MemoryLedger(() => EPOCH_MS);
  const first = new TestNode({}, { folder, ledger });
  await first.publish();
  first.feed(streamOf({ seconds: 9 }));
  const playlist = join(folder, DEFAULT_VHOST, 'live/stream01.m3u8');
  await until('the playlist', async () => (await readFile(playlist, 'utf8').catch(() => '')).includes('stream01-3.ts'));
  await first.close();
  const left = join(folder, DEFAULT_VHOST, 'live/gone-1.ts');
  await writeFile(left, 'x');
  for (const file of await filesBelow(folder)) await utimes(join(folder, file), 1, 1);
  const second = new TestNode({}, { folder, ledger, nodeId: 'node-1, started again' });
  nodes.push(second);
  await second.publish();
  const [old] = second.snapshot.segments;
  await until('the old segments', async () => (await second.packaged.read(old?.media.ts?.file ?? '')) !== undefined);
  assert.equal((await second.read(old?.media.ts?.file ?? '')).length, old?.media.ts?.bytes);
  await second.packagings.sweepLeftovers();
  const files = await filesBelow(folder);
  assert.ok(!files.includes(`${DEFAULT_VHOST}/live/gone-1.ts`));
  assert.ok(files.includes(`${DEFAULT_VHOST}/live/stream01-0.ts`));
});

test('a disk that is full stops nothing, and is used again when it has room', async (t) => {
  const nodes: TestNode[] = [];
  const folder = await emptyFolder(t, nodes);
  let isFull = true;
  const system: FolderSystem = {
    ...NODE_FOLDER_SYSTEM,
    write: (path, bytes) =>
      isFull
        ? Promise.reject(Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' }))
        : NODE_FOLDER_SYSTEM.write(path, bytes),
  };
  const node = new TestNode({}, { folder, system });
  nodes.push(node);
  await node.publish();
  node.feed(streamOf({ seconds: 9 }));
  await until('the failures', () => node.packagings.stats().diskErrors >= 4);
  for (const { media } of node.snapshot.segments) {
    assert.equal((await node.read(media.ts?.file ?? '')).length, media.ts?.bytes);
  }
  const told = node.logs.filter(({ msg }) => String(msg).includes('cannot be written to disk'));
  assert.equal(told.length, 1, 'it is said once');
  assert.deepEqual(await filesBelow(folder), []);
  isFull = false;
  node.feed(streamOf({ startMs: 9_000, seconds: 4 }));
  await until('files again', async () => (await filesBelow(folder)).some((file) => file.endsWith('stream01-5.ts')));
});

test('no name leads out of the folder', async (t) => {
  const folder = await emptyFolder(t);
  const disk = new DiskFolder({ folder, log: pino({ level: 'silent' }) });
  for (const [vhost, file] of [
    ['v', '../x.ts'],
    ['v', 'a/../../x.ts'],
    ['v', '/etc/x.ts'],
    ['v', 'a\0.ts'],
    ['..', 'x.ts'],
    ['../w', 'x.ts'],
    ['', '../x.ts'],
    ['v', ''],
  ] as const) {
    assert.equal(disk.pathOf(vhost, file), undefined, `${vhost} ${file}`);
    assert.equal(await disk.write(vhost, file, Buffer.from('x')), false);
    assert.equal(await disk.read(vhost, file), undefined);
    await disk.remove(vhost, file);
  }
  assert.deepEqual(await readdir(folder), []);
  assert.equal(await disk.write('v', 'a/b.ts', Buffer.from('x')), true);
  assert.equal((await disk.read('v', 'a/b.ts'))?.toString(), 'x');
  await disk.remove('v', 'a/b.ts');
  assert.deepEqual(await readdir(folder), [], 'empty folders go too');
});

test('what waits to be written is bounded', async (t) => {
  const folder = await emptyFolder(t);
  const { promise, resolve } = Promise.withResolvers<void>();
  const system: FolderSystem = { ...NODE_FOLDER_SYSTEM, mkdir: () => promise };
  const disk = new DiskFolder({ folder, log: pino({ level: 'silent' }), system, maxWaitingBytes: 1_000 });
  const writes = Array.from({ length: 5 }, (_, n) => disk.write('v', `${n}.ts`, Buffer.alloc(300)));
  assert.deepEqual(await Promise.all(writes.slice(3)), [false, false]);
  assert.equal(disk.errors, 2);
  resolve();
  await Promise.all(writes);
});

test('a folder with a limit takes no more, and counts anew a while later', async (t) => {
  const folder = await emptyFolder(t);
  const log = pino({ level: 'silent' });
  let nowMs = 1_000_000;
  const disk = new DiskFolder({ folder, log, mostBytes: 250, now: () => nowMs });
  const write = (file: string) => disk.write('v', file, Buffer.alloc(100));
  assert.deepEqual([await write('a'), await write('b'), await write('c')], [true, true, false]);
  assert.equal(disk.errors, 1);
  await disk.remove('v', 'a');
  assert.equal(await write('c'), false, 'it was counted a moment ago');
  nowMs += 10_000;
  assert.equal(await write('c'), true);
  const next = new DiskFolder({ folder, log, mostBytes: 250 });
  assert.equal(await next.write('v', 'd', Buffer.alloc(100)), false, 'what is there already counts');
});

test('a name that the disk does not take stays in memory, is said once, and is no fault of the disk', async (t) => {
  const folder = await emptyFolder(t);
  const lines: string[] = [];
  const disk = new DiskFolder({ folder, log: pino({ level: 'info' }, { write: (line) => void lines.push(line) }) });
  const bytes = Buffer.from('bytes');
  for (let round = 0; round < 3; round++) {
    assert.equal(await disk.write('vhost', `live/${'x'.repeat(300)}-${round}.ts`, bytes), false);
    assert.equal(await disk.write('vhost', `live/stream01-${round}.ts`, bytes), true);
    // A folder where the other stream's file should be, and the other way round.
    assert.equal(await disk.write('vhost', `live/stream01-${round}.ts/s-0.ts`, bytes), false);
    assert.equal(await disk.write('vhost', `live/a-${round}.ts/s-0.ts`, bytes), true);
    assert.equal(await disk.write('vhost', `live/a-${round}.ts`, bytes), false);
    assert.equal(await disk.read('vhost', `live/a-${round}.ts`), undefined);
  }
  assert.equal(lines.length, 1, lines.join(''));
  assert.match(lines[0] ?? '', /name that the disk does not take/);
});
