import assert from 'node:assert/strict';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import fc from 'fast-check';
import { until } from '#contract/testing/until.ts';
import { loadSendToAll, sendToAllPath } from './send-to-all.ts';
import type { SendToAll } from './send-to-all.ts';

const { EAGAIN, EBADF, ECONNRESET, ENOTSOCK, EPIPE } = constants.errno;

/** One end that is written to by its descriptor, and the other that reads. */
interface Pair {
  readonly writer: Socket;
  readonly reader: Socket;
  readonly descriptor: number;
  /** All that the reader has got. */
  readonly received: () => Buffer;
}

function required(): SendToAll {
  const sendToAll = loadSendToAll((reason) => assert.fail(reason));
  assert.ok(sendToAll);
  return sendToAll;
}

describe('sendToAll', () => {
  let sendToAll: SendToAll;
  let server: Server;
  const pairs: Pair[] = [];

  before(async () => {
    sendToAll = required();
    server = createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1');
    await once(server, 'listening');
  });

  afterEach(() => {
    for (const { reader, writer } of pairs.splice(0)) {
      reader.destroy();
      writer.destroy();
    }
  });

  after(() => server.close());

  async function makePair(): Promise<Pair> {
    const accepted = once(server, 'connection') as Promise<[Socket]>;
    const reader = connect((server.address() as AddressInfo).port, '127.0.0.1');
    const [[writer]] = await Promise.all([accepted, once(reader, 'connect')]);
    const got: Buffer[] = [];
    reader.on('data', (bytes: Buffer) => got.push(bytes));
    for (const socket of [reader, writer]) socket.on('error', () => undefined);
    const { fd } = (writer as unknown as { _handle: { fd: number } })._handle;
    const pair = { reader, writer, descriptor: fd, received: () => Buffer.concat(got) };
    pairs.push(pair);
    return pair;
  }

  async function makePairs(count: number): Promise<Pair[]> {
    const made: Pair[] = [];
    while (made.length < count) made.push(await makePair());
    return made;
  }

  /** Gives what sendToAll answers and what it wrote about each. */
  function send(descriptors: readonly number[], bytes: Uint8Array): { unfinished: number; sent: number[] } {
    const sent = new Int32Array(descriptors.length);
    const unfinished = sendToAll(Int32Array.from(descriptors), descriptors.length, bytes, sent);
    return { unfinished, sent: [...sent] };
  }

  test('all sockets get the same bytes', async () => {
    const all = await makePairs(4);
    const bytes = Buffer.from('one frame for everybody');
    const descriptors = all.map(({ descriptor }) => descriptor);
    assert.deepEqual(send(descriptors, bytes), { unfinished: 0, sent: descriptors.map(() => bytes.length) });
    await until('everybody has the bytes', () => all.every(({ received }) => received().length === bytes.length));
    for (const { received } of all) assert.deepEqual(received(), bytes);
  });

  test('of a part of a larger buffer that part is sent, and only to the first count descriptors', async () => {
    const all = await makePairs(3);
    const sent = new Int32Array(3).fill(77);
    const bytes = Buffer.from('before|inside|after').subarray(7, 13);
    const descriptors = Int32Array.from(all, ({ descriptor }) => descriptor);
    assert.equal(sendToAll(descriptors, 2, bytes, sent), 0);
    assert.deepEqual([...sent], [6, 6, 77]);
    assert.equal(sendToAll(descriptors.subarray(2), 1, Buffer.from('last'), sent.subarray(1)), 0);
    assert.deepEqual([...sent], [6, 4, 77]);
    await until('all bytes have come', () => all.every(({ received }) => received().length >= 4));
    await until('the first two have all', () => all.slice(0, 2).every(({ received }) => received().length === 6));
    assert.deepEqual(
      all.map(({ received }) => received().toString()),
      ['inside', 'inside', 'last'],
    );
  });

  test('a full socket takes a part and then nothing, and the others all', async () => {
    const [first, full, last] = (await makePairs(3)) as [Pair, Pair, Pair];
    full.reader.pause();
    const descriptors = [first, full, last].map(({ descriptor }) => descriptor);
    const filling = Buffer.from(Array.from({ length: 1_000_003 }, (_, i) => i % 251));
    const taken: Buffer[] = [];
    let parts = 0;
    await until('the socket takes a part of what it gets', () => {
      const { unfinished, sent } = send([full.descriptor], filling);
      assert.equal(unfinished, sent[0] === filling.length ? 0 : 1);
      if (sent[0]! > 0) taken.push(filling.subarray(0, sent[0]));
      if (sent[0]! > 0 && sent[0]! < filling.length) parts++;
      return parts > 0;
    });

    // What is under way reaches the other end's memory, and that makes room again, a few times.
    const word = Buffer.from('a word for all');
    let words = 0;
    await until('the socket takes nothing', () => {
      const { unfinished, sent } = send(descriptors, word);
      words++;
      assert.deepEqual([sent[0], sent[2]], [word.length, word.length]);
      assert.equal(unfinished, sent[1] === word.length ? 0 : 1);
      if (sent[1]! > 0) taken.push(word.subarray(0, sent[1]));
      else assert.equal(sent[1], -EAGAIN);
      return sent[1] === -EAGAIN;
    });

    const all = Buffer.concat(taken);
    full.reader.resume();
    await until('what was taken has come', () => full.received().length === all.length);
    assert.ok(full.received().equals(all));
    for (const { received } of [first, last]) {
      await until('the others have every word', () => received().length === words * word.length);
      assert.equal(received().toString(), word.toString().repeat(words));
    }
  });

  test('a viewer that is gone gives an error of its own, and the others all', async () => {
    const [first, gone, last] = (await makePairs(3)) as [Pair, Pair, Pair];
    gone.reader.resetAndDestroy();
    const word = Buffer.from('a word');
    let words = 0;
    let error = 0;
    await until('the reset has come', () => {
      const { sent } = send([first.descriptor, gone.descriptor, last.descriptor], word);
      words++;
      assert.deepEqual([sent[0], sent[2]], [word.length, word.length]);
      error = sent[1]!;
      return error < 0;
    });
    assert.ok([-EPIPE, -ECONNRESET].includes(error), `errno ${-error}`);
    assert.deepEqual(send([gone.descriptor], word), { unfinished: 1, sent: [-EPIPE] });
    for (const { received } of [first, last]) {
      await until('the others have every word', () => received().length === words * word.length);
    }
  });

  test('any number may be a descriptor: what is none gives EBADF, what is no socket ENOTSOCK', async () => {
    const [pair] = (await makePairs(1)) as [Pair];
    const folder = mkdtempSync(join(tmpdir(), 'send-to-all-'));
    const file = openSync(join(folder, 'file'), 'w');
    try {
      const { unfinished, sent } = send([-1, 0x7fffffff, -0x80000000, file, pair.descriptor], Buffer.from('x'));
      assert.deepEqual(sent, [-EBADF, -EBADF, -EBADF, -ENOTSOCK, 1]);
      assert.equal(unfinished, 4);
    } finally {
      closeSync(file);
      rmSync(folder, { recursive: true });
    }
  });

  test('a count of 0 sends nothing', async () => {
    const [pair] = (await makePairs(1)) as [Pair];
    const sent = Int32Array.of(77);
    assert.equal(sendToAll(Int32Array.of(pair.descriptor), 0, Buffer.from('unsent'), sent), 0);
    assert.equal(sendToAll(new Int32Array(0), 0, Buffer.from('unsent'), new Int32Array(0)), 0);
    assert.deepEqual([...sent], [77]);
    assert.deepEqual(send([pair.descriptor], Buffer.alloc(0)), { unfinished: 0, sent: [0] });
    send([pair.descriptor], Buffer.from('sent'));
    await until('what was sent has come', () => pair.received().length >= 4);
    assert.equal(pair.received().toString(), 'sent');
  });

  test('arguments that are something else throw, and nothing is sent', async () => {
    const [pair] = (await makePairs(1)) as [Pair];
    const descriptors = Int32Array.of(pair.descriptor);
    const bytes = Buffer.from('unsent');
    const sent = Int32Array.of(77);
    const type = { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' };
    const range = { name: 'RangeError', code: 'ERR_OUT_OF_RANGE' };
    const given = (...values: unknown[]) => Reflect.apply(sendToAll, undefined, values);
    const wrongDescriptors: unknown[] = [
      undefined,
      null,
      [pair.descriptor],
      pair.descriptor,
      new Uint32Array(1),
      new Float64Array(1),
      new DataView(new ArrayBuffer(4)),
    ];
    for (const wrong of wrongDescriptors) {
      assert.throws(() => given(wrong, 1, bytes, sent), {
        ...type,
        message: 'sendToAll: descriptors is not an Int32Array',
      });
      assert.throws(() => given(descriptors, 1, bytes, wrong), {
        ...type,
        message: 'sendToAll: sent is not an Int32Array',
      });
    }
    for (const wrong of [undefined, 'unsent', bytes.buffer, new Int8Array(1), new Uint8ClampedArray(1)]) {
      assert.throws(() => given(descriptors, 1, wrong, sent), {
        ...type,
        message: 'sendToAll: bytes is not a Uint8Array',
      });
    }
    for (const wrong of [undefined, null, '1', 1n, {}]) {
      assert.throws(() => given(descriptors, wrong, bytes, sent), {
        ...type,
        message: 'sendToAll: count is not a number',
      });
    }
    for (const wrong of [-1, 0.5, Number.NaN, Infinity, 2 ** 32, -Infinity]) {
      const message = 'sendToAll: count is not a whole number from 0';
      assert.throws(() => given(descriptors, wrong, bytes, sent), { ...range, message });
    }
    const two = new Int32Array(2);
    assert.throws(() => given(descriptors, 2, bytes, two), { ...range, message: /more than descriptors holds/ });
    assert.throws(() => given(two, 2, bytes, sent), { ...range, message: /more than sent has room for/ });
    assert.throws(() => given(), type);
    const detached = Int32Array.of(pair.descriptor);
    structuredClone(detached, { transfer: [detached.buffer] });
    assert.throws(() => given(detached, 1, bytes, sent), { ...range, message: /more than descriptors holds/ });

    assert.deepEqual([...sent], [77]);
    send([pair.descriptor], Buffer.from('sent'));
    await until('what was sent has come', () => pair.received().length >= 4);
    assert.equal(pair.received().toString(), 'sent');
  });

  test('more bytes than an Int32 counts are refused', () => {
    // Memory that nobody touches.
    const bytes = new Uint8Array(2 ** 31);
    const message = 'sendToAll: bytes is longer than 2147483647';
    assert.throws(() => sendToAll(Int32Array.of(-1), 1, bytes, new Int32Array(1)), { name: 'RangeError', message });
    assert.deepEqual(send([-1], bytes.subarray(1)), { unfinished: 1, sent: [-EBADF] });
  });

  test('sizes of any kind: each reader has what the kernel is said to have taken, whoever reads slowly', async () => {
    const all = await makePairs(4);
    const taken = all.map((): Buffer[] => []);
    const pauses = fc.array(fc.boolean(), { minLength: 4, maxLength: 4 });
    const size = fc.oneof(fc.nat(64), fc.nat(20_000), fc.nat(900_000));
    const step = fc.record({ size, first: fc.nat(255), pauses, chosen: fc.subarray([0, 1, 2, 3]) });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
        for (const received of taken) received.length = 0;
        const before = all.map(({ received }) => received().length);
        for (const { size: length, first, pauses: paused, chosen } of steps) {
          all.forEach(({ reader }, i) => (paused[i] ? reader.pause() : reader.resume()));
          const bytes = Buffer.alloc(length, first);
          const { unfinished, sent } = send(
            chosen.map((i) => all[i]!.descriptor),
            bytes,
          );
          assert.equal(unfinished, sent.filter((each) => each !== length).length);
          chosen.forEach((i, at) => {
            assert.ok(sent[at] === -EAGAIN || (sent[at]! >= 0 && sent[at]! <= length), `sent ${sent[at]} of ${length}`);
            if (sent[at]! > 0) taken[i]!.push(bytes.subarray(0, sent[at]));
          });
          await wait(0);
        }
        for (const { reader } of all) reader.resume();
        for (const [i, { received }] of all.entries()) {
          const expected = Buffer.concat(taken[i]!);
          await until('what was taken has come', () => received().length - before[i]! >= expected.length, 1);
          assert.ok(received().subarray(before[i]).equals(expected), `reader ${i} has other bytes`);
        }
      }),
      { numRuns: 30 },
    );
  });
});

describe('loadSendToAll', () => {
  test('where it is not built the answer is undefined, with what mends it', () => {
    const reasons: string[] = [];
    const path = join(tmpdir(), 'livecluster-no-such-folder', 'send-to-all.node');
    assert.equal(
      loadSendToAll((reason) => reasons.push(reason), path),
      undefined,
    );
    assert.deepEqual(reasons, [`${path} is not built: install a C compiler and run "make deps"`]);
  });

  test('a file that is no module of this platform is told, with its path', () => {
    const folder = mkdtempSync(join(tmpdir(), 'send-to-all-'));
    const reasons: string[] = [];
    const path = join(folder, 'send-to-all.node');
    writeFileSync(path, 'no module');
    try {
      assert.equal(
        loadSendToAll((reason) => reasons.push(reason), path),
        undefined,
      );
    } finally {
      rmSync(folder, { recursive: true });
    }
    assert.equal(reasons.length, 1);
    assert.ok(reasons[0]!.startsWith(`${path} does not load: `), reasons[0]);
  });

  test('what is built has a name for its platform and loads twice as the same function', () => {
    assert.ok(sendToAllPath.endsWith(`/media-node/native/build/send-to-all-${process.platform}-${process.arch}.node`));
    assert.equal(required(), required());
  });
});
