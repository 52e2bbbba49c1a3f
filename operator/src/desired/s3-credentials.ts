import { CONFIG_FILES } from '#contract/names.ts';
import { S3File } from '#contract/s3-file.ts';
import { secretText } from './secrets.ts';
import type { SecretObject } from './secrets.ts';

/** What became of the reference to a bucket's credentials. */
export interface JudgedS3 {
  /** For the origins; undefined when there is nothing to give them. */
  readonly file: S3File | undefined;
  /** What is wrong with the reference, with the mend. */
  readonly fault: string | undefined;
}

/** Names of each value in a Secret; the second is what tools of Amazon call it. */
const KEYS = {
  accessKeyId: ['accessKeyId', 'AWS_ACCESS_KEY_ID'],
  secretAccessKey: ['secretAccessKey', 'AWS_SECRET_ACCESS_KEY'],
  sessionToken: ['sessionToken', 'AWS_SESSION_TOKEN'],
} as const;

/**
 * Reads the credentials of `origin.storage.dvr.s3`. In place of ones that can't be used the origins keep those that they
 * have: `copies` are the config Secrets as they are now.
 */
export function judgeS3(
  name: string,
  secret: SecretObject | undefined,
  copies: readonly (SecretObject | undefined)[],
  namespace: string,
): JudgedS3 {
  const where = `spec.origin.storage.dvr.s3.secretRef: Secret ${name}`;
  const former = () => copies.map(fileIn).find((file) => file !== undefined);
  const refused = (fault: string): JudgedS3 => ({ file: former(), fault: `${where} ${fault}` });
  if (!secret) {
    return refused(`does not exist: create it in namespace ${namespace} with the keys accessKeyId and secretAccessKey`);
  }
  const value = (field: keyof typeof KEYS) =>
    KEYS[field].map((key) => secretText(secret, key)?.trim()).find((text) => text !== undefined && text !== '');
  for (const field of ['accessKeyId', 'secretAccessKey'] as const) {
    if (value(field) === undefined) return refused(`has no ${KEYS[field].join(' or ')}: add it`);
  }
  const sessionToken = value('sessionToken');
  const file = S3File.safeParse({
    version: 1,
    accessKeyId: value('accessKeyId'),
    secretAccessKey: value('secretAccessKey'),
    ...(sessionToken !== undefined && { sessionToken }),
  });
  if (!file.success) {
    const fields = [...new Set(file.error.issues.map(({ path }) => path.join('.')))].join(' and ');
    return refused(`holds what is no credential in ${fields}: write visible ASCII characters without spaces`);
  }
  return { file: file.data, fault: undefined };
}

function fileIn(copy: SecretObject | undefined): S3File | undefined {
  try {
    return S3File.parse(JSON.parse(secretText(copy, CONFIG_FILES.s3) ?? 'null'));
  } catch {
    return undefined;
  }
}
