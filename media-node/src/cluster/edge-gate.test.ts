import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { pino } from 'pino';
import { until } from '#contract/testing/until.ts';
import { StreamRegistry } from '../stream/stream-registry.ts';
import type { Directory } from './directory.ts';
import { EdgeGate } from './edge-gate.ts';
import type { EdgeGateOptions } from './edge-gate.ts';
import { createMemoryDirectory, MemoryDirectoryBackend } from './memory-directory.ts';
import { nodeInfo, QUICK } from './testing/directory.conformance.ts';
import { FakeFinder, FakeProbe, FakeRelayClient, session, testConfig } from './testing/fakes.ts';

const logger = pino({ level: 'silent' });
const key = { vhost: 'v', app: 'live', stream: 'demo' };
const ignore = (): void => {};
const closers: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

async function rig(over: Partial<EdgeGateOptions> = {}) {
  const backend = new MemoryDirectoryBackend();
  const join = async (host: string, role: 'origin' | 'edge', load: number) => {
    const node = nodeInfo({ host, role });
    const directory: Directory = createMemoryDirectory(backend, { node, logger, ...QUICK, load: () => load });
    closers.push(() => directory.close('test over'));
    await directory.start();
    return { node, directory };
  };
  const [a, b, edge] = [await join('a', 'origin', 5), await join('b', 'origin', 1), await join('edge', 'edge', 0)];
  await until('the edge knows the origins', () => edge.directory.knownNodes('origin').length === 2);
  const [client, finder, probe, registry] = [
    new FakeRelayClient(),
    new FakeFinder(),
    new FakeProbe(),
    new StreamRegistry(),
  ];
  client.onOpen = (relay) => relay.start();
  const { node, directory } = edge;
  const gate = new EdgeGate({
    node,
    directory,
    registry,
    probe,
    finder,
    logger,
    config: testConfig(),
    pushClient: client,
    startMs: 30_000,
    recoverMs: 30_000,
    ...over,
  });
  closers.push(() => gate.close('test over'));
  return { backend, a, b, edge, gate, client, finder, probe, registry };
}

test('an encoder is handed on to the origin with the fewest sessions, apart from what viewers play here', async () => {
  const { gate, client, edge, registry } = await rig();
  const publication = await gate.publish(key, session(), ignore);
  assert.equal(client.last?.request.target.host, 'b');
  assert.deepEqual(client.last.request.path, [edge.node.nodeId]);
  assert.equal(client.last.request.stream, publication.stream);
  assert.equal(registry.get(key), undefined);
  assert.deepEqual([...gate.handedOver()], [publication.stream]);
  assert.deepEqual(gate.counts, { pushesStarted: 1, pushesActive: 1 });
  publication.close('the encoder left');
  publication.close('again');
  await until('the connection to the origin ended', () => gate.counts.pushesActive === 0);
  assert.equal(client.last.closedBecause, 'the encoder left');
  assert.equal(gate.publications, 0);
});

test('the encoder hears that the stream is busy', async () => {
  const { gate, client } = await rig();
  client.onOpen = (relay) => relay.end('busy');
  await assert.rejects(gate.publish(key, session(), ignore), { code: 'busy' });
  assert.equal(client.relays.length, 1, 'asking another origin would be no use');
  assert.equal(gate.publications, 0);
});

test('an origin that can’t take it is passed over', async () => {
  const { gate, client } = await rig();
  client.onOpen = (relay) => (relay.request.target.host === 'b' ? relay.end('unreachable') : relay.start());
  await gate.publish(key, session(), ignore);
  assert.deepEqual(
    client.relays.map(({ request }) => request.target.host),
    ['b', 'a'],
  );
});

test('no origin at all: the encoder is told to try again later', async () => {
  const { gate, client } = await rig({ startMs: 300 });
  client.onOpen = (relay) => relay.end('refused');
  await assert.rejects(gate.publish(key, session(), ignore), { code: 'unavailable' });
  client.onOpen = (relay) => relay.end('denied');
  await assert.rejects(gate.publish(key, session(), ignore), { code: 'denied' });
  assert.equal(gate.counts.pushesActive, 0);
});

test('the origin dies: the stream goes to another one and the encoder does not notice', async () => {
  const { gate, client, probe } = await rig();
  const revoked: string[] = [];
  await gate.publish(key, session(), (reason) => revoked.push(reason));
  probe.answer = () => 'no';
  client.last?.end('ended');
  await until('another origin has it', () => gate.counts.pushesStarted === 2);
  assert.equal(client.last?.request.target.host, 'a');
  client.last?.end('broken');
  await until('the first one again', () => gate.counts.pushesStarted === 3);
  assert.deepEqual(revoked, []);
});

test('an origin that gives no sign of life is lost; one that does is not', async () => {
  const { gate, client } = await rig({ silentMs: 30 });
  client.onOpen = (relay) => {
    relay.onPing = () => (relay.bytesIn += relay.request.target.host === 'b' ? 0 : 18);
    relay.start();
  };
  const revoked: string[] = [];
  await gate.publish(key, session(), (reason) => revoked.push(reason));
  assert.equal(client.last?.request.target.host, 'b');
  await until('another origin has it', () => gate.counts.pushesStarted === 2);
  assert.equal(client.relays[0]?.closedBecause, 'the origin gives no sign of life');
  await until('it was asked often', () => (client.last?.pings ?? 0) >= 12);
  assert.equal(client.last?.request.target.host, 'a');
  assert.deepEqual([client.relays.length, revoked], [2, []]);
});

test('the owner of the stream comes first, whatever its load', async () => {
  const { gate, client, a } = await rig();
  await a.directory.claim(key, { askedOrigins: true });
  await gate.publish(key, session(), ignore);
  assert.equal(client.last?.request.target.host, 'a');
});

test('every origin lost for too long: the encoder is ended, once', async () => {
  const { gate, client } = await rig({ recoverMs: 300 });
  const revoked: string[] = [];
  const publication = await gate.publish(key, session(), (reason) => revoked.push(reason));
  client.onOpen = (relay) => relay.end('unreachable');
  client.last?.end('broken');
  await until('the encoder was ended', () => revoked.length > 0);
  publication.close('ended');
  assert.equal(revoked.length, 1);
  assert.equal(gate.publications, 0);
});

test('a stream that another publisher took is not taken back', async () => {
  const { gate, client, probe, a } = await rig();
  const revoked: string[] = [];
  const replaced = { ...key, vhost: 'replace' };
  await gate.publish(replaced, session(), (reason) => revoked.push(reason));
  await a.directory.claim(replaced, { askedOrigins: true });
  probe.answer = () => 'yes';
  client.last?.end('ended');
  await until('the encoder was ended', () => revoked.length > 0);
  assert.equal(client.relays.length, 1);
});

test('a second encoder on the edge: refused, or with Replace in the first one’s place', async () => {
  const { gate } = await rig();
  const revoked: string[] = [];
  await gate.publish(key, session(), ignore);
  await assert.rejects(gate.publish(key, session(), ignore), { code: 'busy' });
  const replaced = { ...key, vhost: 'replace' };
  const first = await gate.publish(replaced, session(), (reason) => revoked.push(reason));
  await gate.publish(replaced, session(), ignore);
  assert.equal(revoked.length, 1);
  first.close('revoked');
  assert.equal(gate.publications, 2);
});

test('the directory away: origins are found by asking them', async () => {
  const { gate, backend, edge, client, finder } = await rig();
  backend.setAway(true);
  assert.equal(edge.directory.state, 'down');
  finder.answer = {
    owner: undefined,
    isClaiming: false,
    reachable: [{ nodeId: 'found', host: 'found', rtmpPort: 1 }],
  };
  await gate.publish(key, session(), ignore);
  assert.equal(client.last?.request.target.host, 'found');
});

test('an edge owns nothing: relays and forbidden encoders are refused', async () => {
  const { gate } = await rig();
  const relay = { path: ['other'] };
  await assert.rejects(gate.play(key, session({ relay })), { code: 'not-here' });
  await assert.rejects(gate.publish(key, session({ relay }), ignore), { code: 'denied' });
  await assert.rejects(gate.publish({ ...key, vhost: 'deny' }, session(), ignore), { code: 'denied' });
  await assert.rejects(gate.play({ ...key, vhost: 'nowhere' }, session()), { code: 'no-vhost' });
  assert.equal(gate.peerPublisher(key).published, false);
  assert.equal(gate.peerYield(key, 1, 'other').published, false);
  assert.equal((await gate.play(key, session())).vhost.name, 'v');
  gate.drain();
  await assert.rejects(gate.play(key, session()), { code: 'draining' });
});
