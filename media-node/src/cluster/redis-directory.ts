import { LeasedDirectory } from './leased-directory.ts';
import type { LeasedDirectoryOptions } from './lease-options.ts';
import { RedisStore } from './redis-store.ts';
import { parseRedisUrl } from './redis-url.ts';

export interface RedisDirectoryOptions extends LeasedDirectoryOptions {
  /** See parseRedisUrl. Holds a password: never logged. */
  readonly url: string;
  readonly namespace: string;
  readonly cluster: string;
}

/** A directory in Redis. Connects in `start`. Throws DirectoryError `bad-url`. */
export function createRedisDirectory(options: RedisDirectoryOptions): LeasedDirectory {
  const { url, namespace, cluster, ...rest } = options;
  return new LeasedDirectory(new RedisStore({ address: parseRedisUrl(url), namespace, cluster }), rest);
}
