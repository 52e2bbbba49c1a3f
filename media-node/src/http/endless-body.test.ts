import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { after, before, test } from 'node:test';
import { setImmediate as immediate } from 'node:timers/promises';
import { pino } from 'pino';
import { ConnectionLimit } from '../lib/connection-limit.ts';
import { EndlessBody, httpChunk } from './endless-body.ts';
import { HttpError } from './http-error.ts';
import { HttpServer } from './http-server.ts';

const server = new HttpServer({ limit: new ConnectionLimit(1_000), log: pino({ level: 'silent' }) });
const bodies: EndlessBody[] = [];
let handled = 0;
let port = 0;

before(async () => {
  server.route('GET', '/endless', ({ raw }, response) => {
    handled++;
    const body = new EndlessBody(raw, response, { 'Content-Type': 'x/y' });
    bodies.push(body);
    const text = Buffer.from('some bytes');
    body.write(body.isChunked ? httpChunk(text) : text);
  });
  server.route('GET', '/refused', ({ raw }, response) => {
    bodies.push(new EndlessBody(raw, response, { 'Content-Type': 'x/y' }));
    throw new HttpError(404, 'not so');
  });
  port = await server.listen(0, '127.0.0.1');
});
after(() => server.close());

/** Sends text and hears the answer up to the server's end; `onText` sees what has come so far. */
async function talk(text: string, onText: (answer: string) => void = () => undefined): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const socket = connect(port, '127.0.0.1', () => socket.write(text));
  let answer = '';
  socket.on('data', (bytes) => {
    answer += bytes.toString('latin1');
    onText(answer);
  });
  socket.on('error', () => undefined);
  socket.on('close', () => resolve(answer));
  return promise;
}

function endAfter(text: string): (answer: string) => void {
  return (answer) => {
    if (answer.includes(text)) bodies.at(-1)?.end();
  };
}

test('HTTP/1.1 gets chunks and a last one, so that an end is told from a cut', async () => {
  const answer = await talk('GET /endless HTTP/1.1\r\nHost: a\r\n\r\n', endAfter('some bytes\r\n'));
  assert.match(answer, /^HTTP\/1\.1 200 OK\r\n/);
  assert.match(answer, /\r\nTransfer-Encoding: chunked\r\n/);
  assert.match(answer, /\r\nConnection: close\r\n/);
  assert.ok(answer.endsWith('\r\n\r\na\r\nsome bytes\r\n0\r\n\r\n'), JSON.stringify(answer));
});

test('HTTP/1.0 gets the bytes as they are', async () => {
  const answer = await talk('GET /endless HTTP/1.0\r\n\r\n', endAfter('some bytes'));
  assert.doesNotMatch(answer, /chunked/i);
  assert.ok(answer.endsWith('\r\n\r\nsome bytes'), JSON.stringify(answer));
});

test('what is written after the end is ignored', async () => {
  const answer = await talk('GET /endless HTTP/1.0\r\n\r\n', (text) => {
    if (!text.includes('some bytes')) return;
    const body = bodies.at(-1)!;
    body.end();
    body.end();
    body.write(Buffer.from('more'));
  });
  assert.ok(answer.endsWith('some bytes'));
});

test('a further request on the connection ends it, and is not handled', async () => {
  const before = handled;
  const request = 'GET /endless HTTP/1.1\r\nHost: a\r\n\r\n';
  const answer = await talk(request + request);
  assert.equal(handled, before + 1);
  assert.ok(answer.split('HTTP/1.1 ').length <= 2, answer);
});

test('behind a request that is still being answered it is refused', async () => {
  server.route('GET', '/first', async (_, response) => {
    // By then the second request, of the same segment, has been handled too.
    await immediate();
    response.end('first');
  });
  const before = bodies.length;
  const answer = await talk(
    'GET /first HTTP/1.1\r\nHost: a\r\n\r\nGET /endless HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
  );
  assert.match(answer, /first/);
  assert.match(answer, /HTTP\/1\.1 400 /);
  assert.equal(bodies.length, before);
});

test('garbage after the request ends the connection without words in the body', async () => {
  const socket = connect(port, '127.0.0.1', () => socket.write('GET /endless HTTP/1.1\r\nHost: a\r\n\r\n'));
  let answer = '';
  socket.on('data', (bytes) => {
    answer += bytes.toString('latin1');
    if (answer.includes('some bytes\r\n')) socket.write('\0\0 nonsense\r\n\r\n');
  });
  socket.on('error', () => undefined);
  await once(socket, 'close');
  assert.ok(answer.endsWith('some bytes\r\n'), JSON.stringify(answer));
});

test('before it begins another answer may be given; it then has nothing to say any more', async () => {
  const answer = await talk('GET /refused HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n', () => {
    bodies.at(-1)?.write(httpChunk(Buffer.from('late')));
    bodies.at(-1)?.end();
  });
  assert.match(answer, /^HTTP\/1\.1 404 /);
  assert.ok(answer.endsWith('\r\n\r\nnot so\n'), JSON.stringify(answer));
});
