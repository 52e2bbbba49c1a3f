import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from '#contract/testing/free-port.ts';
import { LIMIT_MS } from '#contract/testing/until.ts';

/** A relay task of node-media-server: its own RTMP client, in either direction. */
export interface RelayTask {
  readonly mode: 'pull' | 'push';
  readonly url: string;
  readonly streamPath: string;
}

/** node-media-server as a peer: a process of its own, for it holds its state in globals and may crash. */
export interface NodeMediaServer {
  readonly rtmpPort: number;
  readonly httpPort: number;
  relay(task: RelayTask): void;
  /** What it has logged, for a failing test's message. */
  log(): string;
  close(): Promise<void>;
}

const SCRIPT = `
const NodeMediaServer = require('node-media-server');
const [rtmpPort, httpPort, dir] = process.argv.slice(1);
const nms = new NodeMediaServer({
  bind: '127.0.0.1', notify: {}, store: { path: dir }, record: { path: dir }, webadmin: { enable: false },
  auth: { play: false, publish: false, jwt: { users: [] } }, rtmp: { port: Number(rtmpPort) }, http: { port: Number(httpPort) },
});
nms.run();
process.on('message', (task) => nms.relayServer.addTask({ ...task, reconnectInterval: 200 }));
process.on('disconnect', () => process.exit());
`;

export async function startNodeMediaServer(): Promise<NodeMediaServer> {
  const dir = await mkdtemp(join(tmpdir(), 'node-media-server-'));
  const [rtmpPort, httpPort] = [await freePort(), await freePort()];
  const child = spawn(process.execPath, ['-e', SCRIPT, String(rtmpPort), String(httpPort), dir], {
    cwd: import.meta.dirname,
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  let log = '';
  child.stdout?.on('data', (bytes: Buffer) => (log = (log + bytes.toString()).slice(-20_000)));
  child.stderr?.on('data', (bytes: Buffer) => (log = (log + bytes.toString()).slice(-20_000)));
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  await listening(child, rtmpPort, () => log);
  return {
    rtmpPort,
    httpPort,
    relay: (task) => child.send(task),
    log: () => log,
    close: async () => {
      child.kill('SIGKILL');
      await ended;
      await rm(dir, { recursive: true, force: true });
    },
  };
}

async function listening(child: ChildProcess, port: number, log: () => string): Promise<void> {
  const untilMs = performance.now() + LIMIT_MS;
  while (child.exitCode === null && performance.now() < untilMs) {
    const isUp = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1');
      socket.once('connect', () => resolve(true));
      socket.once('error', () => resolve(false));
      socket.once('close', () => resolve(false));
      socket.once('connect', () => socket.destroy());
    });
    if (isUp) return;
    await delay(20);
  }
  throw new Error(`node-media-server did not start: ${log()}`);
}
