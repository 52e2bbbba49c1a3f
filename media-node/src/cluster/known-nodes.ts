import type { NodeLease } from '#contract/directory-keys.ts';
import type { Role } from '#contract/names.ts';
import type { NodeEntry, NodeInfo } from './directory.ts';

/** The nodes that the directory told of last. */
export class KnownNodes {
  #leases: readonly NodeLease[] = [];

  of(role: Role): readonly NodeEntry[] {
    return this.#leases.filter((lease) => lease.role === role).map(entryOf);
  }

  /** `isWhole`: false while the store may have lost leases of nodes that live; then those of before stay as well. */
  told(leases: readonly NodeLease[], isWhole: boolean): void {
    const told = new Set(leases.map(({ nodeId }) => nodeId));
    const kept = isWhole ? [] : this.#leases.filter(({ nodeId }) => !told.has(nodeId));
    this.#leases = [...leases, ...kept];
  }
}

/** What a node's lease says of it. */
export function leaseOf(node: NodeInfo): Omit<NodeLease, 'version' | 'load' | 'beat'> {
  const { nodeId, role, host, rtmpPort, httpPort, adminPort, ordinal, software } = node;
  return { nodeId, role, host, rtmpPort, httpPort, adminPort, ordinal, software };
}

function entryOf(lease: NodeLease): NodeEntry {
  return { ...leaseOf(lease), load: lease.load };
}
