import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../contract/testing/free-port.ts';
import { ensureTools } from '../cluster/tools.ts';
import { until } from './until.ts';

export const S3_KEYS = { accessKeyId: 'e2e', secretAccessKey: 'e2e-secret-of-no-worth' } as const;

/** versitygw, an S3 server over a folder of this machine: what is uploaded lies there under its key. */
export class S3Server {
  /** http://host:port */
  readonly url: string;
  readonly #folder: string;
  readonly #bucket: string;
  readonly #child: ChildProcess;

  private constructor(url: string, folder: string, bucket: string, child: ChildProcess) {
    this.url = url;
    this.#folder = folder;
    this.#bucket = bucket;
    this.#child = child;
  }

  /** Serves one bucket at an address of this machine that pods reach. */
  static async start(host: string, bucket: string): Promise<S3Server> {
    const { versitygw } = await ensureTools();
    const folder = mkdtempSync(join(tmpdir(), 'livecluster-s3-'));
    mkdirSync(join(folder, bucket));
    const port = await freePort(host);
    const child = spawn(versitygw, ['--port', `${host}:${port}`, 'posix', folder], {
      stdio: 'ignore',
      env: { ROOT_ACCESS_KEY_ID: S3_KEYS.accessKeyId, ROOT_SECRET_ACCESS_KEY: S3_KEYS.secretAccessKey },
    });
    const server = new S3Server(`http://${host}:${port}`, folder, bucket, child);
    // Any answer is one; without a signature it is a refusal.
    await until('the S3 server', async () => (await fetch(server.url)).status > 0);
    return server;
  }

  /** Where the bucket's objects lie. */
  get bucketFolder(): string {
    return join(this.#folder, this.#bucket);
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const exited = new Promise((resolve) => this.#child.once('exit', resolve));
      this.#child.kill('SIGKILL');
      await exited;
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
