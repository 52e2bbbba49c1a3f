import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { RelayCache } from './relay-cache.ts';

function cacheOf(maxBytes: number, maxStreamBytes = maxBytes) {
  const clock = { nowMs: 0 };
  const cache = new RelayCache({ maxBytes, maxStreamBytes, keepMs: 1_000, now: () => clock.nowMs });
  return { cache, clock };
}

test('what is not listed goes first, the longest unused before the others', () => {
  const { cache } = cacheOf(30);
  cache.put('s', 'listed', Buffer.alloc(10), true);
  cache.put('s', 'a', Buffer.alloc(10), false);
  cache.put('s', 'b', Buffer.alloc(10), false);
  cache.get('s', 'a');
  cache.put('s', 'c', Buffer.alloc(10), true);
  const left = ['listed', 'a', 'b', 'c'].filter((file) => cache.get('s', file) !== undefined);
  assert.deepEqual(left, ['listed', 'a', 'c']);
  cache.put('s', 'd', Buffer.alloc(20), true);
  assert.deepEqual(
    [cache.get('s', 'listed'), cache.get('s', 'a'), cache.get('s', 'd')?.length],
    [undefined, undefined, 20],
  );
});

test('one stream does not push out the others', () => {
  const { cache } = cacheOf(100, 20);
  cache.put('quiet', 'a', Buffer.alloc(10), false);
  for (let file = 0; file < 50; file += 1) cache.put('loud', `${file}`, Buffer.alloc(10), true);
  assert.ok(cache.get('quiet', 'a') !== undefined);
  assert.equal(cache.bytes, 30);
});

test('an unlisted file stays for a while', () => {
  const { cache, clock } = cacheOf(100);
  cache.put('s', 'a', Buffer.alloc(10), true);
  clock.nowMs = 5_000;
  cache.sweep();
  cache.list('s', () => false);
  clock.nowMs = 5_999;
  cache.sweep();
  assert.ok(cache.get('s', 'a') !== undefined);
  clock.nowMs = 6_000;
  cache.sweep();
  assert.deepEqual([cache.get('s', 'a'), cache.bytes], [undefined, 0]);
});

test('pieces cost nothing and go with what they are pieces of', () => {
  const { cache } = cacheOf(100);
  const whole = Buffer.alloc(60);
  cache.put('s', 'whole', whole, true);
  cache.put('s', 'piece', whole.subarray(0, 30), true, 'whole');
  assert.equal(cache.bytes, 60);
  cache.delete('s', 'whole');
  assert.deepEqual([cache.get('s', 'piece'), cache.bytes], [undefined, 0]);
});

test('whatever is put, the bounds hold and the sum is right', () => {
  const put = fc.tuple(
    fc.constantFrom('s', 't'),
    fc.nat(9),
    fc.nat(60),
    fc.boolean(),
    fc.constantFrom('put', 'list', 'delete', 'get'),
  );
  fc.assert(
    fc.property(fc.array(put, { maxLength: 60 }), (steps) => {
      const { cache } = cacheOf(100, 70);
      const [ids, files] = [['s', 't'], Array.from({ length: 10 }, (_, file) => `${file}`)];
      for (const [id, file, size, flag, step] of steps) {
        if (step === 'put') cache.put(id, `${file}`, Buffer.alloc(size), flag);
        else if (step === 'list') cache.list(id, (each) => Number(each) < file);
        else if (step === 'delete') cache.delete(id, `${file}`);
        else cache.get(id, `${file}`);
        const sums = ids.map((each) => files.reduce((sum, name) => sum + (cache.get(each, name)?.length ?? 0), 0));
        assert.equal(
          cache.bytes,
          sums.reduce((a, b) => a + b),
        );
        assert.ok(cache.bytes <= 100 && sums.every((sum) => sum <= 70));
      }
    }),
  );
});
