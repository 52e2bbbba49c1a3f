import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { LIMIT_MS, until } from './until.ts';

interface Packet {
  readonly streamIndex: number;
  readonly dtsSeconds: number;
  readonly isKey: boolean;
  /** performance.now() at arrival. */
  readonly atMs: number;
}

/**
 * ffprobe as a player: one connection, every packet it reads noted. A broken connection ends ffprobe, so a viewer that
 * is `connected` never lost its own.
 */
export class Viewer {
  readonly url: string;
  readonly #child: ChildProcess;
  readonly #codecs = new Map<number, string>();
  readonly packets: Packet[] = [];
  #stderr = '';

  constructor(url: string) {
    this.url = url;
    // stdbuf: line by line, or packets would be seen 4 KiB later.
    const child = spawn(
      'stdbuf',
      [
        '-oL',
        ...['ffprobe', '-hide_banner', '-loglevel', 'error', '-probesize', '100000', '-analyzeduration', '500000'],
        ...['-show_entries', 'packet=codec_type,stream_index,dts_time,flags', '-of', 'csv=p=0', url],
      ],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    this.#child = child;
    child.stderr.on('data', (chunk: Buffer) => (this.#stderr = (this.#stderr + chunk.toString()).slice(-4_000)));
    createInterface({ input: child.stdout }).on('line', (line) => {
      const [codec, streamIndex, dts, flags] = line.split(',');
      if (dts === undefined || flags === undefined || dts === 'N/A') return;
      this.#codecs.set(Number(streamIndex), codec!);
      this.packets.push({
        streamIndex: Number(streamIndex),
        dtsSeconds: Number(dts),
        isKey: flags.startsWith('K'),
        atMs: performance.now(),
      });
    });
  }

  get connected(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Waits until `count` packets came after now. */
  async moreFrames(count: number, withinMs = LIMIT_MS): Promise<void> {
    const wanted = this.packets.length + count;
    await until(
      `${count} more packets at ${this.url}`,
      () => {
        if (!this.connected) throw new Error(`ffprobe ended: ${this.#stderr.trim()}`);
        return this.packets.length >= wanted;
      },
      { withinMs, everyMs: 20 },
    );
  }

  /** Milliseconds of the longest time without a packet among those that arrived since `sinceMs` (performance.now()). */
  longestGapMs(sinceMs: number): number {
    let last = this.packets.findLast((packet) => packet.atMs <= sinceMs)?.atMs ?? sinceMs;
    let longest = 0;
    for (const { atMs } of this.packets) {
      if (atMs <= sinceMs) continue;
      longest = Math.max(longest, atMs - last);
      last = atMs;
    }
    return longest;
  }

  /** Every packet's dts is above the one before on its track, and video began with a key frame. */
  assertSound(): void {
    assert.ok(this.packets.length > 0, `packets came from ${this.url}`);
    const last = new Map<number, number>();
    for (const { streamIndex, dtsSeconds, isKey } of this.packets) {
      const before = last.get(streamIndex);
      if (before === undefined && this.#codecs.get(streamIndex) === 'video') {
        assert.ok(isKey, `the first video packet from ${this.url} is a key frame`);
      }
      assert.ok(
        before === undefined || dtsSeconds > before,
        `dts on track ${streamIndex} (${this.#codecs.get(streamIndex)}) of ${this.url} rises: ${dtsSeconds} after ${before}`,
      );
      last.set(streamIndex, dtsSeconds);
    }
  }

  assertHas(...kinds: ('video' | 'audio')[]): void {
    for (const kind of kinds) assert.ok([...this.#codecs.values()].includes(kind), `${this.url} has ${kind}`);
  }

  async stop(): Promise<void> {
    if (!this.connected) return;
    const exited = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGKILL');
    await exited;
  }
}
