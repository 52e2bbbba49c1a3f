import assert from 'node:assert/strict';
import type { IncomingHttpHeaders } from 'node:http';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { answerFile } from './file-answer.ts';

const BYTES = Buffer.from('0123456789');
const KIND = { contentType: 'video/mp2t', cacheControl: 'public, max-age=60, immutable' };

const lengths: number[] = [];
const server = createServer((raw, response) => {
  lengths.push(answerFile(raw, response, raw.url === '/empty' ? EMPTY : BYTES, KIND));
});
const EMPTY = Buffer.alloc(0);
let port = 0;
before(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  ({ port } = server.address() as AddressInfo);
});
after(() => {
  server.close();
  server.closeAllConnections();
});

interface Got {
  readonly status: number | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

function get(headers: Record<string, string> = {}, method = 'GET', path = '/'): Promise<Got> {
  const { promise, resolve, reject } = Promise.withResolvers<Got>();
  const asked = request({ port, host: '127.0.0.1', headers, method, path }, (response) => {
    let body = '';
    response.on('data', (bytes: Buffer) => (body += bytes.toString()));
    response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, body }));
  });
  asked.on('error', reject);
  asked.end();
  return promise;
}

test('a whole file says what it is, how long it may be kept, and by which tag it is known', async () => {
  const { status, headers, body } = await get();
  assert.deepEqual([status, body, lengths.at(-1)], [200, '0123456789', 10]);
  assert.equal(headers['content-type'], 'video/mp2t');
  assert.equal(headers['content-length'], '10');
  assert.equal(headers['cache-control'], KIND.cacheControl);
  assert.equal(headers['accept-ranges'], 'bytes');
  assert.match(headers.etag ?? '', /^"[0-9a-z-]+"$/);
  assert.equal(headers['transfer-encoding'], undefined);
});

test('HEAD tells the same without the bytes', async () => {
  const [whole, head] = [await get(), await get({ range: 'bytes=0-1' }, 'HEAD')];
  assert.deepEqual([head.status, head.body, lengths.at(-1)], [200, '', 0]);
  const { date: _, ...headers } = head.headers;
  assert.deepEqual({ ...headers, date: whole.headers.date }, whole.headers);
});

test('one range is answered as RFC 9110 wants it', async () => {
  const table: [range: string, status: number, body: string, contentRange?: string][] = [
    ['bytes=0-3', 206, '0123', 'bytes 0-3/10'],
    ['bytes=3-3', 206, '3', 'bytes 3-3/10'],
    ['bytes=7-', 206, '789', 'bytes 7-9/10'],
    ['bytes=-2', 206, '89', 'bytes 8-9/10'],
    ['bytes=-99', 206, '0123456789', 'bytes 0-9/10'],
    ['bytes=5-99', 206, '56789', 'bytes 5-9/10'],
    ['BYTES= 1-2 ', 206, '12', 'bytes 1-2/10'],
    ['bytes=10-', 416, 'the file has 10 bytes: ask for a range of those\n', 'bytes */10'],
    ['bytes=-0', 416, 'the file has 10 bytes: ask for a range of those\n', 'bytes */10'],
    ['bytes=4-3', 200, '0123456789'],
    ['bytes=-', 200, '0123456789'],
    ['bytes=1-2,4-5', 200, '0123456789'],
    ['bytes=a-b', 200, '0123456789'],
    ['bytes=8-99999999999999999999', 206, '89', 'bytes 8-9/10'],
    ['bytes=99999999999999999999-', 416, 'the file has 10 bytes: ask for a range of those\n', 'bytes */10'],
    ['lines=1-2', 200, '0123456789'],
  ];
  for (const [range, status, body, contentRange] of table) {
    const got = await get({ range });
    assert.deepEqual([got.status, got.body, got.headers['content-range']], [status, body, contentRange], range);
  }
});

test('who has the file is told so, and a range of another one is not given', async () => {
  const etag = (await get()).headers.etag!;
  for (const tags of [etag, `W/${etag}`, `"a", ${etag}`, '*']) {
    const got = await get({ 'if-none-match': tags });
    assert.deepEqual([got.status, got.body, got.headers.etag], [304, '', etag], tags);
    assert.equal(got.headers['cache-control'], KIND.cacheControl);
  }
  assert.equal((await get({ 'if-none-match': '"a"' })).status, 200);
  assert.equal((await get({ 'if-range': etag, range: 'bytes=0-1' })).status, 206);
  for (const other of ['"a"', `W/${etag}`, 'Sun, 06 Nov 1994 08:49:37 GMT']) {
    assert.equal((await get({ 'if-range': other, range: 'bytes=0-1' })).status, 200, other);
  }
});

test('an empty file has no range', async () => {
  assert.equal((await get({}, 'GET', '/empty')).headers['content-length'], '0');
  assert.equal((await get({ range: 'bytes=0-' }, 'GET', '/empty')).status, 416);
  assert.equal((await get({ range: 'bytes=-1' }, 'GET', '/empty')).status, 416);
});

test('whatever range is asked for, what comes is what its Content-Range says', async () => {
  const part = fc.oneof(fc.nat(14).map(String), fc.constant(''), fc.string({ maxLength: 3 }));
  await fc.assert(
    fc.asyncProperty(part, part, async (first, last) => {
      const range = `bytes=${first}-${last}`;
      // oxlint-disable-next-line no-control-regex
      fc.pre(!/[^\u0020-\u007e]/.test(range));
      const { status, body, headers } = await get({ range });
      if (status !== 206) {
        assert.ok(status === 200 || status === 416);
        return;
      }
      const [, from, to] = /^bytes (\d+)-(\d+)\/10$/.exec(headers['content-range'] ?? '') ?? [];
      assert.equal(body, BYTES.subarray(Number(from), Number(to) + 1).toString());
    }),
    { numRuns: 60 },
  );
});
