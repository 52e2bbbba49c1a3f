import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FileReply } from './packaging-client.ts';
import { PackagingFiles } from './packaging-files.ts';
import type { FileSources } from './packaging-files.ts';
import type { ListedFile } from './packaging-snapshots.ts';
import { PeerLimiter } from './peer-limiter.ts';
import { RelayCache } from './relay-cache.ts';

const key = { vhost: 'v', app: 'live', stream: 'demo' };
const OWNER = { host: 'owner', adminPort: 1 };
const OTHER = { host: 'other', adminPort: 1 };

interface Rig {
  readonly files: PackagingFiles;
  readonly sources: FileSources;
  /** Host and file of each request. */
  readonly asked: string[];
  nowMs: number;
}

function open(answer: (host: string, file: string) => FileReply | Promise<FileReply>, others = [OTHER]): Rig {
  const rig = { asked: [] as string[], nowMs: 0 };
  const now = () => rig.nowMs;
  const sources: FileSources = {
    peer: {
      snapshot: () => Promise.resolve({ kind: 'failed' }),
      state: () => Promise.resolve({ kind: 'failed' }),
      file: async ({ host }, _, file) => {
        rig.asked.push(`${host} ${file}`);
        return answer(host, file);
      },
    },
    cache: new RelayCache({ maxBytes: 1_000_000, maxStreamBytes: 1_000_000, keepMs: 1_000, now }),
    others: () => others,
    asking: new PeerLimiter(6),
    unlisted: { count: 0 },
    mayGuess: () => false,
    counts: { polls: 0, fetched: 0, fetchedElsewhere: 0, assembled: 0, failed: 0 },
    now,
  };
  const files = new PackagingFiles(key, sources);
  files.owner = OWNER;
  return Object.assign(rig, { files, sources });
}

const listed = (file: string, seq: number): [string, ListedFile] => [file, { file, bytes: 4, rendition: 'ts', seq }];
const RENDITIONS = new Set(['ts'] as const);

test('of a long window that nobody has each file is asked for once in a while, not with each revision', async () => {
  const rig = open(() => ({ kind: 'absent' }));
  const window = new Map(Array.from({ length: 2_000 }, (_, seq) => listed(`${seq}.ts`, seq)));
  const first = await rig.files.fetchAhead(window, RENDITIONS, Infinity);
  assert.equal(first.missing.size, 2_000);
  rig.asked.length = 0;
  const again = await rig.files.fetchAhead(window, RENDITIONS, Infinity);
  assert.equal(again.missing.size, 2_000);
  assert.deepEqual(rig.asked, []);
  rig.nowMs = 20_000;
  await rig.files.fetchAhead(window, RENDITIONS, Infinity);
  assert.equal(rig.asked.length, 4_000, 'its owner and another node');
});

test('of many old files none waits for a node that is silent', async () => {
  const { promise: never, resolve } = Promise.withResolvers<FileReply>();
  const silent = { host: 'silent', adminPort: 1 };
  const answers = (host: string): FileReply | Promise<FileReply> => {
    if (host === 'silent') return never;
    return host === 'owner' ? { kind: 'absent' } : { kind: 'found', bytes: Buffer.from('here') };
  };
  const rig = open(answers, [silent, OTHER]);
  const window = new Map(Array.from({ length: 500 }, (_, seq) => listed(`${seq}.ts`, seq)));
  rig.files.list(window);
  const all = await Promise.all([...window.keys()].map(async (file) => rig.files.read(file)));
  assert.ok(all.every((bytes) => bytes?.toString() === 'here'));
  const asked = () => rig.asked.filter((each) => each.startsWith('silent')).length;
  assert.ok(asked() <= 6, `${asked()} questions to a silent node`);
  resolve({ kind: 'failed' });
  await new Promise((done) => setImmediate(done));
  assert.ok(asked() <= 6, 'what others have given is not asked for again');
});

test('made-up names of one stream cost its owner so many requests a second and no more', async () => {
  const rig = open(() => ({ kind: 'absent' }));
  const guess = async (names: number): Promise<number> => {
    rig.asked.length = 0;
    let refused = 0;
    for (let name = 0; name < names; name += 1) {
      const bytes = rig.files.read(`made-up-${rig.nowMs}-${name}.ts`);
      assert.ok(bytes instanceof Promise);
      await bytes.then(assert.ifError, () => (refused += 1));
    }
    assert.equal(rig.asked.length, names - refused);
    return rig.asked.length;
  };
  assert.equal(await guess(1_000), 200);
  rig.nowMs = 1_000;
  assert.equal(await guess(1_000), 100);
  rig.files.list(new Map([listed('real.ts', 1)]));
  assert.equal(await rig.files.read('real.ts'), undefined);
  assert.deepEqual(rig.asked.slice(-2), ['owner real.ts', 'other real.ts'], 'what is listed is asked for all the same');
});

test('a file that comes after the end of its stream does not stay for ever', async () => {
  const { promise, resolve } = Promise.withResolvers<FileReply>();
  const rig = open(() => promise);
  rig.files.list(new Map([listed('1.ts', 1)]));
  const reading = rig.files.read('1.ts');
  rig.files.close();
  resolve({ kind: 'found', bytes: Buffer.from('late') });
  assert.deepEqual(await reading, Buffer.from('late'));
  assert.equal(rig.sources.cache.bytes, 4);
  rig.nowMs = 2_000;
  rig.sources.cache.sweep();
  assert.equal(rig.sources.cache.bytes, 0);
});

test('a thousand readers at once are one request, of what is listed as of what is not', async () => {
  for (const name of ['listed.ts', 'not-yet.ts']) {
    const { promise, resolve } = Promise.withResolvers<FileReply>();
    const rig = open(() => promise);
    rig.files.list(new Map([listed('listed.ts', 1)]));
    const ahead = rig.files.fetchAhead(
      new Map([listed('listed.ts', 1)]),
      RENDITIONS,
      name === 'listed.ts' ? Infinity : 0,
    );
    const readers = Array.from({ length: 1_000 }, async () => rig.files.read(name));
    resolve({ kind: 'found', bytes: Buffer.from('once') });
    const bytes = await Promise.all(readers);
    await ahead;
    assert.ok(bytes.every((each) => each === bytes[0] && each?.toString() === 'once'));
    assert.deepEqual(rig.asked, [`owner ${name}`]);
  }
});
