import { REDIS_PORT } from '#contract/names.ts';
import { DirectoryError } from './directory.ts';

/** Where Redis is and how to speak to it. Holds a password: never logged. */
export interface RedisAddress {
  readonly host: string;
  readonly port: number;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly db: number;
  readonly tls: boolean;
  /** The host is one node (or a Service of several) of a Redis Cluster. */
  readonly cluster: boolean;
}

const SCHEMES: Readonly<Record<string, { readonly tls: boolean; readonly cluster: boolean }>> = {
  'redis:': { tls: false, cluster: false },
  'rediss:': { tls: true, cluster: false },
  'redis+cluster:': { tls: false, cluster: true },
  'rediss+cluster:': { tls: true, cluster: true },
};

/**
 * Reads `redis://[[user]:password@]host[:port][/db][?cluster=true]`; `rediss` for TLS, `redis+cluster` or `?cluster=true`
 * for a Redis Cluster. Throws DirectoryError `bad-url` whose message shows nothing of the URL but what is wrong.
 */
export function parseRedisUrl(text: string): RedisAddress {
  const bad = (fault: string) =>
    new DirectoryError(
      'bad-url',
      `The address of Redis ${fault}. Write redis://:password@host:port/0, with special characters percent-encoded.`,
    );
  let url: URL;
  try {
    url = new URL(text.trim());
  } catch {
    // The parser's own error would quote the password.
    throw bad('is no URL');
  }
  const scheme = SCHEMES[url.protocol];
  if (scheme === undefined) throw bad('has an unknown scheme (not redis, rediss, redis+cluster or rediss+cluster)');
  if (url.hostname === '') throw bad('has no host');
  const query = url.searchParams.get('cluster');
  if (query !== null && query !== 'true' && query !== 'false')
    throw bad('has a cluster parameter other than true, false');
  const cluster = scheme.cluster || query === 'true';
  const path = url.pathname.replace(/^\//, '');
  if (!/^[0-9]{0,5}$/.test(path)) throw bad('has a path that is no database number');
  if (cluster && Number(path) !== 0) throw bad('asks for a database other than 0, which a Redis Cluster does not have');
  const part = (encoded: string, what: string): string | undefined => {
    if (encoded === '') return undefined;
    try {
      return decodeURIComponent(encoded);
    } catch {
      throw bad(`has a ${what} with a broken percent-encoding`);
    }
  };
  return {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? REDIS_PORT : Number(url.port),
    username: part(url.username, 'user name'),
    password: part(url.password, 'password'),
    db: Number(path),
    tls: scheme.tls,
    cluster,
  };
}
