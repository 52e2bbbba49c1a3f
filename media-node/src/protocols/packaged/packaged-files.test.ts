import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { snapshotOf } from '#contract/testing/packaging.ts';
import { until } from '#contract/testing/until.ts';
import { PackagingError } from '../../packaging/packaged-stream.ts';
import { FMP4, LOW, PackagedNode, TS } from '../testing/packaged-node.ts';

const node = new PackagedNode();
before(() => node.start());
after(() => node.close());

test('a hinted part that is never made is not found as soon as that is known', async () => {
  const { name, stream } = node.publish(LOW, 'fmp4');
  const hinted = node.get(`/live/${name}-video-7.p1.m4s`, { headers: FMP4 });
  await until('it to wait', () => stream.waiting.size === 1);
  stream.show(snapshotOf({ ...LOW, durationsMs: [1_000, 1_000, 1_000, 500], openParts: 0, stem: `live/${name}` }));
  stream.show({ ...stream.snapshot!, isEnded: true });
  const { status, body } = await hinted;
  assert.equal(status, 404);
  assert.match(body, /^part live\/.* is not there, or not any more: the playlist tells those that are\n$/);
});

test('the segment after the last one is awaited, those after it and after an end are not', async () => {
  for (const [shape, headers, next] of [
    [TS, {}, '7.ts'],
    [{ ...TS, renditions: ['video', 'audio'] }, FMP4, 'audio-7.m4s'],
    [LOW, FMP4, 'video-7.m4s'],
  ] as const) {
    const { name, stream } = node.publish(shape, shape === TS ? undefined : 'fmp4');
    const file = `live/${name}-${next}`;
    stream.files.delete(file);
    const asked = node.get(`/${file}`, { headers });
    await until('it to wait', () => stream.waiting.size === 1);
    assert.equal((await node.get(`/${file.replace('7', '8')}`, { headers })).status, 404);
    // Of no interest to who waits.
    stream.show({ ...stream.snapshot!, revision: 2 });
    await until('it to wait again', () => stream.waiting.size === 1);
    stream.show(
      snapshotOf({ ...shape, durationsMs: [...shape.durationsMs, 1_000], openParts: 0, stem: `live/${name}` }),
    );
    assert.equal((await asked).body, `bytes of ${file}`);
    stream.show({ ...stream.snapshot!, isEnded: true });
    assert.equal((await node.get(`/${file.replace('7', '8')}`, { headers })).status, 404);
  }
});

test('bytes from another node are sent when they have come, and a file that it does not have is not found', async () => {
  const { name, stream } = node.publish(TS);
  for (const file of [`live/${name}-4.ts`, `live/${name}-5.ts`]) stream.files.delete(file);
  stream.slowFiles.set(`live/${name}-4.ts`, () => Promise.resolve(Buffer.from('from elsewhere')));
  stream.slowFiles.set(`live/${name}-5.ts`, () => Promise.resolve(undefined));
  stream.slowFiles.set(`live/${name}-6.ts`, () => Promise.reject(new PackagingError('unreachable', 'no answer')));
  stream.files.delete(`live/${name}-6.ts`);
  assert.equal((await node.get(`/live/${name}-4.ts`)).body, 'from elsewhere');
  assert.equal((await node.get(`/live/${name}-5.ts`)).status, 404);
  assert.equal((await node.get(`/live/${name}-6.ts`)).status, 503);
});
