import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';
import { PACKAGING_PATHS, PackagingSnapshot } from '#contract/packaging.ts';
import { until } from '#contract/testing/until.ts';
import { contentOf } from '../cluster/testing/fake-packager.ts';
import { PackagingRig, TOKEN } from '../cluster/testing/packaging-rig.ts';

const key = { vhost: 'v', app: 'live', stream: 'demo' };

describe('packaged streams on the admin port', () => {
  const rigs: PackagingRig[] = [];
  afterEach(async () => {
    for (const rig of rigs.splice(0)) await rig.close();
  });

  async function open() {
    const rig = new PackagingRig();
    rigs.push(rig);
    const node = await rig.node('origin');
    const ask = (path: string, query: Readonly<Record<string, string>> = {}, options: RequestInit = {}) =>
      fetch(`http://127.0.0.1:${node.adminPort}${path}?${new URLSearchParams({ ...key, ...query }).toString()}`, {
        headers: { authorization: `Bearer ${TOKEN}` },
        ...options,
      });
    return { node, ask };
  }

  test('nobody gets anything without the token', async () => {
    const { node, ask } = await open();
    node.packager.begin(key).segment();
    for (const path of Object.values(PACKAGING_PATHS)) {
      assert.equal((await ask(path, { file: 'live/demo-100.ts' }, { headers: {} })).status, 401);
    }
  });

  test('a snapshot is answered at once, and with what was seen only when it changes', async () => {
    const { node, ask } = await open();
    assert.equal((await ask(PACKAGING_PATHS.snapshot)).status, 404);
    const packaged = node.packager.begin(key);
    const waits = ask(PACKAGING_PATHS.snapshot, { after: '0', of: '-', waitMs: '20000' });
    await until('it waits for the first one', () => packaged.waiting === 1);
    packaged.segment();
    const first = PackagingSnapshot.parse(await (await waits).json());
    const seen = { after: `${first.revision}`, of: first.nodeId };
    assert.equal((await ask(PACKAGING_PATHS.snapshot, seen)).status, 204);
    assert.equal((await ask(PACKAGING_PATHS.snapshot, { ...seen, waitMs: '10' })).status, 204);
    assert.equal((await ask(PACKAGING_PATHS.snapshot, { ...seen, of: 'another' })).status, 200);
    const next = ask(PACKAGING_PATHS.snapshot, { ...seen, waitMs: '99999999' });
    await until('it waits', () => packaged.waiting === 1);
    packaged.segment();
    assert.equal(PackagingSnapshot.parse(await (await next).json()).revision, first.revision + 1);
  });

  test('who waits for a stream that is packaged no more hears it', async () => {
    const { node, ask } = await open();
    const packaged = node.packager.begin(key);
    const waits = ask(PACKAGING_PATHS.snapshot, { after: '0', of: '-', waitMs: '20000' });
    await until('it waits', () => packaged.waiting === 1);
    node.packager.drop(key);
    assert.equal((await waits).status, 404);
  });

  test('who goes away waits no more', async () => {
    const { node, ask } = await open();
    const packaged = node.packager.begin(key);
    const gone = new AbortController();
    const waits = ask(PACKAGING_PATHS.snapshot, { after: '0', of: '-', waitMs: '20000' }, { signal: gone.signal });
    await until('it waits', () => packaged.waiting === 1);
    gone.abort();
    await assert.rejects(waits);
    await until('nobody waits', () => packaged.waiting === 0);
  });

  test('a file is answered with its bytes', async () => {
    const { node, ask } = await open();
    const packaged = node.packager.begin(key);
    const seq = packaged.segment();
    const response = await ask(PACKAGING_PATHS.file, { file: `live/demo-${seq}.ts` });
    assert.deepEqual(Buffer.from(await response.arrayBuffer()), contentOf(node.nodeId, seq));
    assert.equal((await ask(PACKAGING_PATHS.file, { file: 'live/demo-1.ts' })).status, 404);
    assert.equal((await ask(PACKAGING_PATHS.file)).status, 400);
  });

  test('a request that makes no sense is refused', async () => {
    const { ask } = await open();
    for (const query of [{ after: '-1' }, { after: 'x' }, { waitMs: '' }, { vhost: '' }]) {
      assert.equal((await ask(PACKAGING_PATHS.snapshot, query)).status, 400, JSON.stringify(query));
    }
  });
});
