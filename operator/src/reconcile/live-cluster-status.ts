import type { LiveClusterStatus } from '#contract/crd/live-cluster-status.ts';
import { ROLES } from '#contract/names.ts';
import type { Role } from '#contract/names.ts';
import type { Cluster } from '../desired/cluster.ts';
import { timeOf } from '../desired/certificates.ts';
import type { JudgedCertificates } from '../desired/certificates.ts';
import type { JudgedS3 } from '../desired/s3-credentials.ts';
import { selectorText, selectRole } from '../desired/labels.ts';
import { names } from '../desired/names.ts';
import type { Addresses } from './addresses.ts';
import { podProblem } from './api-objects.ts';
import type { PodObject, StatefulSetObject } from './api-objects.ts';
import { conditionsOf, findCondition, verdict } from './conditions.ts';
import type { Condition, ConditionDraft } from './conditions.ts';
import { UNREACHABLE_FAILURES } from './fleet.ts';
import type { NodeReport } from './fleet.ts';
import { isLeaving, podStatus, programmingOf, roleOf } from './pod-states.ts';

/** What a LiveCluster's status is made of. */
export interface LiveClusterObservation {
  readonly cluster: Cluster;
  readonly generation: number | undefined;
  readonly previous: LiveClusterStatus | undefined;
  readonly nowMs: number;
  /** The newest known; undefined while it is not there. */
  readonly statefulSets: Readonly<Record<Role | 'redis', StatefulSetObject | undefined>>;
  /** Media pods and Redis's. */
  readonly pods: readonly PodObject[];
  readonly addresses: Addresses;
  /** What is wrong with the reference to an external Redis, and the mend. */
  readonly redisFault: string | undefined;
  /** Undefined while nothing needs certificates. */
  readonly certificates?: Pick<JudgedCertificates, 'faults' | 'validUntilMs'> | undefined;
  /** Undefined while recordings go into no bucket. */
  readonly s3?: Pick<JudgedS3, 'fault'> | undefined;
  /** What the API server refused, a line each. */
  readonly applyFaults: readonly string[];
  readonly wantedHashes: Readonly<Record<Role, string>>;
  readonly reportOf: (podUid: string) => NodeReport | undefined;
}

const MOST_PODS = 1_200;

interface RoleCounts {
  readonly wanted: number;
  readonly replicas: number;
  readonly ready: number;
  readonly updated: number;
  readonly leaving: number;
  /** The StatefulSet's controller has not done yet what its spec says. */
  readonly isMoving: boolean;
}

/**
 * The status of a LiveCluster, from what is observed alone, and from its own last state for one thing: Ready becomes
 * true when all that is wanted is up, and stays so while each role has a pod that serves; Degraded tells of the rest.
 */
export function liveClusterStatus(seen: LiveClusterObservation): LiveClusterStatus {
  const { cluster, generation, previous, addresses } = seen;
  const counts = { origin: countsOf(seen, 'origin'), edge: countsOf(seen, 'edge') };
  const media = seen.pods.filter((pod) => roleOf(pod) !== undefined);
  const reports = media.flatMap((pod) => {
    const { status, failures = 0 } = seen.reportOf(pod.metadata.uid ?? '') ?? {};
    return status && failures < UNREACHABLE_FAILURES ? [status] : [];
  });
  const sum = (pick: (status: (typeof reports)[number]) => number) =>
    reports.reduce((total, status) => total + pick(status), 0);
  const roleStatus = ({ replicas, ready, updated }: RoleCounts) => ({ replicas, ready, updated });
  return {
    ...(generation === undefined ? {} : { observedGeneration: generation }),
    conditions: conditionsOf(draftConditions(seen, counts), previous?.conditions, generation, seen.nowMs),
    origin: roleStatus(counts.origin),
    edge: { ...roleStatus(counts.edge), selector: selectorText(selectRole(cluster.metadata.name, 'edge')) },
    endpoints: { ...addresses.endpoints },
    ...(addresses.address ? { address: addresses.address } : {}),
    pods: media
      .sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
      .slice(0, MOST_PODS)
      .map((pod) => podStatus(pod, roleOf(pod) ?? 'edge', seen.reportOf(pod.metadata.uid ?? ''))),
    streams: sum((status) => status.streams),
    viewers: sum((status) => status.viewers),
  };
}

function countsOf(seen: LiveClusterObservation, role: Role): RoleCounts {
  const wanted = seen.cluster.spec[role].replicas;
  const set = seen.statefulSets[role];
  const { replicas = 0, readyReplicas = 0, updatedReplicas = 0, observedGeneration = 0 } = set?.status ?? {};
  const isStale = observedGeneration < (set?.metadata.generation ?? 0);
  const updated = Math.min(updatedReplicas, replicas);
  const leaving = seen.pods.filter((pod) => roleOf(pod) === role && isLeaving(pod)).length;
  const isMoving = !set || isStale || updated < wanted || replicas !== wanted || leaving > 0;
  return { wanted, replicas, ready: readyReplicas, updated, leaving, isMoving };
}

function draftConditions(seen: LiveClusterObservation, counts: Record<Role, RoleCounts>): ConditionDraft[] {
  const applied = verdict(
    'ObjectsApplied',
    seen.applyFaults.length === 0,
    ['Applied', 'everything the cluster owns is as it should be'],
    ['Refused', seen.applyFaults.join('; ')],
  );
  const redis = draftRedis(seen);
  const config = draftConfig(seen);
  const address = verdict(
    'AddressReady',
    seen.addresses.missing.length === 0,
    ['Assigned', 'encoders and viewers have their addresses'],
    ['Pending', seen.addresses.missing.join('; ')],
  );
  const roles = { origin: draftRole(seen, 'origin', counts.origin), edge: draftRole(seen, 'edge', counts.edge) };
  const parts = [
    applied,
    redis,
    roles.origin,
    roles.edge,
    config,
    ...draftCertificates(seen),
    ...draftS3(seen),
    address,
  ];

  const wasReady = findCondition(seen.previous?.conditions, 'Ready')?.status === 'True';
  const isServing = ROLES.every((role) => counts[role].ready > 0 || counts[role].wanted === 0);
  const holdUp = parts.find((part) => part.status !== 'True');
  // Once up, what runs goes on without Redis, with a configuration refused, or with a pod fewer.
  const isReady = holdUp === undefined || (wasReady && isServing && address.status === 'True');
  const ready = verdict(
    'Ready',
    isReady,
    ['Serving', holdUp ? `serving; ${holdUp.message}` : 'encoders and viewers are served'],
    [holdUp?.reason ?? 'NotServing', holdUp?.message ?? 'not all pods are up'],
  );
  return [ready, draftProgressing(counts, config), draftDegraded(counts, parts, wasReady), ...parts];
}

function draftRole(seen: LiveClusterObservation, role: Role, { wanted, ready }: RoleCounts): ConditionDraft {
  const problem = problemOf(seen, (pod) => roleOf(pod) === role);
  const have = `${ready} of ${wanted} ${role} pods are ready`;
  return verdict(
    role === 'origin' ? 'OriginsReady' : 'EdgesReady',
    ready >= wanted,
    ['Ready', have],
    problem ? ['PodProblem', `${have}; ${problem}`] : ['Starting', have],
  );
}

function draftRedis(seen: LiveClusterObservation): ConditionDraft {
  const { metadata, spec } = seen.cluster;
  if (spec.redis.mode === 'External') {
    return verdict(
      'RedisReady',
      seen.redisFault === undefined,
      ['External', 'the external Redis is known to the nodes'],
      ['ReferenceInvalid', seen.redisFault ?? ''],
    );
  }
  const problem = problemOf(seen, (pod) => roleOf(pod) === undefined);
  const down = `Redis (pod ${names.redis(metadata.name)}-0) is not ready`;
  return verdict(
    'RedisReady',
    (seen.statefulSets.redis?.status?.readyReplicas ?? 0) > 0,
    ['Ready', 'Redis is ready'],
    problem ? ['PodProblem', `${down}; ${problem}`] : ['Starting', `${down}; running streams go on without it`],
  );
}

function draftCertificates({ certificates }: LiveClusterObservation): ConditionDraft[] {
  if (!certificates) return [];
  const { faults, validUntilMs } = certificates;
  const until = validUntilMs === undefined ? '' : ` until ${timeOf(validUntilMs)}`;
  return [
    verdict(
      'CertificatesReady',
      faults.length === 0,
      ['Valid', `the certificates of RTMPS are valid${until}`],
      ['ReferenceInvalid', `${faults.join('; ')}; plain RTMP is served all the same`],
    ),
  ];
}

function draftS3({ s3 }: LiveClusterObservation): ConditionDraft[] {
  if (!s3) return [];
  return [
    verdict(
      'RecordingStoreReady',
      s3.fault === undefined,
      ['CredentialsKnown', 'the origins have the credentials for the bucket of recordings'],
      ['ReferenceInvalid', `${s3.fault ?? ''}; recordings wait in the origins until then`],
    ),
  ];
}

function draftConfig(seen: LiveClusterObservation): ConditionDraft {
  const { total, programmed, refusal, waiting } = programmingOf(seen.pods, seen.wantedHashes, seen.reportOf);
  const have = `${programmed} of ${total} pods run the present configuration`;
  const isDone = total > 0 && programmed === total;
  return verdict(
    'ConfigProgrammed',
    isDone,
    ['Programmed', have],
    refusal
      ? ['ConfigRejected', `pod ${refusal.pod} refused the configuration and keeps the old one: ${refusal.reason}`]
      : ['Pending', waiting.length > 0 ? `${have}; waiting for ${waiting.join(', ')}` : 'there is no pod yet'],
  );
}

function draftProgressing(counts: Record<Role, RoleCounts>, config: ConditionDraft): ConditionDraft {
  const moving = ROLES.filter((role) => counts[role].isMoving || counts[role].ready < counts[role].wanted);
  const what = moving.map((role) => {
    const { wanted, ready, updated, replicas, leaving } = counts[role];
    const out = leaving > 0 ? `, ${leaving} more on the way out` : '';
    return `${role}: ${replicas} pods, ${wanted} wanted, ${updated} up to date, ${ready} ready${out}`;
  });
  const isPending = config.status !== 'True' && config.reason === 'Pending';
  return verdict(
    'Progressing',
    moving.length > 0 || isPending,
    what.length > 0 ? ['RollingOut', what.join('; ')] : ['Programming', config.message],
    ['Settled', 'pods and configuration are as specified'],
  );
}

function draftDegraded(
  counts: Record<Role, RoleCounts>,
  parts: readonly ConditionDraft[],
  wasReady: boolean,
): ConditionDraft {
  const faults = parts.filter(({ type, status, reason }) => {
    if (status === 'True') return false;
    // These pass by themselves while a cluster starts; later they are losses.
    if (reason === 'Starting') {
      const role = type === 'OriginsReady' ? 'origin' : type === 'EdgesReady' ? 'edge' : undefined;
      return wasReady && !(role && counts[role].isMoving);
    }
    return reason !== 'Pending' || (wasReady && type === 'AddressReady');
  });
  return verdict(
    'Degraded',
    faults.length > 0,
    [faults[0]?.reason ?? 'Degraded', faults.map(({ message }) => message).join('; ')],
    ['AsExpected', 'nothing is known to be wrong'],
  );
}

function problemOf(seen: LiveClusterObservation, isMeant: (pod: PodObject) => boolean): string | undefined {
  for (const pod of seen.pods) {
    const problem = isMeant(pod) && !isLeaving(pod) ? podProblem(pod) : undefined;
    if (problem) return problem;
  }
  return undefined;
}

/** The status of a LiveCluster whose spec this operator can't read: what was known stays, and the reason is told. */
export function unreadableStatus(
  fault: string,
  previous: LiveClusterStatus | undefined,
  generation: number | undefined,
  nowMs: number,
): LiveClusterStatus {
  const drafts: ConditionDraft[] = [
    { type: 'Ready', status: 'False', reason: 'SpecUnreadable', message: fault },
    { type: 'Degraded', status: 'True', reason: 'SpecUnreadable', message: fault },
  ];
  const kept: Condition[] = (previous?.conditions ?? []).filter(({ type }) => type !== 'Ready' && type !== 'Degraded');
  return {
    ...previous,
    ...(generation === undefined ? {} : { observedGeneration: generation }),
    conditions: [...conditionsOf(drafts, previous?.conditions, generation, nowMs), ...kept],
  };
}
