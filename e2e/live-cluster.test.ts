import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { collectLogs } from './cluster/collect.ts';
import { DEFAULT_VHOST, LABELS } from '../contract/names.ts';
import { Encoder } from './lib/encoder.ts';
import { killHard } from './lib/host-process.ts';
import { apply, condition, find, get, type KubeObject, kubectl, list, patch } from './lib/kubectl.ts';
import { metricValue, scrape } from './lib/metrics.ts';
import { figure } from './lib/figures.ts';
import { installOperator, makeNamespace, OPERATOR_NAMESPACE, uninstallOperator } from './lib/operator.ts';
import { until } from './lib/until.ts';
import { Viewer } from './lib/viewer.ts';

/*
 * The main job on a real Kubernetes, as a user meets it: chart, six lines, encoder, players, faults, deletion. The tests
 * build on each other, in order; one cluster serves them all.
 */

const NAMESPACE = 'live-e2e';
const CLUSTER = 'live';
const onRig = process.env.E2E_KUBECONFIG === undefined;
const sixLines = readFileSync(join(import.meta.dirname, '..', 'examples', 'livecluster.yaml'), 'utf8');
const ofCluster = `${LABELS.cluster}=${CLUSTER}`;
const ofRole = (role: string) => `${ofCluster},${LABELS.role}=${role}`;

let encoder: Encoder | undefined;
const viewers = new Set<Viewer>();

function watch(url: string): Viewer {
  const viewer = new Viewer(url);
  viewers.add(viewer);
  return viewer;
}

async function stopViewers(...these: Viewer[]): Promise<void> {
  await Promise.all(these.map((viewer) => viewer.stop()));
  for (const viewer of these) viewers.delete(viewer);
}

const cluster = () => get('livecluster', CLUSTER, NAMESPACE);
const podIp = (pod: KubeObject) => pod.status.podIP as string;
const isReady = (pod: KubeObject) => condition(pod, 'Ready') === 'True' && pod.metadata.deletionTimestamp === undefined;

async function pods(role: string): Promise<KubeObject[]> {
  const all = await list('pods', NAMESPACE, ofRole(role));
  return all.sort((a, b) => a.metadata.name.localeCompare(b.metadata.name));
}

/** Waits until the role has exactly `count` pods and all are ready. */
const readyPods = (role: string, count: number) =>
  until(`${count} ready ${role} pods`, async () => {
    const present = await pods(role);
    return present.length === count && present.every(isReady) ? present : undefined;
  });

async function serviceAddress(name: string): Promise<string> {
  const service = await get('service', name, NAMESPACE);
  const ingress = service.status.loadBalancer?.ingress?.[0] as { ip?: string; hostname?: string } | undefined;
  return ingress?.ip ?? ingress?.hostname ?? (service.spec.clusterIP as string);
}

/** The directory's record of live/stream01, read in Redis itself. */
async function recordInRedis(): Promise<{ nodeId: string; host: string; epoch: number }> {
  const key = `{${NAMESPACE}/${CLUSTER}}:streams`;
  const command = ['redis-cli', '--raw', 'HGET', key, `${DEFAULT_VHOST}/live/stream01`];
  const value = await kubectl(['exec', '-n', NAMESPACE, `${CLUSTER}-redis-0`, '--', ...command]);
  return JSON.parse(value.trim()) as { nodeId: string; host: string; epoch: number };
}

/** The origin pod that has the publisher of live/stream01. */
async function owner(): Promise<KubeObject> {
  return until('an origin that has the publisher', async () => {
    for (const pod of await pods('origin')) {
      if (isReady(pod) && metricValue(await scrape(podIp(pod)), 'livecluster_publishers') > 0) return pod;
    }
    return undefined;
  });
}

before(async () => {
  await makeNamespace(NAMESPACE);
});

let hasFailed = false;
afterEach(async (context) => {
  if (hasFailed || !('error' in context) || !context.error) return;
  hasFailed = true;
  // Later tests go on and the pods' logs with them.
  const folder = await collectLogs({ kubeconfig: process.env['KUBECONFIG'] ?? '', prefix: [] }, 'first-failure');
  console.log(`logs of the first failure are in ${folder}`);
});

after(async () => {
  await Promise.all([...viewers].map((viewer) => viewer.stop()));
  await encoder?.stop();
  await kubectl(['delete', 'namespace', NAMESPACE, '--ignore-not-found', '--wait=false']);
});

test('helm installs the operator', async () => {
  await installOperator();
});

test('six lines become a Ready cluster with an address', async () => {
  const started = performance.now();
  await apply(sixLines, NAMESPACE);
  await until('kubectl get lc shows Ready', async () => condition(await cluster(), 'Ready') === 'True');
  figure('applied to Ready, images present', (performance.now() - started) / 1000, { atMost: 20, unit: 's' });
  const columns = await kubectl(['get', 'lc', CLUSTER, '-n', NAMESPACE]);
  console.log(columns.trim());
  assert.match(columns, /NAME\s+READY\s+ORIGINS\s+EDGES\s+STREAMS\s+VIEWERS\s+ADDRESS\s+AGE/);
  const { status, metadata } = await cluster();
  assert.equal(status.observedGeneration, metadata.generation);
  assert.equal(status.origin.ready, 2);
  assert.equal(status.edge.ready, 2);
  assert.ok(status.address, 'an ingest address');
});

test('an edge has no pull before the first viewer, one with two, none after the hold time', async () => {
  await patch('livecluster', CLUSTER, NAMESPACE, { spec: { edge: { pull: { hold: '3s' } } } });
  encoder = new Encoder(`rtmp://${await serviceAddress(`${CLUSTER}-ingest`)}:1935/live/stream01`);
  await owner();
  const [edge] = await readyPods('edge', 2);
  const pulls = async () => metricValue(await scrape(podIp(edge!)), 'livecluster_pulls');
  assert.equal(await pulls(), 0, 'no viewer, no pull');
  const first = watch(`rtmp://${podIp(edge!)}:1935/live/stream01`);
  const second = watch(`http://${podIp(edge!)}:8080/live/stream01.flv`);
  await Promise.all([first.moreFrames(50), second.moreFrames(50)]);
  assert.equal(await pulls(), 1, 'two viewers of different protocols share one pull');
  await stopViewers(first, second);
  await until('the pull ends after the hold time', async () => (await pulls()) === 0);
});

test('every edge, and the playback address, play it over RTMP and HTTP-FLV', async () => {
  const hosts = [...(await readyPods('edge', 2)).map(podIp), await serviceAddress(`${CLUSTER}-playback`)];
  const all = hosts.flatMap((host) => [
    watch(`rtmp://${host}:1935/live/stream01`),
    watch(`http://${host}:8080/live/stream01.flv`),
  ]);
  await Promise.all(all.map((viewer) => viewer.moreFrames(120)));
  for (const viewer of all) {
    viewer.assertSound();
    viewer.assertHas('video', 'audio');
  }
  const seen = await until('status counts the viewers', async () => {
    const { status } = await cluster();
    return status.viewers === all.length && status.streams === 1 ? status : undefined;
  });
  assert.equal(seen.viewers, all.length);
  await stopViewers(...all);
});

test('each Service takes publish and play: an edge hands a publish on, an origin without the stream pulls it', async () => {
  const [edge] = await readyPods('edge', 2);
  const onEdge = new Encoder(`rtmp://${podIp(edge!)}:1935/live/through-edge`);
  try {
    for (const origin of await readyPods('origin', 2)) {
      const viewer = watch(`rtmp://${podIp(origin)}:1935/live/through-edge`);
      await viewer.moreFrames(40);
      viewer.assertSound();
      await stopViewers(viewer);
    }
  } finally {
    await onEdge.stop();
  }
});

test('Redis holds the owner of the stream', async () => {
  const holder = await owner();
  const record = await recordInRedis();
  assert.ok(record.nodeId.startsWith(holder.metadata.uid), `${record.nodeId} is of ${holder.metadata.name}`);
  assert.equal(record.host, podIp(holder));
});

test('edges scale 2 → 3 → 2 by the scale subresource; a viewer on a staying pod notices nothing', async () => {
  const [edge] = await readyPods('edge', 2);
  const viewer = watch(`http://${podIp(edge!)}:8080/live/stream01.flv`);
  await viewer.moreFrames(50);
  const since = performance.now();
  await kubectl(['scale', 'livecluster', CLUSTER, '-n', NAMESPACE, '--replicas=3']);
  const three = await readyPods('edge', 3);
  const onNew = watch(`rtmp://${podIp(three[2]!)}:1935/live/stream01`);
  await onNew.moreFrames(50);
  await stopViewers(onNew);
  await kubectl(['scale', 'livecluster', CLUSTER, '-n', NAMESPACE, '--replicas=2']);
  await readyPods('edge', 2);
  await viewer.moreFrames(50);
  viewer.assertSound();
  figure('longest gap of a viewer while edges scale', viewer.longestGapMs(since) / 1000, { unit: 's' });
  await stopViewers(viewer);
});

test('a changed Vhost is Programmed on the same pods with the stream uncut', async () => {
  const uids = async () => [...(await pods('origin')), ...(await pods('edge'))].map((pod) => pod.metadata.uid);
  const [edge] = await readyPods('edge', 2);
  const viewer = watch(`http://${podIp(edge!)}:8080/live/stream01.flv`);
  await viewer.moreFrames(50);
  const before = await uids();
  const starts = encoder!.starts;
  await apply(
    `{apiVersion: livecluster.io/v1alpha1, kind: Vhost, metadata: {name: everyone}, spec: {clusterRef: {name: ${CLUSTER}}, hosts: [${DEFAULT_VHOST}]}}`,
    NAMESPACE,
  );
  const programmed = async () => {
    const vhost = await get('vhost', 'everyone', NAMESPACE);
    const current = vhost.status?.observedGeneration === vhost.metadata.generation;
    return current && condition(vhost, 'Programmed') === 'True' ? vhost : undefined;
  };
  await until('the Vhost is Programmed', programmed);
  const origin = { headers: { origin: 'https://tv.example.com' } };
  const allowed = async () => {
    const response = await fetch(`http://${podIp(edge!)}:8080/live/stream01.flv`, { ...origin, method: 'HEAD' });
    return response.headers.get('access-control-allow-origin');
  };
  assert.equal(await allowed(), '*');
  const since = performance.now();
  await patch('vhost', 'everyone', NAMESPACE, {
    spec: { security: { cors: { allowOrigins: ['https://tv.example.com'] } } },
  });
  const vhost = await until('the changed Vhost is Programmed', programmed, { everyMs: 50 });
  figure('Vhost changed → Programmed', (performance.now() - since) / 1000, { atMost: 2, unit: 's' });
  assert.equal(vhost.status.podsProgrammed, vhost.status.podsTotal);
  assert.equal(await allowed(), 'https://tv.example.com', 'the pod answers by the new rule');
  await viewer.moreFrames(50);
  viewer.assertSound();
  const later = watch(`http://${podIp(edge!)}:8080/live/stream01.flv`);
  await later.moreFrames(50);
  await stopViewers(later);
  assert.deepEqual(await uids(), before, 'same pods');
  assert.equal(encoder!.starts, starts, 'the encoder was not cut');
  await stopViewers(viewer);
});

/** What a hand may do to one object of each owned kind, and how to see that it is undone. */
const DRIFT: { kind: string; name: string; edit: object; undone: (object: KubeObject) => boolean }[] = [
  {
    kind: 'service',
    name: `${CLUSTER}-playback`,
    edit: { metadata: { labels: { [LABELS.component]: 'edited' } } },
    undone: (object) => object.metadata.labels?.[LABELS.component] !== 'edited',
  },
  {
    kind: 'secret',
    name: `${CLUSTER}-edge-config`,
    edit: { data: { 'config.json': Buffer.from('{}').toString('base64') } },
    undone: (object) => (object.data?.['config.json'] ?? '').length > 100,
  },
  {
    kind: 'poddisruptionbudget',
    name: `${CLUSTER}-edge`,
    edit: { spec: { maxUnavailable: 0 } },
    undone: (object) => object.spec.maxUnavailable === 1,
  },
  {
    kind: 'networkpolicy',
    name: `${CLUSTER}-origin`,
    edit: { spec: { ingress: [] } },
    undone: (object) => object.spec.ingress?.length > 0,
  },
  {
    kind: 'serviceaccount',
    name: `${CLUSTER}-media`,
    edit: { automountServiceAccountToken: true },
    undone: (object) => object.automountServiceAccountToken === false,
  },
  {
    kind: 'statefulset',
    name: `${CLUSTER}-edge`,
    edit: { spec: { replicas: 3 } },
    undone: (object) => object.spec.replicas === 2,
  },
];

for (const { kind, name, edit, undone } of DRIFT) {
  test(`a ${kind} edited or deleted by hand comes back`, async () => {
    await patch(kind, name, NAMESPACE, edit);
    await until(`the edit of ${kind} ${name} is undone`, async () => undone(await get(kind, name, NAMESPACE)));
    const { uid } = (await get(kind, name, NAMESPACE)).metadata;
    await kubectl(['delete', kind, name, '-n', NAMESPACE, '--cascade=orphan', '--wait=false']);
    const again = await until(`${kind} ${name} is made again`, async () => {
      const object = await find(kind, name, NAMESPACE);
      return object && object.metadata.uid !== uid && object.metadata.deletionTimestamp === undefined
        ? object
        : undefined;
    });
    assert.ok(undone(again));
    assert.equal(again.metadata.ownerReferences?.[0]?.kind, 'LiveCluster');
  });
}

test('the NetworkPolicy on the server says from where', async () => {
  for (const name of [`${CLUSTER}-origin`, `${CLUSTER}-edge`, `${CLUSTER}-redis`]) {
    const policy = await get('networkpolicy', name, NAMESPACE);
    const withFrom = (policy.spec.ingress as { from?: object[] }[]).filter((rule) => (rule.from?.length ?? 0) > 0);
    assert.ok(withFrom.length > 0, `${name} restricts by from: ${JSON.stringify(policy.spec.ingress)}`);
  }
});

/** Viewers on both edges through a fault of the origin; returns the seconds until frames came again. */
async function throughOriginFault(fault: (origin: KubeObject) => Promise<void>): Promise<number> {
  const edges = await readyPods('edge', 2);
  await readyPods('origin', 2);
  const all = edges.flatMap((edge) => [
    watch(`rtmp://${podIp(edge)}:1935/live/stream01`),
    watch(`http://${podIp(edge)}:8080/live/stream01.flv`),
  ]);
  await Promise.all(all.map((viewer) => viewer.moreFrames(50)));
  const victim = await owner();
  const starts = encoder!.starts;
  const since = performance.now();
  await fault(victim);
  await until('the encoder connects again', () => encoder!.starts > starts);
  await Promise.all(all.map((viewer) => viewer.moreFrames(100)));
  for (const viewer of all) viewer.assertSound();
  const gap = Math.max(...all.map((viewer) => viewer.longestGapMs(since)));
  await stopViewers(...all);
  return gap / 1000;
}

test("the origin's process is killed: the encoder reconnects, viewers keep their connections and get frames again", async (t) => {
  if (!onRig) return t.skip('needs the processes of the machine: only on the rig');
  const seconds = await throughOriginFault(async (origin) => {
    killHard(`LIVECLUSTER_POD_NAME=${origin.metadata.name}`, 'media-node/src/main.ts');
  });
  figure('origin killed → frames at edge viewers again', seconds, { atMost: 3, unit: 's' });
});

test('the origin pod is deleted: the same', async () => {
  await patch('livecluster', CLUSTER, NAMESPACE, { spec: { drain: { origin: '1s' } } });
  await until('the drain time is in force', async () => condition(await cluster(), 'ConfigProgrammed') === 'True');
  const seconds = await throughOriginFault(async (origin) => {
    await kubectl(['delete', 'pod', origin.metadata.name, '-n', NAMESPACE, '--wait=false']);
  });
  figure('origin pod deleted → frames at edge viewers again', seconds, { unit: 's' });
});

test('Redis is killed and comes back empty with streams running', async () => {
  const edges = await readyPods('edge', 2);
  const viewer = watch(`http://${podIp(edges[0]!)}:8080/live/stream01.flv`);
  await viewer.moreFrames(50);
  const starts = encoder!.starts;
  const before = await get('pod', `${CLUSTER}-redis-0`, NAMESPACE);
  await kubectl(['delete', 'pod', `${CLUSTER}-redis-0`, '-n', NAMESPACE, '--grace-period=0', '--force']);
  await viewer.moreFrames(25);
  await until('Redis is back', async () => {
    const pod = await find('pod', `${CLUSTER}-redis-0`, NAMESPACE);
    return pod && pod.metadata.uid !== before.metadata.uid && isReady(pod);
  });
  const record = await until('the stream is registered again', recordInRedis);
  assert.equal(record.host, podIp(await owner()));
  const fresh = watch(`rtmp://${podIp(edges[1]!)}:1935/live/stream01`);
  await fresh.moreFrames(50);
  await viewer.moreFrames(50);
  viewer.assertSound();
  assert.equal(encoder!.starts, starts, 'the encoder was not cut');
  await stopViewers(viewer, fresh);
});

test('the operator is killed in the middle of a change: media unharmed, it resumes', async () => {
  const [edge] = await readyPods('edge', 2);
  const viewer = watch(`rtmp://${podIp(edge!)}:1935/live/stream01`);
  await viewer.moreFrames(50);
  const starts = encoder!.starts;
  await kubectl(['scale', 'livecluster', CLUSTER, '-n', NAMESPACE, '--replicas=3']);
  await kubectl([
    'delete',
    'pods',
    '-n',
    OPERATOR_NAMESPACE,
    '-l',
    `${LABELS.name}=livecluster`,
    '--grace-period=0',
    '--force',
  ]);
  await readyPods('edge', 3);
  await kubectl(['scale', 'livecluster', CLUSTER, '-n', NAMESPACE, '--replicas=2']);
  await readyPods('edge', 2);
  await viewer.moreFrames(50);
  viewer.assertSound();
  assert.equal(encoder!.starts, starts);
  await stopViewers(viewer);
});

test('kubectl delete leaves nothing behind', async () => {
  const kinds =
    'statefulsets,services,secrets,poddisruptionbudgets,networkpolicies,serviceaccounts,pods,persistentvolumeclaims,endpointslices,controllerrevisions';
  const owned = await list(kinds, NAMESPACE, ofCluster);
  assert.ok(owned.length > 10, 'the selector finds what the operator owns');
  await kubectl(['delete', 'vhost', 'everyone', '-n', NAMESPACE]);
  await kubectl(['delete', '-n', NAMESPACE, '-f', '-'], { input: sixLines });
  await encoder!.stop();
  encoder = undefined;
  await until('nothing of the cluster is left', async () => {
    const left = await list(kinds, NAMESPACE, ofCluster);
    if (left.length > 0) throw new Error(left.map((object) => `${object.kind}/${object.metadata.name}`).join(', '));
    return true;
  });
});

test('helm uninstalls the operator and keeps the custom resources', async () => {
  await uninstallOperator();
  assert.ok(await find('customresourcedefinition', 'liveclusters.livecluster.io', NAMESPACE));
});
