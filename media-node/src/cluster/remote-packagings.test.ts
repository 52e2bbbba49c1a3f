import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { createServer } from 'node:net';
import { afterEach, describe, test } from 'node:test';
import { pino } from 'pino';
import type { PackagingSnapshot } from '#contract/packaging.ts';
import { until } from '#contract/testing/until.ts';
import { MemoryLedger } from '../packaging/memory-ledger.ts';
import { PackagingError } from '../packaging/packaged-stream.ts';
import type { PackagedStream } from '../packaging/packaged-stream.ts';
import { stateText } from '../packaging/testing-node.ts';
import { createMemoryDirectory } from './memory-directory.ts';
import { lastSeq } from './packaging-snapshots.ts';
import { nodeInfo, QUICK } from './testing/directory.conformance.ts';
import { contentOf } from './testing/fake-packager.ts';
import { testConfig } from './testing/fakes.ts';
import { PackagingRig } from './testing/packaging-rig.ts';
import type { RigNode } from './testing/packaging-rig.ts';

const key = { vhost: 'v', app: 'live/eu', stream: 'demo' };

async function found(node: RigNode, of = key): Promise<PackagedStream> {
  const stream = await node.packagings.find(of);
  assert.ok(stream !== undefined, 'the stream is packaged somewhere');
  return stream;
}

async function shows(stream: PackagedStream, seq: number): Promise<PackagingSnapshot> {
  await until(`segment ${seq} is listed`, () => stream.snapshot !== undefined && lastSeq(stream.snapshot) >= seq);
  assert.ok(stream.snapshot);
  return stream.snapshot;
}

function fileOf(snapshot: PackagingSnapshot | undefined, seq: number): string {
  return snapshot?.segments.find((segment) => segment.seq === seq)?.media.ts?.file ?? `none with ${seq}`;
}

/** So many segments that none of before is listed. */
function moveOn(node: RigNode): void {
  for (let segments = 0; segments < 6; segments++) node.packager.find(key)?.segment();
}

describe('packaged streams of other nodes', () => {
  const rigs: PackagingRig[] = [];
  afterEach(async () => {
    for (const rig of rigs.splice(0)) await rig.close();
  });
  const open = (): PackagingRig => {
    const rig = new PackagingRig();
    rigs.push(rig);
    return rig;
  };

  test('a thousand viewers of one file are one fetch, and one poll at a time', async () => {
    const rig = open();
    const [origin, edge] = [await rig.node('origin'), await rig.node('edge')];
    const packaged = await origin.publish(key);
    const seq = packaged.segment();
    const streams = await Promise.all(Array.from({ length: 1_000 }, () => found(edge)));
    assert.equal(new Set(streams).size, 1);
    const [stream] = streams;
    assert.ok(stream);
    const snapshot = await shows(stream, seq);
    const file = fileOf(snapshot, seq);
    const bytes = await Promise.all(streams.map(async (each) => each.read(file)));
    assert.ok(bytes.every((each) => each === bytes[0]));
    assert.deepEqual(bytes[0], contentOf(origin.nodeId, seq));
    assert.equal(origin.packager.reads.get(file), 1);
    await until('the edge polls', () => packaged.waiting > 0);
    assert.equal(packaged.waiting, 1);
    assert.ok(edge.remote.counts.polls <= 3, `${edge.remote.counts.polls} polls`);
  });

  test('what somebody asked for lately is fetched before it is listed', async () => {
    const rig = open();
    const [origin, edge] = [await rig.node('origin'), await rig.node('edge')];
    const packaged = await origin.publish(key);
    const first = packaged.segment();
    const stream = await found(edge);
    await stream.read(fileOf(await shows(stream, first), first));
    const second = packaged.segment();
    const file = fileOf(await shows(stream, second), second);
    assert.ok(Buffer.isBuffer(stream.read(file)), 'it is in memory');
    assert.equal(origin.packager.reads.get(file), 1);
  });

  test('a segment whose parts are here is made of them', async () => {
    const rig = open();
    const [origin, edge] = [await rig.node('origin'), await rig.node('edge')];
    const packaged = await origin.publish(key);
    packaged.part();
    const stream = await found(edge);
    await until('the first part is listed', () => stream.snapshot?.open !== undefined);
    await stream.read(stream.snapshot?.open?.media.video?.parts[0]?.file ?? '');
    for (let part = 1; part < 4; part += 1) packaged.part();
    const seq = packaged.completed();
    const snapshot = await shows(stream, seq);
    await until('it is complete', () => stream.snapshot?.open === undefined);
    const media = (stream.snapshot ?? snapshot).segments.at(-1)?.media.video;
    assert.ok(media);
    const whole = await stream.read(media.file);
    assert.equal(whole?.length, media.bytes);
    assert.deepEqual(whole, origin.packager.find(key)?.read(media.file));
    // Read by this test alone.
    assert.equal(origin.packager.reads.get(media.file), 1);
    assert.equal(edge.remote.counts.assembled, 1);
    const parts = await Promise.all(media.parts.map(async ({ file }) => stream.read(file)));
    assert.deepEqual(Buffer.concat(parts.map((part) => part ?? Buffer.alloc(0))), whole);
  });

  test('the next owner goes on where the last one died, and old segments come from memories', async () => {
    const rig = open();
    const [first, second, edge, fresh] = [
      await rig.node('origin'),
      await rig.node('origin'),
      await rig.node('edge'),
      await rig.node('edge'),
    ];
    await rig.settled();
    const packaged = await first.publish(key);
    let seq = packaged.segment();
    const stream = await found(edge);
    await stream.read(fileOf(await shows(stream, seq), seq));
    seq = packaged.segment();
    const before = await shows(stream, seq);
    await first.crash();
    assert.equal(stream.snapshot, before, 'the playlist stays');
    assert.deepEqual(await stream.read(fileOf(before, seq)), contentOf(first.nodeId, seq));
    const next = await second.publish(key, packaged.state);
    const after = next.segment();
    const snapshot = await shows(stream, after);
    assert.equal(snapshot.nodeId, second.nodeId);
    assert.equal(snapshot.segments.at(-1)?.isDiscontinuity, true);
    // An edge that never saw it, and the new owner itself, ask whoever has it.
    for (const node of [edge, fresh, second]) {
      const other = await found(node);
      await shows(other, after);
      for (const old of [100, 101]) {
        assert.deepEqual(await other.read(fileOf(other.snapshot, old)), contentOf(first.nodeId, old));
      }
      assert.deepEqual(await other.read(fileOf(other.snapshot, after)), contentOf(second.nodeId, after));
    }
  });

  test('what nobody has since nobody watched is a gap from the first look on, on any node', async () => {
    const rig = open();
    const [first, second, edge] = [await rig.node('origin'), await rig.node('origin'), await rig.node('edge')];
    await rig.settled();
    const packaged = await first.publish(key);
    const seen = packaged.segment();
    const stream = await found(edge);
    await stream.read(fileOf(await shows(stream, seen), seen));
    await first.crash();
    const lost = [packaged.segment(), packaged.segment()];
    const late = await rig.node('edge');
    await rig.settled();
    const next = await second.publish(key, packaged.state);
    const gaps = (of: PackagedStream) => of.snapshot?.segments.filter(({ isGap }) => isGap).map(({ seq }) => seq) ?? [];
    const here = await found(second);
    assert.deepEqual(gaps(here), lost, 'on the node that goes on');
    assert.deepEqual(await here.read(fileOf(here.snapshot, seen)), contentOf(first.nodeId, seen));
    const after = next.segment();
    const there = await found(late);
    await shows(there, after);
    assert.deepEqual(gaps(there), lost, 'on one that nobody asked before');
    assert.deepEqual(await there.read(fileOf(there.snapshot, seen)), contentOf(first.nodeId, seen));
  });

  test('a node that is silent holds up nobody who asks first: what it might have had is a gap a while later', async (t) => {
    const rig = open();
    const [first, second, edge] = [await rig.node('origin'), await rig.node('origin'), await rig.node('edge')];
    const sockets = new Set<Socket>();
    const silent = createServer((socket) => void sockets.add(socket)).listen(0, '127.0.0.1');
    t.after(() => {
      for (const socket of sockets) socket.destroy();
      silent.close();
    });
    await once(silent, 'listening');
    const { port: adminPort } = silent.address() as AddressInfo;
    const node = nodeInfo({ role: 'edge', host: '127.0.0.1', adminPort, ordinal: 9 });
    const directory = createMemoryDirectory(rig.backend, { node, logger: pino({ level: 'silent' }), ...QUICK });
    await directory.start();
    t.after(() => directory.close('test over'));
    await until('it is known', () => edge.directory.knownNodes('edge').some(({ nodeId }) => nodeId === node.nodeId));
    const packaged = await first.publish(key);
    const lost = [packaged.segment(), packaged.segment()];
    await first.crash();
    const next = await second.publish(key, packaged.state);
    const after = next.segment();
    const stream = await found(edge);
    const gaps = () => stream.snapshot?.segments.filter(({ isGap }) => isGap).map(({ seq }) => seq);
    await shows(stream, after);
    assert.deepEqual(gaps(), []);
    await until('they are gaps', () => gaps()?.length === 2);
    assert.deepEqual(gaps(), lost);
  });

  test('what nobody has since nobody watched is a gap as soon as somebody asks for it', async () => {
    const rig = open();
    const [first, second, edge] = [await rig.node('origin'), await rig.node('origin'), await rig.node('edge')];
    await rig.settled();
    const packaged = await first.publish(key);
    const lost = [packaged.segment(), packaged.segment()];
    await first.crash();
    const next = await second.publish(key, { ...packaged.state, isUntold: true });
    const after = next.segment();
    const stream = await found(edge);
    const before = await shows(stream, after);
    assert.equal(await stream.read(fileOf(before, lost[0]!)), undefined);
    const gaps = () => stream.snapshot?.segments.filter(({ isGap }) => isGap).map(({ seq }) => seq) ?? [];
    await until('both are gaps', () => gaps().length === 2);
    assert.deepEqual(gaps(), lost);
    const later = next.segment();
    await shows(stream, later);
    assert.deepEqual(gaps(), lost, 'and stay it');
    assert.deepEqual(await stream.read(fileOf(stream.snapshot, after)), contentOf(second.nodeId, after));
  });

  test('what nobody has any more is a gap on the node that goes on, too, as soon as somebody asks for it', async () => {
    const rig = open();
    const [first, second] = [await rig.node('origin'), await rig.node('origin')];
    const packaged = await first.publish(key);
    const lost = [packaged.segment(), packaged.segment()];
    await first.crash();
    const next = await second.publish(key, { ...packaged.state, isUntold: true });
    const stream = await found(second);
    const before = stream.snapshot;
    assert.equal(await stream.read(fileOf(before, lost[0]!)), undefined);
    const gaps = () => stream.snapshot?.segments.filter(({ isGap }) => isGap).map(({ seq }) => seq);
    assert.deepEqual(gaps(), lost.slice(0, 1));
    assert.equal(stream.snapshot, stream.snapshot, 'a playlist version is one object');
    let hasChanged = false;
    const waits = stream.changed(stream.snapshot, 20_000).then(() => (hasChanged = true));
    await stream.changed(before, 20_000);
    assert.equal(hasChanged, false, 'who has the gap already waits on');
    for (let seq = next.segment(); seq < lost[0]! + 4;) seq = next.segment();
    await waits;
    assert.deepEqual(gaps(), lost.slice(0, 1), 'and it stays one');
    next.segment();
    await until('the list has left it behind', () => gaps()?.length === 0);
    assert.equal(stream.snapshot, next.snapshot);
  });

  test('what nobody has any more is a gap', async () => {
    const rig = open();
    const [first, second, edge] = [await rig.node('origin'), await rig.node('origin'), await rig.node('edge')];
    await rig.settled();
    const packaged = await first.publish(key);
    const seen = packaged.segment();
    const stream = await found(edge);
    await stream.read(fileOf(await shows(stream, seen), seen));
    await first.crash();
    const lost = packaged.segment();
    const next = await second.publish(key, packaged.state);
    const after = next.segment();
    const snapshot = await shows(stream, after);
    assert.deepEqual(
      snapshot.segments.map(({ seq, isGap }) => [seq, isGap]),
      [
        [seen, false],
        [lost, true],
        [after, false],
      ],
    );
  });

  test('numbers never go back: an owner that lags is waited for', async () => {
    const rig = open();
    const [first, second, edge] = [await rig.node('origin'), await rig.node('origin'), await rig.node('edge')];
    const packaged = await first.publish(key);
    packaged.segment();
    const { state } = packaged;
    packaged.segment();
    const shown = packaged.segment();
    const stream = await found(edge);
    await shows(stream, shown);
    const next = await second.publish(key, state);
    const seqs: number[] = [];
    let seq = next.segment();
    while (seq <= shown) {
      await until('the edge has seen it', () => next.waiting > 0);
      seqs.push(stream.snapshot === undefined ? -1 : lastSeq(stream.snapshot));
      seq = next.segment();
    }
    const snapshot = await shows(stream, seq);
    assert.equal(snapshot.nodeId, second.nodeId);
    assert.ok(seqs.length > 0 && seqs.every((each) => each >= shown), seqs.join(' '));
    assert.deepEqual(await stream.read(fileOf(snapshot, shown)), contentOf(second.nodeId, shown));
  });

  test('a node whose stream goes on elsewhere shows what goes on', async () => {
    const rig = open();
    const [first, second] = [await rig.node('origin'), await rig.node('origin')];
    const packaged = await first.publish(key);
    packaged.segment();
    assert.equal((await found(first)).snapshot, packaged.snapshot);
    const stream = await found(first);
    const before = stream.snapshot;
    const waits = stream.changed(before, 20_000);
    const seq = (await second.publish(key, packaged.state)).segment();
    packaged.end();
    await waits;
    // Who waited on the node that lost the stream never hears of an end.
    assert.deepEqual([stream.snapshot?.nodeId, stream.snapshot?.isEnded], [second.nodeId, false]);
    assert.deepEqual(await stream.read(fileOf(stream.snapshot, seq)), contentOf(second.nodeId, seq));
    assert.deepEqual(await stream.read(fileOf(before, 100)), contentOf(first.nodeId, 100));
    assert.equal((await found(first)).snapshot?.nodeId, second.nodeId);
    await shows(await found(first), second.packager.find(key)?.segment() ?? 0);
    assert.equal((await found(second)).snapshot?.nodeId, second.nodeId);
  });

  test('an end is shown when nobody else takes the stream', async () => {
    const rig = open();
    const [origin, edge] = [await rig.node('origin'), await rig.node('edge')];
    const packaged = await origin.publish(key);
    const seq = packaged.segment();
    const stream = await found(edge);
    await shows(stream, seq);
    packaged.end();
    await until('the end is shown', () => stream.snapshot?.isEnded === true);
    origin.packager.drop(key);
    await until('it is over', () => stream.snapshot === undefined);
    assert.equal(edge.remote.shown(key), undefined);
  });

  test('a stream that ended is found where it was packaged last', async () => {
    const rig = open();
    const origin = await rig.node('origin');
    const ledger = new MemoryLedger();
    ledger.save(key, stateText({ nodeId: origin.nodeId }), 60_000);
    const edge = await rig.node('edge', { ledger, noneMs: 0 });
    await rig.settled();
    assert.equal(await edge.packagings.find(key), undefined);
    const packaged = origin.packager.begin(key);
    const seq = packaged.segment();
    packaged.end();
    const stream = await found(edge);
    assert.equal((await shows(stream, seq)).isEnded, true);
    assert.deepEqual(await stream.read(fileOf(stream.snapshot, seq)), contentOf(origin.nodeId, seq));
  });

  test('names that nobody publishes are looked up once and forgotten', async () => {
    const rig = open();
    const edge = await rig.node('edge', { noneMs: 60_000 });
    let lookups = 0;
    const lookup = edge.directory.lookup.bind(edge.directory);
    edge.directory.lookup = (of) => ((lookups += 1), lookup(of));
    for (let round = 0; round < 3; round += 1) {
      for (let name = 0; name < 50; name += 1) {
        assert.equal(await edge.packagings.find({ ...key, stream: `made-up-${name}` }), undefined);
      }
    }
    assert.equal(lookups, 50);
    assert.equal(edge.remote.stats.followed, 0);
    const origin = await rig.node('origin');
    const seq = (await origin.publish({ ...key, stream: 'made-up-7' })).segment();
    await until('a claim makes it known', async () => {
      const stream = await edge.packagings.find({ ...key, stream: 'made-up-7' });
      return stream?.snapshot !== undefined && lastSeq(stream.snapshot) === seq;
    });
  });

  test('with the directory away names that nobody publishes do not wait for the ledger', async () => {
    const rig = open();
    const ledger = new MemoryLedger();
    let loads = 0;
    ledger.load = () => {
      loads += 1;
      return new Promise(() => undefined);
    };
    const edge = await rig.node('edge', { ledger });
    rig.backend.setAway(true);
    await until('it is noticed', () => edge.directory.state === 'down');
    assert.equal(await edge.packagings.find(key), undefined);
    assert.deepEqual([loads, edge.remote.stats.followed], [0, 0]);
  });

  test('nodes that DNS alone knows are asked for old files, and this one is not', async () => {
    const rig = open();
    const named: { host: string; adminPort: number }[] = [];
    const [first, second, edge] = [
      await rig.node('origin'),
      await rig.node('origin', { named: () => named }),
      await rig.node('edge'),
    ];
    const packaged = await first.publish(key);
    const seq = packaged.segment();
    const stream = await found(edge);
    await stream.read(fileOf(await shows(stream, seq), seq));
    await first.crash();
    await second.publish(key, packaged.state);
    second.directory.knownNodes = () => [];
    const there = await found(second);
    assert.equal(await there.read(fileOf(there.snapshot, seq)), undefined);
    named.push({ host: '127.0.0.1', adminPort: second.adminPort }, { host: '127.0.0.1', adminPort: edge.adminPort });
    await until('it may be asked for again', async () => {
      const bytes = await there.read(fileOf(there.snapshot, seq));
      return bytes?.equals(contentOf(first.nodeId, seq)) === true;
    });
  });

  test('made-up files are asked for once, and too many at once are refused', async () => {
    const rig = open();
    const [origin, edge] = [await rig.node('origin'), await rig.node('edge')];
    (await origin.publish(key)).segment();
    const stream = await found(edge);
    assert.equal(await stream.read('live/eu/nothing.ts'), undefined);
    const { failed } = edge.remote.counts;
    assert.equal(await stream.read('live/eu/nothing.ts'), undefined);
    assert.equal(edge.remote.counts.failed, failed);
    const answers = await Promise.allSettled(
      Array.from({ length: 200 }, async (_, file) => stream.read(`x/${file}.ts`)),
    );
    const refused = answers.filter(({ status }) => status === 'rejected');
    assert.equal(refused.length, 200 - 64);
  });

  test('a stream that nobody asks for is followed no more, and its files stay for a while', async () => {
    const rig = open();
    const clock = { aheadMs: 0 };
    const [origin, edge] = [
      await rig.node('origin'),
      await rig.node('edge', { config: testConfig({ pullHoldMs: 0 }), now: () => Date.now() + clock.aheadMs }),
    ];
    const packaged = await origin.publish(key);
    const seq = packaged.segment();
    const stream = await found(edge);
    const file = fileOf(await shows(stream, seq), seq);
    await stream.read(file);
    clock.aheadMs = 7_000;
    await until('it is followed no more', () => edge.remote.stats.followed === 0);
    await until('nobody polls', () => packaged.waiting === 0);
    assert.deepEqual(edge.remote.inMemory(key, file), contentOf(origin.nodeId, seq));
    clock.aheadMs = 80_000;
    await until('its files are forgotten', () => edge.remote.stats.bytes === 0);
  });

  for (const [how, letGo] of [
    ['when the playlist has moved on', (node: RigNode) => moveOn(node)],
    ['when the stream is forgotten', (node: RigNode) => node.packager.drop(key)],
  ] as const) {
    test(`what a node fetched of the playlist that it went on with goes from its memory ${how}`, async () => {
      const rig = open();
      const clock = { aheadMs: 0 };
      const [first, edge] = [await rig.node('origin'), await rig.node('edge')];
      const second = await rig.node('origin', { now: () => Date.now() + clock.aheadMs });
      await rig.settled();
      const packaged = await first.publish(key);
      const seq = packaged.segment();
      const stream = await found(edge);
      const file = fileOf(await shows(stream, seq), seq);
      await stream.read(file);
      await first.crash();
      const next = await second.publish(key, packaged.state);
      next.segment();
      assert.deepEqual(await (await found(second)).read(file), contentOf(first.nodeId, seq));
      clock.aheadMs = 40_000;
      let sweeps = 0;
      second.remote.addLister(() => ++sweeps < 2);
      await until('what is not listed to be forgotten', () => sweeps === 2);
      assert.deepEqual(second.remote.inMemory(key, file), contentOf(first.nodeId, seq));
      letGo(second);
      await until('nobody lists it', () => {
        clock.aheadMs += 1_000;
        return second.remote.stats.bytes === 0;
      });
    });
  }

  test('a node follows so many streams and no more', async () => {
    const rig = open();
    const [origin, edge] = [await rig.node('origin'), await rig.node('edge', { maxStreams: 2 })];
    for (const stream of ['a', 'b', 'c']) (await origin.publish({ ...key, stream })).segment();
    await found(edge, { ...key, stream: 'a' });
    await found(edge, { ...key, stream: 'b' });
    await assert.rejects(
      async () => edge.packagings.find({ ...key, stream: 'c' }),
      (error: unknown) => error instanceof PackagingError && error.code === 'too-many',
    );
  });

  test('with the directory away the origins are asked', async () => {
    const rig = open();
    const [origin, edge] = [await rig.node('origin'), await rig.node('edge')];
    const seq = (await origin.publish(key)).segment();
    const lookup = await edge.directory.lookup(key);
    rig.backend.setAway(true);
    edge.finder.answer = { owner: lookup?.owner, isClaiming: false, reachable: [] };
    await shows(await found(edge), seq);
    assert.ok(edge.finder.calls > 0);
  });
});
