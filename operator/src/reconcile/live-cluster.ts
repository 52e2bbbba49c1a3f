import type { LiveClusterStatus } from '#contract/crd/live-cluster-status.ts';
import { CONFIG_FILES, LABELS, ROLES } from '#contract/names.ts';
import type { Cluster, OperatorSettings } from '../desired/cluster.ts';
import { judgeCertificates } from '../desired/certificates.ts';
import type { JudgedCertificates } from '../desired/certificates.ts';
import { names } from '../desired/names.ts';
import { desiredObjects } from '../desired/objects.ts';
import { embeddedRedisUrl, redisUrlFault } from '../desired/redis-url.ts';
import { judgeS3 } from '../desired/s3-credentials.ts';
import type { JudgedS3 } from '../desired/s3-credentials.ts';
import { keepOrMakeAuth, secretText } from '../desired/secrets.ts';
import type { AuthValues, SecretObject } from '../desired/secrets.ts';
import type { KubeClient } from '../kube/client.ts';
import type { EventRecorder } from '../kube/events.ts';
import type { KubeObject } from '../kube/object.ts';
import { splitKey } from '../kube/object.ts';
import type { Clock } from '../runtime/clock.ts';
import type { ReconcileContext, ReconcileOutcome } from '../runtime/controller.ts';
import { addressesOf } from './addresses.ts';
import { isDeletedAlone, readLiveCluster } from './api-objects.ts';
import type { LiveClusterObject, PodObject, ServiceObject, StatefulSetObject } from './api-objects.ts';
import type { Applier } from './applier.ts';
import { findCondition } from './conditions.ts';
import type { ConfigRenderer, Rendered } from './config-renderer.ts';
import type { Fleets } from './fleets.ts';
import { liveClusterStatus, unreadableStatus } from './live-cluster-status.ts';
import type { OperatorMetrics } from './operator-metrics.ts';
import type { Enforcement, OwnedObjects } from './owned-objects.ts';
import { fleetNodes, isLeaving } from './pod-states.ts';
import type { StatusWriter } from './status-writer.ts';
import type { Watches } from './watches.ts';

export interface LiveClusterReconcilerOptions {
  readonly client: KubeClient;
  readonly watches: Watches;
  readonly operator: OperatorSettings;
  readonly renderer: ConfigRenderer;
  readonly fleets: Fleets;
  readonly applier: Applier;
  readonly owned: OwnedObjects;
  readonly statuses: StatusWriter;
  readonly events: EventRecorder;
  readonly metrics: OperatorMetrics;
  readonly clock: Clock;
  /** The Vhosts of a cluster are to be looked at again. */
  readonly onRendered: (key: string) => void;
}

/** A Secret that a LiveCluster refers to carries no label of ours, so no watch tells of its changes; nor of a quota's. */
const REREAD_MS = 30_000;
/** While something is on its way out. */
const LOOK_AGAIN_MS = 1_000;

/** Brings everything that a LiveCluster stands for to what it says, and its status to what is. */
export class LiveClusterReconciler {
  readonly #options: LiveClusterReconcilerOptions;
  /** What the status of a cluster's Vhosts was last made from, beside the nodes' reports. */
  readonly #vhostBasis = new Map<string, string>();

  constructor(options: LiveClusterReconcilerOptions) {
    this.#options = options;
  }

  async reconcile(key: string, context: ReconcileContext): Promise<ReconcileOutcome | void> {
    const { watches, statuses, clock, fleets } = this.#options;
    const cached = watches.get<LiveClusterObject>('LiveCluster', key);
    if (!cached) {
      this.#gone(key);
      return;
    }
    if (cached.metadata.deletionTimestamp) {
      if (isDeletedAlone(cached)) fleets.abandon(key);
      else this.#gone(key);
      return;
    }
    const object = statuses.newest(cached);
    const read = readLiveCluster(cached);
    if ('fault' in read) {
      context.log.error({ fault: read.fault }, 'a LiveCluster could not be read');
      const { generation } = cached.metadata;
      await this.#writeStatus(object, unreadableStatus(read.fault, object.status, generation, clock.nowMs()));
      return;
    }
    return await this.#live(key, object, read.value, context);
  }

  async #live(
    key: string,
    object: LiveClusterObject,
    cluster: Cluster,
    context: ReconcileContext,
  ): Promise<ReconcileOutcome | void> {
    const { operator, renderer, owned, fleets, onRendered } = this.#options;
    const rendered = renderer.render(key);
    // The LiveCluster changed between two looks at the cache: its event brings the key back.
    if (!rendered) return;
    const auth = await this.#auth(cluster);
    const redis = await this.#redis(cluster, auth);
    const certificates = await this.#certificates(cluster);
    const s3 = await this.#s3(cluster);

    // Nodes get a changed configuration at once; the Secret, which takes a minute to reach them, is for the next start.
    const pods = this.#pods(key);
    fleets.setTarget(key, cluster.metadata.uid, {
      nodes: fleetNodes(pods),
      token: auth.adminToken,
      configs: rendered.configs,
    });
    const basis = JSON.stringify([
      rendered.wantedHashes,
      cluster.spec.origin.storage.dvr.type,
      pods.map((pod) => [pod.metadata.uid, isLeaving(pod)]),
    ]);
    if (this.#vhostBasis.get(key) !== basis) {
      this.#vhostBasis.set(key, basis);
      onRendered(key);
    }

    const configs = { origin: rendered.configs.origin.config, edge: rendered.configs.edge.config };
    const files = { tls: certificates?.file, s3: s3?.file };
    const wishes = desiredObjects({ cluster, operator, auth, configs, redisUrl: redis.url, ...files });
    // While the Redis is in doubt nothing is thrown away: what runs goes on with the one it has.
    const enforcement = await owned.enforce(cluster, wishes, redis.fault === undefined, context.log);
    if (context.signal.aborted) return;
    this.#tell(object, enforcement);
    await this.#writeStatus(
      object,
      this.#status(key, object, cluster, rendered, enforcement, redis.fault, certificates, s3),
    );
    // Back with a growing delay. Only now: the status has said why.
    if (enforcement.passing !== undefined) throw enforcement.passing;
    if (enforcement.isWaiting) return { requeueAfterMs: LOOK_AGAIN_MS };
    // What nobody's change would tell of: a quota, a Secret without our label.
    const isUntold = enforcement.faults.length > 0 || cluster.spec.redis.mode === 'External' || certificates || s3;
    if (isUntold) return { requeueAfterMs: REREAD_MS };
  }

  /** The random values of a cluster. */
  async #auth(cluster: Cluster): Promise<AuthValues> {
    const { name, namespace } = cluster.metadata;
    const [kept, ...copies] = await Promise.all(
      [names.auth(name), ...ROLES.map((role) => names.config(name, role))].map((secret) =>
        this.#ownSecret(cluster, namespace, secret),
      ),
    );
    return keepOrMakeAuth(kept, copies);
  }

  /**
   * The config Secrets as they are now, for what nodes keep in place of a reference that went wrong. Never from the cache: that
   * may not have seen yet what was written last, and the nodes would lose it.
   */
  #copies(cluster: Cluster): Promise<(SecretObject | undefined)[]> {
    const { name, namespace } = cluster.metadata;
    return Promise.all(
      ROLES.map(async (role) => ownedBy(cluster, await this.#secret(namespace, names.config(name, role)))),
    );
  }

  #secret(namespace: string, name: string): Promise<SecretObject | undefined> {
    return this.#options.client.find<SecretObject>({ apiVersion: 'v1', kind: 'Secret', namespace, name });
  }

  /** A Secret by our name; read when the cache lacks it, because new values in its place would lock the nodes out. */
  async #ownSecret(cluster: Cluster, namespace: string, name: string): Promise<SecretObject | undefined> {
    const cached = this.#options.watches.get<SecretObject>('Secret', `${namespace}/${name}`);
    return ownedBy(cluster, cached ?? (await this.#secret(namespace, name)));
  }

  /** The URL for the nodes; on a fault the one that they have, if they have one. */
  async #redis(cluster: Cluster, auth: AuthValues): Promise<{ url: string | undefined; fault: string | undefined }> {
    const { spec, metadata } = cluster;
    const ref = spec.redis.external?.urlSecretRef;
    if (spec.redis.mode === 'Embedded' || !ref) return { url: embeddedRedisUrl(cluster, auth), fault: undefined };
    const { namespace } = metadata;
    const secret = await this.#secret(namespace, ref.name);
    const text = secretText(secret, ref.key)?.trim();
    const field = 'spec.redis.external.urlSecretRef';
    let fault: string | undefined;
    if (!secret) fault = `${field}: Secret ${ref.name} does not exist: create it in namespace ${namespace}`;
    else if (text === undefined) fault = `${field}: Secret ${ref.name} has no key ${ref.key}: add it`;
    else {
      const wrong = redisUrlFault(text);
      if (wrong !== undefined) fault = `${field}: the URL in Secret ${ref.name} can't be used: ${wrong}`;
    }
    if (fault === undefined) return { url: text, fault };
    const copies = await this.#copies(cluster);
    return { url: copies.map((copy) => secretText(copy, CONFIG_FILES.redisUrl)).find(Boolean), fault };
  }

  /** Those of RTMPS; undefined while that is off. */
  async #certificates(cluster: Cluster): Promise<JudgedCertificates | undefined> {
    const { protocols, tls } = cluster.spec;
    if (!protocols.rtmps.enabled) return undefined;
    const { namespace } = cluster.metadata;
    const sources = await Promise.all(
      tls.certificateRefs.map(async ({ name }) => ({ name, secret: await this.#secret(namespace, name) })),
    );
    const judge = (copies: readonly (SecretObject | undefined)[]) =>
      judgeCertificates(sources, copies, namespace, this.#options.clock.nowMs());
    const judged = judge([]);
    return judged.faults.length === 0 ? judged : judge(await this.#copies(cluster));
  }

  /** Of the bucket for recordings; undefined without one. */
  async #s3(cluster: Cluster): Promise<JudgedS3 | undefined> {
    const name = cluster.spec.origin.storage.dvr.s3?.secretRef.name;
    if (name === undefined) return undefined;
    const { namespace } = cluster.metadata;
    const secret = await this.#secret(namespace, name);
    const judged = judgeS3(name, secret, [], namespace);
    return judged.fault === undefined ? judged : judgeS3(name, secret, await this.#copies(cluster), namespace);
  }

  #status(
    key: string,
    object: LiveClusterObject,
    cluster: Cluster,
    rendered: Rendered,
    { objects, faults }: Enforcement,
    redisFault: string | undefined,
    certificates: JudgedCertificates | undefined,
    s3: JudgedS3 | undefined,
  ): LiveClusterStatus {
    const { fleets, clock, watches } = this.#options;
    const { name, namespace } = cluster.metadata;
    const newest = <T extends KubeObject>(kind: string, called: string) =>
      (objects.get(`${kind}/${called}`) ?? watches.get(kind, `${namespace}/${called}`)) as T | undefined;
    const set = (called: string) => newest<StatefulSetObject>('StatefulSet', called);
    const service = (called: string) => newest<ServiceObject>('Service', called);
    return liveClusterStatus({
      cluster,
      generation: object.metadata.generation,
      previous: object.status,
      nowMs: clock.nowMs(),
      statefulSets: {
        origin: set(names.role(name, 'origin')),
        edge: set(names.role(name, 'edge')),
        redis: set(names.redis(name)),
      },
      pods: this.#pods(key),
      addresses: addressesOf(cluster, service(names.ingest(name)), service(names.playback(name))),
      redisFault,
      certificates,
      s3,
      applyFaults: faults,
      wantedHashes: rendered.wantedHashes,
      reportOf: (podUid) => fleets.report(key, podUid),
    });
  }

  async #writeStatus(object: LiveClusterObject, status: LiveClusterStatus): Promise<void> {
    const { statuses, metrics, events } = this.#options;
    const before = object.status;
    await statuses.write(object, status);
    const { name, namespace = '' } = object.metadata;
    metrics.setReady(namespace, name, findCondition(status.conditions, 'Ready')?.status === 'True');
    for (const type of ['Ready', 'Degraded'] as const) {
      const [was, is] = [before, status].map((each) => findCondition(each?.conditions, type));
      if (!is || was?.status === is.status) continue;
      const isGood = (is.status === 'True') === (type === 'Ready');
      // A new cluster is not ready and not degraded: no news.
      if (!was && is.status === 'False') continue;
      events.record(object, {
        type: isGood ? 'Normal' : 'Warning',
        reason: is.status === 'True' ? type : type === 'Ready' ? 'NotReady' : 'Recovered',
        action: 'Reconcile',
        note: is.message,
      });
    }
  }

  #tell(object: LiveClusterObject, { repaired, pruned }: Enforcement): void {
    const { events, metrics } = this.#options;
    for (const { object: wish, outcome } of repaired) {
      metrics.repaired(wish.kind);
      events.record(object, {
        type: 'Warning',
        reason: 'DriftRepaired',
        action: 'Apply',
        note:
          outcome === 'remade'
            ? `${wish.kind} ${wish.metadata.name} had been deleted and was made again`
            : `${wish.kind} ${wish.metadata.name} had been edited and was set back; change the LiveCluster instead`,
      });
    }
    for (const each of pruned) {
      events.record(object, {
        type: 'Normal',
        reason: 'Pruned',
        action: 'Delete',
        note: `${each.kind} ${each.metadata.name} is not wanted any more and was deleted`,
      });
    }
  }

  /**
   * The LiveCluster is gone, or on its way out. The garbage collector takes what it owned; its pods would drain for up
   * to an hour, so they are told to close. (To cut their grace period does nothing once the kubelet stops them.)
   */
  #gone(key: string): void {
    const { fleets, applier, statuses, metrics } = this.#options;
    fleets.closeNodes(key);
    applier.forget(key);
    statuses.forget(key);
    this.#vhostBasis.delete(key);
    const { namespace = '', name } = splitKey(key);
    metrics.forget(namespace, name);
    // Each pod that goes brings the key back, so the last one ends it.
    fleets.setClosingNodes(key, fleetNodes(this.#pods(key)));
  }

  /** Media pods and Redis's of the cluster with this key. */
  #pods(key: string): PodObject[] {
    const { namespace, name } = splitKey(key);
    return this.#options.watches.list<PodObject>('Pod', { namespace, labels: { [LABELS.cluster]: name } });
  }
}

/** Values of a former cluster of this name are not taken over: its pods may still be there. */
function ownedBy(cluster: Cluster, secret: SecretObject | undefined): SecretObject | undefined {
  const owner = secret?.metadata.ownerReferences?.find((each) => each.controller);
  return owner && owner.uid !== cluster.metadata.uid ? undefined : secret;
}
