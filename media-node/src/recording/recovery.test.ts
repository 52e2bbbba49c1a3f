import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'node:test';
import fc from 'fast-check';
import { DiskStore } from './disk-store.ts';
import { NODE_FILES } from './file-system.ts';
import type { StoredFile } from './recording-store.ts';
import { dvr, probe, recorderOf, silent, temporaryFolder, testMedia } from './testing.ts';

function storeIn(folder: string) {
  const stored: StoredFile[] = [];
  const store = new DiskStore({ folder, files: NODE_FILES, log: silent, onStored: (file) => void stored.push(file) });
  return { store, stored };
}

/** Records for ever, faster than life, and says when it has written. */
const WRITER = `
import { DiskStore } from '${new URL('disk-store.ts', import.meta.url).href}';
import { NODE_FILES } from '${new URL('file-system.ts', import.meta.url).href}';
import { dvr, recorderOf, silent, testMedia } from '${new URL('testing.ts', import.meta.url).href}';
const [folder, path] = process.argv.slice(1);
const store = new DiskStore({ folder, files: NODE_FILES, log: silent, onStored: () => undefined });
const { recorder, counts } = recorderOf(store, dvr({ path }), { batchBytes: 10_000 });
const { tracks, frames, lengthMs } = testMedia(1);
recorder.onTracks(tracks);
let loop = 0;
const next = () => {
  const shiftMs = loop++ * lengthMs;
  let index = 0;
  const some = () => {
    for (const frame of frames.slice(index, index + 20)) {
      recorder.onFrame({ ...frame, dtsMs: frame.dtsMs + shiftMs, ptsMs: frame.ptsMs + shiftMs });
    }
    index += 20;
    if (counts.bytes > 100_000) process.stdout.write('.');
    setTimeout(index < frames.length ? some : next, 2);
  };
  some();
};
next();
`;

for (const path of ['live/[stream].flv', 'live/[stream].mp4']) {
  test(`a process killed while it writes ${path} leaves a file that comes back whole`, async () => {
    const folder = temporaryFolder();
    const child = spawn(process.execPath, ['--input-type=module', '--eval', WRITER, '--', folder, path], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(child.stdout, 'data');
    child.kill('SIGKILL');
    await once(child, 'exit');
    const name = path.replace('live/[stream]', 'cam');
    assert.deepEqual(readdirSync(join(folder, 'live')), [`.${name}.tmp`]);

    const { store, stored } = storeIn(folder);
    await store.recover();
    assert.deepEqual(readdirSync(join(folder, 'live')), [name]);
    const { bytes } = stored[0]!;
    assert.deepEqual(stored, [{ path: `live/${name}`, bytes, isRecovered: true }]);
    assert.equal(statSync(join(folder, 'live', name)).size, bytes);
    const { packets } = probe(join(folder, 'live', name), true);
    assert.ok(packets.length > 100);
    await store.recover();
    assert.equal(stored.length, 1);
  });

  test(`wherever ${path} was cut, what comes back is whole, or nothing`, async () => {
    const folder = temporaryFolder();
    const { tracks, frames } = testMedia(1);
    const { store } = storeIn(folder);
    const { recorder, files } = recorderOf(store, dvr({ path }));
    recorder.onTracks(tracks);
    for (const frame of frames) recorder.onFrame(frame);
    await recorder.end();
    const whole = readFileSync(join(folder, files[0]!.path));
    const ending = path.endsWith('flv') ? 'flv' : 'mp4';
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length), fc.nat(5_000), async (length, zeros) => {
        const place = temporaryFolder();
        // Where a machine died, pages may be zeros. FLV tells them from media by the sizes behind its tags.
        const torn = Buffer.concat([whole.subarray(0, length), Buffer.alloc(ending === 'flv' ? zeros : 0)]);
        writeFileSync(join(place, `.a.${ending}.tmp`), torn);
        const { store: other, stored } = storeIn(place);
        await other.recover();
        const left = readdirSync(place);
        assert.deepEqual(
          left,
          stored.map((file) => file.path),
        );
        for (const file of left) {
          const { size } = statSync(join(place, file));
          assert.ok(size <= length);
          const again = readFileSync(join(place, file));
          writeFileSync(join(place, `.b.${ending}.tmp`), again);
          await other.recover();
          assert.equal(statSync(join(place, `b.${ending}`)).size, size, 'a whole file is left as it is');
        }
      }),
      { numRuns: 60 },
    );
  });
}

test('a recovered FLV says how long it is, and a name that is taken gets a number', async () => {
  const folder = temporaryFolder();
  const { tracks, frames } = testMedia(1);
  const { store, stored } = storeIn(folder);
  const { recorder } = recorderOf(store, dvr({ path: '[stream].flv' }));
  recorder.onTracks(tracks);
  for (const frame of frames) recorder.onFrame(frame);
  await recorder.end();
  const whole = readFileSync(join(folder, 'cam.flv'));
  // As it was before its end: nothing said of its length.
  const at = whole.indexOf('duration') + 'duration'.length + 1;
  whole.writeDoubleBE(0, at);
  writeFileSync(join(folder, '.cam.flv.tmp'), whole.subarray(0, -100));
  await store.recover();
  assert.deepEqual(
    stored.map(({ path }) => path),
    ['cam-2.flv'],
  );
  const { durationMs } = probe(join(folder, 'cam-2.flv'));
  assert.ok(Math.abs(durationMs - 4_800) < 200, `${durationMs}`);
  assert.ok(Math.abs(readFileSync(join(folder, 'cam-2.flv')).readDoubleBE(at) - 4.8) < 0.2);
});

test('what this process writes is not recovered', async () => {
  const folder = temporaryFolder();
  const { tracks, frames } = testMedia(1);
  const { store, stored } = storeIn(folder);
  const { recorder, files, counts } = recorderOf(store, dvr({ path: '[stream].flv' }), { batchBytes: 10_000 });
  recorder.onTracks(tracks);
  const half = Math.floor(frames.length / 2);
  for (const frame of frames.slice(0, half)) recorder.onFrame(frame);
  while (counts.bytes === 0) await sleep(1);
  await store.recover();
  assert.deepEqual(stored, []);
  for (const frame of frames.slice(half)) recorder.onFrame(frame);
  await recorder.end();
  assert.equal(probe(join(folder, files[0]!.path)).packets.length, frames.length);
});
