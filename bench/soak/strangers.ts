import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Product } from '../lib/product.ts';
import { Browser } from './browser.ts';
import { pick, pickOf } from './chance.ts';
import { connected, pathOf, VHOSTS } from './vhosts.ts';

/* Who comes from the Internet: asks for names that nobody knows, and says what means nothing. */

const LONGEST_STAY_MS = 3_000;
const NAMES_ASKED = 5;
const ENDINGS = ['.m3u8', '.mpd', '.flv', '.ts', '-7.ts', '-video-7.m4s', '-audio-init.mp4', '-3.key', '.txt', ''];
const QUERIES = [
  'hls_ctx=AAAA',
  '_HLS_msn=999999999',
  '_HLS_msn=1&_HLS_part=-1',
  'hls_track=video',
  '_HLS_skip=v2',
  '%00',
];
const HTTP = [
  'GET /live/soak1.flv HTTP/1.1\r\nHost: ',
  'POST /live/soak1.m3u8 HTTP/1.1\r\nHost: plain.soak\r\nContent-Length: 1000\r\n\r\nabc',
  `GET /${'a'.repeat(9_000)} HTTP/1.1\r\nHost: a\r\n\r\n`,
  'GET /live/soak1.m3u8 HTTP/1.1\r\nHost: low.soak\r\n\r\n'.repeat(20),
  'GET /live/%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: plain.soak\r\nTransfer-Encoding: chunked\r\n\r\nZ\r\n',
];

const unknownName = (): string => `nobody-${randomBytes(6).toString('hex')}`;

export async function misbehave(node: Product): Promise<void> {
  await pickOf([babble, halfRequest, askForNames, askForNames, playUnknown])(node);
}

/** Bytes of no meaning, or none at all. */
async function babble({ rtmpPort, httpPort }: Product): Promise<void> {
  const bytes = pick(3) === 0 ? undefined : randomBytes(1 + pick(4_000));
  await sayTo(pickOf([rtmpPort, httpPort]), bytes);
}

async function halfRequest({ httpPort }: Product): Promise<void> {
  await sayTo(httpPort, pickOf(HTTP));
}

async function sayTo(port: number, words: string | Buffer | undefined): Promise<void> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  if (words !== undefined) socket.write(words);
  if (pick(2) === 0) socket.resume();
  await delay(pick(LONGEST_STAY_MS));
  socket.destroy();
}

async function askForNames({ httpPort }: Product): Promise<void> {
  const browser = new Browser(httpPort, AbortSignal.timeout(LONGEST_STAY_MS));
  for (let asked = 0; asked < NAMES_ASKED; asked++) {
    const name = pick(3) === 0 ? `soak${pick(20)}` : unknownName();
    const path = pathOf({ vhost: pickOf(VHOSTS), name }, pickOf(ENDINGS));
    const host = pick(5) === 0 ? path.replace(/vhost=.*/, `vhost=${unknownName()}`) : path;
    const response = await browser.open(browser.url(pick(2) === 0 ? `${host}&${pickOf(QUERIES)}` : host));
    response?.resume();
    await delay(pick(50));
  }
}

/** Awaits a stream that never comes, and leaves. */
async function playUnknown({ rtmpPort }: Product): Promise<void> {
  const peer = await connected(rtmpPort, pickOf(VHOSTS));
  try {
    peer.call('play', null, unknownName(), -2000);
    await delay(pick(LONGEST_STAY_MS));
  } finally {
    peer.close();
  }
}
