import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { pino } from 'pino';
import { until } from '#contract/testing/until.ts';
import { StreamRegistry } from '../stream/stream-registry.ts';
import type { Directory, OwnerRecord } from './directory.ts';
import { createMemoryDirectory, MemoryDirectoryBackend } from './memory-directory.ts';
import { RelayManager } from './relay.ts';
import type { RelayManagerOptions } from './relay.ts';
import { nodeInfo, QUICK } from './testing/directory.conformance.ts';
import { FakeFinder, fakePlayer, fakePublisher, FakeRelayClient, testConfig } from './testing/fakes.ts';

const logger = pino({ level: 'silent' });
const key = { vhost: 'v', app: 'live', stream: 'demo' };
const closers: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

async function rig(over: Partial<RelayManagerOptions> = {}) {
  const backend = new MemoryDirectoryBackend();
  const join = async (host: string): Promise<Directory> => {
    const directory = createMemoryDirectory(backend, { node: nodeInfo({ host }), logger, ...QUICK });
    closers.push(() => directory.close('test over'));
    await directory.start();
    return directory;
  };
  const [edge, a, b] = [await join('edge'), await join('a'), await join('b')];
  const registry = new StreamRegistry();
  const [client, finder, config] = [new FakeRelayClient(), new FakeFinder(), testConfig()];
  client.onOpen = (relay) => relay.start();
  const relay = new RelayManager({
    nodeId: edge.nodeId,
    directory: edge,
    finder,
    pullClient: client,
    config,
    logger,
    // Long: what is tested must come by changes and breaks, not by polling.
    pollMs: 600_000,
    awayPollMs: 50,
    silentMs: 600_000,
    ...over,
  });
  registry.setDemand(relay);
  closers.push(
    () => registry.close('test over'),
    () => relay.close('test over'),
  );
  return { backend, edge, a, b, registry, client, finder, relay, config };
}

async function claim(directory: Directory, from?: OwnerRecord): Promise<OwnerRecord> {
  const result = await directory.claim(key, { askedOrigins: true, ...(from === undefined ? {} : { expected: from }) });
  assert.equal(result.kind, 'ok');
  const found = await directory.lookup(key);
  assert.ok(found);
  return found.owner;
}

test('the first viewer starts one pull from the owner, the last one ends it after the hold time', async () => {
  const { a, edge, registry, client, relay } = await rig();
  await claim(a);
  assert.equal(client.relays.length, 0);
  const stream = registry.open(key);
  const [first, second] = [stream.play(fakePlayer()), stream.play(fakePlayer())];
  await until('a pull is open', () => relay.counts.pullsActive === 1);
  assert.deepEqual(client.last?.request.target, { nodeId: a.nodeId, host: 'a', rtmpPort: 1935 });
  assert.deepEqual(client.last.request.path, [edge.nodeId]);
  first.leave();
  second.leave();
  assert.equal(relay.counts.pullsActive, 1, 'the hold time runs');
  await until('the pull ended', () => relay.counts.pullsActive === 0);
  assert.equal(client.last.closedBecause, 'the last viewer left');
  assert.deepEqual(relay.counts, { pullsStarted: 1, pullsActive: 0 });
  assert.equal(relay.wanted, 0);
});

test('a viewer that comes back within the hold time keeps the pull', async () => {
  const { a, registry, client, relay, config } = await rig();
  await claim(a);
  config.swap({ ...config.config, pullHoldMs: 600_000 });
  const stream = registry.open(key);
  const viewer = stream.play(fakePlayer());
  await until('a pull is open', () => relay.counts.pullsActive === 1);
  viewer.leave();
  config.swap({ ...config.config, pullHoldMs: 0 });
  const again = stream.play(fakePlayer());
  again.leave();
  await until('the new hold time ended it', () => relay.counts.pullsActive === 0);
  assert.equal(client.relays.length, 1);
});

test('a stream that nobody publishes is waited for, and pulled when it is claimed', async () => {
  const { a, registry, client, relay } = await rig();
  registry.open(key).play(fakePlayer());
  assert.equal(relay.wanted, 1);
  await claim(a);
  await until('a pull is open', () => client.open.length === 1);
});

test('an owner that is gone: the pull is tried again until another one claims', async () => {
  const { a, b, registry, client } = await rig();
  const old = await claim(a);
  const stream = registry.open(key);
  stream.play(fakePlayer());
  await until('a pull is open', () => client.open.length === 1);
  client.onOpen = (relay) => {
    if (relay.request.target.host === 'a') relay.end('unreachable');
    else relay.start();
  };
  client.last?.end('ended');
  await until('it was tried again', () => client.relays.length >= 4);
  await claim(b, old);
  await until('the new owner is pulled', () => stream.publisher?.kind === 'relay');
  assert.equal(client.last?.request.target.host, 'b');
});

test('a running pull moves to an owner with a higher epoch', async () => {
  const { a, b, registry, client, relay } = await rig();
  const old = await claim(a);
  registry.open(key).play(fakePlayer());
  await until('a pull is open', () => client.open.length === 1);
  await claim(b, old);
  await until('it moved', () => client.open.length === 1 && client.last?.request.target.host === 'b');
  assert.equal(client.relays[0]?.closedBecause, 'the stream has a newer owner');
  assert.equal(relay.counts.pullsActive, 1);
});

test('a pull without media is given up and looked for again', async () => {
  const { a, registry, client } = await rig({ silentMs: 30 });
  await claim(a);
  const viewer = registry.open(key).play(fakePlayer());
  await until('it was given up twice', () => client.relays.length >= 3);
  assert.equal(client.relays[0]?.closedBecause, 'no media');
  viewer.leave();
});

test('a pull without media whose owner answers stays, until another origin has the stream', async () => {
  const { backend, a, b, registry, client } = await rig({ silentMs: 30 });
  const old = await claim(a);
  client.onOpen = (relay) => {
    relay.onPing = () => (relay.bytesIn += 18);
    relay.start();
  };
  const viewer = registry.open(key).play(fakePlayer());
  await until('it was asked often', () => (client.last?.pings ?? 0) >= 12);
  assert.equal(client.relays.length, 1);
  // Nobody announces it: the message got lost.
  backend.publish = () => {};
  await claim(b, old);
  await until('it moved', () => client.last?.request.target.host === 'b');
  assert.equal(client.relays[0]?.closedBecause, 'the stream has a newer owner');
  viewer.leave();
});

test('the directory away: pulls go on, and new ones ask the origins', async () => {
  const { backend, a, edge, registry, client, finder } = await rig();
  const owner = await claim(a);
  registry.open(key).play(fakePlayer());
  await until('a pull is open', () => client.open.length === 1);
  backend.setAway(true);
  assert.equal(edge.state, 'down');
  const other = { ...key, stream: 'other' };
  registry.open(other).play(fakePlayer());
  await until('the origins were asked repeatedly', () => finder.calls >= 3);
  assert.equal(client.relays.length, 1);
  finder.answer = { owner, isClaiming: false, reachable: [] };
  await until('the other stream is pulled', () => client.open.length === 2);
  backend.empty();
  backend.setAway(false);
  await until('the directory is back', () => edge.state === 'up');
  assert.equal(client.relays.length, 2, 'no pull was cut');
  assert.equal(client.open.length, 2);
});

test('a local encoder ends the pull at once', async () => {
  const { a, registry, client, relay } = await rig({ config: testConfig({ pullHoldMs: 600_000 }) });
  await claim(a);
  const stream = registry.open(key);
  stream.play(fakePlayer());
  await until('the relay is attached', () => stream.publisher?.kind === 'relay');
  const ingest = stream.attach(fakePublisher('encoder', () => {}));
  await until('the pull ended', () => client.open.length === 0);
  assert.equal(relay.wanted, 0);
  ingest.detach();
  await until('it is pulled again', () => client.open.length === 1);
});

test('a node never pulls from itself', async (t) => {
  const { edge, registry, client, relay } = await rig({ pollMs: 20 });
  await claim(edge);
  const lookup = t.mock.method(edge, 'lookup');
  registry.open(key).play(fakePlayer());
  await until('it was looked for more than once', () => lookup.mock.callCount() >= 3);
  assert.equal(relay.wanted, 1);
  assert.equal(client.relays.length, 0);
});

test('closing ends every pull and starts no more', async () => {
  const { a, registry, client, relay } = await rig();
  await claim(a);
  registry.open(key).play(fakePlayer());
  await until('a pull is open', () => client.open.length === 1);
  relay.close('bye');
  relay.close('again');
  registry.open({ ...key, stream: 'other' }).play(fakePlayer());
  await until('it ended', () => client.open.length === 0);
  assert.equal(relay.wanted, 0);
});
