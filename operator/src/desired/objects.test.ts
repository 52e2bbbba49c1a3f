import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LABELS, ROLES } from '#contract/names.ts';
import { parseNodeEnv } from '#contract/node-env.ts';
import type { TlsFile } from '#contract/tls-file.ts';
import type { Manifest } from '../kube/object.ts';
import type { Cluster, OperatorSettings } from './cluster.ts';
import { renderNodeConfig } from './node-config.ts';
import { desiredObjects, OWNED_TYPES } from './objects.ts';
import { embeddedRedisUrl } from './redis-url.ts';
import { keepOrMakeAuth, secretText } from './secrets.ts';
import type { SecretObject } from './secrets.ts';
import { cluster } from './testing/manifests.ts';

const operator: OperatorSettings = {
  image: 'registry.example:5000/livecluster:1.2.3',
  redisImage: 'redis:7',
  namespace: 'livecluster-system',
};
const auth = keepOrMakeAuth(undefined, [], () => 'ab'.repeat(32));

function objectsOf(live: Cluster, redisUrl: string | undefined = embeddedRedisUrl(live, auth)): Manifest[] {
  const configs = { origin: renderNodeConfig(live, 'origin', []), edge: renderNodeConfig(live, 'edge', []) };
  return desiredObjects({ cluster: live, operator, auth, configs, redisUrl });
}

/** An object of a cluster with this spec (YAML), as any: tests read deep into it. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
function object(spec: string, kind: string, name: string): any {
  const found = objectsOf(cluster(spec)).find((each) => each.kind === kind && each.metadata.name === name);
  assert.ok(found, `${kind} ${name}`);
  return found;
}
const podOf = (spec: string, name: string) => object(spec, 'StatefulSet', name).spec.template;
const containerOf = (spec: string, name: string) => podOf(spec, name).spec.containers[0];
const envOf = (spec: string, name: string): Record<string, unknown>[] => containerOf(spec, name).env;

test('six lines give every object that a cluster needs, each with the labels and its owner', () => {
  const objects = objectsOf(cluster('{edge: {replicas: 2}}'));
  assert.deepEqual(objects.map(({ kind, metadata }) => `${kind}/${metadata.name}`).sort(), [
    'NetworkPolicy/live-edge',
    'NetworkPolicy/live-origin',
    'NetworkPolicy/live-redis',
    'PodDisruptionBudget/live-edge',
    'PodDisruptionBudget/live-origin',
    'Secret/live-auth',
    'Secret/live-edge-config',
    'Secret/live-origin-config',
    'Secret/live-redis',
    'Service/live-api',
    'Service/live-edge',
    'Service/live-ingest',
    'Service/live-origin',
    'Service/live-playback',
    'Service/live-redis',
    'ServiceAccount/live-media',
    'ServiceAccount/live-redis',
    'StatefulSet/live-edge',
    'StatefulSet/live-origin',
    'StatefulSet/live-redis',
  ]);
  for (const { kind, apiVersion, metadata } of objects) {
    assert.equal(OWNED_TYPES[kind as keyof typeof OWNED_TYPES].apiVersion, apiVersion);
    assert.equal(metadata.namespace, 'default');
    assert.equal(metadata.labels?.[LABELS.cluster], 'live');
    assert.equal(metadata.labels?.[LABELS.managedBy], 'livecluster-operator');
    assert.deepEqual(metadata.ownerReferences, [
      {
        apiVersion: 'livecluster.io/v1alpha1',
        kind: 'LiveCluster',
        name: 'live',
        uid: 'uid-of-live',
        controller: true,
        blockOwnerDeletion: true,
      },
    ]);
  }
});

test('two clusters in one namespace never claim one name, whatever they are called', () => {
  const suffixes = objectsOf(cluster('{}')).map(({ metadata }) => metadata.name.slice('live'.length));
  for (const one of suffixes) {
    const ofLonger = suffixes.map((suffix) => `${one}${suffix}`);
    assert.deepEqual(
      ofLonger.filter((name) => suffixes.includes(name)),
      [],
      one,
    );
  }
});

test('building is pure: the same input gives the same objects', () => {
  assert.deepEqual(objectsOf(cluster('{}')), objectsOf(cluster('{}')));
});

test('no object but a Secret holds a secret', () => {
  for (const each of objectsOf(cluster('{}'))) {
    if (each.kind !== 'Secret') assert.doesNotMatch(JSON.stringify(each), /abababab/, each.metadata.name);
  }
});

test('every pod meets the restricted pod security standard and carries no token', () => {
  for (const name of ['live-origin', 'live-edge', 'live-redis']) {
    const { spec } = podOf('{}', name);
    assert.equal(spec.automountServiceAccountToken, false, name);
    assert.equal(spec.securityContext.runAsNonRoot, true, name);
    assert.deepEqual(spec.securityContext.seccompProfile, { type: 'RuntimeDefault' }, name);
    const { securityContext } = spec.containers[0];
    assert.equal(securityContext.allowPrivilegeEscalation, false, name);
    assert.equal(securityContext.readOnlyRootFilesystem, true, name);
    assert.deepEqual(securityContext.capabilities, { drop: ['ALL'] }, name);
  }
});

test("a Service's selector finds the pods of its role and of no other, whatever labels the LiveCluster adds", () => {
  const spec = '{edge: {podMetadata: {labels: {team: tv, livecluster.io/role: origin}}}}';
  const labels = { origin: podOf(spec, 'live-origin').metadata.labels, edge: podOf(spec, 'live-edge').metadata.labels };
  assert.equal(labels.edge.team, 'tv');
  const finds = (selector: Record<string, string>, role: 'origin' | 'edge' | 'redis') => {
    const of = role === 'redis' ? podOf(spec, 'live-redis').metadata.labels : labels[role];
    return Object.entries(selector).every(([key, value]) => of[key] === value);
  };
  const cases: [string, string][] = [
    ['live-origin', 'origin'],
    ['live-edge', 'edge'],
    ['live-ingest', 'origin'],
    ['live-playback', 'edge'],
    ['live-api', 'origin'],
    ['live-redis', 'redis'],
  ];
  for (const [service, wanted] of cases) {
    const { selector } = object(spec, 'Service', service).spec;
    for (const role of ['origin', 'edge', 'redis'] as const) {
      assert.equal(finds(selector, role), role === wanted, `${service} finds ${role}`);
    }
  }
});

test('the environment of a media pod is what the node parses', () => {
  for (const role of ROLES) {
    const fromPod: Record<string, string> = {
      'metadata.name': `live-${role}-0`,
      'metadata.uid': 'u-1',
      'status.podIP': '10.0.0.1',
    };
    const env = Object.fromEntries(
      // eslint-disable-next-line @typescript-eslint/no-explicit-any
      envOf('{protocols: {rtmp: {port: 2935}}}', `live-${role}`).map((each: any) => [
        each.name,
        each.value ?? fromPod[each.valueFrom.fieldRef.fieldPath],
      ]),
    );
    const parsed = parseNodeEnv(env);
    assert.equal(parsed.LIVECLUSTER_ROLE, role);
    assert.equal(parsed.LIVECLUSTER_RTMP_PORT, 2935);
    assert.equal(parsed.LIVECLUSTER_ORIGINS_HOST, 'live-origin.default.svc');
    assert.equal(parsed.LIVECLUSTER_EDGES_HOST, role === 'origin' ? 'live-edge.default.svc' : undefined);
    assert.equal(Object.keys(env).length, Object.keys(parsed).length);
  }
});

test('extra variables are added but never replace what tells the node who it is', () => {
  const env = envOf(
    '{edge: {extraEnv: [{name: TZ, value: UTC}, {name: LIVECLUSTER_ROLE, value: origin}]}}',
    'live-edge',
  );
  assert.deepEqual(
    env.filter((each) => each.name === 'TZ' || each.name === 'LIVECLUSTER_ROLE'),
    [
      { name: 'LIVECLUSTER_ROLE', value: 'edge' },
      { name: 'TZ', value: 'UTC' },
    ],
  );
});

test("the heap's bound follows the memory limit unless NODE_OPTIONS are given", () => {
  const options = (edge: string) =>
    envOf(`{edge: ${edge}}`, 'live-edge').filter((each) => each.name === 'NODE_OPTIONS');
  assert.deepEqual(options('{}'), []);
  assert.deepEqual(options('{resources: {limits: {memory: 1Gi}}}'), [
    { name: 'NODE_OPTIONS', value: '--max-old-space-size=512' },
  ]);
  assert.deepEqual(
    options('{resources: {limits: {memory: 1Gi}}, extraEnv: [{name: NODE_OPTIONS, value: --trace-gc}]}'),
    [{ name: 'NODE_OPTIONS', value: '--trace-gc' }],
  );
});

test('requests have defaults, one by one, and none above a limit', () => {
  const cases: [string, unknown][] = [
    ['{}', { requests: { cpu: '250m', memory: '256Mi' } }],
    ['{resources: {requests: {cpu: 1}}}', { requests: { memory: '256Mi', cpu: 1 } }],
    ['{resources: {limits: {memory: 128Mi}}}', { requests: { cpu: '250m' }, limits: { memory: '128Mi' } }],
  ];
  for (const [edge, resources] of cases) {
    assert.deepEqual(containerOf(`{edge: ${edge}}`, 'live-edge').resources, resources, edge);
  }
});

test('pods get the grace period of the longest drain', () => {
  assert.equal(podOf('{}', 'live-edge').spec.terminationGracePeriodSeconds, 3600);
  const spec = '{drain: {origin: 1s, edge: 500ms, max: 1500ms}}';
  assert.equal(podOf(spec, 'live-edge').spec.terminationGracePeriodSeconds, 2);
});

test('pods spread over nodes unless the LiveCluster says where they go', () => {
  const spread = (edge: string) => podOf(`{edge: ${edge}}`, 'live-edge').spec.topologySpreadConstraints;
  assert.equal(spread('{}')[0].topologyKey, 'kubernetes.io/hostname');
  assert.equal(spread('{affinity: {nodeAffinity: {}}}'), undefined);
  assert.deepEqual(spread('{topologySpreadConstraints: [{maxSkew: 3}]}'), [{ maxSkew: 3 }]);
});

test('a change of what reloads live leaves the pods as they are; a change of what rolls does not', () => {
  const plain = podOf('{}', 'live-edge');
  for (const live of [
    '{edge: {logLevel: debug}}',
    '{edge: {maxConnections: 5}}',
    '{edge: {replicas: 9}}',
    '{edge: {pull: {hold: 1s}}}',
    '{drain: {edge: 1s}}',
    '{exposure: {playback: {type: ClusterIP}}}',
    '{networkPolicy: {enabled: false}}',
  ]) {
    assert.deepEqual(podOf(live, 'live-edge'), plain, live);
  }
  for (const rolls of [
    '{image: {tag: other}}',
    '{edge: {resources: {limits: {cpu: 2}}}}',
    '{edge: {extraEnv: [{name: A, value: b}]}}',
    '{protocols: {http: {port: 81}}}',
    '{drain: {max: 2h}}',
  ]) {
    const hash = (template: typeof plain) => template.metadata.annotations['livecluster.io/pod-spec-hash'];
    assert.notEqual(hash(podOf(rolls, 'live-edge')), hash(plain), rolls);
  }
});

test("the image is the operator's own, but for what the LiveCluster names", () => {
  const digest = `sha256:${'0'.repeat(64)}`;
  const cases: [string, string, string][] = [
    ['{}', 'registry.example:5000/livecluster:1.2.3', 'registry.example:5000/livecluster:1.2.3'],
    ['{image: {tag: v2}}', 'registry.example:5000/livecluster', 'registry.example:5000/livecluster:v2'],
    ['{image: {repository: mirror/lc}}', 'a/livecluster:1', 'mirror/lc:1'],
    ['{image: {repository: mirror/lc}}', `a/livecluster@${digest}`, `mirror/lc@${digest}`],
    [`{image: {tag: v2, digest: '${digest}'}}`, 'a/livecluster:1', `a/livecluster@${digest}`],
  ];
  for (const [spec, image, wanted] of cases) {
    const live = cluster(spec);
    const configs = { origin: renderNodeConfig(live, 'origin', []), edge: renderNodeConfig(live, 'edge', []) };
    const objects = desiredObjects({
      cluster: live,
      operator: { ...operator, image },
      auth,
      configs,
      redisUrl: 'redis://x',
    });
    // eslint-disable-next-line @typescript-eslint/no-explicit-any
    const set = objects.find((each) => each.kind === 'StatefulSet' && each.metadata.name === 'live-edge') as any;
    assert.equal(set.spec.template.spec.containers[0].image, wanted, `${spec} ${image}`);
  }
});

test('Services carry the exposure that is asked for and no field that their type refuses', () => {
  const spec = (exposure: string) => object(`{exposure: {ingest: ${exposure}}}`, 'Service', 'live-ingest').spec;
  const full = 'loadBalancerClass: x.example/lb, sourceRanges: [10.0.0.0/8], externalTrafficPolicy: Local';
  const local = 'externalTrafficPolicy: Local';
  assert.deepEqual(
    [spec(`{type: LoadBalancer, ${full}}`), spec(`{type: NodePort, ${local}}`), spec('{type: ClusterIP}')].map(
      ({ selector: _selector, ports: _ports, ...rest }) => rest,
    ),
    [
      {
        type: 'LoadBalancer',
        externalTrafficPolicy: 'Local',
        loadBalancerClass: 'x.example/lb',
        loadBalancerSourceRanges: ['10.0.0.0/8'],
      },
      { type: 'NodePort', externalTrafficPolicy: 'Local' },
      { type: 'ClusterIP' },
    ],
  );
  assert.deepEqual(
    object('{}', 'Service', 'live-playback').spec.ports.map((port: { name: string; port: number }) => [
      port.name,
      port.port,
    ]),
    [
      ['rtmp', 1935],
      ['http', 8080],
    ],
  );
  assert.equal(object('{}', 'Service', 'live-edge').spec.publishNotReadyAddresses, true);
});

test('no rule of a NetworkPolicy has an empty from, which would let everybody in', () => {
  for (const spec of ['{}', '{networkPolicy: {metricsFrom: [], apiFrom: []}}']) {
    for (const name of ['live-origin', 'live-edge', 'live-redis']) {
      for (const rule of object(spec, 'NetworkPolicy', name).spec.ingress) {
        if ('from' in rule) assert.ok(rule.from.length > 0, `${spec} ${name}`);
        assert.ok(rule.ports.length > 0);
      }
    }
  }
});

test('only media ports are open to everybody; the rest to whom the LiveCluster names', () => {
  const rules = (spec: string, name: string) =>
    Object.fromEntries(
      // eslint-disable-next-line @typescript-eslint/no-explicit-any
      object(spec, 'NetworkPolicy', name).spec.ingress.flatMap((rule: any) =>
        rule.ports.map((port: { port: number }) => [port.port, rule.from?.length ?? 'anywhere']),
      ),
    );
  assert.deepEqual(rules('{}', 'live-origin'), { 1935: 'anywhere', 8080: 1, 1985: 1, 8090: 3 });
  assert.deepEqual(rules('{}', 'live-edge'), { 1935: 'anywhere', 8080: 'anywhere', 1985: 1, 8090: 3 });
  assert.deepEqual(rules('{}', 'live-redis'), { 6379: 1 });
  assert.deepEqual(rules('{networkPolicy: {metricsFrom: [], apiFrom: []}}', 'live-edge'), {
    1935: 'anywhere',
    8080: 'anywhere',
    8090: 2,
  });
  assert.equal(
    objectsOf(cluster('{networkPolicy: {enabled: false}}')).some((each) => each.kind === 'NetworkPolicy'),
    false,
  );
});

test('an external Redis takes the place of the embedded one; while its URL is unknown, no pod is made', () => {
  const live = cluster('{redis: {mode: External, external: {urlSecretRef: {name: r, key: url}}}}');
  const names = (url: string | undefined) =>
    objectsOf(live, url)
      .map((each) => `${each.kind}/${each.metadata.name}`)
      .filter((name) => /redis|StatefulSet|config/.test(name));
  assert.deepEqual(names('redis://elsewhere'), [
    'Secret/live-origin-config',
    'Secret/live-edge-config',
    'StatefulSet/live-origin',
    'StatefulSet/live-edge',
  ]);
  const configs = { origin: renderNodeConfig(live, 'origin', []), edge: renderNodeConfig(live, 'edge', []) };
  const without = desiredObjects({ cluster: live, operator, auth, configs, redisUrl: undefined });
  assert.equal(
    without.some((each) => each.kind === 'StatefulSet'),
    false,
  );
});

test('Redis gets its password by file, keeps nothing on disk unless asked, and rolls with its configuration', () => {
  const conf = (spec: string) =>
    Buffer.from(object(spec, 'Secret', 'live-redis').data['redis.conf'], 'base64').toString();
  assert.match(conf('{}'), /^requirepass (ab){32}$/m);
  assert.match(conf('{}'), /^save ""$/m);
  assert.match(conf('{}'), /^appendonly no$/m);
  assert.match(conf('{}'), /^maxmemory 268435456$/m);
  assert.match(conf('{redis: {resources: {limits: {memory: 100Mi}}}}'), /^maxmemory 62914560$/m);
  assert.match(conf('{redis: {persistence: {size: 1Gi}}}'), /^appendonly yes$/m);
  const set = (spec: string) => object(spec, 'StatefulSet', 'live-redis');
  assert.equal(set('{}').spec.volumeClaimTemplates, undefined);
  assert.equal(
    set('{redis: {persistence: {size: 1Gi}}}').spec.volumeClaimTemplates[0].spec.resources.requests.storage,
    '1Gi',
  );
  const hash = (spec: string) => set(spec).metadata.annotations['livecluster.io/volume-hash'];
  assert.notEqual(hash('{redis: {persistence: {size: 1Gi}}}'), hash('{}'));
  assert.equal(hash('{redis: {resources: {limits: {cpu: 1}}}}'), hash('{}'));
});

test('RTMPS is nowhere while it is off, and on pods, Services and policies when it is on', () => {
  assert.doesNotMatch(JSON.stringify(objectsOf(cluster('{}'))), /rtmps/i);
  const spec = '{protocols: {rtmps: {enabled: true, port: 4430}}, tls: {certificateRefs: [{name: a}]}}';
  for (const role of ['live-origin', 'live-edge']) {
    const { ports } = containerOf(spec, role);
    assert.deepEqual(
      ports.find(({ name }: { name: string }) => name === 'rtmps'),
      { name: 'rtmps', containerPort: 4430, protocol: 'TCP' },
    );
    assert.ok(envOf(spec, role).some(({ name, value }) => name === 'LIVECLUSTER_RTMPS_PORT' && value === '4430'));
    const [open] = object(spec, 'NetworkPolicy', role).spec.ingress;
    assert.equal(open.from, undefined);
    assert.ok(open.ports.some(({ port }: { port: number }) => port === 4430));
  }
  for (const name of ['live-ingest', 'live-playback', 'live-origin', 'live-edge']) {
    const ports: Record<string, unknown>[] = object(spec, 'Service', name).spec.ports;
    assert.deepEqual(
      ports.find((port) => port['name'] === 'rtmps'),
      { name: 'rtmps', port: 4430, protocol: 'TCP', targetPort: 'rtmps' },
    );
  }
});

test('certificates are in the folder of both roles, and nowhere else', () => {
  const live = cluster('{protocols: {rtmps: {enabled: true}}, tls: {certificateRefs: [{name: a}]}}');
  const configs = { origin: renderNodeConfig(live, 'origin', []), edge: renderNodeConfig(live, 'edge', []) };
  const redisUrl = embeddedRedisUrl(live, auth);
  const tls: TlsFile = { version: 1, certificates: [{ secret: 'a', certificate: 'c', key: 'k' }] };
  const objects = desiredObjects({ cluster: live, operator, auth, configs, redisUrl, tls });
  const holders = objects.filter((each) => Object.hasOwn((each as SecretObject).data ?? {}, 'tls.json'));
  assert.deepEqual(holders.map(({ metadata }) => metadata.name).sort(), ['live-edge-config', 'live-origin-config']);
  for (const holder of holders) assert.deepEqual(JSON.parse(secretText(holder as SecretObject, 'tls.json') ?? ''), tls);
});

test('a port below 1024 is opened to pods without rights, and nothing else changes', () => {
  const sysctls = (spec: string) => podOf(spec, 'live-edge').spec.securityContext.sysctls;
  assert.equal(sysctls('{}'), undefined);
  assert.equal(sysctls('{protocols: {http: {port: 1024}}}'), undefined);
  assert.deepEqual(sysctls('{protocols: {http: {port: 80}, rtmps: {port: 79}}}'), [
    { name: 'net.ipv4.ip_unprivileged_port_start', value: '80' },
  ]);
});
