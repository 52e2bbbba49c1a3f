import { z } from 'zod';

/*
 * The credentials for the bucket of recordings, in a file of an origin's configuration folder. The operator copies them from
 * the Secret that the LiveCluster names; the node reads them again and again, so that changed ones need no new pod.
 */

const visible = z
  .string()
  .min(1)
  .max(4_096)
  .regex(/^[!-~]+$/);

export const S3File = z.strictObject({
  version: z.literal(1),
  accessKeyId: visible,
  secretAccessKey: visible,
  sessionToken: visible.optional(),
});
export type S3File = z.infer<typeof S3File>;
