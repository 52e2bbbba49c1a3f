import { spawnSync } from 'node:child_process';
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { parse, parseAllDocuments, stringify } from 'yaml';
import { readManifests } from '../contract/manifest.ts';
import { ensureTools } from '../e2e/cluster/tools.ts';
import { renderNodeConfig } from '../operator/src/desired/node-config.ts';
import { desiredObjects } from '../operator/src/desired/objects.ts';
import { embeddedRedisUrl } from '../operator/src/desired/redis-url.ts';
import { keepOrMakeAuth } from '../operator/src/desired/secrets.ts';
import { SCHEMA_LOCATION, writeKubernetesSchemas } from './kubernetes-schemas.ts';

/*
 * The chart, the operator's objects for the examples, and the examples themselves through helm lint, kube-score and
 * kubeconform. Exits 1 with every fault told. Part of `make test`; alone: `make manifests`.
 */

/** The version that helm takes the cluster for; the rig's. */
const KUBERNETES = '1.34.4';

/** What kube-score asks for and we leave, each with its reason. One that nothing needs any more is a fault too. */
const CHART_IGNORED: Record<string, string> = {
  'container-security-context-user-group-id': "user 1000 is the image's: Node's compile cache is kept by user",
  'container-image-pull-policy': 'tags of releases never move; values and spec.image.pullPolicy can say otherwise',
  'container-resources':
    'no CPU limit: it would throttle a leader that is catching up; requests and a memory limit stand',
  'deployment-has-host-podantiaffinity': 'topologySpreadConstraints do this over nodes and zones',
};
const CLUSTER_IGNORED: Record<string, string> = {
  'container-image-pull-policy': 'tags of releases never move; values and spec.image.pullPolicy can say otherwise',
  'container-resources':
    'limits are for the LiveCluster to give: a media node throttled or killed cuts every session on it',
  'container-ephemeral-storage-request-and-limit': 'nothing is written but to volumes that have a size',
  'container-security-context-user-group-id': "user 1000 is the image's: Node's compile cache is kept by user",
  'pod-probes-identical': 'Redis answers PING or it does not; there is nothing else to ask',
  'statefulset-has-host-podantiaffinity': 'topologySpreadConstraints do this; Redis is one pod',
  'statefulset-has-servicename':
    'the Service of Redis has an address of its own: without a pod it refuses at once, DNS would not know',
  'pod-networkpolicy': 'no egress policy: nodes ask DNS and Redis, wherever those are',
};

const root = join(import.meta.dirname, '..');
const chart = join(root, 'charts', 'livecluster');
const scratch = mkdtempSync(join(tmpdir(), 'livecluster-manifests-'));
const faults: string[] = [];
const done: string[] = [];
let tools: Awaited<ReturnType<typeof ensureTools>>;

type Manifest = { [key: string]: unknown; kind: string; metadata: { name: string; [key: string]: unknown } };

function run(file: string, args: readonly string[], input?: string): { code: number; output: string } {
  const { status, stdout, stderr, error } = spawnSync(file, args, { cwd: root, encoding: 'utf8', input });
  if (error) throw error;
  return { code: status ?? 1, output: `${stdout}${stderr}`.trim() };
}

const release = ['media', chart, '--namespace', 'livecluster-system', '--kube-version', KUBERNETES];
const helmTemplate = (...args: string[]) => run(tools.helm, ['template', ...release, ...args]);

function documents(text: string): Manifest[] {
  const read = parseAllDocuments(text);
  return Array.isArray(read) ? read.flatMap((document) => (document.toJS() as Manifest | null) ?? []) : [];
}

/** Lints and renders the chart with each set of values; the renderings by the values' names. */
function renderChart(): Map<string, string> {
  const rendered = new Map<string, string>();
  const sets = [undefined, ...globSync(join(root, 'charts/test-values/*.yaml')).sort()];
  for (const values of sets) {
    const name = values === undefined ? 'defaults' : basename(values, '.yaml');
    const args = values === undefined ? [] : ['--values', values];
    const lint = run(tools.helm, ['lint', '--strict', '--kube-version', KUBERNETES, chart, ...args]);
    if (lint.code !== 0) faults.push(`helm lint, values ${name}:\n${lint.output}`);
    const template = helmTemplate(...args);
    if (template.code !== 0) faults.push(`helm template, values ${name}:\n${template.output}`);
    else rendered.set(name, template.output);
  }
  done.push(`helm lint --strict and helm template: ${sets.length} sets of values`);
  return rendered;
}

function refusedValues(): void {
  const sets = globSync(join(root, 'charts/test-values/invalid/*.yaml')).sort();
  for (const values of sets) {
    const [, expected = ''] = /^# expect: (.*)$/m.exec(readFileSync(values, 'utf8')) ?? [];
    const { code, output } = helmTemplate('--values', values);
    const name = basename(values, '.yaml');
    if (code === 0) faults.push(`values ${name}: helm takes them, values.schema.json should not`);
    else if (!output.includes(expected)) faults.push(`values ${name}: "${expected}" is not in:\n${output}`);
  }
  const old = run(tools.helm, ['template', 'media', chart, '--kube-version', '1.26.15']);
  if (old.code === 0) faults.push('helm renders the chart for Kubernetes 1.26, which lacks what it needs');
  done.push(`helm refuses ${sets.length} sets of wrong values and an old Kubernetes`);
}

/** What is asked of single renderings. */
function chartRules(rendered: ReadonlyMap<string, string>): void {
  const kinds = (name: string) => documents(rendered.get(name) ?? '').map(({ kind }) => kind);
  const expect = (is: boolean, fault: string) => {
    if (!is) faults.push(fault);
  };
  expect(
    !kinds('namespaces').includes('ClusterRole'),
    'watchNamespaces is set and a ClusterRole is rendered all the same',
  );
  expect(
    kinds('namespaces').filter((kind) => kind === 'Role').length === 3,
    'watchNamespaces: there is not one Role in each and one for the lease',
  );
  expect(!kinds('least').includes('CustomResourceDefinition'), 'crds.install=false renders definitions');
  for (const path of globSync(join(root, 'crds', '*.yaml'))) {
    const generated = parse(readFileSync(path, 'utf8')) as Manifest;
    for (const [values, keep] of [
      ['defaults', 'keep'],
      ['everything', undefined],
    ] as const) {
      const crd = documents(rendered.get(values) ?? '').find(
        ({ kind, metadata }) => kind === 'CustomResourceDefinition' && metadata.name === generated.metadata.name,
      );
      expect(
        isDeepStrictEqual(crd?.spec, generated.spec),
        `${generated.metadata.name}: the chart's differs, values ${values}`,
      );
      const { annotations } = (crd?.metadata ?? {}) as { annotations?: Record<string, string> };
      expect(
        annotations?.['helm.sh/resource-policy'] === keep,
        `${generated.metadata.name}: resource-policy, values ${values}`,
      );
    }
  }
}

/** What the operator makes of each LiveCluster of the examples, as one YAML text. */
function operatorObjects(): Map<string, string> {
  const objects = new Map<string, string>();
  for (const path of globSync(join(root, 'examples', '*.yaml')).sort()) {
    const { liveClusters, vhosts, errors } = readManifests(readFileSync(path, 'utf8'));
    faults.push(...errors.map((error) => `${basename(path)}: ${error}`));
    for (const { metadata, spec } of liveClusters) {
      const cluster = { metadata: { ...metadata, uid: '00000000-0000-4000-8000-000000000000' }, spec };
      const auth = keepOrMakeAuth(undefined, [], () => 'ab'.repeat(32));
      const made = desiredObjects({
        cluster,
        operator: {
          image: 'ghcr.io/livecluster/livecluster:0.1.0',
          redisImage: 'redis:7.4',
          namespace: 'livecluster-system',
        },
        auth,
        configs: {
          origin: renderNodeConfig(cluster, 'origin', vhosts),
          edge: renderNodeConfig(cluster, 'edge', vhosts),
        },
        redisUrl: embeddedRedisUrl(cluster, auth),
      });
      objects.set(
        `${basename(path)}, LiveCluster ${metadata.name}`,
        made.map((object) => stringify(object, { version: '1.1', aliasDuplicateObjects: false })).join('---\n'),
      );
    }
  }
  if (objects.size === 0) faults.push('examples/ holds no LiveCluster');
  return objects;
}

interface Score {
  readonly object_name: string;
  readonly checks: {
    readonly check: { readonly id: string };
    readonly grade: number;
    readonly skipped: boolean;
    readonly comments: { readonly path: string; readonly summary: string }[] | null;
  }[];
}
const KUBE_SCORE_OK = 10;

function score(texts: ReadonlyMap<string, string>, ignored: Readonly<Record<string, string>>, what: string): void {
  const used = new Set<string>();
  let checks = 0;
  for (const [name, text] of texts) {
    const { output } = run(
      tools['kube-score'],
      ['score', '--kubernetes-version', 'v1.34', '--output-format', 'json', '-'],
      text,
    );
    for (const { object_name: object, checks: results } of JSON.parse(output) as Score[]) {
      for (const { check, grade, skipped, comments } of results) {
        checks++;
        if (skipped || grade >= KUBE_SCORE_OK) continue;
        if (check.id in ignored) used.add(check.id);
        else {
          const why = (comments ?? []).map(({ path, summary }) => `${path} ${summary}`.trim()).join('; ');
          faults.push(`kube-score, ${name}: ${object}: ${check.id}: ${why}`);
        }
      }
    }
  }
  for (const id of Object.keys(ignored).filter((each) => !used.has(each))) {
    faults.push(`kube-score, ${what}: ${id} is ignored and nothing fails it: remove it from check-manifests.ts`);
  }
  if (checks === 0) faults.push(`kube-score, ${what}: no check ran`);
  done.push(`kube-score, ${what}: ${checks} checks, ${Object.keys(ignored).length} of its wishes left with a reason`);
}

interface Conformity {
  readonly resources: {
    readonly filename: string;
    readonly kind: string;
    readonly name: string;
    readonly msg: string;
  }[];
  readonly summary: {
    readonly valid: number;
    readonly invalid: number;
    readonly errors: number;
    readonly skipped: number;
  };
}

function kubeconform(schemas: string, files: readonly string[]): Conformity {
  const location = join(schemas, SCHEMA_LOCATION);
  const { output } = run(tools.kubeconform, [
    '-strict',
    '-summary',
    '-output',
    'json',
    '-schema-location',
    location,
    ...files,
  ]);
  return JSON.parse(output) as Conformity;
}

function conformity(texts: ReadonlyMap<string, string>): void {
  const schemas = join(scratch, 'schemas');
  const kinds = writeKubernetesSchemas(schemas, join(root, 'e2e', 'cluster', 'go'));
  const files = [...texts].map(([name, text], index) => {
    const path = join(scratch, `${index}-${name.replaceAll(/[^a-z0-9]+/gi, '-')}.yaml`);
    writeFileSync(path, text);
    return path;
  });
  files.push(...globSync(join(root, '{examples,crds}', '*.yaml')));
  const { resources, summary } = kubeconform(schemas, files);
  for (const { filename, kind, name, msg } of resources)
    faults.push(`kubeconform, ${basename(filename)}: ${kind} ${name}: ${msg}`);
  if (summary.skipped > 0) faults.push(`kubeconform skipped ${summary.skipped} objects: every kind needs a schema`);
  if (summary.valid === 0) faults.push('kubeconform saw no object');
  done.push(
    `kubeconform: ${summary.valid} objects in ${files.length} files against ${kinds} schemas, ${summary.skipped} skipped`,
  );

  const broken = brokenManifests(texts.get('defaults') ?? '');
  for (const [name, manifest] of broken) {
    const path = join(scratch, `broken-${name}.yaml`);
    writeFileSync(path, stringify(manifest));
    const { summary: verdict } = kubeconform(schemas, [path]);
    if (verdict.invalid + verdict.errors !== 1) faults.push(`kubeconform takes a manifest that is broken: ${name}`);
  }
  done.push(`kubeconform refuses ${broken.length} broken manifests`);
}

/** Manifests that must not pass: who lets these through lets everything through. */
function brokenManifests(rendered: string): [string, object][] {
  const deployment = documents(rendered).find(({ kind }) => kind === 'Deployment') as Manifest & { spec: object };
  const live = { apiVersion: 'livecluster.io/v1alpha1', kind: 'LiveCluster', metadata: { name: 'live' } };
  return [
    ['unknown-field', { ...deployment, spec: { ...deployment.spec, replica: 2 } }],
    ['wrong-type', { ...deployment, spec: { ...deployment.spec, replicas: '2' } }],
    ['missing-field', { ...deployment, spec: { replicas: 2 } }],
    ['unknown-kind', { ...deployment, kind: 'Deploiment' }],
    ['unknown-field-of-ours', { ...live, spec: { edges: {} } }],
    ['out-of-bounds', { ...live, spec: { origin: { replicas: 0 } } }],
  ];
}

try {
  tools = await ensureTools();
  const rendered = renderChart();
  refusedValues();
  chartRules(rendered);
  const made = operatorObjects();
  // "least" turns off the very things that kube-score asks for.
  score(new Map([...rendered].filter(([name]) => name !== 'least')), CHART_IGNORED, 'chart');
  score(made, CLUSTER_IGNORED, "the operator's objects");
  conformity(new Map([...rendered, ...made]));
} catch (error) {
  faults.push((error as Error).message);
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
for (const line of done) console.log(line);
for (const fault of faults) console.error(`FAULT  ${fault}`);
console.log(faults.length === 0 ? 'manifests: all right' : `manifests: ${faults.length} faults`);
process.exit(faults.length === 0 ? 0 : 1);
