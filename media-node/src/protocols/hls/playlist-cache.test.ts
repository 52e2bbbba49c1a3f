import assert from 'node:assert/strict';
import { test } from 'node:test';
import { snapshotOf } from '#contract/testing/packaging.ts';
import { PlaylistCache } from './playlist-cache.ts';

test('a playlist that is asked for again and again is made once, whatever queries others make up', () => {
  const cache = new PlaylistCache();
  const snapshot = snapshotOf({ renditions: ['ts'], durationsMs: [1_000, 1_000, 1_000] });
  const request = { rendition: 'ts', path: 'live/stream01.m3u8', isDelta: false } as const;
  // They are here first, and come on.
  for (let each = 0; each < 20; each++) cache.get(snapshot, { ...request, query: `?vhost=first-${each}` });
  const made = cache.get(snapshot, request);
  for (let each = 0; each < 20; each++) {
    const other = cache.get(snapshot, { ...request, query: `?vhost=${each}` });
    assert.notEqual(other, made);
    assert.equal(cache.get(snapshot, request), made);
  }
});
