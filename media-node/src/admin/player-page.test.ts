import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { pino } from 'pino';
import { HttpServer } from '../http/http-server.ts';
import { ConnectionLimit } from '../lib/connection-limit.ts';
import { PLAYER_PATHS, PlayerPage } from './player-page.ts';

async function serve(t: TestContext): Promise<string> {
  const page = new PlayerPage({ rtmpPort: () => 1940 });
  const log = pino({ level: 'silent' });
  const server = new HttpServer({ limit: new ConnectionLimit(100), log });
  for (const path of PLAYER_PATHS) {
    server.route('GET', path, ({ raw }, response) => page.serve(path, raw, response));
  }
  const port = await server.listen(0, '127.0.0.1');
  t.after(() => server.close());
  return `http://127.0.0.1:${port}`;
}

test('every file that the page names is served, and it names no other host', async (t) => {
  const url = await serve(t);
  const html = await (await fetch(`${url}/?stream=live/demo`)).text();
  const named = [...html.matchAll(/(?:src|href)="([^"]*)"/g)].map((match) => match[1] ?? '');
  assert.ok(named.includes('/player/mpegts.js') && named.includes('/player/player.js'));
  for (const path of named) assert.ok(PLAYER_PATHS.includes(path), path);
  for (const path of PLAYER_PATHS) {
    const response = await fetch(url + path);
    assert.equal(response.status, 200, path);
    assert.equal(response.headers.get('x-content-type-options'), 'nosniff');
    assert.ok((await response.arrayBuffer()).byteLength > 100, path);
  }
  for (const [library, word] of [
    ['mpegts', /createPlayer/],
    ['hls', /lowLatencyMode/],
  ] as const) {
    assert.match(await (await fetch(`${url}/player/${library}.js`)).text(), word);
  }
  const script = await (await fetch(`${url}/player/player.js`)).text();
  for (const [, module = ''] of script.matchAll(/ from '\.(\/[^']*)'/g)) {
    assert.ok(PLAYER_PATHS.includes(`/player${module}`), module);
  }
});

test('the page shows the port of its node', async (t) => {
  const html = await (await fetch(await serve(t))).text();
  assert.match(html, /name="livecluster-rtmp-port" content="1940"/);
});

test('nothing inline stands in the page, which its policy would stop', async (t) => {
  const response = await fetch(await serve(t));
  const policy = response.headers.get('content-security-policy') ?? '';
  assert.match(policy, /default-src 'none'/);
  assert.doesNotMatch(policy, /unsafe/);
  const html = await response.text();
  assert.doesNotMatch(html, /<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=/);
});

test('a file that the browser has is not sent again', async (t) => {
  const url = await serve(t);
  const first = await fetch(`${url}/player/player.css`);
  const etag = first.headers.get('etag') ?? '';
  const second = await fetch(`${url}/player/player.css`, { headers: { 'if-none-match': etag } });
  assert.equal(second.status, 304);
  const head = await fetch(`${url}/player/player.css`, { method: 'HEAD' });
  assert.equal(head.status, 200);
  assert.equal(await head.text(), '');
});

test('other paths and methods are not the page’s', async (t) => {
  const url = await serve(t);
  for (const path of ['/player', '/player/../index.html', '/player/constructor', '/live/demo.flv', '/__proto__']) {
    assert.equal((await fetch(url + path)).status, 404, path);
  }
  assert.equal((await fetch(url, { method: 'POST' })).status, 405);
});
