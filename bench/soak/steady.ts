import { setTimeout as delay } from 'node:timers/promises';
import type { Product } from '../lib/product.ts';
import { Browser, SoakFault } from './browser.ts';
import { publish } from './encoder.ts';
import { playDash, playHls } from './packaged-viewers.ts';
import type { Sessions } from './sessions.ts';
import type { SoakStream } from './vhosts.ts';
import { connected, pathOf, VHOSTS } from './vhosts.ts';

const FORGET_MS = 1_000;
const BEGIN_MS = 30_000;
const LOOK_MS = 50;
const PACKAGED = [
  ['.m3u8', playHls],
  ['.mpd', playDash],
] as const;

/**
 * Those who stay all the time, and must not notice the others: an encoder of each Vhost, on the origin, and on the edge a viewer of
 * each protocol that the Vhost has.
 */
export class SteadySessions {
  readonly #sessions: Sessions;
  readonly #end = new AbortController();
  readonly #running: Promise<void>[] = [];
  readonly #lastMs = new Map<string, number>();
  #longestSilenceMs = 0;
  #hasBegun = false;

  constructor(sessions: Sessions) {
    this.#sessions = sessions;
  }

  /** Resolves when all viewers have got something. Rejects after 30 s. */
  async begin(origin: Product, edge: Product): Promise<void> {
    for (const vhost of VHOSTS) {
      const stream = { vhost, name: 'steady' };
      this.#run(() => this.#encode(origin, stream));
      const name = (protocol: string): string => `${vhost.name}: ${protocol}`;
      this.#view(name('RTMP'), () => this.#playRtmp(edge, stream));
      for (const ending of ['.flv', '.ts']) this.#view(name(ending), () => this.#playEndless(edge, stream, ending));
      for (const [ending, play] of vhost.dash.enabled ? PACKAGED : PACKAGED.slice(0, 1)) {
        this.#view(name(ending), async () => {
          const browser = new Browser(edge.httpPort, this.#end.signal);
          const path = pathOf(stream, ending);
          await untilThere(browser, path);
          await play({ browser, path, isSteady: true, onMedia: () => this.#beat(name(ending)) });
        });
      }
    }
    const endMs = performance.now() + BEGIN_MS;
    for (let waiting = this.#waiting(); waiting.length > 0; waiting = this.#waiting()) {
      if (performance.now() > endMs)
        throw new Error(
          `what stays does not reach ${waiting.join(', ')}: ${[...this.#sessions.faults.keys()].join('; ')}`,
        );
      await delay(LOOK_MS);
    }
    this.#longestSilenceMs = 0;
    this.#hasBegun = true;
  }

  /** The longest that any viewer has waited for something new since all have begun. */
  longestSilenceMs(): number {
    const nowMs = performance.now();
    for (const lastMs of this.#lastMs.values())
      this.#longestSilenceMs = Math.max(this.#longestSilenceMs, nowMs - lastMs);
    return this.#longestSilenceMs;
  }

  async over(): Promise<void> {
    this.#end.abort();
    await Promise.all(this.#running);
  }

  #waiting(): string[] {
    return [...this.#lastMs].filter(([, lastMs]) => lastMs === 0).map(([name]) => name);
  }

  #run(session: () => Promise<unknown>): void {
    const running = async (): Promise<void> => {
      try {
        await session();
        if (!this.#end.signal.aborted) throw new SoakFault('a steady session ended');
      } catch (error) {
        this.#sessions.fault(error);
      }
    };
    this.#running.push(running());
  }

  #view(name: string, play: () => Promise<void>): void {
    this.#lastMs.set(name, 0);
    this.#run(play);
  }

  #beat(name: string): void {
    const nowMs = performance.now();
    const lastMs = this.#lastMs.get(name) ?? 0;
    if (this.#hasBegun) this.#longestSilenceMs = Math.max(this.#longestSilenceMs, nowMs - lastMs);
    this.#lastMs.set(name, nowMs);
  }

  async #encode(origin: Product, stream: SoakStream): Promise<void> {
    const peer = await connected(origin.rtmpPort, stream.vhost);
    try {
      await publish(peer, stream, this.#end.signal);
    } finally {
      peer.close();
    }
  }

  async #playRtmp(edge: Product, { vhost, name }: SoakStream): Promise<void> {
    const peer = await connected(edge.rtmpPort, vhost);
    try {
      await peer.play(name);
      peer.socket.on('data', () => this.#beat(`${vhost.name}: RTMP`));
      while (!this.#end.signal.aborted && !peer.isClosed) {
        // A peer keeps all that it hears.
        peer.messages.length = 0;
        await delay(FORGET_MS, undefined, { signal: this.#end.signal }).catch(() => undefined);
      }
    } finally {
      peer.close();
    }
  }

  async #playEndless(edge: Product, stream: SoakStream, ending: string): Promise<void> {
    const browser = new Browser(edge.httpPort, this.#end.signal);
    const response = await browser.open(browser.url(pathOf(stream, ending)));
    if (response === undefined) return;
    try {
      for await (const _ of response) this.#beat(`${stream.vhost.name}: ${ending}`);
    } catch (error) {
      if (!this.#end.signal.aborted) throw error;
    }
  }
}

/** Until there is something to play. */
async function untilThere(browser: Browser, path: string): Promise<void> {
  while (!browser.signal.aborted && (await browser.get(browser.url(path)))?.status !== 200) await delay(LOOK_MS);
}
