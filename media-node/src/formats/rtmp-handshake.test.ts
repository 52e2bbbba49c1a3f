import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { FormatError } from '../lib/format-error.ts';
import { digestOf, findDigest, part2Answers } from './rtmp-handshake-digest.ts';
import { ClientHandshake, type HandshakeKind, type HandshakeStep, ServerHandshake } from './rtmp-handshake.ts';
import { splitAt } from './testing.ts';

/** Runs input through one side in pieces; returns all output, and all that came after the end. */
function feed(side: { push(input: Buffer): HandshakeStep }, pieces: readonly Buffer[]) {
  const output: Buffer[] = [];
  const rest: Buffer[] = [];
  let done = false;
  for (const piece of pieces) {
    if (done) {
      rest.push(piece);
      continue;
    }
    const step = side.push(piece);
    output.push(step.output);
    rest.push(step.rest);
    done = step.done;
  }
  return { output: Buffer.concat(output), rest: Buffer.concat(rest), done };
}

for (const kind of ['simple', 'complex'] as const satisfies HandshakeKind[]) {
  test(`client and server finish a ${kind} handshake, however the bytes are split, and give back what follows`, () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 3200 }), { maxLength: 12 }), (cuts) => {
        const client = new ClientHandshake(kind);
        const server = new ServerHandshake();
        const c0c1 = client.start();
        assert.equal(c0c1.length, 1537);
        const answer = feed(server, splitAt(c0c1, cuts));
        assert.equal(answer.done, false);
        assert.equal(answer.output.length, 1 + 1536 + 1536);
        assert.equal(server.kind, kind);
        const end = feed(client, splitAt(Buffer.concat([answer.output, Buffer.from('after S2')]), cuts));
        assert.equal(end.done, true);
        assert.equal(end.output.length, 1536);
        assert.equal(end.rest.toString(), 'after S2');
        const last = feed(server, splitAt(Buffer.concat([end.output, Buffer.from('after C2')]), cuts));
        assert.equal(last.done, true);
        assert.equal(last.output.length, 0);
        assert.equal(last.rest.toString(), 'after C2');
      }),
      { numRuns: 40 },
    );
  });
}

test('a client that sends C0, C1, C2 and its first chunks in one write is answered in one step', () => {
  const c0c1 = new ClientHandshake('simple').start();
  const step = new ServerHandshake().push(Buffer.concat([c0c1, Buffer.alloc(1536), Buffer.from('chunks')]));
  assert.equal(step.done, true);
  assert.equal(step.output.length, 3073);
  assert.equal(step.rest.toString(), 'chunks');
});

test('a simple answer echoes C1 as S2, and the client echoes S1 as C2', () => {
  const client = new ClientHandshake('simple');
  const c0c1 = client.start();
  const answer = new ServerHandshake().push(c0c1).output;
  assert.equal(answer[0], 3);
  assert.equal(answer.readUInt32BE(5), 0, 'S1 has four zeros behind its time');
  assert.deepEqual(answer.subarray(1537), c0c1.subarray(1));
  assert.deepEqual(client.push(answer).output, answer.subarray(1, 1537));
});

test('a complex answer has digests that hold, in the scheme of the client', () => {
  const client = new ClientHandshake('complex');
  const c0c1 = client.start();
  const c1 = c0c1.subarray(1);
  const place = findDigest(c1, 'client');
  assert.equal(place?.scheme, 1);
  const answer = new ServerHandshake().push(c0c1).output;
  const s1 = answer.subarray(1, 1537);
  const s1Place = findDigest(s1, 'server');
  assert.equal(s1Place?.scheme, 1);
  assert.ok(part2Answers(answer.subarray(1537), digestOf(c1, place), 'server'));
  const c2 = client.push(answer).output;
  assert.ok(part2Answers(c2, digestOf(s1, s1Place), 'client'));
});

test('digests of scheme 0 are found as well, and one changed bit makes the handshake simple', async () => {
  const { createHmac } = await import('node:crypto');
  const c1 = Buffer.alloc(1536, 7);
  const offset = 772 + 4 + ((4 * 7) % 728);
  const digest = createHmac('sha256', 'Genuine Adobe Flash Player 001')
    .update(Buffer.concat([c1.subarray(0, offset), c1.subarray(offset + 32)]))
    .digest();
  digest.copy(c1, offset);
  assert.deepEqual(findDigest(c1, 'client'), { scheme: 0, offset });
  const server = new ServerHandshake();
  const answer = server.push(Buffer.concat([Buffer.from([3]), c1])).output;
  assert.equal(server.kind, 'complex');
  assert.equal(findDigest(answer.subarray(1, 1537), 'server')?.scheme, 0);

  c1[1535]! ^= 1;
  const simple = new ServerHandshake();
  simple.push(Buffer.concat([Buffer.from([3]), c1]));
  assert.equal(simple.kind, 'simple');
});

test('the client falls back to the simple answer where the server made no digest', () => {
  const client = new ClientHandshake('complex');
  client.start();
  const answer = Buffer.alloc(3073, 9);
  answer[0] = 3;
  assert.deepEqual(client.push(answer).output, answer.subarray(1, 1537));
});

test('node-media-server answers our complex C1 with digests that hold', () => {
  const require = createRequire(import.meta.url);
  const Rtmp = require('node-media-server/src/protocol/rtmp.js') as new () => {
    onOutputCallback: (bytes: Buffer) => void;
    parserData(bytes: Buffer): void;
  };
  const peer = new Rtmp();
  const sent: Buffer[] = [];
  peer.onOutputCallback = (bytes) => sent.push(Buffer.from(bytes));
  const client = new ClientHandshake('complex');
  const c0c1 = client.start();
  peer.parserData(c0c1);
  const answer = Buffer.concat(sent);
  assert.equal(answer.length, 3073);
  const s1 = answer.subarray(1, 1537);
  assert.ok(findDigest(s1, 'server') !== undefined);
  const c1 = c0c1.subarray(1);
  assert.ok(part2Answers(answer.subarray(1537), digestOf(c1, findDigest(c1, 'client')!), 'server'));
  assert.equal(client.push(answer).done, true);
});

const wrongVersions: readonly (readonly [string, number, RegExp])[] = [
  ['an HTTP request', 0x47, /client begins with 0x47, not with version 3/],
  ['RTMPE', 6, /RTMPE, which is not served/],
  ['TLS', 0x16, /use an rtmps port/],
];
for (const [name, first, message] of wrongVersions) {
  test(`${name} on the port is refused at its first byte`, () => {
    assert.throws(
      () => new ServerHandshake().push(Buffer.from([first])),
      (e) => e instanceof FormatError && e.code === 'handshake' && message.test(e.message),
    );
  });
}

test('a server that answers another version ends the client', () => {
  const client = new ClientHandshake();
  client.start();
  assert.throws(() => client.push(Buffer.from([5])), /RTMP server begins with 0x05/);
});
