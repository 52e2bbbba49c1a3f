import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { nodeConfigHash, VHOST_DEFAULTS } from '#contract/node-config.ts';
import type { NodeConfig } from '#contract/node-config.ts';
import { makeCertificate } from '#contract/testing/certificate.ts';
import { freePort } from '#contract/testing/free-port.ts';
import { LIMIT_MS } from '#contract/testing/until.ts';
import { TestRedis } from './cluster/testing/redis-server.ts';

const HOST = '127.0.0.1';
const TOKEN = 'the-admin-token-of-this-test';
const RELAY_KEY = 'c0ffee'.repeat(8);
const MAIN = new URL('main.ts', import.meta.url).pathname;
const CONFIG = {
  version: 1,
  logLevel: 'info',
  maxConnections: 100,
  pullHoldMs: 1_000,
  drainMs: 300,
  vhosts: [{ ...VHOST_DEFAULTS, name: '__defaultVhost__', hosts: ['__defaultVhost__'] }],
} as unknown as NodeConfig;

interface LogLine {
  readonly level: number;
  readonly msg: string;
  readonly [field: string]: unknown;
}

/** Runs the process as a pod would, with a folder of files and an environment; undefined leaves a variable out. */
async function runMain(
  t: TestContext,
  changes: { env?: Record<string, string | undefined>; files?: Record<string, string>; redisUrl?: string } = {},
) {
  const folder = await mkdtemp(join(tmpdir(), 'livecluster-node-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const files = {
    'config.json': JSON.stringify(CONFIG),
    'admin-token': TOKEN,
    'relay-key': RELAY_KEY,
    'redis-url': changes.redisUrl ?? `redis://:hunter2@${HOST}:1`,
    ...changes.files,
  };
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  const adminPort = await freePort();
  const child = spawn(process.execPath, [MAIN], {
    env: {
      PATH: process.env['PATH'],
      LIVECLUSTER_ROLE: 'origin',
      LIVECLUSTER_NAMESPACE: 'ns',
      LIVECLUSTER_CLUSTER: 'live',
      LIVECLUSTER_POD_NAME: 'live-origin-3',
      LIVECLUSTER_POD_UID: 'f0d0a5b2-0000-4000-8000-000000000000',
      LIVECLUSTER_POD_IP: HOST,
      LIVECLUSTER_CONFIG_DIR: folder,
      LIVECLUSTER_ORIGINS_HOST: 'localhost',
      LIVECLUSTER_RTMP_PORT: '0',
      LIVECLUSTER_HTTP_PORT: '0',
      LIVECLUSTER_API_PORT: '0',
      LIVECLUSTER_ADMIN_PORT: String(adminPort),
      ...changes.env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.after(() => child.kill('SIGKILL'));
  const spawnedMs = performance.now();
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data: Buffer) => (output += data.toString()));
  const ended = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>;
  const admin = `http://${HOST}:${adminPort}`;
  const lines = () =>
    output
      .split('\n')
      .filter((line) => line.startsWith('{') && line.endsWith('}'))
      .map((line) => JSON.parse(line) as LogLine);
  const until = async <T>(what: string, check: () => Promise<T | undefined> | T | undefined): Promise<T> => {
    const endMs = performance.now() + LIMIT_MS;
    while (performance.now() < endMs) {
      const value = await check();
      if (value !== undefined) return value;
      if (child.exitCode !== null) break;
      await delay(5);
    }
    throw new Error(`waited in vain until ${what}; the process said:\n${output}`);
  };
  const ready = async () => {
    await until('it is ready', async () =>
      (await fetch(`${admin}/readyz`).catch(() => undefined))?.status === 200 ? true : undefined,
    );
    return Math.round(performance.now() - spawnedMs);
  };
  const says = (msg: string) => until(`it logs "${msg}"`, () => lines().find((line) => line.msg === msg));
  const hash = async () => {
    const response = await fetch(`${admin}/config`, { headers: { authorization: `Bearer ${TOKEN}` } });
    return ((await response.json()) as { hash: string }).hash;
  };
  return { child, folder, admin, ended, until, ready, says, hash, lines, output: () => output };
}

test(
  'the process starts on a real Redis, takes changed files, and drains on SIGTERM',
  { timeout: 300_000 },
  async (t) => {
    const redis = await TestRedis.start();
    t.after(() => redis.close());
    const run = await runMain(t, { redisUrl: redis.url });
    t.diagnostic(`spawn to the first 200 on /readyz: ${await run.ready()} ms`);
    const started = await run.says('media node ready');
    assert.equal(started['pod'], 'live-origin-3');
    assert.match(await (await fetch(`${run.admin}/metrics`)).text(), /^livecluster_directory_up 1$/m);
    assert.match(await (await fetch(`${run.admin}/metrics`)).text(), /^process_cpu_seconds_total /m);

    const changed = { ...CONFIG, maxConnections: 7 };
    await writeFile(join(run.folder, 'config.json'), JSON.stringify(changed));
    await run.until('the changed file is in force', async () =>
      (await run.hash()) === nodeConfigHash(changed) ? true : undefined,
    );
    await writeFile(join(run.folder, 'config.json'), '{"version": 1');
    const refused = await run.says('configuration refused, the one before stays in force');
    assert.match(String(refused['file']), /config\.json$/);
    assert.match(String(refused['fault']), /not valid JSON/);
    assert.equal(await run.hash(), nodeConfigHash(changed));

    await writeFile(join(run.folder, 'admin-token'), 'another-token-of-this-test');
    await run.says('admin token changed');
    const status = (token: string) => fetch(`${run.admin}/status`, { headers: { authorization: `Bearer ${token}` } });
    assert.equal((await status(TOKEN)).status, 401);
    assert.equal((await status('another-token-of-this-test')).status, 200);

    const idle = connect(Number(started['rtmp']), HOST);
    await once(idle, 'connect');
    idle.on('error', () => undefined);
    run.child.kill('SIGTERM');
    assert.deepEqual(await run.ended, [0, null], 'it exits 0 when the drain is over');
    const messages = run.lines().map(({ msg }) => msg);
    assert.ok(messages.indexOf('drain begins') < messages.indexOf('media node closed'));
    assert.deepEqual(
      run
        .lines()
        .filter(({ level }) => level > 30)
        .map(({ msg }) => msg),
      ['configuration refused, the one before stays in force'],
    );
    for (const secret of [TOKEN, 'another-token', RELAY_KEY, redis.password]) {
      assert.equal(run.output().includes(secret), false, 'no secret is logged');
    }
  },
);

test('the process starts while Redis is away, and SIGINT ends it at once', { timeout: 300_000 }, async (t) => {
  const run = await runMain(t, { files: { 'config.json': JSON.stringify({ ...CONFIG, drainMs: 600_000 }) } });
  await run.ready();
  const { rtmp } = (await run.says('media node ready')) as unknown as { rtmp: number };
  const idle = connect(rtmp, HOST);
  await once(idle, 'connect');
  idle.on('error', () => undefined);
  run.child.kill('SIGINT');
  assert.deepEqual(await run.ended, [0, null]);
  assert.equal(run.output().includes('hunter2'), false, 'the password is not logged');
});

test('a process that was told to close ends by itself when no signal comes', { timeout: 300_000 }, async (t) => {
  const run = await runMain(t);
  await run.ready();
  const headers = { authorization: `Bearer ${TOKEN}` };
  assert.equal((await fetch(`${run.admin}/close`, { method: 'POST', headers })).status, 202);
  await run.says('every session ends');
  assert.equal((await fetch(`${run.admin}/healthz`)).status, 200, 'the kubelet still gets its answers');
  assert.deepEqual(await run.ended, [0, null]);
});

test('RTMPS follows the file of certificates, and serves on whatever is in it', { timeout: 300_000 }, async (t) => {
  const [one, two] = [makeCertificate('one.example'), makeCertificate('two.example')];
  const fileOf = (...certificates: readonly object[]) => JSON.stringify({ version: 1, certificates });
  const run = await runMain(t, { env: { LIVECLUSTER_RTMPS_PORT: '0' } });
  await run.ready();
  const { rtmps } = (await run.says('media node ready')) as unknown as { rtmps: number };
  await run.says('RTMPS has no certificate and refuses clients; plain RTMP is served');
  const shown = () =>
    new Promise<string | undefined>((resolve) => {
      const socket = connectTls({ port: rtmps, host: HOST, rejectUnauthorized: false }, () => {
        resolve(String(socket.getPeerCertificate().subject.CN));
        socket.destroy();
      });
      socket.once('error', () => resolve(undefined));
    });
  assert.equal(await shown(), undefined);
  await writeFile(join(run.folder, 'tls.json'), fileOf(one));
  await run.until('the first is shown', async () => ((await shown()) === 'one.example' ? true : undefined));
  assert.match(
    await (await fetch(`${run.admin}/metrics`)).text(),
    /^livecluster_certificate_not_after_timestamp_seconds \d+$/m,
  );
  for (const [text, fault] of [
    ['{', /not valid JSON/],
    [fileOf(), /certificates: /],
    [fileOf({ ...one, key: two.key }), /certificate 1: the key belongs to another certificate/],
  ] as const) {
    await writeFile(join(run.folder, 'tls.json'), text);
    await run.until(`it logs ${String(fault)}`, () => run.lines().find((line) => fault.test(String(line['fault']))));
    assert.equal(await shown(), 'one.example');
  }
  await writeFile(join(run.folder, 'tls.json'), fileOf(two, one));
  await run.until('the changed one is shown', async () => ((await shown()) === 'two.example' ? true : undefined));
  assert.doesNotMatch(run.output(), /PRIVATE KEY/);
});

test('a wrong environment or file ends the start with one line that says the mend', { timeout: 300_000 }, async (t) => {
  const bad: [string, Parameters<typeof runMain>[1], RegExp][] = [
    [
      'nothing set',
      { env: { LIVECLUSTER_ROLE: undefined, LIVECLUSTER_POD_UID: undefined } },
      /LIVECLUSTER_ROLE is not set; LIVECLUSTER_POD_UID is not set/,
    ],
    ['a wrong role', { env: { LIVECLUSTER_ROLE: 'relay' } }, /LIVECLUSTER_ROLE: .*origin.*edge/],
    ['a wrong port', { env: { LIVECLUSTER_HTTP_PORT: '70000' } }, /LIVECLUSTER_HTTP_PORT: /],
    ['no folder', { env: { LIVECLUSTER_CONFIG_DIR: '/nowhere' } }, /\/nowhere\/.* cannot be read \(ENOENT\)/],
    ['a broken configuration', { files: { 'config.json': '[' } }, /not valid JSON/],
    ['a wrong configuration', { files: { 'config.json': '{"version":1}' } }, /logLevel: .*vhosts: /],
    ['a short token', { files: { 'admin-token': 'hunter2' } }, /admin-token must hold 16 or more/],
    ['a wrong key', { files: { 'relay-key': 'hunter2' } }, /relay-key must hold 32 or more hex digits/],
    [
      'a wrong Redis address',
      { files: { 'redis-url': 'hunter2' } },
      /redis-url must hold an address that begins with redis:/,
    ],
    ['a broken Redis address', { redisUrl: 'redis://:hunter2@:::' }, /Redis/],
  ];
  await Promise.all(
    bad.map(async ([what, changes, message]) => {
      const run = await runMain(t, changes);
      assert.deepEqual(await run.ended, [1, null], `${what}: ${run.output()}`);
      const [line, ...others] = run.lines();
      assert.ok(line !== undefined && message.test(line.msg), `${what}: ${run.output()}`);
      assert.equal(others.length, 0, `${what}: one line, not ${run.output()}`);
      assert.equal(run.output().includes('hunter2'), false, `${what}: no secret`);
    }),
  );
});
