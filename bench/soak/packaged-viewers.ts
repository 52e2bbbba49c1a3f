import { setTimeout as delay } from 'node:timers/promises';
import type { Browser } from './browser.ts';
import { SoakFault } from './browser.ts';

/*
 * Viewers of HLS, with parts and blocking reloads where they are offered, and of DASH. They read playlists as far as a soak
 * needs: what is listed, what comes next.
 */

export interface Viewing {
  readonly browser: Browser;
  /** Of the playlist or manifest that is asked for first. */
  readonly path: string;
  /** Each file of media that came. */
  readonly onMedia?: () => void;
  /** The stream is always there: what its playlists list must be too. */
  readonly isSteady?: boolean;
}

/** Where players begin, in segments before the end. */
const BEGIN_AT = 3;
const AGAIN_MS = 500;

/** Plays until the browser's stay is over, or the stream's. */
export async function playHls(viewing: Viewing): Promise<void> {
  const { browser, path } = viewing;
  const first = await browser.get(browser.url(path));
  if (first === undefined || first.status !== 200) {
    refuse(viewing, first?.status);
    return;
  }
  const lines = first.text.split('\n');
  const uris = lines.filter((line) => line !== '' && !line.startsWith('#'));
  for (const line of lines) if (line.startsWith('#EXT-X-MEDIA:')) uris.push(attribute(line, 'URI') ?? '');
  // A Vhost that tells its viewers apart in no way may answer the media playlist at once.
  if (first.text.includes('#EXT-X-TARGETDURATION'))
    throw new SoakFault('a media playlist where the multivariant one is');
  await Promise.all(uris.map((uri) => followPlaylist(viewing, new URL(uri, first.url))));
}

async function followPlaylist(viewing: Viewing, url: URL): Promise<void> {
  const { browser } = viewing;
  let known: Playlist | undefined;
  let seen = new Set<string>();
  while (!browser.signal.aborted) {
    const asked = new URL(url);
    if (known?.canBlock === true) {
      asked.searchParams.set('_HLS_msn', String(known.nextMsn));
      asked.searchParams.set('_HLS_part', String(known.nextPart));
      if (known.canSkip) asked.searchParams.set('_HLS_skip', 'YES');
    }
    const answer = await browser.get(asked);
    if (answer === undefined) return;
    if (answer.status !== 200) {
      // 503: nothing new came in three target durations, or the stream is gone.
      refuse(viewing, answer.status);
      return;
    }
    const playlist = readPlaylist(answer.text);
    if (known !== undefined && playlist.nextMsn < known.nextMsn) throw new SoakFault('a playlist went back');
    const files = known === undefined ? playlist.files.slice(-BEGIN_AT) : playlist.files;
    for (const file of files) {
      if (!seen.has(file)) await fetchMedia(viewing, new URL(file, url));
      if (browser.signal.aborted) return;
    }
    seen = new Set(playlist.files);
    known = playlist;
    if (playlist.isEnded) return;
    if (!playlist.canBlock) await pause(browser, playlist.targetMs / 2);
  }
}

interface Playlist {
  /** Segments, the parts of the open one, their keys and headers, in order. */
  readonly files: readonly string[];
  /** What a blocking reload asks for. */
  readonly nextMsn: number;
  readonly nextPart: number;
  readonly targetMs: number;
  readonly canBlock: boolean;
  readonly canSkip: boolean;
  readonly isEnded: boolean;
}

function readPlaylist(text: string): Playlist {
  const files: string[] = [];
  let parts: string[] = [];
  let segments = 0;
  let isGap = false;
  for (const line of text.split('\n')) {
    if (line.startsWith('#EXT-X-PART:')) parts.push(attribute(line, 'URI') ?? '');
    else if (line.startsWith('#EXT-X-MAP:') || line.startsWith('#EXT-X-KEY:')) files.push(attribute(line, 'URI') ?? '');
    else if (line.startsWith('#EXT-X-GAP')) isGap = true;
    else if (line.startsWith('#EXT-X-SKIP:')) segments += Number(/SKIPPED-SEGMENTS=(\d+)/.exec(line)?.[1] ?? NaN);
    else if (line !== '' && !line.startsWith('#')) {
      if (!isGap) files.push(line);
      isGap = false;
      parts = [];
      segments++;
    }
  }
  return {
    files: [...files, ...parts].filter((file) => file !== ''),
    nextMsn: number(text, /#EXT-X-MEDIA-SEQUENCE:(\d+)/) + segments,
    nextPart: parts.length,
    targetMs: number(text, /#EXT-X-TARGETDURATION:(\d+)/) * 1_000,
    canBlock: text.includes('CAN-BLOCK-RELOAD=YES'),
    canSkip: text.includes('CAN-SKIP-UNTIL='),
    isEnded: text.includes('#EXT-X-ENDLIST'),
  };
}

/** Plays until the browser's stay is over, or the stream's. */
export async function playDash(viewing: Viewing): Promise<void> {
  const { browser, path } = viewing;
  let url = browser.url(path);
  let seen: Set<string> | undefined;
  while (!browser.signal.aborted) {
    const answer = await browser.get(url);
    if (answer === undefined) return;
    if (answer.status !== 200) {
      refuse(viewing, answer.status);
      return;
    }
    const location = /<Location>([^<]+)</.exec(answer.text)?.[1];
    const files = readManifest(answer.text);
    const listed = new Set(files);
    for (const file of seen === undefined ? files.slice(-BEGIN_AT) : files) {
      if (seen?.has(file) !== true) await fetchMedia(viewing, new URL(file, url));
      if (browser.signal.aborted) return;
    }
    seen = listed;
    if (location !== undefined) url = new URL(unescapeXml(location), url);
    if (answer.text.includes('type="static"')) return;
    await pause(browser, AGAIN_MS);
  }
}

function readManifest(text: string): string[] {
  const files: string[] = [];
  for (const [, head = '', body = ''] of text.matchAll(/<SegmentTemplate ([^>]*)>(.*?)<\/SegmentTemplate>/gs)) {
    const initialization = /initialization="([^"]*)"/.exec(head)?.[1];
    if (initialization !== undefined) files.push(unescapeXml(initialization));
    const pattern = unescapeXml(/media="([^"]*)"/.exec(head)?.[1] ?? '');
    let next = number(head, /startNumber="(\d+)"/);
    for (const [element] of body.matchAll(/<S [^>]*>/g)) {
      for (let left = 1 + Number(/r="(\d+)"/.exec(element)?.[1] ?? 0); left > 0; left--) {
        files.push(pattern.replace('$Number$', String(next++)));
      }
    }
  }
  for (const [, file = ''] of text.matchAll(/(?:sourceURL|<SegmentURL media)="([^"]*)"/g))
    files.push(unescapeXml(file));
  return files;
}

async function fetchMedia(viewing: Viewing, url: URL): Promise<void> {
  const answer = await viewing.browser.get(url);
  if (answer === undefined) return;
  if (answer.status === 200) viewing.onMedia?.();
  else if (viewing.isSteady === true) throw new SoakFault(`${answer.status} for a file that is listed`);
}

/** What is always there has an answer. */
function refuse({ isSteady }: Viewing, status: number | undefined): void {
  if (isSteady === true && status !== undefined) throw new SoakFault(`${status} for a playlist that is always there`);
}

async function pause({ signal }: Browser, ms: number): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => undefined);
}

function attribute(line: string, name: string): string | undefined {
  return new RegExp(`[:,]${name}="([^"]*)"`).exec(line)?.[1];
}

function number(text: string, pattern: RegExp): number {
  return Number(pattern.exec(text)?.[1] ?? NaN);
}

function unescapeXml(text: string): string {
  return text.replaceAll('&quot;', '"').replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&');
}
