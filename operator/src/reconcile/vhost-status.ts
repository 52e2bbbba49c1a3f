import type { VhostStatus } from '#contract/crd/vhost.ts';
import { createHash } from 'node:crypto';
import { ROLES } from '#contract/names.ts';
import type { Role } from '#contract/names.ts';
import { conditionsOf, verdict } from './conditions.ts';
import type { ConditionDraft } from './conditions.ts';
import type { Programming } from './pod-states.ts';

/** What a Vhost's status is made of. */
export interface VhostObservation {
  readonly generation: number | undefined;
  readonly previous: VhostStatus | undefined;
  readonly nowMs: number;
  readonly clusterName: string;
  /** What is wrong with the Vhost itself. */
  readonly fault?: string;
  /** Undefined: its LiveCluster does not exist. */
  readonly cluster?: {
    /** Why it is left out; undefined when it is in force. */
    readonly refusal?: { readonly reason: string; readonly message: string };
    readonly wantedHashes: Readonly<Record<Role, string>>;
    readonly programming: Programming;
    /** Where its streams are recorded; undefined while it records none. */
    readonly dvr?: { readonly hasStorage: boolean };
  };
}

/** The status of a Vhost. Programmed is true only by the hashes that the pods themselves report. */
export function vhostStatus(seen: VhostObservation): VhostStatus {
  const { generation, previous, cluster } = seen;
  const drafts = draftConditions(seen);
  const isInForce = cluster !== undefined && cluster.refusal === undefined && seen.fault === undefined;
  return {
    ...(generation === undefined ? {} : { observedGeneration: generation }),
    conditions: conditionsOf(drafts, previous?.conditions, generation, seen.nowMs),
    podsProgrammed: isInForce ? cluster.programming.programmed : 0,
    podsTotal: cluster?.programming.total ?? 0,
    ...(isInForce ? { configHash: combinedHash(cluster.wantedHashes) } : {}),
  };
}

function draftConditions({ clusterName, cluster, fault }: VhostObservation): ConditionDraft[] {
  const resolved = verdict(
    'ResolvedRefs',
    cluster !== undefined,
    ['ResolvedRefs', `LiveCluster ${clusterName} is there`],
    [
      'ClusterNotFound',
      `there is no LiveCluster ${clusterName} in this namespace: create it, or make the Vhost anew with another clusterRef`,
    ],
  );
  if (fault !== undefined) {
    return [
      { type: 'Accepted', status: 'False', reason: 'Invalid', message: fault },
      resolved,
      { type: 'Programmed', status: 'False', reason: 'Invalid', message: 'left out, because it is not accepted' },
    ];
  }
  if (!cluster) {
    const message = `waiting for LiveCluster ${clusterName}`;
    return [
      { type: 'Accepted', status: 'Unknown', reason: 'Pending', message },
      resolved,
      { type: 'Programmed', status: 'False', reason: 'ClusterNotFound', message },
    ];
  }
  const { refusal, programming } = cluster;
  if (refusal) {
    return [
      { type: 'Accepted', status: 'False', ...refusal },
      resolved,
      { type: 'Programmed', status: 'False', reason: refusal.reason, message: 'left out, because it is not accepted' },
    ];
  }
  return [
    { type: 'Accepted', status: 'True', reason: 'Accepted', message: 'its hosts are its own' },
    resolved,
    draftProgrammed(programming),
    ...draftDvr(clusterName, cluster.dvr),
  ];
}

function draftDvr(clusterName: string, dvr: { readonly hasStorage: boolean } | undefined): ConditionDraft[] {
  if (!dvr) return [];
  return [
    verdict(
      'DvrReady',
      dvr.hasStorage,
      ['Storage', 'its streams are recorded where origin.storage.dvr of the LiveCluster says'],
      [
        'NoStorage',
        `dvr is enabled, but LiveCluster ${clusterName} has nowhere to put recordings: set its spec.origin.storage.dvr.type to PVC, S3 or EmptyDir`,
      ],
    ),
  ];
}

function draftProgrammed({ total, programmed, refusal, waiting }: Programming): ConditionDraft {
  const have = `${programmed} of ${total} pods run it`;
  return verdict(
    'Programmed',
    total > 0 && programmed === total,
    ['Programmed', have],
    refusal
      ? ['ConfigRejected', `pod ${refusal.pod} refused the configuration and keeps the old one: ${refusal.reason}`]
      : ['Pending', waiting.length > 0 ? `${have}; waiting for ${waiting.join(', ')}` : 'the cluster has no pod yet'],
  );
}

/** One hash for what all roles are to run; each role has a configuration of its own. */
function combinedHash(hashes: Readonly<Record<Role, string>>): string {
  return createHash('sha256')
    .update(ROLES.map((role) => hashes[role]).join())
    .digest('hex');
}
