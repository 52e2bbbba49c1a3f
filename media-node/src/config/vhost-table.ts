import { DEFAULT_VHOST } from '#contract/names.ts';
import type { VhostConfig } from '#contract/node-config.ts';
import { ConfigError } from './config-error.ts';

/**
 * Which vhost a host name belongs to, as SRS decides it: the exact name, else `__defaultVhost__`, else none. A host of a
 * disabled vhost belongs to none: it does not fall through to the default one. Names compare without case (RFC 4343).
 */
export class VhostTable {
  readonly #byHost: ReadonlyMap<string, VhostConfig>;
  readonly #byName: ReadonlyMap<string, VhostConfig>;

  private constructor(byHost: ReadonlyMap<string, VhostConfig>, byName: ReadonlyMap<string, VhostConfig>) {
    this.#byHost = byHost;
    this.#byName = byName;
  }

  /** Throws ConfigError (`conflict`) when two vhosts share a name or a host. */
  static from(vhosts: readonly VhostConfig[]): VhostTable {
    const byHost = new Map<string, VhostConfig>();
    const byName = new Map<string, VhostConfig>();
    for (const vhost of vhosts) {
      if (byName.has(vhost.name)) throw new ConfigError('conflict', `two vhosts are named ${vhost.name}`);
      byName.set(vhost.name, vhost);
      for (const host of vhost.hosts) {
        const key = host.toLowerCase();
        const other = byHost.get(key);
        if (other !== undefined) {
          throw new ConfigError(
            'conflict',
            `host ${host} is claimed by the vhosts ${other.name} and ${vhost.name}; leave it in one`,
          );
        }
        byHost.set(key, vhost);
      }
    }
    return new VhostTable(byHost, byName);
  }

  /** The enabled vhost that answers to a host name as a client sent it, without a port. */
  find(host: string): VhostConfig | undefined {
    const vhost = this.#byHost.get(host.toLowerCase()) ?? this.#byHost.get(DEFAULT_VHOST.toLowerCase());
    return vhost?.enabled === true ? vhost : undefined;
  }

  /** The enabled vhost with that name, as nodes of one cluster name it to each other. */
  named(name: string): VhostConfig | undefined {
    const vhost = this.#byName.get(name);
    return vhost?.enabled === true ? vhost : undefined;
  }
}
