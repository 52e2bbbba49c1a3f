import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { AppendedFile } from './appended-file.ts';
import type { RecordingFile } from './file-system.ts';
import { NODE_FILES } from './file-system.ts';
import { FolderUsage } from './folder-usage.ts';

test('an append that fails midway leaves whole units, gives its bytes back, and later ones go on behind them', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'livecluster-appended-'));
  try {
    const path = join(folder, 'a');
    const real = await NODE_FILES.open(path, 'wx');
    let isFull = false;
    const file: RecordingFile = {
      writev: async (buffers, position) => {
        if (!isFull) return real.writev(buffers, position);
        // Half of it still has room.
        await real.writev([Buffer.alloc(2, '?')], position);
        throw Object.assign(new Error('no room'), { code: 'ENOSPC' });
      },
      read: (...args) => real.read(...args),
      stat: () => real.stat(),
      truncate: (length) => real.truncate(length),
      datasync: () => real.datasync(),
      close: () => real.close(),
    };
    const appended = new AppendedFile(file, new FolderUsage(NODE_FILES, folder, 12));
    assert.equal(await appended.append([Buffer.from('head'), Buffer.from('ab')]), 6);
    isFull = true;
    await assert.rejects(appended.append([Buffer.from('lost')]), { code: 'ENOSPC' });
    isFull = false;
    await appended.append([Buffer.from('cd')]);
    isFull = true;
    await assert.rejects(appended.append([Buffer.from('gone')]), { code: 'ENOSPC' });
    await assert.rejects(appended.append([Buffer.alloc(20)]), { code: 'full' });
    assert.equal(appended.bytes, 8);
    isFull = false;
    await appended.close({ position: 0, bytes: Buffer.from('HEAD') });
    assert.equal(await readFile(path, 'utf8'), 'HEADabcd');
  } finally {
    await rm(folder, { recursive: true });
  }
});
