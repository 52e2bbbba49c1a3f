import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ANNOTATIONS } from '#contract/names.ts';
import { parseNodeEnv } from '#contract/node-env.ts';
import type { Role } from '#contract/names.ts';
import { mediaStatefulSet } from './stateful-set.ts';
import { cluster } from './testing/manifests.ts';

const operator = { image: 'livecluster:1', redisImage: 'redis:7' };

/** What a StatefulSet of a LiveCluster with this storage (YAML) has of it. */
function setOf(storage: string, role: Role = 'origin') {
  const live = cluster(`{origin: {storage: ${storage}}}`);
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  const set = mediaStatefulSet(live, role, operator) as any;
  const { containers, volumes } = set.spec.template.spec;
  const own = (list: { name: string }[]) => list.filter(({ name }) => name === 'hls' || name === 'dvr');
  const env: { name: string; value?: string }[] = containers[0].env;
  return {
    volumes: own(volumes),
    mounts: own(containers[0].volumeMounts),
    env: Object.fromEntries(
      env.filter(({ name }) => /_(HLS|DVR)_/.test(name)).map(({ name, value }) => [name.slice(12), value]),
    ),
    claims: (set.spec.volumeClaimTemplates ?? []) as { metadata: { name: string }; spec: unknown }[],
    retention: set.spec.persistentVolumeClaimRetentionPolicy,
    hash: set.metadata.annotations?.[ANNOTATIONS.volumeHash] as string | undefined,
    podHash: set.spec.template.metadata.annotations[ANNOTATIONS.podSpecHash] as string,
    all: Object.fromEntries(env.map(({ name, value }) => [name, value ?? 'x'])),
  };
}

test('without storage origins have no volume for media', () => {
  const { volumes, mounts, env, claims, retention, hash } = setOf('{}');
  assert.deepEqual([volumes, mounts, env, claims, retention], [[], [], {}, [], undefined]);
  assert.ok(hash);
});

test('EmptyDirs have a size, and the node is told to stay below it', () => {
  const { volumes, mounts, env, claims } = setOf('{hls: {type: EmptyDir, size: 2Gi}, dvr: {type: EmptyDir}}');
  assert.deepEqual(volumes, [
    { name: 'hls', emptyDir: { sizeLimit: '2Gi' } },
    { name: 'dvr', emptyDir: { sizeLimit: '10Gi' } },
  ]);
  assert.deepEqual(mounts, [
    { name: 'hls', mountPath: '/var/lib/livecluster/hls' },
    { name: 'dvr', mountPath: '/var/lib/livecluster/dvr' },
  ]);
  assert.deepEqual(env, {
    HLS_FOLDER: '/var/lib/livecluster/hls',
    HLS_MOST_BYTES: String(Math.floor(2 * 2 ** 30 * 0.9)),
    DVR_FOLDER: '/var/lib/livecluster/dvr',
    DVR_MOST_BYTES: String(Math.floor(10 * 2 ** 30 * 0.9)),
  });
  assert.deepEqual(claims, []);
});

test('volumes are claims of each pod that outlive a scale-in, and the cluster unless it says Delete', () => {
  const { volumes, mounts, env, claims, retention } = setOf('{dvr: {type: PVC, size: 1Ti, storageClassName: fast}}');
  assert.deepEqual(volumes, []);
  assert.deepEqual(
    mounts.map(({ name }) => name),
    ['dvr'],
  );
  assert.deepEqual(env, { DVR_FOLDER: '/var/lib/livecluster/dvr' });
  assert.deepEqual(
    claims.map(({ metadata, spec }) => [metadata.name, spec]),
    [
      [
        'dvr',
        {
          accessModes: ['ReadWriteOnce'],
          resources: { requests: { storage: '1Ti' } },
          storageClassName: 'fast',
        },
      ],
    ],
  );
  assert.deepEqual(retention, { whenDeleted: 'Retain', whenScaled: 'Retain' });
  assert.deepEqual(setOf('{dvr: {type: PVC, retention: Delete}}').retention, {
    whenDeleted: 'Delete',
    whenScaled: 'Retain',
  });
  assert.deepEqual(setOf('{hls: {type: PVC}}').retention, { whenDeleted: 'Delete', whenScaled: 'Delete' });
});

test('a bucket is told by environment, its credentials never', () => {
  const least = setOf('{dvr: {type: S3, s3: {bucket: tapes, secretRef: {name: keys}}}}');
  assert.deepEqual(least.env, {
    DVR_FOLDER: '/var/lib/livecluster/dvr',
    DVR_MOST_BYTES: String(Math.floor(10 * 2 ** 30 * 0.9)),
    DVR_S3_BUCKET: 'tapes',
    DVR_S3_REGION: 'us-east-1',
  });
  assert.deepEqual(
    least.volumes.map(({ name }) => name),
    ['dvr'],
  );
  const full = setOf(
    '{dvr: {type: S3, s3: {bucket: tapes, endpoint: "http://s3:9000", region: eu-west-1, prefix: tv/, secretRef: {name: keys}}}}',
  );
  const parsed = parseNodeEnv(full.all);
  assert.equal(parsed.LIVECLUSTER_DVR_S3_ENDPOINT, 'http://s3:9000');
  assert.equal(parsed.LIVECLUSTER_DVR_S3_REGION, 'eu-west-1');
  assert.equal(parsed.LIVECLUSTER_DVR_S3_PREFIX, 'tv/');
  assert.equal(parsed.LIVECLUSTER_DVR_S3_PATH_STYLE, true, 'which stores other than Amazon’s have');
  assert.equal(least.all['LIVECLUSTER_DVR_S3_PATH_STYLE'], undefined);
  assert.doesNotMatch(JSON.stringify(full), /keys/);
});

test('edges have none of it', () => {
  const storage = '{hls: {type: PVC}, dvr: {type: S3, s3: {bucket: tapes, secretRef: {name: keys}}}}';
  const { volumes, mounts, env, claims, hash } = setOf(storage, 'edge');
  assert.deepEqual([volumes, mounts, env, claims, hash], [[], [], {}, [], undefined]);
});

test('only a change of claims makes the StatefulSet anew; others roll its pods', () => {
  const none = setOf('{}');
  const dir = setOf('{dvr: {type: EmptyDir}}');
  const pvc = setOf('{dvr: {type: PVC}}');
  assert.equal(dir.hash, none.hash);
  assert.notEqual(dir.podHash, none.podHash);
  assert.notEqual(pvc.hash, none.hash);
  assert.notEqual(pvc.hash, setOf('{dvr: {type: PVC, size: 1Ti}}').hash);
  assert.equal(pvc.hash, setOf('{dvr: {type: PVC, retention: Delete}}').hash);
});
