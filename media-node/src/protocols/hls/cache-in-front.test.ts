import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import type { IncomingHttpHeaders } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { until } from '#contract/testing/until.ts';
import { FMP4, LOW, PackagedNode, playlistsOf, TS } from '../testing/packaged-node.ts';

/* A cache in front of a node, as a CDN is one: nginx, which keeps what the answers allow it to. */

const node = new PackagedNode();
let folder = '';
let end = (): Promise<unknown> => Promise.resolve();
before(async () => {
  await node.start();
  folder = await mkdtemp(join(tmpdir(), 'livecluster-cache-'));
  await writeFile(join(folder, 'nginx.conf'), configuration(folder, node.port));
  const child = spawn('/usr/sbin/nginx', ['-p', folder, '-e', 'stderr', '-c', 'nginx.conf'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let errors = '';
  child.stderr.on('data', (bytes: Buffer) => (errors += bytes.toString()));
  const ended = once(child, 'close');
  end = () => (child.kill('SIGKILL'), ended);
  await until('nginx to listen', () => {
    assert.equal(child.exitCode, null, `nginx ended: ${errors}`);
    return existsSync(join(folder, 'http'));
  });
});
after(async () => {
  await end();
  node.close();
  await rm(folder, { recursive: true, force: true });
});

function configuration(root: string, port: number): string {
  const kinds = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  return `
daemon off;
master_process off;
pid ${root}/pid;
events {}
http {
  access_log off;
  ${kinds.map((kind) => `${kind}_temp_path ${root}/${kind};`).join('\n  ')}
  proxy_cache_path ${root}/cache keys_zone=all:1m;
  server {
    listen unix:${root}/http;
    location / {
      proxy_pass http://127.0.0.1:${port};
      proxy_http_version 1.1;
      proxy_set_header Host $host;
      proxy_set_header Connection "";
      proxy_cache all;
      proxy_cache_key $host$request_uri;
      add_header X-Cache $upstream_cache_status always;
    }
  }
}
`;
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

function get(path: string, headers: Record<string, string> = {}): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const socketPath = join(folder, 'http');
  const asked = request({ socketPath, path, headers: { Host: 'tv.example', ...headers } }, (response) => {
    let body = '';
    response.on('data', (bytes: Buffer) => (body += bytes.toString()));
    response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
  });
  asked.on('error', reject);
  asked.end();
  return promise;
}

const cacheOf = ({ headers }: Answer): unknown => headers['x-cache'];

test("one viewer's context is never given to another, while all share segments", async () => {
  const { name } = node.publish(TS);
  const contexts: string[] = [];
  for (const viewer of ['first', 'second']) {
    const multivariant = await get(`/live/${name}.m3u8`);
    assert.equal(cacheOf(multivariant), 'MISS', viewer);
    const [uri] = playlistsOf(multivariant.body);
    contexts.push(uri!);
    const media = await get(`/live/${uri}`);
    assert.deepEqual([media.status, cacheOf(media)], [200, 'MISS']);
    const segment = await get(`/live/${name}-4.ts`);
    assert.deepEqual([segment.status, segment.body], [200, `bytes of live/${name}-4.ts`]);
    assert.equal(cacheOf(segment), viewer === 'first' ? 'MISS' : 'HIT');
  }
  assert.equal(new Set(contexts).size, 2);
  assert.equal(node.viewersOf(name), 2);
  assert.equal(cacheOf(await get(`/live/${contexts[0]}`)), 'MISS', 'a playlist is asked of the node each time');
  node.sessions.end([...node.viewers.visitors()][0]!.id, 60_000);
  assert.equal((await get(`/live/${contexts[0]}`)).status, 403, 'and so an ended session is over at once');
});

test('what is not there is asked for again', async () => {
  const { name } = node.publish(TS);
  for (let again = 0; again < 2; again++) {
    const answer = await get(`/live/${name}-99.ts`);
    assert.deepEqual([answer.status, cacheOf(answer)], [404, 'MISS']);
  }
});

test('parts, ranges and other hosts: a cache keeps them apart', async () => {
  const { name } = node.publish(LOW, 'fmp4');
  const part = `/live/${name}-video-7.p0.m4s`;
  assert.equal((await get(part)).status, 404, 'the other Vhost has no such stream');
  const range = await get(part, { ...FMP4, Range: 'bytes=0-4' });
  assert.deepEqual([range.status, range.body], [206, 'bytes']);
  const whole = await get(part, FMP4);
  assert.deepEqual([whole.status, whole.body, cacheOf(whole)], [200, `bytes of ${part.slice(1)}`, 'HIT']);
  const known = await get(part, { ...FMP4, 'If-None-Match': whole.headers.etag! });
  assert.deepEqual([known.status, known.body], [304, '']);
});

test('pages of any origin may read what was kept for none; an origin that may not read gets no leave of another', async () => {
  const { name } = node.publish(TS);
  const segment = `/live/${name}-4.ts`;
  assert.equal((await get(segment)).headers['access-control-allow-origin'], '*');
  const shared = await get(segment, { Origin: 'https://a.example' });
  assert.deepEqual([cacheOf(shared), shared.headers['access-control-allow-origin']], ['HIT', '*']);
  const strict = { Host: 'strict.example' };
  const path = `/live/${node.publish(TS, 'strict').name}-4.ts`;
  const allowed = (origin?: string) =>
    get(path, origin === undefined ? strict : { ...strict, Origin: origin }).then(({ status, headers }) => [
      status,
      headers['access-control-allow-origin'],
    ]);
  assert.deepEqual(await allowed(), [200, undefined]);
  assert.deepEqual(await allowed('https://a.example'), [200, 'https://a.example']);
  assert.deepEqual(await allowed('https://b.example'), [200, undefined]);
  assert.deepEqual(await allowed('https://a.example'), [200, 'https://a.example']);
});

test('without contexts a playlist is kept for a second or so, and one that was waited for longer', async () => {
  const { name } = node.publish(LOW, 'plain');
  const headers = { Host: 'plain.example' };
  const video = `/live/${name}.m3u8?hls_track=video`;
  assert.equal(cacheOf(await get(video, headers)), 'MISS');
  const blocked = `${video}&_HLS_msn=7&_HLS_part=0`;
  assert.equal(cacheOf(await get(blocked, headers)), 'MISS');
  assert.equal(cacheOf(await get(blocked, headers)), 'HIT');
  const wrong = await get(`${video}&_HLS_msn=900`, headers);
  assert.deepEqual([wrong.status, cacheOf(wrong)], [400, 'MISS']);
  assert.equal(cacheOf(await get(`${video}&_HLS_msn=900`, headers)), 'MISS', 'a refusal is for one request');
});
