import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { launch } from 'puppeteer-core';
import type { Browser as Chromium, Page } from 'puppeteer-core';
import { LIMIT_MS, until } from './until.ts';

/*
 * Players as people have them: hls.js, shaka and mpegts.js in Debian's Chromium, headless, from a page of this process.
 */

/** `hls-ll`: hls.js in its low-latency mode; `hls` without it. `flv` and `ts`: mpegts.js. `dash`: shaka. */
export type PlayerKind = 'hls' | 'hls-ll' | 'dash' | 'flv' | 'ts';

/** What a player saw. The stall and the latencies are those since it began or since `reset`. */
export interface PlayerFigures {
  readonly currentTime: number;
  readonly paused: boolean;
  /** Of the media element. */
  readonly error: string | null;
  readonly width: number;
  readonly height: number;
  /** Pairs of begin and end, seconds; more than one is a hole. */
  readonly buffered: readonly (readonly [number, number])[];
  readonly droppedPictures: number;
  /** Pictures that reached the screen. */
  readonly pictures: number;
  readonly fatal: readonly string[];
  readonly warnings: readonly string[];
  /** Of each picture with a clock: from the encoder's input to the screen. */
  readonly latenciesMs: readonly number[];
  /** How far the buffer went beyond each such picture. */
  readonly bufferedMs: readonly number[];
  /** By how much pictures were older than the one before, each time. */
  readonly clockStepsBackMs: readonly number[];
  /** Longest time in which the position did not move, once it had played. */
  readonly longestStallMs: number;
  readonly hasPlayed: boolean;
  /** What hls.js and shaka think of their own latency. */
  readonly ownLatencyS?: number;
  readonly targetLatencyS?: number;
}

const EXECUTABLE = process.env['CHROMIUM'] || '/usr/bin/chromium';
const require = createRequire(import.meta.url);
const FILES: Record<string, readonly [path: string, type: string]> = {
  '/': [join(import.meta.dirname, 'player-page/index.html'), 'text/html; charset=utf-8'],
  '/player.js': [join(import.meta.dirname, 'player-page/player.js'), 'text/javascript'],
  '/hls.js': [require.resolve('hls.js/dist/hls.min.js'), 'text/javascript'],
  '/shaka.js': [require.resolve('shaka-player/dist/shaka-player.compiled.js'), 'text/javascript'],
  '/mpegts.js': [require.resolve('mpegts.js/dist/mpegts.js'), 'text/javascript'],
};

/** One player of the page. */
export class BrowserPlayer {
  readonly name: string;
  readonly #page: Page;

  constructor(page: Page, name: string) {
    this.#page = page;
    this.name = name;
  }

  async figures(): Promise<PlayerFigures> {
    return (await this.#page.evaluate(`figuresOf(${JSON.stringify(this.name)})`)) as PlayerFigures;
  }

  /** Latencies and stalls count from now on. */
  async reset(): Promise<void> {
    await this.#page.evaluate(`resetPlayer(${JSON.stringify(this.name)})`);
  }

  /** Waits until it has played `seconds` more; rejects with what it said otherwise. */
  async moreSeconds(seconds: number, withinMs = LIMIT_MS): Promise<void> {
    const before = (await this.figures()).currentTime;
    let last: PlayerFigures | undefined;
    // A live player begins far from 0: what counts is how far it comes from where it began.
    let from = before;
    try {
      await until(
        `${this.name} plays ${seconds} s more`,
        async () => {
          last = await this.figures();
          if (from === 0) from = last.currentTime;
          return last.hasPlayed && last.currentTime >= from + seconds;
        },
        { withinMs, everyMs: 200 },
      );
    } catch (error) {
      const { latenciesMs: _, bufferedMs: __, ...told } = last ?? { latenciesMs: [], bufferedMs: [] };
      throw new Error(`${(error as Error).message}: ${JSON.stringify(told)}`, { cause: error });
    }
  }

  async stop(): Promise<void> {
    await this.#page.evaluate(`stopPlayer(${JSON.stringify(this.name)})`);
  }
}

/** A page with any number of players. All are in one page: Chromium slows pages down that nobody sees. */
export class Browser {
  readonly #server: Server;
  readonly #chromium: Chromium;
  readonly #page: Page;

  private constructor(server: Server, chromium: Chromium, page: Page) {
    this.#server = server;
    this.#chromium = chromium;
    this.#page = page;
  }

  /** Starts Chromium, in the network that this process is in. */
  static async open(): Promise<Browser> {
    const server = createServer((request, response) => {
      const [path, type] = FILES[request.url ?? ''] ?? [];
      if (path === undefined) return response.writeHead(404).end();
      readFile(path).then(
        (body) => response.writeHead(200, { 'content-type': type }).end(body),
        (error: Error) => response.writeHead(500).end(error.message),
      );
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const chromium = await launch({
      executablePath: EXECUTABLE,
      timeout: LIMIT_MS,
      pipe: true,
      args: [
        // Tests run as root, for the rig; the page and the media are our own.
        ...['--no-sandbox', '--autoplay-policy=no-user-gesture-required', '--mute-audio'],
        ...['--disable-dev-shm-usage', '--disable-gpu', '--no-first-run', '--disable-background-networking'],
        ...['--disable-component-update', '--disable-sync', '--disable-extensions'],
      ],
    });
    const page = await chromium.newPage();
    page.setDefaultTimeout(LIMIT_MS);
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    return new Browser(server, chromium, page);
  }

  /** Starts a player on an address; it begins to play by itself. */
  async play(name: string, kind: PlayerKind, url: string): Promise<BrowserPlayer> {
    const [first, second, third] = [name, kind, url].map((text) => JSON.stringify(text));
    await this.#page.evaluate(`startPlayer(${first}, ${second}, ${third})`);
    return new BrowserPlayer(this.#page, name);
  }

  async close(): Promise<void> {
    await this.#chromium.close();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
