import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';

/** A running tool; its standard output and error are kept. */
export interface Tool {
  readonly child: ChildProcess;
  /** Resolves with the standard output when the tool ends with 0; rejects with what it said otherwise. */
  readonly done: Promise<string>;
  stop(): void;
}

/** Starts ffmpeg or ffprobe. A missing tool is a failure: these tests are worth nothing without. */
export function run(command: 'ffmpeg' | 'ffprobe', args: readonly string[]): Tool {
  const child = spawn(command, ['-hide_banner', '-loglevel', 'error', ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let output = '';
  let errors = '';
  child.stdout.on('data', (bytes: Buffer) => (output += bytes.toString()));
  child.stderr.on('data', (bytes: Buffer) => (errors += bytes.toString()));
  child.once('error', (cause) => reject(new Error(`${command} is needed for this test`, { cause })));
  child.once('close', (code, signal) => {
    if (code === 0) resolve(output);
    else reject(new Error(`${command} ended with ${code ?? signal}: ${errors}`));
  });
  // A tool that the test stops may end as it likes.
  promise.catch(() => undefined);
  return { child, done: promise, stop: () => child.kill('SIGKILL') };
}

/** ffmpeg's arguments for a test picture and tone, at the speed of the clock, key frames twice a second. */
export const TEST_INPUT: readonly string[] = [
  '-re -f lavfi -i testsrc2=size=320x180:rate=25 -f lavfi -i sine=frequency=440:sample_rate=48000',
  '-c:v libx264 -preset ultrafast -tune zerolatency -g 12 -pix_fmt yuv420p -c:a aac -b:a 64k',
]
  .join(' ')
  .split(' ');

/** Publishes the test picture until it is stopped. */
export function publishTestPicture(url: string): Tool {
  return run('ffmpeg', [...TEST_INPUT, '-f', 'flv', url]);
}

export interface Packet {
  readonly codec_type: 'video' | 'audio';
  readonly dts_time: number;
  readonly pts_time: number;
  readonly isKey: boolean;
}

/** What ffprobe, with these options, sees in the first `seconds` of a URL's media. */
export async function probePackets(
  url: string,
  seconds: number,
  ...options: readonly string[]
): Promise<{ packets: Packet[]; codecs: string[] }> {
  const show = ['-show_entries', 'packet=codec_type,pts_time,dts_time,flags:stream=codec_name', '-of', 'json'];
  const text = await run('ffprobe', [...options, ...show, '-read_intervals', `%+${seconds}`, '-i', url]).done;
  const json = JSON.parse(text) as { packets: Record<string, string>[]; streams: { codec_name: string }[] };
  const packets = json.packets.map((packet) => ({
    codec_type: packet['codec_type'] as Packet['codec_type'],
    dts_time: Number(packet['dts_time']),
    pts_time: Number(packet['pts_time']),
    isKey: (packet['flags'] ?? '').startsWith('K'),
  }));
  return { packets, codecs: json.streams.map(({ codec_name }) => codec_name).sort() };
}
