import assert from 'node:assert/strict';
import { createDecipheriv } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parse, setOptions } from 'hls-parser';
import type { types } from 'hls-parser';
import { probePackets } from './probe.ts';
import { readByPython } from './python.ts';

/*
 * A reader of HLS that believes nothing: it takes every playlist through hls-parser's strict mode, fetches each listed file
 * once, and keeps all of it for the checks after.
 */

setOptions({ strictMode: true });

const POLL_MS = 400;
/** Requests of one file at a time, as a player does, and an answer within this time. */
const ANSWER_MS = 60_000;

interface Fetched {
  readonly segment: types.Segment;
  /** Decrypted where it was encrypted, with its initialization section before it. */
  readonly file: string;
  readonly bytes: number;
}

interface Rendition {
  readonly name: string;
  readonly url: string;
  /** Every playlist text in the order it came, equal ones left out. */
  readonly texts: string[];
  readonly playlists: types.MediaPlaylist[];
  readonly segments: Map<number, Fetched>;
}

export class HlsFollower {
  readonly url: string;
  readonly renditions: Rendition[] = [];
  readonly #folder = mkdtempSync(join(tmpdir(), 'livecluster-hls-'));
  readonly #abort = new AbortController();
  readonly #small = new Map<string, Buffer>();
  #multivariant: { text: string; playlist: types.MasterPlaylist } | undefined;
  #following: Promise<void[]> | undefined;
  /** What went wrong, such as `404 http://…`; empty when all is well. */
  readonly faults: string[] = [];

  private constructor(url: string) {
    this.url = url;
  }

  /** Reads the multivariant playlist and follows its first variant and that one's audio, until `stop`. */
  static async open(url: string): Promise<HlsFollower> {
    const follower = new HlsFollower(url);
    await follower.#open();
    return follower;
  }

  get multivariant(): types.MasterPlaylist {
    return this.#multivariant!.playlist;
  }

  async #open(): Promise<void> {
    const text = (await this.#get(this.url)).toString();
    const playlist = parse(text);
    assert.ok(playlist.isMasterPlaylist, `${this.url} is a multivariant playlist:\n${text}`);
    this.#multivariant = { text, playlist };
    const [variant] = playlist.variants;
    assert.ok(variant !== undefined, `${this.url} has a variant:\n${text}`);
    const named: [string, string][] = [['main', variant.uri]];
    for (const { uri } of variant.audio) if (uri !== undefined) named.push(['audio', uri]);
    for (const [name, uri] of named) {
      mkdirSync(join(this.#folder, name));
      const absolute = new URL(uri, this.url).href;
      this.renditions.push({ name, url: absolute, texts: [], playlists: [], segments: new Map() });
    }
    this.#following = Promise.all(this.renditions.map((rendition) => this.#follow(rendition)));
  }

  async #get(url: string): Promise<Buffer> {
    const signal = AbortSignal.any([this.#abort.signal, AbortSignal.timeout(ANSWER_MS)]);
    const response = await fetch(url, { signal });
    if (!response.ok) throw new Error(`${response.status} ${url}`);
    return Buffer.from(await response.arrayBuffer());
  }

  async #follow(rendition: Rendition): Promise<void> {
    while (!this.#abort.signal.aborted) {
      try {
        await this.#read(rendition);
        await delay(POLL_MS, undefined, { signal: this.#abort.signal });
      } catch (error) {
        if (this.#abort.signal.aborted) return;
        if (this.faults.length < 50) this.faults.push(`${rendition.name}: ${(error as Error).message}`);
        await delay(POLL_MS);
      }
    }
  }

  async #read(rendition: Rendition): Promise<void> {
    const text = (await this.#get(rendition.url)).toString();
    if (text === rendition.texts.at(-1)) return;
    rendition.texts.push(text);
    const playlist = parse(text);
    if (playlist.isMasterPlaylist) throw new Error(`${rendition.url} is no media playlist`);
    const before = rendition.playlists.at(-1);
    rendition.playlists.push(playlist);
    this.#compare(rendition, before, playlist);
    for (const segment of playlist.segments) {
      if (segment.gap || !segment.uri || rendition.segments.has(segment.mediaSequenceNumber)) continue;
      rendition.segments.set(segment.mediaSequenceNumber, await this.#fetch(rendition, segment));
    }
  }

  /** RFC 8216 6.2.1: what a server must not change. */
  #compare({ name, segments }: Rendition, before: types.MediaPlaylist | undefined, now: types.MediaPlaylist): void {
    const fault = (text: string) => this.faults.push(`${name}: ${text}`);
    if (before !== undefined) {
      if ((now.mediaSequenceBase ?? 0) < (before.mediaSequenceBase ?? 0)) {
        fault(`MEDIA-SEQUENCE went back from ${before.mediaSequenceBase} to ${now.mediaSequenceBase}`);
      }
      if (now.targetDuration !== before.targetDuration) {
        fault(`TARGETDURATION changed from ${before.targetDuration} to ${now.targetDuration}`);
      }
    }
    for (const segment of now.segments) {
      if (!segment.uri) continue;
      const known = segments.get(segment.mediaSequenceNumber)?.segment;
      if (known === undefined) continue;
      if (known.uri !== segment.uri) {
        fault(`segment ${segment.mediaSequenceNumber} was ${known.uri} and is ${segment.uri}`);
      }
      if (known.discontinuitySequence !== segment.discontinuitySequence) {
        fault(
          `segment ${segment.mediaSequenceNumber} was in discontinuity ${known.discontinuitySequence} and is in ${segment.discontinuitySequence}`,
        );
      }
    }
  }

  async #fetch(rendition: Rendition, segment: types.Segment): Promise<Fetched> {
    const absolute = (uri: string) => new URL(uri, rendition.url).href;
    let body = await this.#get(absolute(segment.uri));
    if (segment.key?.method === 'AES-128') {
      const key = await this.#once(absolute(segment.key.uri!));
      const decipher = createDecipheriv('aes-128-cbc', key, Buffer.from(new Uint8Array(segment.key.iv!)));
      body = Buffer.concat([decipher.update(body), decipher.final()]);
    }
    const init = segment.map?.uri ? await this.#once(absolute(segment.map.uri)) : Buffer.alloc(0);
    const ending = init.length > 0 ? 'mp4' : 'mpegts';
    const file = join(this.#folder, rendition.name, `${segment.mediaSequenceNumber}.${ending}`);
    writeFileSync(file, Buffer.concat([init, body]));
    return { segment, file, bytes: body.length };
  }

  /** Keys and initialization sections serve many segments. */
  async #once(url: string): Promise<Buffer> {
    const known = this.#small.get(url);
    if (known !== undefined) return known;
    const body = await this.#get(url);
    this.#small.set(url, body);
    return body;
  }

  /** How many segments each rendition has brought, the least of them. */
  get complete(): number {
    return Math.min(...this.renditions.map(({ segments }) => segments.size));
  }

  /** Discontinuities that were listed among the segments read. */
  get discontinuities(): number {
    const [main] = this.renditions;
    return [...main!.segments.values()].filter(({ segment }) => segment.discontinuity).length;
  }

  /** Ends the reading. Idempotent. */
  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#following;
  }

  /** Of every segment read: a key frame first, times that rise, and what Python's m3u8 and hls-parser agree on. */
  async assertSound(): Promise<void> {
    assert.deepEqual(this.faults, [], `${this.url} without a fault`);
    for (const rendition of this.renditions) {
      const numbers = [...rendition.segments.keys()].sort((a, b) => a - b);
      assert.ok(numbers.length > 0, `${rendition.name} of ${this.url} has segments`);
      const last = new Map<string, number>();
      for (const number of numbers) {
        const { file, segment } = rendition.segments.get(number)!;
        const packets = await probePackets(file);
        assert.ok(packets.length > 0, `${rendition.name} ${segment.uri} holds media`);
        if (segment.discontinuity) last.clear();
        const firstVideo = packets.find(({ kind }) => kind === 'video');
        assert.ok(firstVideo?.isKey ?? true, `${rendition.name} ${segment.uri} begins with a key frame`);
        for (const { kind, dtsSeconds } of packets) {
          const before = last.get(kind);
          assert.ok(
            before === undefined || dtsSeconds > before,
            `${kind} of ${segment.uri}: dts ${dtsSeconds} after ${before}`,
          );
          last.set(kind, dtsSeconds);
        }
      }
    }
    await this.#assertPythonAgrees();
  }

  async #assertPythonAgrees(): Promise<void> {
    const write = (name: string, text: string) => {
      const path = join(this.#folder, `${name}.m3u8`);
      writeFileSync(path, text);
      return path;
    };
    const last = this.renditions.map(({ playlists }) => playlists.at(-1)!);
    const [first, ...others] = await readByPython([
      write('multivariant', this.#multivariant!.text),
      ...this.renditions.map(({ name, texts }) => write(name, texts.at(-1)!)),
    ]);
    assert.equal(first?.isVariant, true);
    assert.equal(first.variants, this.multivariant.variants.length);
    for (const [index, read] of others.entries()) {
      const playlist = last[index]!;
      const whole = playlist.segments.filter(({ uri }) => uri);
      assert.equal(read.segments, whole.length, this.renditions[index]!.texts.at(-1));
      assert.equal(read.mediaSequence, playlist.mediaSequenceBase ?? 0);
      assert.equal(read.targetDuration, playlist.targetDuration);
      assert.equal(read.discontinuities, whole.filter(({ discontinuity }) => discontinuity).length);
    }
  }

  /** Removes the files; `stop` first. */
  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
