import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { globSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { corpus } from '../contract/crd/corpus.ts';
import { readManifests } from '../contract/manifest.ts';
import { GROUP_VERSION } from '../contract/names.ts';
import { renderNodeConfig } from '../operator/src/desired/node-config.ts';
import { desiredObjects } from '../operator/src/desired/objects.ts';
import { embeddedRedisUrl } from '../operator/src/desired/redis-url.ts';
import { keepOrMakeAuth } from '../operator/src/desired/secrets.ts';
import { ensureTools } from './cluster/tools.ts';
import { kubectl } from './lib/kubectl.ts';
import { until } from './lib/until.ts';

/*
 * A real API server takes the definitions as they are, judges every manifest of the corpus as zod does, and takes what the
 * operator makes of the right ones. Nothing is stored but the definitions: all else is a server-side dry run.
 */

const crds = globSync(join(import.meta.dirname, '..', 'crds', '*.yaml')).sort();
const crdNames = ['liveclusters.livecluster.io', 'vhosts.livecluster.io'];
let proxy: ChildProcess | undefined;
let base = '';
let ours = false;

interface Verdict {
  readonly status: number;
  /** What the server says to a refused manifest. */
  readonly message: string;
}

/** Creates nothing: sends the manifest as it stands, so that the server's own YAML reader sees it. */
async function judge(text: string): Promise<Verdict> {
  const plural = /kind"?: *"?Vhost/i.test(text) ? 'vhosts' : 'liveclusters';
  const response = await fetch(
    `${base}/apis/${GROUP_VERSION}/namespaces/default/${plural}?dryRun=All&fieldValidation=Strict&fieldManager=corpus`,
    { method: 'POST', headers: { 'content-type': 'application/yaml' }, body: text },
  );
  const { message = '' } = (await response.json()) as { message?: string };
  return { status: response.status, message };
}

before(async () => {
  const present = await kubectl(['get', 'crd', ...crdNames, '--ignore-not-found', '-o', 'name']);
  // Definitions of an installed chart stay as they are: clusters may hang on them.
  ours = present.trim() === '';
  if (ours) {
    await kubectl(['apply', '--server-side', ...crds.flatMap((file) => ['-f', file])]);
    await kubectl(['wait', '--for=condition=Established', '--timeout=120s', ...crdNames.map((name) => `crd/${name}`)]);
  }
  proxy = spawn((await ensureTools()).kubectl, ['proxy', '--port=0'], { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  proxy.stdout!.on('data', (chunk: Buffer) => (output += chunk.toString()));
  base = await until('kubectl proxy listens', () => {
    const address = /127\.0\.0\.1:\d+/.exec(output)?.[0];
    return address && `http://${address}`;
  });
  await until('the API server serves the new kinds', async () =>
    ['liveclusters', 'vhosts'].reduce(
      async (all, plural) => (await all) && (await fetch(`${base}/apis/${GROUP_VERSION}/${plural}`)).ok,
      Promise.resolve(true),
    ),
  );
});

after(async () => {
  if (proxy && proxy.exitCode === null) {
    proxy.kill();
    await once(proxy, 'close');
  }
  if (ours) await kubectl(['delete', 'crd', ...crdNames, '--ignore-not-found', '--wait=true']);
});

test('the API server takes the definitions and finds nothing unstructural in them', async () => {
  await kubectl(['apply', '--server-side', '--force-conflicts', '--dry-run=server', ...crds.flatMap((f) => ['-f', f])]);
  for (const name of crdNames) {
    const crd = JSON.parse(await kubectl(['get', 'crd', name, '-o', 'json'])) as {
      status: { conditions: { type: string; status: string; message: string }[] };
    };
    const conditions = Object.fromEntries(crd.status.conditions.map(({ type, status }) => [type, status]));
    assert.equal(conditions.Established, 'True');
    assert.notEqual(conditions.NonStructuralSchema, 'True');
  }
});

test('the API server judges every manifest of the corpus as zod does', async () => {
  const manifests = corpus();
  const verdicts = await Promise.all(manifests.map(({ text }) => judge(text)));
  const differences = manifests.flatMap(({ name, valid, server }, i) => {
    const { status, message } = verdicts[i]!;
    if (valid) return status === 201 ? [] : [`${name}: refused with ${status}: ${message}`];
    if (status < 400 || status >= 500) return [`${name}: answered with ${status}, not refused`];
    return server.filter((part) => !message.includes(part)).map((part) => `${name}: "${part}" is not in: ${message}`);
  });
  assert.deepEqual(differences, []);
});

test('kubectl reads every right manifest as the API server does', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'livecluster-corpus-'));
  try {
    const valid = corpus().filter((manifest) => manifest.valid);
    for (const { name, text } of valid) writeFileSync(join(folder, `${name}.yaml`), text);
    const output = await kubectl(['create', '-n', 'default', '--dry-run=server', '--validate=strict', '-f', folder]);
    assert.equal(output.trim().split('\n').length, valid.length);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('the API server takes every object that the operator makes of the right LiveClusters', async () => {
  const auth = keepOrMakeAuth(undefined, []);
  const items = corpus()
    .filter(({ valid }) => valid)
    .flatMap(({ text }) => readManifests(text).liveClusters)
    .flatMap(({ metadata, spec }) => {
      const cluster = { metadata: { ...metadata, uid: '00000000-0000-4000-8000-000000000000' }, spec };
      return desiredObjects({
        cluster,
        operator: { image: 'registry.example.com/livecluster:1', redisImage: 'redis:7', namespace: 'operators' },
        auth,
        configs: { origin: renderNodeConfig(cluster, 'origin', []), edge: renderNodeConfig(cluster, 'edge', []) },
        redisUrl: embeddedRedisUrl(cluster, auth),
      });
    });
  const input = JSON.stringify({ apiVersion: 'v1', kind: 'List', items });
  const output = await kubectl(['create', '--dry-run=server', '--validate=strict', '-f', '-'], { input });
  assert.equal(output.trim().split('\n').length, items.length);
});
