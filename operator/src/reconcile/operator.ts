import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import { LABELS } from '#contract/names.ts';
import type { OperatorSettings } from '../desired/cluster.ts';
import { OWNED_TYPES } from '../desired/objects.ts';
import type { KubeClient } from '../kube/client.ts';
import { EventRecorder } from '../kube/events.ts';
import type { KubeObject } from '../kube/object.ts';
import { keyOf } from '../kube/object.ts';
import type { Clock } from '../runtime/clock.ts';
import { systemClock } from '../runtime/clock.ts';
import { ControllerMetrics } from '../runtime/controller-metrics.ts';
import { Controller } from '../runtime/controller.ts';
import { isDeletedAlone, isSpecChange } from './api-objects.ts';
import type { VhostObject } from './api-objects.ts';
import { Applier } from './applier.ts';
import { clusterNameOf, ConfigRenderer } from './config-renderer.ts';
import { Fleets } from './fleets.ts';
import { LiveClusterReconciler } from './live-cluster.ts';
import type { NodeAdmin } from './node-admin.ts';
import { OperatorMetrics } from './operator-metrics.ts';
import { OwnedObjects } from './owned-objects.ts';
import { StatusWriter } from './status-writer.ts';
import { StreamEvents } from './stream-events.ts';
import { VhostReconciler } from './vhost.ts';
import { Watches } from './watches.ts';

export interface OperatorOptions {
  /** Guarded by the leader lease. */
  readonly client: KubeClient;
  readonly admin: NodeAdmin;
  readonly settings: OperatorSettings;
  /** Namespaces to serve; empty: all of them. */
  readonly namespaces: readonly string[];
  /** Name of this replica, for events. */
  readonly instance: string;
  readonly registry: Registry;
  readonly log: Logger;
  readonly clock?: Clock;
  /** Time from one look at a node to the next; 3 s unless told. */
  readonly pollMs?: number;
}

/** Counts of streams and viewers change all the time: the status follows them at most so often. */
const COUNTS_MS = 1_000;

/** The leader's work: watches, both controllers, and the conversation with the nodes. */
export class Operator {
  readonly #watches: Watches;
  readonly #clusters: Controller;
  readonly #vhosts: Controller;
  readonly #fleets: Fleets;
  readonly #events: EventRecorder;
  readonly #streamEvents: StreamEvents;
  #isSynced = false;

  constructor(options: OperatorOptions) {
    const { client, admin, settings, namespaces, instance, registry, log, pollMs, clock = systemClock } = options;
    const watches = new Watches({ client, namespaces, log, clock });
    const renderer = new ConfigRenderer(watches);
    const controllerMetrics = new ControllerMetrics(registry);
    const metrics = new OperatorMetrics(registry);
    const events = new EventRecorder({ client, log, instance, clock });
    const streamEvents = new StreamEvents({ watches, renderer, events, clock });
    const applier = new Applier(client);
    const fleets = new Fleets({
      admin,
      log,
      metrics,
      clock,
      ...(pollMs === undefined ? {} : { pollMs }),
      onNotices: (key, notices) => streamEvents.tell(key, notices),
      onChange: (key, change) => {
        if (change === 'counts') this.#clusters.enqueueAfter(key, COUNTS_MS);
        else {
          this.#enqueueVhosts(key);
          this.#clusters.enqueue(key);
        }
      },
    });
    const clusters = new LiveClusterReconciler({
      client,
      watches,
      operator: settings,
      renderer,
      fleets,
      applier,
      owned: new OwnedObjects(client, watches, applier),
      statuses: new StatusWriter(client),
      events,
      metrics,
      clock,
      onRendered: (key) => this.#enqueueVhosts(key),
    });
    const statuses = new StatusWriter(client);
    const vhosts = new VhostReconciler({ watches, renderer, fleets, statuses, events, clock });
    const shared = { log, clock, metrics: controllerMetrics };
    this.#watches = watches;
    this.#fleets = fleets;
    this.#events = events;
    this.#streamEvents = streamEvents;
    this.#clusters = new Controller({
      ...shared,
      name: 'livecluster',
      reconcile: (key, context) => clusters.reconcile(key, context),
      resyncKeys: () => watches.keys('LiveCluster'),
    });
    this.#vhosts = new Controller({
      ...shared,
      name: 'vhost',
      reconcile: (key) => vhosts.reconcile(key),
      resyncKeys: () => watches.keys('Vhost'),
    });
    this.#wire();
  }

  /** Whether the caches are filled and the controllers work. */
  get isSynced(): boolean {
    return this.#isSynced;
  }

  /** Begins; resolves once it works, or was stopped before. */
  async start(): Promise<void> {
    // Not before all caches are filled: what is not in them would be made again.
    if (!(await this.#watches.start())) return;
    this.#isSynced = true;
    this.#clusters.start();
    this.#vhosts.start();
  }

  /** Ends in the order of dependence: workers, then nodes, watches and events. Idempotent. */
  async stop(reason: string): Promise<void> {
    this.#isSynced = false;
    await Promise.all([this.#clusters.stop(reason), this.#vhosts.stop(reason)]);
    await this.#fleets.close();
    await this.#watches.close(reason);
    await this.#events.close(reason);
  }

  #wire(): void {
    const watches = this.#watches;
    const ofCluster = (object: KubeObject) => this.#clusters.enqueue(keyOf(object));
    watches.onChange('LiveCluster', {
      onAdd: ofCluster,
      onUpdate: (object, previous) => {
        // Here and not in a reconcile, which may come only after the deletion: then this can't be seen any more.
        if (isDeletedAlone(object)) this.#fleets.abandon(keyOf(object));
        // Our own writes of the status come back too.
        if (isSpecChange(object, previous)) ofCluster(object);
      },
      onDelete: (object) => {
        // At once, not when a worker is free.
        this.#fleets.closeNodes(keyOf(object));
        this.#streamEvents.forget(keyOf(object));
        ofCluster(object);
        this.#enqueueVhosts(keyOf(object));
      },
    });

    const ofVhost = (object: KubeObject) => {
      const key = `${object.metadata.namespace ?? ''}/${clusterNameOf(object)}`;
      this.#vhosts.enqueue(keyOf(object));
      this.#clusters.enqueue(key);
      // A host that one gives up, another may get.
      this.#enqueueVhosts(key);
    };
    watches.onChange('Vhost', {
      onAdd: ofVhost,
      onUpdate: (object, previous) => {
        if (isSpecChange(object, previous)) ofVhost(object);
      },
      onDelete: ofVhost,
    });

    const ofOwned = (object: KubeObject) => {
      const cluster = object.metadata.labels?.[LABELS.cluster];
      if (cluster) this.#clusters.enqueue(`${object.metadata.namespace ?? ''}/${cluster}`);
    };
    for (const kind of [...Object.keys(OWNED_TYPES), 'Pod']) {
      watches.onChange(kind, {
        onAdd: ofOwned,
        onUpdate: (object, previous) => {
          ofOwned(object);
          // The label itself can have been edited.
          ofOwned(previous);
        },
        onDelete: ofOwned,
      });
    }
  }

  #enqueueVhosts(clusterKey: string): void {
    const slash = clusterKey.indexOf('/');
    const [namespace, name] = [clusterKey.slice(0, slash), clusterKey.slice(slash + 1)];
    for (const vhost of this.#watches.list<VhostObject>('Vhost', { namespace })) {
      if (clusterNameOf(vhost) === name) this.#vhosts.enqueue(keyOf(vhost));
    }
  }
}
