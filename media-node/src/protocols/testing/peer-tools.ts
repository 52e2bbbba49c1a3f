import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { until } from '#contract/testing/until.ts';

/** VLC refuses to run as root. */
const NOBODY = 65_534;

/** A player or encoder of other people's; ended by `stop`, whatever it does. */
export class PeerTool {
  readonly #command: string;
  readonly #child: ChildProcess;
  readonly #output: Buffer[] = [];
  #outputBytes = 0;
  #errors = '';
  #end: string | undefined;

  constructor(command: string, args: readonly string[]) {
    this.#command = command;
    const asNobody = command === 'cvlc' && process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
    this.#child = spawn(command, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, HOME: '/nonexistent', GST_REGISTRY_FORK: 'no' },
      ...asNobody,
    });
    this.#child.stdout?.on('data', (bytes: Buffer) => {
      this.#output.push(bytes);
      this.#outputBytes += bytes.length;
    });
    this.#child.stderr?.on('data', (bytes: Buffer) => (this.#errors = (this.#errors + bytes.toString()).slice(-4_000)));
    this.#child.once('error', (error) => {
      this.#end = `${error.message}: install it by scripts/system-packages.sh test`;
    });
    this.#child.once('close', (code, signal) => (this.#end ??= `it ended with ${code ?? signal}`));
  }

  /** What it wrote to its standard output, once that is `atLeast` bytes; fails when it ends before. */
  async output(atLeast: number): Promise<Buffer> {
    await until(`${atLeast} bytes of ${this.#command}`, () => {
      if (this.#outputBytes < atLeast && this.#end !== undefined) {
        throw new Error(`${this.#command}: ${this.#end} after ${this.#outputBytes} bytes: ${this.#errors}`);
      }
      return this.#outputBytes >= atLeast;
    });
    return Buffer.concat(this.#output);
  }

  /** Waits for its own end, which must be a good one. */
  async finished(): Promise<void> {
    const end = await until(`the end of ${this.#command}`, () => this.#end);
    if (end !== 'it ended with 0') throw new Error(`${this.#command}: ${end}: ${this.#errors}`);
  }

  /** Idempotent. */
  stop(): void {
    this.#child.kill('SIGKILL');
  }
}
