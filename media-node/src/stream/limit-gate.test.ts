import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import fc from 'fast-check';
import { VHOST_DEFAULTS, VhostConfig } from '#contract/node-config.ts';
import { GateError } from './gate.ts';
import type { Gate, SessionInfo } from './gate.ts';
import { INGEST_BURST_MS, LimitGate, METER_MS } from './limit-gate.ts';
import type { VhostLimits } from './limit-gate.ts';
import { StreamRegistry } from './stream-registry.ts';

const VHOST = VhostConfig.parse({ ...VHOST_DEFAULTS, name: 'v', hosts: ['v'] });
const key = (stream: string, vhost = 'v') => ({ vhost, app: 'live', stream });
let sessions = 0;
const session = (relay?: SessionInfo['relay']): SessionInfo => ({
  id: `session-${++sessions}`,
  protocol: 'rtmp',
  ip: '127.0.0.1',
  tcUrl: '',
  pageUrl: '',
  param: '',
  ...(relay !== undefined && { relay }),
});
const RELAY = { path: ['a'] };
const never = () => assert.fail('not to be revoked');

let registry: StreamRegistry;
let limits: VhostLimits;
let nowMs: number;
let refusal: GateError | undefined;
let gate: LimitGate;

beforeEach(() => {
  registry = new StreamRegistry();
  limits = {};
  nowMs = 0;
  refusal = undefined;
  const inner: Gate = {
    vhost: () => VHOST,
    publish: async (which) => {
      if (refusal !== undefined) throw refusal;
      return { stream: registry.open(which), vhost: VHOST, close: () => undefined };
    },
    play: async (which) => {
      if (refusal !== undefined) throw refusal;
      return { stream: registry.open(which), vhost: VHOST };
    },
  };
  gate = new LimitGate({ inner, limitsOf: (vhost) => (vhost === 'gone' ? undefined : limits), now: () => nowMs });
});
afterEach(() => {
  gate.close();
  registry.close('the test is over');
});

const limited = (work: Promise<unknown>, name: RegExp) =>
  assert.rejects(work, (error) => error instanceof GateError && error.code === 'limit' && name.test(error.message));

test('without limits, and for a vhost that is gone, nobody is refused', async () => {
  for (let count = 0; count < 20; count++) {
    await gate.publish(key(`s${count}`), session(), never);
    await gate.play(key('s'), session());
    await gate.play(key('s', 'gone'), session());
  }
  assert.deepEqual(gate.reached, { maxPublishers: 0, maxViewers: 0, maxViewersPerStream: 0, maxIngestKbps: 0 });
});

test('publishers are taken up to the limit of their vhost, and again when one has left', async () => {
  limits = { maxPublishers: 2 };
  const first = await gate.publish(key('a'), session(), never);
  await gate.publish(key('b'), session(RELAY), never);
  await limited(
    gate.publish(key('c'), session(), never),
    /publishers of the vhost on this node: 2, and limits\.maxPublishers is 2/,
  );
  await gate.publish(key('c', 'other'), session(), never);
  // Who comes for a stream that has a publisher takes its place or is refused by the gate behind.
  const second = await gate.publish(key('a'), session(), never);
  first.close('replaced');
  first.close('again');
  await limited(gate.publish(key('c'), session(), never), /maxPublishers/);
  second.close('gone');
  await gate.publish(key('c'), session(), never);
  assert.equal(gate.reached.maxPublishers, 2);
});

test('viewers are taken up to the limits of their vhost and stream; other nodes are no viewers', async () => {
  limits = { maxViewers: 3, maxViewersPerStream: 2 };
  const first = await gate.play(key('a'), session());
  await gate.play(key('a'), session());
  await limited(
    gate.play(key('a'), session()),
    /viewers of the stream on this node: 2, and limits\.maxViewersPerStream is 2/,
  );
  await gate.play(key('b'), session());
  await limited(gate.play(key('b'), session()), /viewers of the vhost on this node: 3, and limits\.maxViewers is 3/);
  for (let count = 0; count < 5; count++) await gate.play(key('a'), session(RELAY));
  first.close?.();
  first.close?.();
  await gate.play(key('a'), session());
  await limited(gate.play(key('b'), session()), /maxViewers/);
  assert.deepEqual(gate.reached, { maxPublishers: 0, maxViewers: 2, maxViewersPerStream: 1, maxIngestKbps: 0 });
});

test('who is refused behind takes no place, and one who waits for an answer has one', async () => {
  limits = { maxPublishers: 1, maxViewers: 1 };
  refusal = new GateError('busy', 'no');
  await assert.rejects(gate.publish(key('a'), session(), never), { code: 'busy' });
  await assert.rejects(gate.play(key('a'), session()), { code: 'busy' });
  refusal = undefined;
  const both = await Promise.allSettled([gate.play(key('a'), session()), gate.play(key('b'), session())]);
  assert.deepEqual(
    both.map(({ status }) => status),
    ['fulfilled', 'rejected'],
  );
});

test('a limit that changes is in force for who comes next, and ends nobody', async () => {
  for (const name of ['a', 'b', 'c']) await gate.play(key(name), session());
  limits = { maxViewers: 1 };
  await limited(gate.play(key('d'), session()), /viewers of the vhost on this node: 3, and limits\.maxViewers is 1/);
  limits = { maxViewers: 4 };
  await gate.play(key('d'), session());
});

/** A publisher that has sent `bytesIn` so far, and what became of it. */
async function encoder(name: string, about = session()) {
  const revoked: string[] = [];
  const publication = await gate.publish(key(name), about, (reason) => revoked.push(reason));
  const state = { id: about.id, kind: 'encoder', protocol: 'rtmp', ip: '', tcUrl: '', bytesIn: 0, revoked } as const;
  const publisher = { ...state, bytesIn: 0, close: () => undefined };
  publication.stream.attach(publisher);
  return { publication, publisher, revoked };
}
/** Lets seconds pass in which it sends so many kilobits each. */
function send({ publisher }: Awaited<ReturnType<typeof encoder>>, kilobits: readonly number[]): void {
  for (const each of kilobits) {
    publisher.bytesIn += each * 125;
    nowMs += METER_MS;
    gate.look();
  }
}
const seconds = (count: number, kbps: number) => Array.from({ length: count }, () => kbps);

test('an encoder at twice the limit is ended after the burst time, with one line that says both rates', async () => {
  limits = { maxIngestKbps: 1_000 };
  const fast = await encoder('a');
  gate.look();
  send(fast, seconds(INGEST_BURST_MS / 1_000, 2_000));
  assert.deepEqual(fast.revoked, []);
  send(fast, seconds(3, 2_000));
  assert.equal(fast.revoked.length, 1);
  assert.match(
    fast.revoked[0] ?? '',
    /sends 2000 kbit\/s, more than limits\.maxIngestKbps \(1000\): lower its bit rate/,
  );
  assert.equal(gate.reached.maxIngestKbps, 1);
});

test('what comes at once after a stall, a big key frame, and any rate without a limit are let through', async () => {
  limits = { maxIngestKbps: 1_000 };
  const bursty = await encoder('a');
  gate.look();
  send(bursty, [...seconds(60, 1_000), ...seconds(4, 0), 5_000, ...seconds(60, 900), 4_000, ...seconds(60, 900)]);
  assert.deepEqual(bursty.revoked, []);
  limits = {};
  send(bursty, seconds(60, 50_000));
  assert.deepEqual(bursty.revoked, []);
  limits = { maxIngestKbps: 1_000 };
  send(bursty, seconds(2, 50_000));
  assert.equal(bursty.revoked.length, 1, 'a limit that is set is in force for who is there');
});

test('what was sent before the first look, by another session or by a relay, is not counted', async () => {
  limits = { maxIngestKbps: 1_000 };
  const late = await encoder('a');
  late.publisher.bytesIn = 1e9;
  gate.look();
  send(late, seconds(3, 500));
  const relayed = await encoder('b', session(RELAY));
  gate.look();
  send(relayed, seconds(20, 50_000));
  const left = await encoder('c');
  gate.look();
  left.publication.close('gone');
  send(left, seconds(20, 50_000));
  assert.deepEqual([late.revoked, relayed.revoked, left.revoked], [[], [], []]);
});

test('an encoder within its limit in every second is never ended, and one over it for long always is', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 0, max: 1_000 }), { maxLength: 60 }), async (rates) => {
      limits = { maxIngestKbps: 1_000 };
      const steady = await encoder(`steady-${++sessions}`);
      gate.look();
      send(steady, rates);
      assert.deepEqual(steady.revoked, []);
      send(steady, rates.map((rate) => rate + 1_001).concat(seconds(10, 3_000)));
      assert.equal(steady.revoked.length, 1);
      steady.publication.close('done');
    }),
    { numRuns: 50 },
  );
});
