import { setTimeout as delay } from 'node:timers/promises';
import { RtmpPeer } from '../../media-node/src/protocols/testing/rtmp-peer.ts';
import type { Product } from '../lib/product.ts';
import { Browser, SoakFault } from './browser.ts';
import { pick, pickOf } from './chance.ts';
import { publish } from './encoder.ts';
import { playDash, playHls } from './packaged-viewers.ts';
import { misbehave } from './strangers.ts';
import type { SoakStream } from './vhosts.ts';
import { connected, pathOf, VHOSTS } from './vhosts.ts';

/*
 * Those who come and go: encoders, viewers of every protocol, slow ones, and who means no good.
 */

const STREAMS = 20;
const LONGEST_STAY_MS = 4_000;
/** Viewers of segments stay longer: a stream has to begin, and a segment to be over. */
const LONGEST_PACKAGED_STAY_MS = 10_000;
const ENDLESS = ['.flv', '.flv', '.ts', '.aac', '.mp3'] as const;

function someStream(): SoakStream {
  return { vhost: pickOf(VHOSTS), name: `soak${pick(STREAMS)}` };
}

/** A stay of this length; RTMP and HTTP connections break off with it. */
function stay(mostMs: number): AbortSignal {
  return AbortSignal.timeout(pick(mostMs));
}

function over(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  const { promise, resolve } = Promise.withResolvers<void>();
  signal.addEventListener('abort', () => resolve(), { once: true });
  return promise;
}

/** Now and then vanishes in the middle of a message, sends sound alone, or finds the stream taken. */
async function encode(node: Product): Promise<void> {
  const stream = someStream();
  const peer = await connected(node.rtmpPort, stream.vhost);
  try {
    const end = await publish(peer, stream, stay(LONGEST_STAY_MS), pick(8) > 0);
    if (end === 'done' && pick(4) === 0) peer.socket.write(Buffer.from([6, 0, 0, 0, 0, 0xff]));
    else if (end === 'done' && pick(2) === 0) peer.call('deleteStream', null, 1);
  } finally {
    peer.close();
  }
}

/** Every fifth stops to read; every eighth leaves before it is let in. */
async function playRtmp(node: Product): Promise<void> {
  if (pick(8) === 0) {
    const opening = RtmpPeer.open(node.rtmpPort);
    await delay(pick(20));
    (await opening).close();
    return;
  }
  const { vhost, name } = someStream();
  const peer = await connected(node.rtmpPort, vhost);
  try {
    const signal = stay(LONGEST_STAY_MS);
    await peer.play(name);
    if (pick(5) === 0) peer.socket.pause();
    await over(signal);
  } finally {
    peer.close();
  }
}

/** Every fourth never reads. */
async function playEndless(node: Product): Promise<void> {
  const browser = new Browser(node.httpPort, stay(LONGEST_STAY_MS));
  const response = await browser.open(browser.url(pathOf(someStream(), pickOf(ENDLESS))));
  if (pick(4) > 0) response?.resume();
  await over(browser.signal);
}

async function playPackaged(node: Product): Promise<void> {
  const browser = new Browser(node.httpPort, stay(LONGEST_PACKAGED_STAY_MS));
  const stream = someStream();
  const isDash = stream.vhost.dash.enabled && pick(3) === 0;
  const path = pathOf(stream, isDash ? '.mpd' : '.m3u8');
  await (isDash ? playDash({ browser, path }) : playHls({ browser, path }));
}

/** Of a hundred sessions. */
const SHARES: readonly (readonly [share: number, begin: (node: Product) => Promise<void>])[] = [
  [20, encode],
  [20, playRtmp],
  [20, playEndless],
  [30, playPackaged],
  [10, misbehave],
];

/** Sessions begun, those that are still on, and what went otherwise than it may. */
export class Sessions {
  begun = 0;
  /** By what happened. */
  readonly faults = new Map<string, number>();
  readonly #nodes: readonly Product[];
  readonly #running = new Set<Promise<void>>();

  constructor(nodes: readonly Product[]) {
    this.#nodes = nodes;
  }

  get running(): number {
    return this.#running.size;
  }

  get faultCount(): number {
    return this.faults.values().reduce((sum, count) => sum + count, 0);
  }

  begin(): void {
    this.begun++;
    let dice = pick(100);
    const begin = SHARES.find(([share]) => (dice -= share) < 0)?.[1] ?? misbehave;
    const session = begin(pickOf(this.#nodes))
      .catch((error: unknown) => this.fault(error))
      .finally(() => this.#running.delete(session));
    this.#running.add(session);
  }

  fault(error: unknown): void {
    const { message } = error as Error;
    const what = error instanceof SoakFault ? message : `a session failed: ${message}`;
    this.faults.set(what, (this.faults.get(what) ?? 0) + 1);
  }

  /** Resolves when all that were begun are over: their stays are bounded. */
  async over(): Promise<void> {
    await Promise.all(this.#running);
  }
}
