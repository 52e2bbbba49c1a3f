import { type ChildProcess, spawn } from 'node:child_process';
import { CLOCK_PICTURE, sendClock } from './clock-picture.ts';

const TEST_PICTURE = ['-re', '-f', 'lavfi', '-i', 'testsrc2=size=320x180:rate=25'];
const CLOCK = [
  ...['-probesize', '32', '-analyzeduration', '0', '-f', 'rawvideo', '-pixel_format', 'yuv420p'],
  ...['-video_size', `${CLOCK_PICTURE.width}x${CLOCK_PICTURE.height}`],
  ...['-framerate', String(CLOCK_PICTURE.framesPerSecond), '-i', 'pipe:0'],
];

export interface EncoderOptions {
  readonly audio?: boolean;
  /** `clock`: a picture that tells when it was made, for latencies; see clock-picture.ts. */
  readonly picture?: 'test' | 'clock';
  /** It makes key frames for so many seconds alone; by default a second apart for ever. */
  readonly keyFramesForS?: number;
  /** Where it publishes from the second connection on; the same by default. */
  readonly laterUrl?: string;
}

/**
 * ffmpeg as an encoder that people leave running: H.264 + AAC in real time, a key frame a second, started again one second
 * after each end.
 */
export class Encoder {
  readonly url: string;
  readonly #options: EncoderOptions;
  #child: ChildProcess | undefined;
  #retry: NodeJS.Timeout | undefined;
  #stopped = false;
  /** Times ffmpeg was started. */
  starts = 0;
  /** What the last ffmpeg said last. */
  lastError = '';

  constructor(url: string, options: EncoderOptions = {}) {
    this.url = url;
    this.#options = options;
    this.#start();
  }

  #start(): void {
    const { audio = true, picture = 'test', laterUrl = this.url, keyFramesForS } = this.#options;
    this.starts += 1;
    const child = spawn(
      'ffmpeg',
      [
        ...['-hide_banner', '-loglevel', 'error', ...(picture === 'clock' ? [] : ['-nostdin'])],
        ...(picture === 'clock' ? CLOCK : TEST_PICTURE),
        ...(audio ? ['-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=44100'] : []),
        ...['-c:v', 'libx264', '-preset', 'ultrafast', '-tune', 'zerolatency', '-pix_fmt', 'yuv420p'],
        ...(keyFramesForS === undefined
          ? ['-g', '25']
          : ['-g', '100000', '-force_key_frames', `expr:lt(t,${keyFramesForS})*gte(t,n_forced)`]),
        ...(audio ? ['-c:a', 'aac', '-b:a', '64k'] : []),
        // Nothing more comes of a process that is gone, but the tone would go on, as fast as it can.
        ...(picture === 'clock' ? ['-shortest'] : []),
        ...['-f', 'flv', this.starts === 1 ? this.url : laterUrl],
      ],
      { stdio: [picture === 'clock' ? 'pipe' : 'ignore', 'ignore', 'pipe'] },
    );
    this.#child = child;
    const ended = new AbortController();
    if (child.stdin !== null) sendClock(child.stdin, ended.signal);
    child.stderr?.on('data', (chunk: Buffer) => (this.lastError = chunk.toString().trim()));
    child.once('exit', () => {
      ended.abort();
      if (!this.#stopped) this.#retry = setTimeout(() => this.#start(), 1_000);
    });
  }

  /** Ends it for good. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#retry);
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exited = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await exited;
  }
}
