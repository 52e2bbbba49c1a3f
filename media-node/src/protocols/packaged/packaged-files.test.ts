import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { snapshotOf } from '#contract/testing/packaging.ts';
import { PackagingError } from '../../packaging/packaged-stream.ts';
import { FMP4, LOW, PackagedNode, TS } from '../testing/packaged-node.ts';
import { until } from '../testing/until.ts';

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
