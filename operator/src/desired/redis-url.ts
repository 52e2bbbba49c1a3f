import { REDIS_PORT } from '#contract/names.ts';
import type { Cluster } from './cluster.ts';
import { names, serviceHost } from './names.ts';
import type { AuthValues } from './secrets.ts';

/** URL of a cluster's embedded Redis, password included: for Secrets only. */
export function embeddedRedisUrl(cluster: Cluster, auth: AuthValues): string {
  const { name, namespace } = cluster.metadata;
  return `redis://:${auth.redisPassword}@${serviceHost(names.redis(name), namespace)}:${REDIS_PORT}/0`;
}

/** What is wrong with a URL of an external Redis, with the mend but never the URL; undefined when it can be used. */
export function redisUrlFault(text: string): string | undefined {
  const url = URL.parse(text.trim());
  if (!url) return 'it is no URL: write redis://[user]:password@host:6379/0';
  if (url.protocol !== 'redis:' && url.protocol !== 'rediss:') {
    return `it begins with ${url.protocol}//: write redis:// or, for TLS, rediss://`;
  }
  return url.hostname === '' ? 'it names no host: write redis://[user]:password@host:6379/0' : undefined;
}
