import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';
import { until } from '#contract/testing/until.ts';
import { fakePublisher, session } from './testing/fakes.ts';
import { testOrigins } from './testing/origins.ts';
import { FakePlayer } from '../stream/testing.ts';

const key = { vhost: 'grace', app: 'live', stream: 'demo' };
const closers: (() => unknown)[] = [];
const ignore = (): void => {};

afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

async function origins(count: number) {
  const made = await testOrigins(count);
  closers.push(() => made.close());
  return made;
}

/** Publishes, has another node fetch the stream, and loses the publisher. */
async function lost(nodes: Awaited<ReturnType<typeof origins>>['nodes']) {
  const { gate, directory } = nodes[0]!;
  const publication = await gate.publish(key, session(), ignore);
  const ingest = publication.stream.attach(fakePublisher('encoder', ignore));
  const relay = new FakePlayer({ isRelay: true });
  const playback = publication.stream.play(relay);
  relay.onClose = () => playback.leave();
  const { epoch } = gate.peerPublisher(key);
  ingest.detach();
  publication.close('the encoder broke off');
  return { gate, directory, relay, epoch, stream: publication.stream };
}

describe('a publisher that is lost', () => {
  test('keeps its claim and the nodes that fetch it, and goes on under the same epoch', async () => {
    const { nodes } = await origins(2);
    const { gate, directory, relay, epoch, stream } = await lost(nodes);
    assert.deepEqual([gate.awaited, relay.closed], [1, []]);
    assert.equal((await directory.lookup(key))?.owner.epoch, epoch);
    assert.deepEqual([gate.peerPublisher(key).published, gate.peerPublisher(key).epoch], [false, null]);

    const again = await gate.publish(key, session({ id: 'another one' }), ignore);
    assert.equal(again.stream, stream);
    assert.deepEqual([gate.awaited, gate.resumed, gate.peerPublisher(key).epoch], [0, 1, epoch]);
    assert.equal(directory.counts.claims, 1, 'nothing was claimed anew');
    assert.deepEqual(relay.closed, []);
    again.stream.attach(fakePublisher('encoder', ignore));
    await assert.rejects(gate.publish(key, session(), ignore), { code: 'busy' }, 'it is live again');
  });

  test('is found by another node that wants to fetch the stream meanwhile', async () => {
    const { nodes } = await origins(2);
    const { gate, stream } = await lost(nodes);
    assert.equal((await gate.play(key, session({ relay: { path: ['an-edge'] } }))).stream, stream);
  });

  test('gives the stream up at once to a publisher on another origin', async () => {
    const { nodes } = await origins(2);
    const { gate, relay } = await lost(nodes);
    const other = nodes[1]!;
    await other.gate.publish(key, session(), ignore);
    await until('the first one waits no longer', () => gate.awaited === 0);
    assert.deepEqual(relay.closed, ['the publisher left']);
    assert.equal(gate.publications, 0);
    assert.equal((await other.directory.lookup(key))?.owner.nodeId, other.directory.nodeId);
    assert.equal(other.gate.takeovers, 1);
  });

  test('of two that come back on two origins at once one gets the stream', async () => {
    const { nodes } = await origins(2);
    await lost(nodes);
    const revoked: number[] = [];
    const tries = await Promise.allSettled(
      [0, 1].map((index) => nodes[index]!.gate.publish(key, session(), () => revoked.push(index))),
    );
    const granted = tries.filter(({ status }) => status === 'fulfilled').length;
    await until('one is left', () => granted - revoked.length === 1);
    assert.equal(nodes.filter(({ gate }) => gate.peerPublisher(key).published).length, 1);
  });

  test('gives the stream back when its time is over', async () => {
    const { nodes } = await origins(1);
    const { config } = nodes[0]!.config;
    // Read when the publisher is lost: a change reaches streams that are live.
    const vhosts = config.vhosts.map((each) =>
      each.name === key.vhost ? { ...each, publish: { ...each.publish, graceMs: 20 } } : each,
    );
    nodes[0]!.config.swap({ ...config, vhosts });
    const { gate, directory, relay } = await lost(nodes);
    await until('the directory forgot it', async () => (await directory.lookup(key)) === undefined);
    assert.deepEqual(relay.closed, ['the publisher left']);
    assert.equal(gate.publications, 0);
  });

  test('is not waited for by a node that drains, now or later', async () => {
    const { nodes } = await origins(1);
    const { gate, directory, relay } = await lost(nodes);
    gate.drain();
    await until('the directory forgot it', async () => (await directory.lookup(key)) === undefined);
    assert.deepEqual([gate.awaited, relay.closed], [0, ['the publisher left']]);
  });

  test('whose node closes is forgotten', async () => {
    const { nodes } = await origins(1);
    const { gate, directory } = await lost(nodes);
    gate.close('the node stops');
    assert.equal(gate.publications, 0);
    await until('the directory forgot it', async () => (await directory.lookup(key)) === undefined);
  });

  test('whose claim is lost to another origin while nobody asked is waited for no longer', async () => {
    const { nodes, reach } = await origins(2);
    const { gate } = await lost(nodes);
    reach.isSilent = true;
    await nodes[1]!.gate.publish(key, session(), ignore);
    await until('it was fenced', () => gate.awaited === 0);
    assert.equal(nodes[0]!.directory.counts.fences, 1);
  });
});

test('a publisher that replaces a live one on the same origin keeps its claim', async () => {
  const { nodes } = await origins(1);
  const { gate, directory } = nodes[0]!;
  const replace = { ...key, vhost: 'replace' };
  const revoked: string[] = [];
  const first = await gate.publish(replace, session(), (reason) => {
    revoked.push(reason);
    first.close(reason);
  });
  const relay = new FakePlayer({ isRelay: true });
  first.stream.attach(fakePublisher('encoder', ignore));
  first.stream.play(relay);
  const second = await gate.publish(replace, session(), ignore);
  second.stream.attach(fakePublisher('encoder', ignore));
  assert.deepEqual([revoked, relay.closed], [['another publisher took its place'], []]);
  assert.equal(directory.counts.claims, 1);
  second.close('done');
  await until('the directory forgot it', async () => (await directory.lookup(replace)) === undefined);
});
