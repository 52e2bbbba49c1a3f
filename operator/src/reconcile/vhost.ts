import type { VhostStatus } from '#contract/crd/vhost.ts';
import { LABELS } from '#contract/names.ts';
import type { EventRecorder } from '../kube/events.ts';
import { splitKey } from '../kube/object.ts';
import type { Clock } from '../runtime/clock.ts';
import { readLiveCluster, readVhost } from './api-objects.ts';
import type { LiveClusterObject, PodObject, VhostObject } from './api-objects.ts';
import { findCondition } from './conditions.ts';
import { clusterNameOf } from './config-renderer.ts';
import type { ConfigRenderer } from './config-renderer.ts';
import type { Fleets } from './fleets.ts';
import { programmingOf } from './pod-states.ts';
import type { StatusWriter } from './status-writer.ts';
import { vhostStatus } from './vhost-status.ts';
import type { VhostObservation } from './vhost-status.ts';
import type { Watches } from './watches.ts';

export interface VhostReconcilerOptions {
  readonly watches: Watches;
  readonly renderer: ConfigRenderer;
  readonly fleets: Fleets;
  readonly statuses: StatusWriter;
  readonly events: EventRecorder;
  readonly clock: Clock;
}

/** Keeps the status of Vhosts. What a Vhost says reaches the nodes by its LiveCluster's reconciler. */
export class VhostReconciler {
  readonly #options: VhostReconcilerOptions;

  constructor(options: VhostReconcilerOptions) {
    this.#options = options;
  }

  async reconcile(key: string): Promise<void> {
    const { watches, statuses, clock } = this.#options;
    const cached = watches.get<VhostObject>('Vhost', key);
    if (!cached || cached.metadata.deletionTimestamp) {
      statuses.forget(key);
      return;
    }
    const object = statuses.newest(cached);
    const read = readVhost(cached);
    const clusterName = clusterNameOf(cached);
    const observation: VhostObservation = {
      generation: cached.metadata.generation,
      previous: object.status,
      nowMs: clock.nowMs(),
      clusterName,
      ...('fault' in read ? { fault: read.fault } : {}),
      ...this.#cluster(cached, clusterName, 'value' in read && read.value.spec.dvr.enabled),
    };
    const status = vhostStatus(observation);
    await statuses.write(object, status);
    this.#tell(object, status);
  }

  /** Says what the user should know of: a Vhost that is left out, or a configuration that nodes refuse. */
  #tell(object: VhostObject, status: VhostStatus): void {
    for (const type of ['Accepted', 'Programmed', 'DvrReady'] as const) {
      const [was, is] = [object.status, status].map((each) => findCondition(each?.conditions, type));
      const isNews = is?.status === 'False' && (was?.status !== is.status || was.reason !== is.reason);
      if (!isNews || (type === 'Programmed' && is.reason !== 'ConfigRejected')) continue;
      this.#options.events.record(object, {
        type: 'Warning',
        reason: is.reason,
        action: 'Reconcile',
        note: is.message,
      });
    }
  }

  #cluster(vhost: VhostObject, clusterName: string, records: boolean): Pick<VhostObservation, 'cluster'> {
    const { watches, renderer, fleets } = this.#options;
    const { namespace = '', name } = vhost.metadata;
    const key = `${namespace}/${clusterName}`;
    // Rendered from the same cache as this Vhost: the hashes wanted are those of its present generation.
    const rendered = renderer.render(key);
    if (!rendered) return {};
    const refused = rendered.verdicts.refused.find((each) => each.vhost.metadata.name === name);
    const live = watches.get<LiveClusterObject>('LiveCluster', key);
    const read = live && readLiveCluster(live);
    const hasStorage = read !== undefined && 'value' in read && read.value.spec.origin.storage.dvr.type !== 'None';
    const pods = watches.list<PodObject>('Pod', { namespace, labels: { [LABELS.cluster]: splitKey(key).name } });
    return {
      cluster: {
        ...(refused ? { refusal: { reason: refused.reason, message: refused.message } } : {}),
        wantedHashes: rendered.wantedHashes,
        ...(records ? { dvr: { hasStorage } } : {}),
        programming: programmingOf(pods, rendered.wantedHashes, (podUid) => fleets.report(key, podUid)),
      },
    };
  }
}
