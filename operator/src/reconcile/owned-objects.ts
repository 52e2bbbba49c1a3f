import type { Logger } from 'pino';
import { ANNOTATIONS, LABELS } from '#contract/names.ts';
import type { Cluster } from '../desired/cluster.ts';
import { OWNED_TYPES } from '../desired/objects.ts';
import type { KubeClient } from '../kube/client.ts';
import { isKubeError } from '../kube/kube-error.ts';
import type { KubeObject, Manifest } from '../kube/object.ts';
import { keyOf, refOf } from '../kube/object.ts';
import type { Applier, ApplyOutcome } from './applier.ts';
import { isOurs, NameTakenError } from './applier.ts';
import type { Watches } from './watches.ts';

/** What was done to the objects of a cluster. */
export interface Enforcement {
  /** The newest known state of each wanted object, by `kind/name`. */
  readonly objects: ReadonlyMap<string, KubeObject>;
  /** What was brought back after an edit or deletion by hand. */
  readonly repaired: readonly { readonly object: Manifest; readonly outcome: ApplyOutcome }[];
  /** What was deleted, because nothing wants it any more. */
  readonly pruned: readonly KubeObject[];
  /** An old object is on its way out: look again soon. */
  readonly isWaiting: boolean;
  /** What could not be done, a line each, with the mend where one is known. */
  readonly faults: readonly string[];
  /** The first error that passes by itself, perhaps: try again soon. The others wait for somebody to mend something. */
  readonly passing: unknown;
}

/** Objects applied at once; the order of the list is kept between groups of one kind after another. */
const PODS_LAST = 'StatefulSet';

/** Brings what a cluster owns to what is wished: applies, makes anew what can't change, removes what is left over. */
export class OwnedObjects {
  readonly #client: KubeClient;
  readonly #watches: Watches;
  readonly #applier: Applier;

  constructor(client: KubeClient, watches: Watches, applier: Applier) {
    this.#client = client;
    this.#watches = watches;
    this.#applier = applier;
  }

  /**
   * `isWhole`: the wishes are all there are, so what else the cluster owns goes. One object that fails holds up no other.
   * Throws only what makes going on senseless: the lease is lost, the client is closed.
   */
  async enforce(cluster: Cluster, wishes: readonly Manifest[], isWhole: boolean, log: Logger): Promise<Enforcement> {
    const state = {
      objects: new Map<string, KubeObject>(),
      repaired: [] as { object: Manifest; outcome: ApplyOutcome }[],
      pruned: [] as KubeObject[],
      isWaiting: false,
      faults: [] as string[],
      passing: undefined as unknown,
    };
    const attempt = async (what: string, work: () => Promise<void>) => {
      try {
        await work();
      } catch (error) {
        if (isKubeError(error, 'not-leader', 'aborted')) throw error;
        const fault = faultOf(what, error);
        state.faults.push(fault);
        if (!isForSomebodyToMend(error)) state.passing ??= error;
        log.warn({ object: what, fault }, 'an object could not be brought to what it should be');
      }
    };
    const enforceOne = (wish: Manifest) =>
      attempt(nameOf(wish), async () => {
        const cached = this.#watches.get(wish.kind, keyOf(wish));
        if (cached && mustBeMadeAnew(cached, wish) && isOurs(cached, cluster)) {
          const keepsPods = hasClaimsOf(cached, wish);
          await this.#delete(cluster, cached, keepsPods);
          log.info({ object: nameOf(wish), keepsPods }, 'deleted, to be made anew: its volumes are to change');
          state.isWaiting = true;
          return;
        }
        const { outcome, object } = await this.#applier.apply(cluster, wish, cached);
        if (object) state.objects.set(nameOf(wish), object);
        if (outcome === 'leaving') state.isWaiting = true;
        if (outcome === 'repaired' || outcome === 'remade') state.repaired.push({ object: wish, outcome });
        if (outcome !== 'current' && outcome !== 'leaving') log.info({ object: nameOf(wish), outcome }, 'applied');
      });

    // Pods come last: what they mount and the account that they run as must be there.
    for (const isPods of [false, true]) {
      await Promise.all(wishes.filter(({ kind }) => (kind === PODS_LAST) === isPods).map(enforceOne));
    }
    if (isWhole) {
      const leftOver = this.#leftOver(cluster, wishes);
      await Promise.all(
        leftOver.map((object) =>
          attempt(nameOf(object), async () => {
            await this.#delete(cluster, object);
            state.pruned.push(object);
            log.info({ object: nameOf(object) }, 'deleted: nothing wants it any more');
          }),
        ),
      );
    }
    return state;
  }

  #leftOver(cluster: Cluster, wishes: readonly Manifest[]): KubeObject[] {
    const wanted = new Set(wishes.map(nameOf));
    const { name, namespace } = cluster.metadata;
    return Object.keys(OWNED_TYPES)
      .flatMap((kind) => this.#watches.list(kind, { namespace, labels: { [LABELS.cluster]: name } }))
      .filter(
        (object) =>
          !wanted.has(nameOf(object)) &&
          object.metadata.deletionTimestamp === undefined &&
          object.metadata.ownerReferences?.some((each) => each.controller && each.uid === cluster.metadata.uid),
      );
  }

  /** `keepsPods`: what it owns stays, for the one that comes after it. */
  async #delete(cluster: Cluster, object: KubeObject, keepsPods = false): Promise<void> {
    this.#applier.forgetObject(cluster, object);
    const { uid } = object.metadata;
    try {
      await this.#client.delete(refOf(object), {
        ...(uid && { preconditions: { uid } }),
        ...(keepsPods && { propagationPolicy: 'Orphan' as const }),
      });
    } catch (error) {
      // Gone already, or another object by now.
      if (!isKubeError(error, 'not-found', 'conflict')) throw error;
    }
  }
}

/** A StatefulSet's volumes can't change. Without the annotation nothing is known, so nothing is thrown away. */
function mustBeMadeAnew(present: KubeObject, wish: Manifest): boolean {
  const [is, wanted] = [present, wish].map((each) => each.metadata.annotations?.[ANNOTATIONS.volumeHash]);
  return is !== undefined && wanted !== undefined && is !== wanted && !present.metadata.deletionTimestamp;
}

/**
 * Whether pods of the present StatefulSet have every claim that the wished one has. Then they go on under it, and are rolled
 * one by one where anything else changed. A claim that a pod lacks it cannot be given: then the StatefulSet would stand still.
 */
function hasClaimsOf(present: KubeObject, wish: Manifest): boolean {
  const has = new Set(claimNames(present));
  return claimNames(wish).every((name) => has.has(name));
}

function claimNames(set: KubeObject): string[] {
  const { volumeClaimTemplates = [] } = (set.spec ?? {}) as {
    volumeClaimTemplates?: readonly { readonly metadata: { readonly name: string } }[];
  };
  return volumeClaimTemplates.map(({ metadata }) => metadata.name);
}

function nameOf(object: KubeObject): string {
  return `${object.kind}/${object.metadata.name}`;
}

/** Whether trying again makes sense only after the LiveCluster, a quota or another object was changed. */
function isForSomebodyToMend(error: unknown): boolean {
  return error instanceof NameTakenError || isKubeError(error, 'invalid', 'bad-request', 'forbidden');
}

function faultOf(what: string, error: unknown): string {
  if (error instanceof NameTakenError) return error.message;
  const said = error instanceof Error ? error.message : String(error);
  if (isKubeError(error, 'invalid', 'bad-request')) {
    return `${what} was refused by the API server, change the LiveCluster's field that it names (or delete ${what}, if it must be made anew): ${said}`;
  }
  if (isKubeError(error, 'forbidden')) {
    return `${what} is forbidden, raise the quota or give the operator the rights of its chart: ${said}`;
  }
  return `${what} could not be written, will be tried again: ${said}`;
}
