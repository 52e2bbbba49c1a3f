import type { Logger } from 'pino';
import type { StreamNotice } from '#contract/admin-api.ts';
import type { Clock } from '../runtime/clock.ts';
import { Fleet } from './fleet.ts';
import type { FleetChange, FleetNode, FleetTarget, NodeReport } from './fleet.ts';
import { Limiter } from './limiter.ts';
import type { NodeAdmin } from './node-admin.ts';
import type { OperatorMetrics } from './operator-metrics.ts';

export interface FleetsOptions {
  readonly admin: NodeAdmin;
  readonly log: Logger;
  /** A report of a node changed; `key` is the cluster's `namespace/name`. */
  readonly onChange: (key: string, change: FleetChange) => void;
  /** A node of the cluster lists notices of its streams: those it listed before too. */
  readonly onNotices?: (key: string, notices: readonly StreamNotice[]) => void;
  readonly metrics?: OperatorMetrics;
  readonly clock?: Clock;
  /** Time from one look at a node to the next; 3 s unless told. */
  readonly pollMs?: number;
}

/** Calls to nodes at once, over all clusters. */
const MOST_CALLS = 32;

interface Entry {
  readonly uid: string;
  readonly fleet: Fleet;
}

/** The fleets of all clusters: of those that live, and of those that are being deleted until their pods are gone. */
export class Fleets {
  readonly #options: FleetsOptions;
  readonly #limiter = new Limiter(MOST_CALLS);
  /** By the cluster's key. */
  readonly #living = new Map<string, Entry>();
  readonly #closing = new Map<string, Fleet>();

  constructor(options: FleetsOptions) {
    this.#options = options;
  }

  /** Sets what is wanted of a cluster's nodes; `uid` tells one LiveCluster from another of the same name. */
  setTarget(key: string, uid: string, target: FleetTarget): void {
    let entry = this.#living.get(key);
    if (entry?.uid !== uid) {
      if (entry) this.closeNodes(key);
      entry = { uid, fleet: this.#newFleet(key) };
      this.#living.set(key, entry);
    }
    entry.fleet.setTarget(target);
    // A LiveCluster made anew under the name of one that is still being taken down: the old pods are the known ones.
    const former = this.#closing.get(key);
    if (former) {
      this.setClosingNodes(
        key,
        target.nodes.filter((node) => former.has(node.uid)),
      );
    }
  }

  report(key: string, podUid: string): NodeReport | undefined {
    return this.#living.get(key)?.fleet.report(podUid);
  }

  /** The cluster is being deleted: tells its nodes to close at once. */
  closeNodes(key: string): void {
    const entry = this.#living.get(key);
    if (!entry) return;
    this.#living.delete(key);
    void this.#closing.get(key)?.close();
    this.#closing.set(key, entry.fleet);
    entry.fleet.closeNodes();
  }

  /** Which nodes of a deleted cluster are still there; none ends it. */
  setClosingNodes(key: string, nodes: readonly FleetNode[]): void {
    const fleet = this.#closing.get(key);
    if (!fleet) return;
    fleet.setClosingNodes(nodes);
    if (nodes.length > 0) return;
    this.#closing.delete(key);
    void fleet.close();
  }

  /** Leaves a cluster's nodes alone from here on: its objects are kept without it. */
  abandon(key: string): void {
    const entry = this.#living.get(key);
    this.#living.delete(key);
    void entry?.fleet.close();
  }

  async close(): Promise<void> {
    const fleets = [...[...this.#living.values()].map(({ fleet }) => fleet), ...this.#closing.values()];
    this.#living.clear();
    this.#closing.clear();
    await Promise.all(fleets.map((fleet) => fleet.close()));
  }

  #newFleet(key: string): Fleet {
    const { admin, log, onChange, onNotices, metrics, clock, pollMs } = this.#options;
    return new Fleet({
      admin,
      limiter: this.#limiter,
      log: log.child({ cluster: key }),
      onChange: (change) => onChange(key, change),
      onPush: (result) => metrics?.pushed(result),
      onNotices: (notices) => onNotices?.(key, notices),
      ...(clock ? { clock } : {}),
      ...(pollMs === undefined ? {} : { pollMs }),
    });
  }
}
