import assert from 'node:assert/strict';
import { renameSync, writeFileSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { changeOf, pollText, readAdminToken, readConfigText, readS3Credentials, readSecrets } from './config-folder.ts';

async function folder(t: TestContext, files: Record<string, string>): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'livecluster-config-'));
  t.after(() => rm(path, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) await writeFile(join(path, name), text);
  return path;
}

const KEY = '00112233445566778899aabbccddeeff';

test('the files of the folder are read, with the line end that an editor leaves', async (t) => {
  const path = await folder(t, {
    'config.json': '{}',
    'admin-token': 'a-token-that-is-long-enough\n',
    'relay-key': `${KEY}\n`,
    'redis-url': 'redis://:pw@redis:6379\n',
  });
  assert.equal(await readConfigText(path), '{}');
  assert.equal(await readAdminToken(path), 'a-token-that-is-long-enough');
  assert.deepEqual(await readSecrets(path), { relayKey: Buffer.from(KEY, 'hex'), redisUrl: 'redis://:pw@redis:6379' });
});

test('credentials for a bucket may be missing, and broken ones are refused without being shown', async (t) => {
  const file = { version: 1, accessKeyId: 'id', secretAccessKey: 'sesame' };
  assert.equal(await readS3Credentials(await folder(t, {})), undefined);
  assert.deepEqual(await readS3Credentials(await folder(t, { 's3.json': JSON.stringify(file) })), file);
  for (const text of ['sesame', JSON.stringify({ ...file, accessKeyId: '' })]) {
    await assert.rejects(readS3Credentials(await folder(t, { 's3.json': text })), (error: Error) => {
      assert.match(error.message, /s3\.json must hold .*accessKeyId/);
      assert.doesNotMatch(`${error.message}${String(error.cause)}`, /sesame/);
      return true;
    });
  }
});

test('a missing file is named', async (t) => {
  const path = await folder(t, {});
  await assert.rejects(readConfigText(path), { code: 'unreadable', message: /config\.json cannot be read \(ENOENT\)/ });
  await assert.rejects(readAdminToken(path), { code: 'unreadable' });
  await assert.rejects(readSecrets(path), { code: 'unreadable' });
});

test('an unusable secret is refused without being shown', async (t) => {
  const bad: [string, string][] = [
    ['admin-token', 'short'],
    ['admin-token', 'with a space in it, hunter2'],
    ['relay-key', 'not-hex-hunter2-hunter2-hunter2-hunter2'],
    ['relay-key', KEY.slice(2)],
    ['relay-key', `${KEY}0`],
    ['redis-url', 'http://:hunter2@redis'],
    ['redis-url', ''],
  ];
  for (const [name, text] of bad) {
    const path = await folder(t, {
      'admin-token': 'a-token-that-is-long-enough',
      'relay-key': KEY,
      'redis-url': 'redis://r',
      [name]: text,
    });
    await assert.rejects(
      name === 'admin-token' ? readAdminToken(path) : readSecrets(path),
      (error: Error & { code?: string }) =>
        error.code === 'bad-secret' && error.message.includes(name) && !error.message.includes('hunter2'),
      name,
    );
  }
});

test('a folder swapped by a symbolic link, as the kubelet does it, is noticed', { timeout: 300_000 }, async (t) => {
  const root = await folder(t, {});
  for (const [version, text] of [
    ['v1', 'one'],
    ['v2', 'two'],
  ] as const) {
    await mkdir(join(root, version));
    await writeFile(join(root, version, 'config.json'), text);
  }
  await symlink('v1', join(root, '..data'));
  await symlink('..data/config.json', join(root, 'config.json'));
  const texts: string[] = [];
  const errors: string[] = [];
  const seen = Promise.withResolvers<void>();
  const stop = pollText(
    () => readConfigText(root),
    'one',
    {
      onText: (text) => {
        texts.push(text);
        if (text === 'three') seen.resolve();
      },
      onError: (error) => {
        errors.push(error.message);
        // Gone, then back with another text, whole at once.
        writeFileSync(join(root, 'next'), 'three');
        renameSync(join(root, 'next'), join(root, 'v2', 'config.json'));
      },
    },
    { everyMs: 10 },
  );
  t.after(stop);
  await symlink('v2', join(root, '..tmp'));
  await rename(join(root, '..tmp'), join(root, '..data'));
  while (texts.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  await rm(join(root, 'v2', 'config.json'));
  await seen.promise;
  // Before the folder is removed.
  stop();
  assert.deepEqual(texts, ['two', 'three']);
  assert.equal(errors.length, 1, 'one line for one fault, however often it was looked at');
});

test('a text that was put off is offered again', { timeout: 300_000 }, async (t) => {
  let offers = 0;
  const done = Promise.withResolvers<void>();
  const stop = pollText(
    () => Promise.resolve('new'),
    'old',
    {
      onText: () => {
        offers += 1;
        if (offers === 3) done.resolve();
        return offers < 3;
      },
      onError: (error) => done.reject(error),
    },
    { everyMs: 5 },
  );
  t.after(stop);
  await done.promise;
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(offers, 3);
});

test('a file may have changed while it is new, and when it was swapped, gone or written again', async (t) => {
  const root = await folder(t, { v1: 'one', v2: 'two' });
  const path = join(root, 'config.json');
  await symlink('v1', path);
  const mayDiffer = changeOf(root, 'config');
  // Written within the last two seconds: once more at the same time would not show.
  assert.deepEqual([mayDiffer(), mayDiffer()], [true, true]);
  const longAgo = new Date(Date.now() - 60_000);
  for (const name of ['v1', 'v2']) await utimes(join(root, name), longAgo, longAgo);
  assert.deepEqual([mayDiffer(), mayDiffer(), mayDiffer()], [true, false, false]);
  await symlink('v2', join(root, 'next'));
  await rename(join(root, 'next'), path);
  assert.deepEqual([mayDiffer(), mayDiffer()], [true, false]);
  await writeFile(join(root, 'v2'), 'two');
  assert.equal(mayDiffer(), true);
  await rm(path);
  assert.deepEqual([mayDiffer(), mayDiffer()], [true, true]);
});

test(
  'what cannot differ is not read again, but for a text that was put off or a fault',
  { timeout: 300_000 },
  async (t) => {
    let reads = 0;
    let looks = 0;
    const done = Promise.withResolvers<void>();
    const stop = pollText(
      () => Promise.resolve(++reads < 3 ? 'put off' : 'taken'),
      'old',
      { onText: (text) => text === 'put off', onError: (error) => done.reject(error) },
      {
        everyMs: 2,
        mayDiffer: () => {
          if (++looks === 20) done.resolve();
          return looks === 1;
        },
      },
    );
    t.after(stop);
    await done.promise;
    assert.equal(reads, 3);
  },
);
