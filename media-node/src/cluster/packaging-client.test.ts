import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { after, afterEach, before, describe, test } from 'node:test';
import { PackagingClient } from './packaging-client.ts';

const key = { vhost: 'v', app: 'live', stream: 'demo' };

describe('asking another node for a packaged stream', () => {
  /** What the node says to a request, on the wire; undefined: nothing. */
  let answer: (request: string, socket: Socket) => string | undefined = () => undefined;
  const sockets = new Set<Socket>();
  let connections = 0;
  const server = createServer((socket) => {
    connections += 1;
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('data', (data) => {
      const said = answer(data.toString('latin1'), socket);
      if (said !== undefined) socket.write(said, 'latin1');
    });
  });
  const clients: PackagingClient[] = [];
  let address = { host: '127.0.0.1', adminPort: 0 };

  before(async () => {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    address = { ...address, adminPort: (server.address() as AddressInfo).port };
  });
  afterEach(() => {
    for (const client of clients.splice(0)) client.close();
  });
  after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });

  function client(silentMs = 200): PackagingClient {
    const made = new PackagingClient({ token: () => 'the token', silentMs });
    clients.push(made);
    return made;
  }

  test('names and token go with the request, and the connection is used again', async () => {
    const asked: string[] = [];
    answer = (request) => (asked.push(request), 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc');
    const asking = client();
    const odd = { ...key, app: 'live/&?', stream: '..' };
    const before = connections;
    for (let time = 0; time < 3; time += 1) {
      const reply = await asking.file(address, odd, 'live/x y.ts');
      assert.deepEqual(reply, { kind: 'found', bytes: Buffer.from('abc') });
    }
    assert.equal(connections, before + 1);
    const [line = ''] = asked[0]?.split('\r\n') ?? [];
    const url = new URL(line.split(' ')[1] ?? '', 'http://node');
    assert.deepEqual(Object.fromEntries(url.searchParams), { ...odd, file: 'live/x y.ts' });
    assert.match(asked[0] ?? '', /authorization: Bearer the token/i);
  });

  test('a connection that was ended just when it was used again is no failure', async () => {
    let requests = 0;
    answer = (_, socket) => {
      requests += 1;
      if (requests !== 2) return 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc';
      socket.destroy();
      return undefined;
    };
    const asking = client();
    assert.equal((await asking.file(address, key, 'a')).kind, 'found');
    assert.equal((await asking.file(address, key, 'a')).kind, 'found');
    assert.equal(requests, 3);
  });

  test('whatever is no whole answer is a failure, and none waits for ever', async () => {
    const answers = [
      'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
      'HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nabc',
      'HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n',
      'HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n',
      'SSH-2.0-OpenSSH\r\n',
      undefined,
    ];
    for (const each of answers) {
      answer = () => each;
      assert.deepEqual(await client().file(address, key, 'a'), { kind: 'failed' }, each);
      assert.deepEqual(await client().snapshot(address, key, undefined, 0), { kind: 'failed' }, each);
    }
    answer = (_, socket) => void socket.end('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc');
    assert.deepEqual(await client(60_000).file(address, key, 'a'), { kind: 'failed' });
    assert.deepEqual(await client().file({ host: '127.0.0.1', adminPort: 1 }, key, 'a'), { kind: 'failed' });
  });

  test('a snapshot that makes no sense is a failure', async () => {
    for (const body of ['', '{', '[]', '{"version":1}', '{"version":2}']) {
      answer = () => `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
      assert.deepEqual(await client().snapshot(address, key, undefined, 0), { kind: 'failed' }, body);
    }
  });

  test('nothing new, and nothing there', async () => {
    answer = () => 'HTTP/1.1 204 No Content\r\n\r\n';
    assert.deepEqual(await client().snapshot(address, key, { nodeId: 'n', revision: 7 }, 0), { kind: 'unchanged' });
    answer = () => 'HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}';
    assert.deepEqual(await client().snapshot(address, key, undefined, 0), { kind: 'absent' });
    assert.deepEqual(await client().file(address, key, 'a'), { kind: 'absent' });
  });

  test('a poll that is given up ends at once', async () => {
    const controller = new AbortController();
    answer = () => (controller.abort(), undefined);
    assert.deepEqual(await client().snapshot(address, key, undefined, 20_000, controller.signal), { kind: 'failed' });
  });
});
