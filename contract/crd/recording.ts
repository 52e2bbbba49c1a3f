import { z } from 'zod';
import { LocalObjectReference, Quantity, boundedDuration, withRules } from './schema.ts';

/*
 * Recording: what a Vhost records, and where a LiveCluster's origins keep recordings and segments.
 */

const DVR_PATH = '[app]/[stream].[timestamp].flv';

/** A path of a recording's file; unlike a packager's, two recordings of one path get numbers and overwrite nothing. */
const dvrPath = withRules(
  z
    .string()
    .min(1)
    .max(512)
    .regex(/^[A-Za-z0-9/_.[\]-]+\.(flv|mp4)$/, {
      error: `must be a path that ends in .flv or .mp4, such as ${DVR_PATH}`,
    }),
  {
    rule: "self.contains('[stream]')",
    message: `path must hold [stream], such as ${DVR_PATH}`,
    check: (path) => path.includes('[stream]'),
  },
  {
    rule: "!self.startsWith('/') && !self.contains('..') && !self.contains('//')",
    message: `path is a path below the folder or bucket: write it without a leading /, // and .., such as ${DVR_PATH}`,
    check: (path) => !path.startsWith('/') && !path.includes('..') && !path.includes('//'),
  },
)
  .default(DVR_PATH)
  .describe(
    "Path template of a file, by whose end it is FLV (.flv) or fragmented MP4 (.mp4); dvr_path of SRS. Variables: [vhost] (the Vhost's name; left out for __defaultVhost__), [app], [stream], [timestamp] (milliseconds), and the time of its beginning in UTC as [2006], [01], [02], [15], [04], [05], [999]. A file that is there already is never overwritten.",
  );

export const DvrSpec = z
  .strictObject({
    enabled: z
      .boolean()
      .default(false)
      .describe(
        "Record streams on the origins that have their publishers; needs origin.storage.dvr of the LiveCluster. SRS's dvr.",
      ),
    plan: z
      .enum(['Session', 'Segment'])
      .default('Session')
      .describe(
        'Session: one file from publish to unpublish, through the absences that publish.grace allows. Segment: a new file each duration. dvr_plan of SRS.',
      ),
    duration: boundedDuration('1s', '24h')
      .default('30s')
      .describe('Length of a file with plan Segment; dvr_duration of SRS.'),
    waitKeyframe: z
      .boolean()
      .default(true)
      .describe(
        'With plan Segment, end a file at the next key frame after duration, so that each plays from its first picture; false: at once. dvr_wait_keyframe of SRS.',
      ),
    path: dvrPath,
    applyTo: z
      .array(
        z
          .string()
          .min(1)
          .max(512)
          .regex(/^[^/\s][^\s]*\/[^/\s]+$/, {
            error: 'must be app/stream, such as live/stream01; * stands for any characters, as in live/*',
          }),
      )
      .max(256)
      .default([])
      .describe(
        'Streams to record, as app/stream, where * stands for any characters; empty: all. dvr_apply of SRS. Reloads live, as all of dvr does.',
      ),
  })
  .prefault({})
  .describe('Recording of streams into files.');

const storageClassName = () =>
  z.string().min(1).max(253).optional().describe("Storage class of the volumes. Default: the cluster's.");

const needsPvc = (field: string) => ({
  rule: "self.type == 'PVC' || !has(self.storageClassName)",
  message: `storageClassName needs type PVC: set ${field}.type to PVC or remove storageClassName`,
  check: (storage: { type: string; storageClassName?: string | undefined }) =>
    storage.type === 'PVC' || storage.storageClassName === undefined,
});

const HlsStorage = withRules(
  z.strictObject({
    type: z
      .enum(['Memory', 'EmptyDir', 'PVC'])
      .default('Memory')
      .describe(
        "Where an origin keeps segments of HLS and DASH. Memory: nowhere else. EmptyDir: on the pod's disk besides. PVC: on a volume of the pod's own.",
      ),
    size: Quantity.optional().describe('Size of the volume, or most that the EmptyDir may hold. Default 10Gi.'),
    storageClassName: storageClassName(),
  }),
  needsPvc('origin.storage.hls'),
  {
    rule: "self.type != 'Memory' || !has(self.size)",
    message: 'size needs type EmptyDir or PVC: set origin.storage.hls.type or remove size',
    check: (storage) => storage.type !== 'Memory' || storage.size === undefined,
  },
)
  .prefault({})
  .describe('Segments of HLS and DASH.');

/** Amazon's rules, which other stores share. */
const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;

const S3 = z.strictObject({
  bucket: z
    .string()
    .max(63)
    .regex(BUCKET, { error: 'must be the name of a bucket: 3 to 63 of a-z, 0-9, . and -' })
    .describe('Bucket, which must exist.'),
  endpoint: z
    .string()
    .max(1024)
    .regex(/^https?:\/\/[^\s/?#@]+\/?$/, {
      error: 'must be http:// or https:// with a host and nothing behind it, such as https://minio.example.com:9000',
    })
    .optional()
    .describe("Address of a store other than Amazon's."),
  region: z
    .string()
    .max(64)
    .regex(/^[A-Za-z0-9-]+$/, { error: 'must be a region such as us-east-1' })
    .default('us-east-1')
    .describe('Region of the bucket; many stores take any.'),
  prefix: z
    .string()
    .max(512)
    .regex(/^([A-Za-z0-9_.=-]+\/)*$/, { error: 'must be empty, or end in / without beginning so, such as recordings/' })
    .default('')
    .describe('What stands before the path of each recording.'),
  forcePathStyle: z
    .boolean()
    .optional()
    .describe("Write the bucket into the path and not into the host's name. Default: true with an endpoint."),
  secretRef: LocalObjectReference.describe(
    'Secret with the keys accessKeyId and secretAccessKey (or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY), in the same namespace. A changed one is in force within about three minutes.',
  ),
});

const DvrStorage = withRules(
  z.strictObject({
    type: z
      .enum(['None', 'EmptyDir', 'PVC', 'S3'])
      .default('None')
      .describe(
        "Where recordings go. EmptyDir: on the pod's disk, gone with the pod. PVC: on a volume of the pod's own. S3: into a bucket while they are made, by way of an EmptyDir. A change to PVC makes the origins anew, all at once: do it when nobody publishes. Other changes roll them.",
      ),
    size: Quantity.optional().describe(
      'Size of the volume, or most that the EmptyDir may hold; with S3 it holds what is not uploaded yet. Default 10Gi. A volume that is there keeps its size: enlarge its claim.',
    ),
    storageClassName: storageClassName(),
    retention: z
      .enum(['Retain', 'Delete'])
      .default('Retain')
      .describe('What becomes of the volumes of type PVC when the LiveCluster is deleted. They outlive a scale-in.'),
    s3: S3.optional().describe('The bucket for type S3.'),
  }),
  needsPvc('origin.storage.dvr'),
  {
    rule: "self.type != 'None' || !has(self.size)",
    message: 'size needs type EmptyDir, PVC or S3: set origin.storage.dvr.type or remove size',
    check: (storage) => storage.type !== 'None' || storage.size === undefined,
  },
  {
    rule: "(self.type == 'S3' && has(self.s3)) || (self.type != 'S3' && !has(self.s3))",
    message: 'type S3 and origin.storage.dvr.s3 go together: set both or none',
    check: (storage) => (storage.type === 'S3') === (storage.s3 !== undefined),
  },
)
  .prefault({})
  .describe('Recordings; see dvr of Vhosts.');

export const StorageSpec = z
  .strictObject({ hls: HlsStorage, dvr: DvrStorage })
  .prefault({})
  .describe('What origins keep on disks.');
export type StorageSpec = z.infer<typeof StorageSpec>;
