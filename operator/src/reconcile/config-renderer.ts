import { ROLES } from '#contract/names.ts';
import type { Role } from '#contract/names.ts';
import { NodeConfig, nodeConfigHash } from '#contract/node-config.ts';
import type { Cluster } from '../desired/cluster.ts';
import { judgeVhosts, renderNodeConfig } from '../desired/node-config.ts';
import type { VhostVerdicts, VhostView } from '../desired/node-config.ts';
import type { KubeObject } from '../kube/object.ts';
import { isSpecChange, readLiveCluster, readVhost } from './api-objects.ts';
import type { LiveClusterObject, VhostObject } from './api-objects.ts';
import type { HashedConfig } from './fleet.ts';
import type { Watches } from './watches.ts';

/** The configurations of a cluster's nodes and what became of each Vhost. */
export interface Rendered {
  readonly configs: Readonly<Record<Role, HashedConfig>>;
  readonly wantedHashes: Readonly<Record<Role, string>>;
  readonly verdicts: VhostVerdicts;
}

/**
 * Renders configurations from what the watches know and keeps each until something of it changes: the status of a
 * thousand Vhosts asks for the same one.
 */
export class ConfigRenderer {
  readonly #watches: Watches;
  readonly #kept = new Map<string, Rendered>();

  constructor(watches: Watches) {
    this.#watches = watches;
    watches.onChange('LiveCluster', {
      onUpdate: (object, previous) => {
        if (isSpecChange(object, previous)) this.#forget(object.metadata.namespace, object.metadata.name);
      },
      onDelete: (object) => this.#forget(object.metadata.namespace, object.metadata.name),
    });
    const forgetOf = (vhost: KubeObject) => this.#forget(vhost.metadata.namespace, clusterNameOf(vhost));
    watches.onChange('Vhost', {
      onAdd: forgetOf,
      onUpdate: (object, previous) => {
        if (isSpecChange(object, previous)) forgetOf(object);
      },
      onDelete: forgetOf,
    });
  }

  /** For the LiveCluster with this key; undefined if there is none or it can't be read. */
  render(key: string): Rendered | undefined {
    const kept = this.#kept.get(key);
    if (kept) return kept;
    const object = this.#watches.get<LiveClusterObject>('LiveCluster', key);
    const read = object && readLiveCluster(object);
    if (!read || 'fault' in read) return undefined;
    const rendered = this.#render(read.value);
    this.#kept.set(key, rendered);
    return rendered;
  }

  #render(cluster: Cluster): Rendered {
    const vhosts: VhostView[] = [];
    for (const object of this.#watches.list<VhostObject>('Vhost', { namespace: cluster.metadata.namespace })) {
      const vhost = readVhost(object);
      if ('value' in vhost) vhosts.push(vhost.value);
    }
    const verdicts = judgeVhosts(cluster, vhosts);
    const hashed = (role: Role): HashedConfig => {
      // Nodes would refuse what is wrong, and one that starts with it would not start: it must never leave here.
      const config = NodeConfig.parse(renderNodeConfig(cluster, role, verdicts.accepted));
      return { config, hash: nodeConfigHash(config) };
    };
    const configs = { origin: hashed('origin'), edge: hashed('edge') };
    const wantedHashes = Object.fromEntries(ROLES.map((role) => [role, configs[role].hash])) as Record<Role, string>;
    return { configs, wantedHashes, verdicts };
  }

  #forget(namespace: string | undefined, name: string): void {
    this.#kept.delete(`${namespace ?? ''}/${name}`);
  }
}

/** Name of the LiveCluster of a Vhost as it came from the API server; empty if it says none. */
export function clusterNameOf(vhost: KubeObject): string {
  const spec = vhost.spec as { clusterRef?: { name?: unknown } } | undefined;
  const name = spec?.clusterRef?.name;
  return typeof name === 'string' ? name : '';
}
