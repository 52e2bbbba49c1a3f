import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { LIMIT_MS } from '#contract/testing/until.ts';

/** Waits until `check` answers something that is not false or undefined; gives up after LIMIT_MS, naming what it waited for. */
export async function until<T>(what: string, check: () => Promise<T> | T): Promise<Exclude<T, false | undefined>> {
  const endMs = performance.now() + LIMIT_MS;
  let lastError: unknown;
  while (performance.now() < endMs) {
    try {
      const value = await check();
      if (value !== false && value !== undefined) return value as Exclude<T, false | undefined>;
    } catch (error) {
      lastError = error;
    }
    await delay(20);
  }
  throw new Error(`waited ${LIMIT_MS / 1_000} s in vain until ${what}`, { cause: lastError });
}

/** One packet as ffprobe read it. */
export interface ProbedPacket {
  readonly codec: 'video' | 'audio';
  readonly dtsMs: number;
  readonly isKey: boolean;
}

/** Plays an address with Debian's ffprobe until it has so many seconds of video, and answers the packets. */
export async function probe(url: string, seconds: number): Promise<readonly ProbedPacket[]> {
  const entries = 'packet=codec_type,dts_time,flags';
  const child = spawn('ffprobe', ['-v', 'error', '-show_entries', entries, '-of', 'compact=p=0', url], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const kill = setTimeout(() => child.kill('SIGKILL'), LIMIT_MS);
  const packets: ProbedPacket[] = [];
  let rest = '';
  let errors = '';
  let endMs = Infinity;
  child.stderr.on('data', (data: Buffer) => (errors += data.toString()));
  child.stdout.on('data', (data: Buffer) => {
    const lines = (rest + data.toString()).split('\n');
    rest = lines.pop() ?? '';
    for (const packet of lines.map(readPacket)) {
      if (packet === undefined) continue;
      packets.push(packet);
      if (packet.codec === 'video' && endMs === Infinity) endMs = packet.dtsMs + seconds * 1_000;
      // ffprobe's own limit counts from the metadata, whose time is 0 whenever one joins.
      if (packet.codec === 'video' && packet.dtsMs >= endMs) child.kill('SIGTERM');
    }
  });
  await once(child, 'close');
  clearTimeout(kill);
  if (packets.length === 0) throw new Error(`ffprobe got nothing from ${url}: ${errors.trim()}`);
  return packets;
}

function readPacket(line: string): ProbedPacket | undefined {
  const fields = new Map(line.split('|').map((pair) => pair.split('=', 2) as [string, string]));
  const codec = fields.get('codec_type');
  if (codec !== 'video' && codec !== 'audio') return undefined;
  const dtsMs = Math.round(Number(fields.get('dts_time')) * 1_000);
  return { codec, dtsMs, isKey: (fields.get('flags') ?? '').startsWith('K') };
}

/** The value of one series of a node's metrics; 0 when it is not there. */
export async function metric(adminPort: number, series: string): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text();
  const line = text.split('\n').find((each) => each.startsWith(`${series} `));
  return line === undefined ? 0 : Number(line.slice(series.length + 1));
}
