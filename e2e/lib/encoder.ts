import { type ChildProcess, spawn } from 'node:child_process';

/**
 * ffmpeg as an encoder that people leave running: H.264 + AAC in real time, started again one second after each end.
 */
export class Encoder {
  readonly url: string;
  readonly #audio: boolean;
  #child: ChildProcess | undefined;
  #retry: NodeJS.Timeout | undefined;
  #stopped = false;
  /** Times ffmpeg was started. */
  starts = 0;
  /** What the last ffmpeg said last. */
  lastError = '';

  constructor(url: string, { audio = true } = {}) {
    this.url = url;
    this.#audio = audio;
    this.#start();
  }

  #start(): void {
    this.starts += 1;
    const child = spawn(
      'ffmpeg',
      [
        ...['-hide_banner', '-loglevel', 'error', '-nostdin', '-re'],
        ...['-f', 'lavfi', '-i', 'testsrc2=size=320x180:rate=25'],
        ...(this.#audio ? ['-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=44100'] : []),
        ...['-c:v', 'libx264', '-preset', 'ultrafast', '-tune', 'zerolatency', '-g', '25', '-pix_fmt', 'yuv420p'],
        ...(this.#audio ? ['-c:a', 'aac', '-b:a', '64k'] : []),
        ...['-f', 'flv', this.url],
      ],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    this.#child = child;
    child.stderr.on('data', (chunk: Buffer) => (this.lastError = chunk.toString().trim()));
    child.once('exit', () => {
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
