import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LiveClusterStatus } from '#contract/crd/live-cluster-status.ts';
import { LABELS } from '#contract/names.ts';
import type { Role } from '#contract/names.ts';
import { cluster } from '../desired/testing/manifests.ts';
import { addressesOf } from './addresses.ts';
import type { PodObject, ServiceObject, StatefulSetObject } from './api-objects.ts';
import { findCondition } from './conditions.ts';
import type { NodeReport } from './fleet.ts';
import { liveClusterStatus } from './live-cluster-status.ts';
import type { LiveClusterObservation } from './live-cluster-status.ts';

const HASH = 'a'.repeat(64);

const set = (replicas: number, ready = replicas, more: object = {}): StatefulSetObject => ({
  apiVersion: 'apps/v1',
  kind: 'StatefulSet',
  metadata: { name: 'x', generation: 2 },
  status: { observedGeneration: 2, replicas, readyReplicas: ready, updatedReplicas: replicas, ...more },
});

const pod = (name: string, role: Role | undefined, status: object = {}, metadata: object = {}): PodObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, uid: name, labels: role ? { [LABELS.role]: role } : {}, ...metadata },
  status: { podIP: '10.0.0.1', conditions: [{ type: 'Ready', status: 'True' }], ...status },
});

/** One origin, one edge and Redis, all well. */
function observe(change: Partial<LiveClusterObservation> = {}): LiveClusterObservation {
  const live = cluster('{origin: {replicas: 1}, edge: {replicas: 1}}');
  const report: NodeReport = { hash: HASH, failures: 0 };
  return {
    cluster: live,
    generation: 7,
    previous: undefined,
    nowMs: Date.UTC(2026, 0, 2),
    statefulSets: { origin: set(1), edge: set(1), redis: set(1) },
    pods: [pod('live-origin-0', 'origin'), pod('live-edge-0', 'edge'), pod('live-redis-0', undefined)],
    addresses: { endpoints: {}, address: 'x', missing: [] },
    redisFault: undefined,
    applyFaults: [],
    wantedHashes: { origin: HASH, edge: HASH },
    reportOf: () => report,
    ...change,
  };
}

const verdicts = (status: LiveClusterStatus) =>
  Object.fromEntries((status.conditions ?? []).map(({ type, status: is }) => [type, is]));
const message = (status: LiveClusterStatus, type: string) => findCondition(status.conditions, type)?.message ?? '';

test('a status fits the schema of the CRD', () => {
  LiveClusterStatus.parse(liveClusterStatus(observe()));
});

const ready = liveClusterStatus(observe());

const waiting = (reason: string) => ({
  conditions: [],
  containerStatuses: [{ name: 'media-node', state: { waiting: { reason } } }],
});

const CASES: {
  what: string;
  seen: Partial<LiveClusterObservation>;
  wanted: Record<string, 'True' | 'False'>;
  says?: [type: string, pattern: RegExp];
}[] = [
  { what: 'all is well', seen: {}, wanted: { Ready: 'True', Progressing: 'False', Degraded: 'False' } },
  {
    what: 'a new cluster whose edge starts is neither ready nor degraded',
    seen: { statefulSets: { origin: set(1), edge: set(1, 0), redis: set(1) } },
    wanted: { Ready: 'False', Progressing: 'True', Degraded: 'False', EdgesReady: 'False' },
    says: ['Ready', /0 of 1 edge pods are ready/],
  },
  {
    what: 'a cluster that was ready and lost its only edge is not ready and degraded',
    seen: { previous: ready, statefulSets: { origin: set(1), edge: set(1, 0), redis: set(1) } },
    wanted: { Ready: 'False', Degraded: 'True' },
  },
  {
    what: 'one that lost Redis stays ready, and degraded',
    seen: { previous: ready, statefulSets: { origin: set(1), edge: set(1), redis: set(1, 0) } },
    wanted: { Ready: 'True', Degraded: 'True', RedisReady: 'False' },
    says: ['Degraded', /Redis .*is not ready; running streams go on/],
  },
  {
    what: 'good certificates are told with their end',
    seen: { certificates: { faults: [], validUntilMs: Date.UTC(2026, 5, 1) } },
    wanted: { Ready: 'True', Degraded: 'False', CertificatesReady: 'True' },
    says: ['CertificatesReady', /valid until 2026-06-01T00:00:00Z/],
  },
  {
    what: 'a certificate that is missing leaves a cluster ready that was, and degraded',
    seen: { previous: ready, certificates: { faults: ['Secret a does not exist'], validUntilMs: undefined } },
    wanted: { Ready: 'True', Degraded: 'True', CertificatesReady: 'False' },
    says: ['Degraded', /Secret a does not exist; plain RTMP is served all the same/],
  },
  {
    what: 'a new one without Redis is not ready',
    seen: { statefulSets: { origin: set(1), edge: set(1), redis: undefined } },
    wanted: { Ready: 'False', Degraded: 'False' },
  },
  {
    what: 'an image that cannot be had is told with the mend',
    seen: {
      statefulSets: { origin: set(1, 0), edge: set(1), redis: set(1) },
      pods: [pod('live-origin-0', 'origin', waiting('ImagePullBackOff'))],
    },
    wanted: { Ready: 'False', Degraded: 'True', OriginsReady: 'False' },
    says: ['OriginsReady', /pod live-origin-0 is in ImagePullBackOff: .*check spec\.image/],
  },
  {
    what: 'a pod without a node is told with the mend',
    seen: {
      statefulSets: { origin: set(1), edge: set(1, 0), redis: set(1) },
      pods: [
        pod('live-edge-0', 'edge', {
          conditions: [{ type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message: 'no cpu' }],
        }),
      ],
    },
    wanted: { Degraded: 'True' },
    says: ['Degraded', /finds no node \(no cpu\): add nodes, or ask for less/],
  },
  {
    what: 'a StatefulSet whose controller is behind is progressing',
    seen: { statefulSets: { origin: set(1), edge: set(1, 1, { observedGeneration: 1 }), redis: set(1) } },
    wanted: { Ready: 'True', Progressing: 'True', Degraded: 'False' },
  },
  {
    what: 'a pod on its way out is progress, and runs no new configuration',
    seen: {
      pods: [
        pod('live-edge-0', 'edge'),
        pod('live-edge-1', 'edge', {}, { deletionTimestamp: '2026-01-01T00:00:00Z' }),
        pod('live-origin-0', 'origin'),
      ],
      reportOf: (uid) => ({ hash: uid === 'live-edge-1' ? 'b'.repeat(64) : HASH, failures: 0 }),
    },
    wanted: { Ready: 'True', Progressing: 'True', ConfigProgrammed: 'True' },
  },
  {
    what: 'a pod that runs another configuration is named',
    seen: { reportOf: (uid) => ({ hash: uid === 'live-edge-0' ? 'b'.repeat(64) : HASH, failures: 0 }) },
    wanted: { Ready: 'False', Progressing: 'True', Degraded: 'False', ConfigProgrammed: 'False' },
    says: ['ConfigProgrammed', /1 of 2 pods run the present configuration; waiting for live-edge-0/],
  },
  {
    what: 'an address that is missing is told',
    seen: { addresses: { endpoints: {}, missing: ['Service live-ingest waits'] } },
    wanted: { Ready: 'False', AddressReady: 'False', Degraded: 'False' },
    says: ['Ready', /Service live-ingest waits/],
  },
  {
    what: 'what the API server refused is told',
    seen: { applyFaults: ['Service/x was refused'] },
    wanted: { Ready: 'False', Degraded: 'True', ObjectsApplied: 'False' },
  },
];

for (const { what, seen, wanted, says } of CASES) {
  test(`conditions: ${what}`, () => {
    const status = liveClusterStatus(observe(seen));
    LiveClusterStatus.parse(status);
    const is = verdicts(status);
    assert.deepEqual(Object.fromEntries(Object.keys(wanted).map((type) => [type, is[type]])), wanted);
    if (says) assert.match(message(status, says[0]), says[1]);
  });
}

test('a condition keeps the time of its last change, and speaks of the present generation', () => {
  const later = { previous: ready, nowMs: Date.UTC(2026, 0, 3), generation: 8 };
  const status = liveClusterStatus(observe({ ...later, redisFault: undefined, applyFaults: ['x'] }));
  const times = Object.fromEntries(status.conditions?.map((each) => [each.type, each.lastTransitionTime]) ?? []);
  assert.equal(times['EdgesReady'], '2026-01-02T00:00:00Z');
  assert.equal(times['ObjectsApplied'], '2026-01-03T00:00:00Z');
  assert.ok(status.conditions?.every((each) => each.observedGeneration === 8));
});

test('a node that does not answer counts no viewers, and its pod says so', () => {
  const status = { state: 'ready', sessions: 3, streams: 1, viewers: 2 } as NonNullable<NodeReport['status']>;
  const seen = observe({ reportOf: (uid) => ({ status, hash: HASH, failures: uid === 'live-edge-0' ? 3 : 0 }) });
  const is = liveClusterStatus(seen);
  assert.deepEqual([is.streams, is.viewers], [1, 2]);
  assert.deepEqual(
    is.pods?.map(({ name, state }) => [name, state]),
    [
      ['live-edge-0', 'Unreachable'],
      ['live-origin-0', 'Ready'],
    ],
  );
});

const service = (spec: object, ingress?: object[]): ServiceObject => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'live-ingest' },
  spec,
  status: { loadBalancer: ingress ? { ingress } : {} },
});

test('addresses are told as clients use them, or what they wait for', () => {
  const ports = [{ name: 'rtmp', port: 1935, nodePort: 31000 }];
  const of = (type: string, found: ServiceObject | undefined) =>
    addressesOf(cluster(`{exposure: {ingest: {type: ${type}}}}`), found, found);
  assert.equal(of('LoadBalancer', service({ ports }, [{ ip: '1.2.3.4' }])).address, '1.2.3.4');
  assert.equal(
    of('LoadBalancer', service({ ports }, [{ hostname: 'lb.example' }])).endpoints.rtmp,
    'rtmp://lb.example:1935',
  );
  assert.equal(of('LoadBalancer', service({ ports }, [{ ip: 'fd00::1' }])).endpoints.rtmp, 'rtmp://[fd00::1]:1935');
  assert.match(of('LoadBalancer', service({ ports })).missing[0] ?? '', /set spec\.exposure\.ingest\.type to NodePort/);
  assert.equal(of('NodePort', service({ ports })).endpoints.rtmp, 'rtmp://<node>:31000');
  assert.equal(of('NodePort', service({ ports })).address, '<node>:31000');
  assert.equal(of('ClusterIP', service({ ports })).endpoints.rtmp, 'rtmp://live-ingest.default.svc:1935');
  assert.match(of('ClusterIP', undefined).missing[0] ?? '', /Service live-ingest is not there yet/);
});
