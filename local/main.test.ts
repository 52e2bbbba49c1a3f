import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { connect } from 'node:tls';
import { makeCertificate } from '#contract/testing/certificate.ts';
import { until } from './testing.ts';

const MAIN = new URL('main.ts', import.meta.url).pathname;

const yaml = (spec: string) => `
apiVersion: livecluster.io/v1alpha1
kind: LiveCluster
metadata: {name: live}
spec: ${spec}
`;

/** Runs `make run`'s program on a file with this text; the first origin takes any free ports. */
async function makeRun(t: TestContext, text: string, env: Record<string, string> = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'livecluster-run-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const file = join(folder, 'cluster.yaml');
  await writeFile(file, text);
  const child = spawn(process.execPath, [MAIN, file], {
    env: { ...process.env, RTMP_PORT: '0', RTMPS_PORT: '0', HTTP_PORT: '0', API_PORT: '0', ADMIN_PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.after(() => child.kill('SIGKILL'));
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data: Buffer) => (output += data.toString()));
  const ended = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>;
  const says = (pattern: RegExp, from = 0) =>
    until(`it says ${String(pattern)}, not only: ${output}`, () => pattern.exec(output.slice(from)) ?? undefined);
  return { child, file, ended, says, output: () => output };
}

test('it runs the file, takes its edits, and ends on Ctrl-C', { timeout: 300_000 }, async (t) => {
  const run = await makeRun(t, yaml('{origin: {replicas: 1}, edge: {replicas: 1}}'));
  const [, rtmpPort, httpPort, apiPort] = await run.says(
    /│ origin-0 │ rtmp:\/\/localhost:(\d+)\/live\/STREAM *│ http:\/\/localhost:(\d+)\/live\/STREAM\.flv *│ http:\/\/localhost:(\d+) *│/,
  );
  assert.ok(Number(rtmpPort) > 0);
  await run.says(/│ edge-0 /);
  await run.says(/Watch the test picture live\/demo in a browser: http:\/\/localhost:\d+\//);
  const versions = (await (await fetch(`http://127.0.0.1:${apiPort}/api/v1/versions`)).json()) as { code: number };
  assert.equal(versions.code, 0);
  const page = await (await fetch(`http://127.0.0.1:${httpPort}/`)).text();
  assert.match(page, new RegExp(`livecluster-rtmp-port" content="${rtmpPort}"`));
  const response = await fetch(`http://127.0.0.1:${httpPort}/live/demo.flv`);
  const reader = response.body?.getReader();
  const first = await reader?.read();
  assert.equal(Buffer.from(first?.value ?? []).toString('latin1', 0, 3), 'FLV', 'the test picture is on');
  await reader?.cancel();

  let from = run.output().length;
  await writeFile(run.file, yaml('{origin: {replicas: 1}, edge: {replicas: 2}}'));
  await run.says(/cluster\.yaml changed and is in force[^]*│ edge-1 /, from);
  from = run.output().length;
  await writeFile(run.file, yaml('{origin: {replicas: 1}, egde: {}}'));
  await run.says(/cluster\.yaml changed, but cannot be taken; the cluster stays as it was:[^]*egde/, from);
  assert.equal((await fetch(`http://127.0.0.1:${httpPort}/`)).status, 200);
  from = run.output().length;
  await writeFile(run.file, yaml('{origin: {replicas: 1}, edge: {replicas: 0}}'));
  await run.says(/edge-1 is gone/, from);

  run.child.kill('SIGINT');
  assert.deepEqual(await run.ended, [0, null]);
  assert.match(run.output(), /Stopping: sessions may end by themselves for 5 s/);
  assert.doesNotMatch(run.output(), / (error|fatal) /);
});

test('a second Ctrl-C ends it at once', { timeout: 300_000 }, async (t) => {
  const run = await makeRun(t, yaml('{origin: {replicas: 1}, edge: {replicas: 0}}'), { DEMO: '0' });
  const [, httpPort] = await run.says(/http:\/\/localhost:(\d+)\/live\/STREAM\.flv/);
  await run.says(/Ctrl-C stops it/);
  assert.doesNotMatch(run.output(), /test picture/);
  // A viewer that stays keeps the drain waiting.
  const viewer = await fetch(`http://127.0.0.1:${httpPort}/live/nothing.flv`);
  assert.equal(viewer.status, 200);
  run.child.kill('SIGINT');
  await run.says(/Ctrl-C again/);
  run.child.kill('SIGINT');
  assert.deepEqual(await run.ended, [130, null]);
  await viewer.body?.cancel().catch(() => undefined);
});

const RTMPS = yaml(
  '{origin: {replicas: 1}, edge: {replicas: 1}, protocols: {rtmps: {enabled: true}}, tls: {certificateRefs: [{name: a}]}}',
);

test('RTMPS takes its certificate from files, and a changed one at once', { timeout: 300_000 }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'livecluster-tls-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const env = { TLS_CERT: join(folder, 'tls.crt'), TLS_KEY: join(folder, 'tls.key') };
  const put = async (host: string) => {
    const { certificate, key } = makeCertificate(host);
    await writeFile(env.TLS_CERT, certificate);
    await writeFile(env.TLS_KEY, key);
  };
  await put('one.example');
  const run = await makeRun(t, RTMPS, { ...env, DEMO: '0' });
  const [, port] = await run.says(/│ origin-0 │ rtmp:[^│]*│ rtmps:\/\/localhost:(\d+)\/live\/STREAM *│/);
  await run.says(/│ edge-0 +│ rtmp:[^│]*│ rtmps:/);
  const shown = () =>
    new Promise<string>((resolve, reject) => {
      const socket = connect({ port: Number(port), host: '127.0.0.1', rejectUnauthorized: false }, () => {
        resolve(String(socket.getPeerCertificate().subject.CN));
        socket.destroy();
      });
      socket.once('error', reject);
    });
  assert.equal(await shown(), 'one.example');
  await put('two.example');
  await run.says(/tls\.crt changed and is in force for RTMPS/);
  assert.equal(await shown(), 'two.example');
});

test('what cannot be run ends with clear lines and exit code 1', { timeout: 300_000 }, async (t) => {
  const bad: [string, string, Record<string, string>, RegExp][] = [
    ['a wrong field', yaml('{egde: {}}'), {}, /The cluster cannot run:\n {2}.*LiveCluster.*egde/],
    ['a wrong port', yaml('{}'), { RTMP_PORT: 'x' }, /RTMP_PORT=x is no port/],
    ['RTMPS without files', RTMPS, {}, /rtmps is enabled, but make run reads no Secrets: name PEM files/],
    ['files that are not there', RTMPS, { TLS_CERT: '/nowhere', TLS_KEY: '/nowhere' }, /cannot be used: ENOENT/],
    ['broken YAML', 'a: [', {}, /The cluster cannot run:\n {2}line \d+/],
  ];
  for (const [what, text, env, message] of bad) {
    const run = await makeRun(t, text, env);
    assert.deepEqual(await run.ended, [1, null], what);
    assert.match(run.output(), message, what);
    assert.doesNotMatch(run.output(), /\n {4}at /, `${what}: no stack`);
  }
  const missing = spawn(process.execPath, [MAIN, '/nowhere/cluster.yaml'], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  missing.stdout.on('data', (data: Buffer) => (output += data.toString()));
  const [code] = (await once(missing, 'close')) as [number];
  assert.equal(code, 1);
  assert.match(
    output,
    /\/nowhere\/cluster\.yaml cannot be read \(ENOENT\); name a file that exists: make run CLUSTER=path/,
  );
});
