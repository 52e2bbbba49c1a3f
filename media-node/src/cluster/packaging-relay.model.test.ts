import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { after, describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import type { PackagingSnapshot } from '#contract/packaging.ts';
import { until } from '#contract/testing/until.ts';
import { MemorySharedBackend, MemorySharedStore } from './memory-shared-store.ts';
import { firstSeq, lastSeq } from './packaging-snapshots.ts';
import { createRedisDirectory } from './redis-directory.ts';
import { RedisSharedStore } from './redis-shared-store.ts';
import { parseRedisUrl } from './redis-url.ts';
import { SharedLedger } from './shared-ledger.ts';
import type { SharedStore } from './shared-store.ts';
import type { FakePackaged, FakeState } from './testing/fake-packager.ts';
import { PackagingRig } from './testing/packaging-rig.ts';
import type { RigNode } from './testing/packaging-rig.ts';
import { TestRedis } from './testing/redis-server.ts';

/*
 * Origins that die and streams that move, while viewers ask any edge for every playlist and every file. Numbers never go back
 * on an edge, and what an edge lists can be had there.
 */

const key = { vhost: 'v', app: 'live', stream: 'demo' };
const VIEWERS = 20;

interface Kind {
  readonly rig: PackagingRig;
  readonly store: SharedStore;
}

/** Viewers that go on until they are told to stop; each request goes to any edge. */
class Audience {
  readonly edges: RigNode[] = [];
  readonly faults: string[] = [];
  playlists = 0;
  files = 0;
  readonly #shown = new Map<RigNode, { first: number; last: number }>();
  readonly #viewers: Promise<void>[] = [];
  #isOver = false;

  begin(): void {
    for (let viewer = 0; viewer < VIEWERS; viewer += 1) this.#viewers.push(this.#watch());
  }

  async end(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#viewers);
  }

  async #watch(): Promise<void> {
    while (!this.#isOver) {
      const snapshot = await this.#playlist(this.#any());
      const segments = snapshot?.segments.filter(({ isGap }) => !isGap) ?? [];
      const segment = segments[Math.floor(Math.random() * segments.length)];
      // The playlist comes from one edge, the file from another.
      const file = segment?.media.ts?.file;
      if (file !== undefined) await this.#file(this.#any(), file);
      await delay(2);
    }
  }

  #any(): RigNode {
    const edge = this.edges[Math.floor(Math.random() * this.edges.length)];
    assert.ok(edge);
    return edge;
  }

  async #playlist(edge: RigNode): Promise<PackagingSnapshot | undefined> {
    const snapshot = (await edge.packagings.find(key))?.snapshot;
    if (snapshot === undefined) {
      this.faults.push('no playlist');
      return undefined;
    }
    this.playlists += 1;
    const [first, last] = [firstSeq(snapshot), lastSeq(snapshot)];
    const before = this.#shown.get(edge);
    if (before !== undefined && (first < before.first || last < before.last)) {
      this.faults.push(`numbers went back from ${before.first}-${before.last} to ${first}-${last}`);
    }
    this.#shown.set(edge, { first, last });
    return snapshot;
  }

  async #file(edge: RigNode, file: string): Promise<void> {
    this.files += 1;
    try {
      const bytes = await (await edge.packagings.find(key))?.read(file);
      if (bytes === undefined) this.faults.push(`no ${file}`);
    } catch (error) {
      this.faults.push(`no ${file}: ${(error as Error).message}`);
    }
  }
}

async function run(t: TestContext, { rig, store }: Kind): Promise<void> {
  const ledger = new SharedLedger(store);
  const audience = new Audience();
  const hasSeq = (edge: RigNode, seq: number) => lastSeq(edge.remote.shown(key)?.snapshot ?? EMPTY) >= seq;
  /** A segment, and what the packager saves for the next one. */
  const segment = (packaged: FakePackaged, isSaved = true): number => {
    const seq = packaged.segment();
    if (isSaved) ledger.save(key, JSON.stringify(packaged.state), 60_000);
    return seq;
  };
  const comesTo = async (origin: RigNode): Promise<FakePackaged> => {
    await ledger.settled();
    const saved = await ledger.load(key);
    return origin.publish(key, saved.kind === 'found' ? (JSON.parse(saved.state) as FakeState) : undefined);
  };
  try {
    audience.edges.push(await rig.node('edge'), await rig.node('edge'));
    let owner = await rig.node('origin');
    let next = await rig.node('origin');
    await rig.settled();
    let packaged = await owner.publish(key);
    for (let seq = 0; seq < 3; seq += 1) segment(packaged);
    for (const edge of audience.edges) {
      const stream = await edge.packagings.find(key);
      await until('the playlist is there', () => stream?.snapshot !== undefined);
      for (const { media } of stream?.snapshot?.segments ?? []) await stream?.read(media.ts?.file ?? '');
    }
    audience.begin();
    const gapsMs: number[] = [];
    for (let round = 0; round < 4; round += 1) {
      for (let seq = 0; seq < 8; seq += 1) {
        const made = segment(packaged);
        await until('every edge lists it', () => audience.edges.every((edge) => hasSeq(edge, made)));
      }
      // In one round the last word to the ledger is lost with its node.
      if (round === 2) {
        const lost = segment(packaged, false);
        await until('every edge lists it', () => audience.edges.every((edge) => hasSeq(edge, lost)));
      }
      const shown = lastSeq(packaged.snapshot ?? EMPTY);
      const diedMs = performance.now();
      if (round === 3) owner.packager.drop(key);
      else await owner.crash();
      packaged = await comesTo(next);
      let made = segment(packaged);
      while (made <= shown) made = segment(packaged);
      await until('every edge goes on', () => audience.edges.every((edge) => hasSeq(edge, made)));
      gapsMs.push(performance.now() - diedMs);
      owner = next;
      next = await rig.node('origin');
      if (round === 1) {
        const late = await rig.node('edge');
        await rig.settled();
        await late.packagings.find(key);
        await until('the late edge has the playlist', () => hasSeq(late, made));
        audience.edges.push(late);
      }
    }
    await audience.end();
    assert.deepEqual(audience.faults.slice(0, 10), []);
    assert.ok(audience.files > 100, `${audience.files} files`);
    t.diagnostic(
      `${audience.playlists} playlists, ${audience.files} files; ` +
        `from a dead origin to the next segment on every edge: ${gapsMs.map((ms) => ms.toFixed(0)).join(', ')} ms`,
    );
    // Each segment left its origin once an edge, and never more.
    const mostReads = Math.max(...owner.packager.reads.values());
    assert.ok(mostReads <= audience.edges.length, `a file was fetched ${mostReads} times`);
  } finally {
    await audience.end();
    ledger.close();
    store.close();
    await rig.close();
  }
}

const EMPTY = { segments: [] } as unknown as PackagingSnapshot;

describe('packaged streams while origins die', { timeout: 300_000 }, () => {
  let redis: TestRedis | undefined;
  after(() => redis?.close());

  test('in memory', async (t) => {
    await run(t, { rig: new PackagingRig(), store: new MemorySharedStore(new MemorySharedBackend()) });
  });

  test('in Redis', async (t) => {
    redis = await TestRedis.start();
    const place = { url: redis.url, namespace: 'media', cluster: randomUUID() };
    const store = new RedisSharedStore({ ...place, address: parseRedisUrl(place.url) });
    let isUp = false;
    store.start({ onConnected: () => (isUp = true), onEnded: () => undefined, onMalformed: () => undefined });
    await until('the store is up', () => isUp);
    await run(t, { rig: new PackagingRig((options) => createRedisDirectory({ ...options, ...place })), store });
  });
});
