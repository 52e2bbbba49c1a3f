import { z } from 'zod';
import { PORTS, ROLES } from './names.ts';

/*
 * What a media node is told once, at its start, by environment variables: who it is and where it listens. A change here
 * needs a new pod. What can change live is in node-config.ts; secrets come as files in CONFIG_DIR, never by environment.
 */

const port = (standard: number) => z.coerce.number().int().min(0).max(65_535).default(standard);

const folder = () => z.string().min(1).max(4_096).startsWith('/', 'must be an absolute path').optional();

/** The environment variables of a media node, all prefixed as shown. Ports accept 0 for "any free one" (tests). */
export const NodeEnv = z.object({
  LIVECLUSTER_ROLE: z.enum(ROLES),
  LIVECLUSTER_NAMESPACE: z.string().min(1).max(63),
  LIVECLUSTER_CLUSTER: z.string().min(1).max(63),
  /** StatefulSet pod name; its ordinal is the number after the last `-`. */
  LIVECLUSTER_POD_NAME: z.string().min(1).max(253),
  LIVECLUSTER_POD_UID: z.string().min(1).max(64),
  /** Address under which the other nodes of the cluster reach this one. */
  LIVECLUSTER_POD_IP: z.string().min(1).max(253),
  /** Folder with the files that CONFIG_FILES in names.ts lists. */
  LIVECLUSTER_CONFIG_DIR: z.string().min(1).default('/etc/livecluster'),
  /** Headless Service of the origins, asked by DNS when the directory is away. */
  LIVECLUSTER_ORIGINS_HOST: z.string().min(1).max(253),
  /** The same of the edges, asked by an origin that goes on with a playlist. Left out: those that the directory knows. */
  LIVECLUSTER_EDGES_HOST: z.string().min(1).max(253).optional(),
  LIVECLUSTER_RTMP_PORT: port(PORTS.rtmp),
  /** Left out: the node does not listen for RTMPS. */
  LIVECLUSTER_RTMPS_PORT: port(PORTS.rtmps).unwrap().optional(),
  LIVECLUSTER_HTTP_PORT: port(PORTS.http),
  LIVECLUSTER_API_PORT: port(PORTS.api),
  LIVECLUSTER_ADMIN_PORT: port(PORTS.admin),
  /** Where segments are written besides; left out: they are in memory alone. */
  LIVECLUSTER_HLS_FOLDER: folder(),
  /** Bytes that the folder of segments may hold; left out: as many as its disk takes. */
  LIVECLUSTER_HLS_MOST_BYTES: z.coerce.number().int().min(1).optional(),
  /** Where recordings are written, or wait for their upload; left out: nothing is recorded. */
  LIVECLUSTER_DVR_FOLDER: folder(),
  /** Bytes that the folder of recordings may hold; left out: as many as its disk takes. */
  LIVECLUSTER_DVR_MOST_BYTES: z.coerce.number().int().min(1).optional(),
  /** Bucket that recordings are uploaded to; its credentials are in CONFIG_FILES.s3. Left out: they stay in the folder. */
  LIVECLUSTER_DVR_S3_BUCKET: z.string().min(1).max(63).optional(),
  /** Left out: Amazon's. */
  LIVECLUSTER_DVR_S3_ENDPOINT: z.string().min(1).max(1_024).optional(),
  LIVECLUSTER_DVR_S3_REGION: z.string().min(1).max(64).optional(),
  /** Ends in `/`. */
  LIVECLUSTER_DVR_S3_PREFIX: z.string().max(512).optional(),
  /** The bucket is in the path, not in the host's name. */
  LIVECLUSTER_DVR_S3_PATH_STYLE: z.stringbool().optional(),
});
export type NodeEnv = z.infer<typeof NodeEnv>;

/** Reads the environment. Throws an Error whose message names every wrong variable, its value's fault and the mend. */
export function parseNodeEnv(env: Readonly<Record<string, string | undefined>>): NodeEnv {
  const parsed = NodeEnv.safeParse(env);
  if (parsed.success) return parsed.data;
  const faults = parsed.error.issues.map((issue) => {
    const name = issue.path.join('.');
    return env[name] === undefined ? `${name} is not set` : `${name}: ${issue.message}`;
  });
  throw new Error(`The environment of the media node is wrong: ${faults.join('; ')}. Set them as the operator does.`);
}
