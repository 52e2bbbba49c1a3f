import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { pino } from 'pino';
import { launch } from 'puppeteer-core';
import type { Browser } from 'puppeteer-core';
import { readLoop } from './demo-loop.ts';
import { DemoPublisher } from './demo-publisher.ts';
import { LocalCluster } from './local-cluster.ts';
import { planFrom } from './plan.ts';
import { until } from './testing.ts';

/* The player page of an edge in Chromium (CHROMIUM names its program), as a person uses it. */

const HOST = '127.0.0.1';
const PLAN = `
apiVersion: livecluster.io/v1alpha1
kind: LiveCluster
metadata: {name: live}
spec: {origin: {replicas: 1}, edge: {replicas: 1}}
---
apiVersion: livecluster.io/v1alpha1
kind: Vhost
metadata: {name: any}
spec: {clusterRef: {name: live}, hosts: [__defaultVhost__], hls: {fragment: 500ms}}
---
apiVersion: livecluster.io/v1alpha1
kind: Vhost
metadata: {name: low}
spec: {clusterRef: {name: live}, hosts: [low.example], hls: {fragment: 1s, lowLatency: {enabled: true, part: 400ms}}}
`;

const logger = pino({ level: 'silent' });
const any = { rtmp: 0, rtmps: 0, http: 0, api: 0, admin: 0 };
const cluster = new LocalCluster({ host: HOST, firstOrigin: any, anyPorts: true, logger, note: () => undefined });
const publishers: DemoPublisher[] = [];
let chromium: Browser;
let page = '';

before(async () => {
  await cluster.apply(planFrom(PLAN));
  const [origin, edge] = cluster.nodes;
  const loop = readLoop();
  const port = (): number => origin!.ports.rtmp;
  for (const app of ['live', 'live?vhost=low.example']) {
    publishers.push(new DemoPublisher({ loop, host: HOST, port, app, stream: 'demo', log: logger }));
  }
  page = `http://${HOST}:${edge!.ports.http}/`;
  chromium = await launch({
    executablePath: process.env['CHROMIUM'] || '/usr/bin/chromium',
    pipe: true,
    args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu', '--no-first-run', '--disable-extensions'],
  });
});
after(async () => {
  for (const publisher of publishers) publisher.close('the test is over');
  await chromium.close();
  await cluster.close('the test is over', 0);
});

interface Seen {
  readonly state: string;
  readonly seconds: number;
  readonly picture: string;
  readonly audio: string;
  readonly bitrate: string;
  readonly latency: string;
}

const LOOK = `({
  state: document.getElementById('stage').dataset.state,
  seconds: document.getElementById('video').currentTime,
  picture: document.getElementById('picture').textContent,
  audio: document.getElementById('audio').textContent,
  bitrate: document.getElementById('bitrate').textContent,
  latency: document.getElementById('latency').textContent,
})`;

test('the page plays HTTP-FLV, HLS and low-latency HLS from an edge, and waits for a stream that is not there', async () => {
  const tab = await chromium.newPage();
  const errors: string[] = [];
  tab.on('pageerror', (error) => errors.push(String(error)));
  tab.on('console', (message) => {
    if (message.text().includes('Content Security Policy')) errors.push(message.text());
  });
  const look = async (): Promise<Seen> => (await tab.evaluate(LOOK)) as Seen;
  const play = async (query: string): Promise<Seen> => {
    await tab.goto(`${page}?${query}`);
    let from: number | undefined;
    return until(`the picture of ${query} moves: ${errors.join()}`, async () => {
      const seen = await look();
      if (seen.state !== 'playing') return false;
      from ??= seen.seconds;
      return seen.seconds > from + 1 && /\d s$/.test(seen.latency) && seen;
    });
  };
  for (const query of ['stream=live/demo', 'stream=live/demo&format=hls']) {
    const { picture, audio, bitrate } = await play(query);
    assert.match(picture, /^640×360/, query);
    assert.match(audio, /^AAC/, query);
    assert.match(bitrate, /^\d+ kb\/s$/, query);
  }
  const low = await play('stream=live/demo?vhost=low.example&format=hls');
  assert.match(low.picture, /^640×360/);

  await tab.goto(`${page}?stream=live/nobody&format=hls`);
  await until('the page waits', async () => (await look()).state === 'waiting');
  const [origin] = cluster.nodes;
  const late = {
    loop: readLoop(),
    host: HOST,
    port: () => origin!.ports.rtmp,
    app: 'live',
    stream: 'nobody',
    log: logger,
  };
  publishers.push(new DemoPublisher(late));
  await until('the page plays', async () => (await look()).state === 'playing');
  assert.deepEqual(errors, []);
});
