import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock, settle } from '../runtime/testing/fake-clock.ts';
import { FakeApiServer } from './testing/fake-api-server.ts';

// Alone in its file, that is in its process: undici keeps one timer for all its timeouts, and it must be this one.
test('undici does not cut a watch that is quiet for longer than its 300 s', async () => {
  const realSetTimeout = globalThis.setTimeout;
  let ticking: (() => void)[] = [];
  // By hand: the timers of node:test can't be refreshed once they have fired, as undici does it.
  globalThis.setTimeout = ((callback: (argument?: unknown) => void, _delayMs?: number, argument?: unknown) => {
    ticking.push(() => callback(argument));
    return { unref() {} };
  }) as unknown as typeof globalThis.setTimeout;
  const server = await FakeApiServer.start();
  const client = server.client(new FakeClock());
  try {
    const seen: string[] = [];
    const ends: unknown[] = [];
    const watching = (async () => {
      for await (const { object } of client.watch({ apiVersion: 'v1', kind: 'Pod' }, { resourceVersion: '1' })) {
        seen.push(object.metadata.name);
      }
    })().catch((error: unknown) => {
      ends.push(error);
    });
    const send = (name: string, resourceVersion: string) =>
      server.watches[0]?.send('ADDED', { metadata: { name, uid: name, resourceVersion } });

    while (server.watches.length === 0) await settle();
    send('before', '2');
    while (seen.length === 0) await settle();
    // undici counts time by its timer's ticks, each half a second.
    for (let tick = 0; tick < 1000; tick += 1) {
      const due = ticking;
      ticking = [];
      for (const callback of due) callback();
    }
    for (let turn = 0; turn < 10; turn += 1) await settle();
    send('after', '3');
    while (seen.length < 2 && ends.length === 0) await settle();
    assert.deepEqual([seen, ends], [['before', 'after'], []]);
    client.close('the test is over');
    await watching;
  } finally {
    globalThis.setTimeout = realSetTimeout;
    client.close('the test is over');
    await server.close();
  }
});
