import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { until } from '#contract/testing/until.ts';
import { session } from './testing/fakes.ts';
import { testOrigins } from './testing/origins.ts';

const key = { vhost: 'v', app: 'live', stream: 'demo' };
const replace = { ...key, vhost: 'replace' };
const closers: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

async function origins(count: number): ReturnType<typeof testOrigins> {
  const made = await testOrigins(count);
  closers.push(() => made.close());
  return made;
}

const ignore = (): void => {};

test('a publisher gets the stream, and gives it back at the end', async () => {
  const { nodes } = await origins(2);
  const { gate, directory, registry } = nodes[0]!;
  const publication = await gate.publish(key, session(), ignore);
  assert.equal(publication.stream, registry.get(key));
  assert.equal(publication.vhost.name, 'v');
  assert.equal((await directory.lookup(key))?.owner.nodeId, directory.nodeId);
  assert.equal(gate.peerPublisher(key).published, true);
  publication.close('done');
  publication.close('twice');
  await until('the directory forgot it', async () => (await directory.lookup(key)) === undefined);
  assert.deepEqual(
    [gate.publications, gate.peerPublisher(key).published, gate.peerPublisher(key).epoch],
    [0, false, null],
  );
});

test('a second publisher is refused, on the same origin and on another one', async () => {
  const { nodes } = await origins(2);
  const revoked: string[] = [];
  await nodes[0]!.gate.publish(key, session(), (reason) => revoked.push(reason));
  await assert.rejects(nodes[0]!.gate.publish(key, session(), ignore), { code: 'busy' });
  await assert.rejects(nodes[1]!.gate.publish(key, session(), ignore), { code: 'busy' });
  assert.deepEqual(revoked, []);
  assert.equal(nodes[1]!.gate.publications, 0);
});

test('with Replace the second publisher gets the stream and the first one hears of it once', async () => {
  const { nodes } = await origins(2);
  const revoked: string[] = [];
  const first = await nodes[0]!.gate.publish(replace, session(), () => revoked.push('first'));
  const second = await nodes[0]!.gate.publish(replace, session(), () => revoked.push('second'));
  assert.deepEqual(revoked, ['first']);
  first.close('revoked');
  assert.equal(nodes[0]!.gate.peerPublisher(replace).published, true, 'the first one’s end takes nothing away');
  await nodes[1]!.gate.publish(replace, session(), () => revoked.push('third'));
  assert.deepEqual(revoked, ['first', 'second']);
  second.close('revoked');
  await until('the second origin stands alone', async () => {
    const found = await nodes[0]!.directory.lookup(replace);
    return found?.owner.nodeId === nodes[1]!.directory.nodeId;
  });
  assert.equal(nodes[1]!.gate.takeovers, 1);
});

test('of many that publish at once on all origins one succeeds', async () => {
  const { nodes } = await origins(3);
  const tries = await Promise.allSettled(
    Array.from({ length: 9 }, (_, index) => nodes[index % 3]!.gate.publish(key, session(), ignore)),
  );
  assert.equal(tries.filter(({ status }) => status === 'fulfilled').length, 1);
});

test('a crashed origin’s stream can be published elsewhere at once', async () => {
  const { nodes } = await origins(2);
  await nodes[0]!.gate.publish(key, session(), ignore);
  nodes[0]!.crash();
  await nodes[1]!.gate.publish(key, session(), ignore);
  assert.equal(nodes[1]!.gate.takeovers, 1);
});

test('an owner that stays silent loses the stream, and ends its publisher when it hears of that', async () => {
  const { nodes, reach } = await origins(2);
  const revoked: string[] = [];
  await nodes[0]!.gate.publish(key, session(), (reason) => revoked.push(reason));
  reach.isSilent = true;
  await nodes[1]!.gate.publish(key, session(), ignore);
  await until('the first one was fenced', () => revoked.length === 1);
  assert.equal(nodes[0]!.gate.peerPublisher(key).published, false);
  assert.equal(nodes[0]!.directory.counts.fences, 1);
});

test('without the directory a stream is granted when no other origin has it', async () => {
  const { nodes, backend } = await origins(2);
  const publication = await nodes[0]!.gate.publish(key, session(), ignore);
  backend.setAway(true);
  await assert.rejects(nodes[1]!.gate.publish(key, session(), ignore), { code: 'busy' });
  const other = { ...key, stream: 'other' };
  const revoked: string[] = [];
  await nodes[1]!.gate.publish(other, session(), (reason) => revoked.push(reason));
  await assert.rejects(nodes[0]!.gate.publish(other, session(), ignore), { code: 'busy' });
  backend.empty();
  backend.setAway(false);
  await until('both streams are registered', async () => {
    const found = await Promise.all(
      [key, other].map((each) => nodes[0]!.directory.lookup(each).catch(() => undefined)),
    );
    return (
      found[0]?.owner.nodeId === nodes[0]!.directory.nodeId && found[1]?.owner.nodeId === nodes[1]!.directory.nodeId
    );
  });
  assert.deepEqual(revoked, []);
  publication.close('done');
});

test('a store that came back incomplete takes no stream from an origin that has not written its record yet', async () => {
  const { nodes, backend } = await origins(3);
  const [late, other, dead] = [nodes[0]!, nodes[1]!, nodes[2]!];
  await late.gate.publish(key, session(), ignore);
  backend.setPartitioned(late.directory.nodeId, true);
  backend.empty();
  await until('the store is young', async () => (await other.directory.claim(key)).kind === 'unsettled');
  await assert.rejects(other.gate.publish(key, session(), ignore), { code: 'busy' }, 'no record');

  const second = { ...key, stream: 'second' };
  await dead.gate.publish(second, session(), ignore);
  backend.setAway(true);
  dead.crash();
  await late.gate.publish(second, session(), ignore);
  backend.setAway(false);
  await until('the other one is back', () => other.directory.state === 'up');
  await assert.rejects(other.gate.publish(second, session(), ignore), { code: 'busy' }, 'the record of a dead node');
  assert.equal(late.gate.publications, 2);
});

test('of many that publish at once without the directory one succeeds', async () => {
  const { nodes, backend } = await origins(3);
  backend.setAway(true);
  const tries = await Promise.allSettled(
    Array.from({ length: 6 }, (_, index) => nodes[index % 3]!.gate.publish(key, session(), ignore)),
  );
  assert.ok(tries.filter(({ status }) => status === 'fulfilled').length <= 1);
  // Whoever lost is told to try again, and nobody stays in its own way.
  for (const node of nodes) await node.gate.publish(key, session(), ignore).catch(() => {});
  assert.equal(nodes.filter(({ gate }) => gate.peerPublisher(key).epoch !== null).length, 1);
});

test('a relay is served by the owner alone, and never one that has passed here', async () => {
  const { nodes } = await origins(2);
  const [owner, other] = [nodes[0]!, nodes[1]!];
  const publication = await owner.gate.publish(key, session(), ignore);
  const relay = { path: ['an-edge'] };
  assert.equal((await owner.gate.play(key, session({ relay }))).stream, publication.stream);
  await assert.rejects(other.gate.play(key, session({ relay })), { code: 'not-here' });
  const loop = { path: ['an-edge', owner.directory.nodeId] };
  await assert.rejects(owner.gate.play(key, session({ relay: loop })), { code: 'denied' });
  await assert.rejects(owner.gate.publish(key, session({ relay: loop }), ignore), { code: 'denied' });
  assert.equal((await other.gate.play(key, session())).vhost.name, 'v', 'a viewer may wait anywhere');
});

test('refuses what no vhost allows, names that can’t be stored, and everything while draining', async () => {
  const { nodes } = await origins(1);
  const { gate } = nodes[0]!;
  const lost: string[] = [];
  await assert.rejects(gate.play({ ...key, vhost: 'nowhere' }, session()), { code: 'no-vhost' });
  await assert.rejects(gate.publish({ ...key, stream: 'x'.repeat(9_999) }, session(), ignore), { code: 'denied' });
  assert.equal(gate.publications, 0);
  assert.equal(gate.vhost('v')?.name, 'v');
  await gate.publish(key, session(), (reason) => lost.push(reason));
  gate.drain();
  await assert.rejects(gate.play(key, session()), { code: 'draining' });
  assert.deepEqual(lost, []);
  gate.close('the node stops');
  assert.deepEqual(lost, ['the node stops']);
});
