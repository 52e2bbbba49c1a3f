import { randomBytes } from 'node:crypto';
import { CONFIG_FILES } from '#contract/names.ts';
import type { Role } from '#contract/names.ts';
import type { NodeConfig } from '#contract/node-config.ts';
import type { S3File } from '#contract/s3-file.ts';
import type { TlsFile } from '#contract/tls-file.ts';
import type { Manifest } from '../kube/object.ts';
import type { Cluster } from './cluster.ts';
import { ownedMetadata } from './labels.ts';
import { names } from './names.ts';

/** The random values of a cluster: 64 hex digits each. Made once; Secrets hold them. */
export interface AuthValues {
  /** Bearer token of the pods' admin port. */
  readonly adminToken: string;
  /** With which nodes sign relay connections. */
  readonly relayKey: string;
  /** Of the embedded Redis. */
  readonly redisPassword: string;
}

/** Keys of the auth Secret. */
export const AUTH_KEYS = {
  adminToken: CONFIG_FILES.adminToken,
  relayKey: CONFIG_FILES.relayKey,
  redisPassword: 'redis-password',
} as const satisfies Record<keyof AuthValues, string>;

/** A Secret as the API server gives it: values in base64. */
export interface SecretObject extends Manifest {
  readonly data?: Readonly<Record<string, string>>;
}

const RANDOM_VALUE = /^[0-9a-f]{64}$/;

/**
 * The values to use: those of the auth Secret; where it lacks one or holds what was never made here, the copy in a
 * config Secret, so that a Secret deleted by hand comes back as it was and no pod notices; else a new one.
 */
export function keepOrMakeAuth(
  auth: SecretObject | undefined,
  configs: readonly (SecretObject | undefined)[],
  random: () => string = () => randomBytes(32).toString('hex'),
): AuthValues {
  const kept = (key: string) =>
    [auth, ...configs].map((secret) => secretText(secret, key)).find((value) => value && RANDOM_VALUE.test(value));
  const passwordInUrl = () =>
    configs
      .map((secret) => URL.parse(secretText(secret, CONFIG_FILES.redisUrl) ?? '')?.password)
      .find((value) => value && RANDOM_VALUE.test(value));
  return {
    adminToken: kept(AUTH_KEYS.adminToken) ?? random(),
    relayKey: kept(AUTH_KEYS.relayKey) ?? random(),
    redisPassword: kept(AUTH_KEYS.redisPassword) ?? passwordInUrl() ?? random(),
  };
}

/** A value of a Secret as text; undefined if it is not there. */
export function secretText(secret: SecretObject | undefined, key: string): string | undefined {
  const data = secret?.data;
  const value = data && Object.hasOwn(data, key) ? data[key] : undefined;
  return value === undefined ? undefined : Buffer.from(value, 'base64').toString('utf8');
}

/** The Secret that keeps the random values. */
export function authSecret(cluster: Cluster, auth: AuthValues): SecretObject {
  return secret(cluster, 'cluster', names.auth(cluster.metadata.name), {
    [AUTH_KEYS.adminToken]: auth.adminToken,
    [AUTH_KEYS.relayKey]: auth.relayKey,
    [AUTH_KEYS.redisPassword]: auth.redisPassword,
  });
}

/** The Secret that is mounted into the pods of a role: all that a node reads from its configuration folder. */
export function configSecret(
  cluster: Cluster,
  role: Role,
  config: NodeConfig,
  auth: AuthValues,
  redisUrl: string,
  files: { readonly tls?: TlsFile | undefined; readonly s3?: S3File | undefined } = {},
): SecretObject {
  const { tls, s3 } = files;
  return secret(cluster, role, names.config(cluster.metadata.name, role), {
    [CONFIG_FILES.config]: JSON.stringify(config),
    [CONFIG_FILES.adminToken]: auth.adminToken,
    [CONFIG_FILES.relayKey]: auth.relayKey,
    [CONFIG_FILES.redisUrl]: redisUrl,
    ...(tls ? { [CONFIG_FILES.tls]: JSON.stringify(tls) } : {}),
    ...(s3 ? { [CONFIG_FILES.s3]: JSON.stringify(s3) } : {}),
  });
}

/** A Secret with these texts. `data`, not `stringData`: apply owns the fields it writes, and that one is never stored. */
export function secret(
  cluster: Cluster,
  component: Role | 'redis' | 'cluster',
  name: string,
  texts: Readonly<Record<string, string>>,
): SecretObject {
  const data = Object.fromEntries(
    Object.entries(texts).map(([key, text]) => [key, Buffer.from(text, 'utf8').toString('base64')]),
  );
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: ownedMetadata(cluster, component, name),
    type: 'Opaque',
    data,
  };
}
