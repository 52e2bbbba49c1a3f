import type { Role } from '#contract/names.ts';
import type { NodeEnv } from '#contract/node-env.ts';
import type { Cluster } from './cluster.ts';
import { labelsOf } from './labels.ts';
import { shortHash } from './pod.ts';
import { bytesOf } from './quantity.ts';

/*
 * What origins keep on disks: segments of HLS and DASH, and recordings. Edges keep nothing.
 */

const FOLDERS = { hls: '/var/lib/livecluster/hls', dvr: '/var/lib/livecluster/dvr' } as const;
type Volume = keyof typeof FOLDERS;

const DEFAULT_SIZE = '10Gi';
/** A pod whose EmptyDir grows over its size is evicted: nodes stop before. */
const FILLED = 0.9;

/** The parts of a StatefulSet that hold storage. */
export interface Storage {
  readonly volumes: readonly Record<string, unknown>[];
  readonly mounts: readonly { readonly name: Volume; readonly mountPath: string }[];
  readonly env: Partial<Record<keyof NodeEnv, { readonly value: string }>>;
  /** Of the StatefulSet's spec. */
  readonly claims: Record<string, unknown>;
  /** For ANNOTATIONS.volumeHash: of what can't change in a StatefulSet. */
  readonly hash: string;
}

const NONE: Storage = { volumes: [], mounts: [], env: {}, claims: {}, hash: shortHash([]) };

/** Storage of the pods of a role. */
export function storageOf(cluster: Cluster, role: Role): Storage {
  if (role !== 'origin') return NONE;
  const { hls, dvr } = cluster.spec.origin.storage;
  const hasHls = hls.type !== 'Memory';
  const hasDvr = dvr.type !== 'None';
  const mostBytes = (type: string, size: number | string = DEFAULT_SIZE) =>
    type === 'EmptyDir' || type === 'S3' ? Math.max(1, Math.floor((bytesOf(size) ?? 0) * FILLED)) : undefined;
  const [hlsBytes, dvrBytes] = [mostBytes(hls.type, hls.size), mostBytes(dvr.type, dvr.size)];
  const emptyDirs = [
    ...(hls.type === 'EmptyDir' ? [emptyDir('hls', hls.size)] : []),
    ...(dvr.type === 'EmptyDir' || dvr.type === 'S3' ? [emptyDir('dvr', dvr.size)] : []),
  ];
  const templates = [
    ...(hls.type === 'PVC' ? [claim(cluster, 'hls', hls)] : []),
    ...(dvr.type === 'PVC' ? [claim(cluster, 'dvr', dvr)] : []),
  ];
  const mount = (name: Volume) => ({ name, mountPath: FOLDERS[name] });
  // One policy for all of a StatefulSet's claims: segments are kept along with recordings.
  const isKept = dvr.type === 'PVC' && dvr.retention === 'Retain';
  return {
    volumes: emptyDirs,
    mounts: [...(hasHls ? [mount('hls')] : []), ...(hasDvr ? [mount('dvr')] : [])],
    env: {
      ...(hasHls && { LIVECLUSTER_HLS_FOLDER: { value: FOLDERS.hls } }),
      ...(hlsBytes !== undefined && { LIVECLUSTER_HLS_MOST_BYTES: { value: String(hlsBytes) } }),
      ...(hasDvr && { LIVECLUSTER_DVR_FOLDER: { value: FOLDERS.dvr } }),
      ...(dvrBytes !== undefined && { LIVECLUSTER_DVR_MOST_BYTES: { value: String(dvrBytes) } }),
      ...s3Env(cluster),
    },
    claims:
      templates.length === 0
        ? {}
        : {
            persistentVolumeClaimRetentionPolicy: {
              whenDeleted: isKept ? 'Retain' : 'Delete',
              whenScaled: dvr.type === 'PVC' ? 'Retain' : 'Delete',
            },
            volumeClaimTemplates: templates,
          },
    hash: shortHash(templates),
  };
}

function emptyDir(name: Volume, size: number | string | undefined): Record<string, unknown> {
  return { name, emptyDir: { sizeLimit: size ?? DEFAULT_SIZE } };
}

function claim(
  cluster: Cluster,
  name: Volume,
  {
    size,
    storageClassName,
  }: { readonly size?: number | string | undefined; readonly storageClassName?: string | undefined },
): Record<string, unknown> {
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name, labels: labelsOf(cluster.metadata.name, 'origin') },
    spec: {
      accessModes: ['ReadWriteOnce'],
      resources: { requests: { storage: size ?? DEFAULT_SIZE } },
      ...(storageClassName ? { storageClassName } : {}),
    },
  };
}

function s3Env(cluster: Cluster): Storage['env'] {
  const { s3 } = cluster.spec.origin.storage.dvr;
  if (s3 === undefined) return {};
  const { bucket, endpoint, region, prefix, forcePathStyle = endpoint !== undefined } = s3;
  return {
    LIVECLUSTER_DVR_S3_BUCKET: { value: bucket },
    ...(endpoint !== undefined && { LIVECLUSTER_DVR_S3_ENDPOINT: { value: endpoint } }),
    LIVECLUSTER_DVR_S3_REGION: { value: region },
    ...(prefix !== '' && { LIVECLUSTER_DVR_S3_PREFIX: { value: prefix } }),
    ...(forcePathStyle && { LIVECLUSTER_DVR_S3_PATH_STYLE: { value: 'true' } }),
  };
}
