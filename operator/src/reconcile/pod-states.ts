import type { LiveClusterStatus } from '#contract/crd/live-cluster-status.ts';
import { LABELS, ROLES } from '#contract/names.ts';
import type { Role } from '#contract/names.ts';
import { isPodReady } from './api-objects.ts';
import type { PodObject } from './api-objects.ts';
import { UNREACHABLE_FAILURES } from './fleet.ts';
import type { FleetNode, NodeReport } from './fleet.ts';

/** A pod in the status of a LiveCluster. */
export type PodStatus = NonNullable<LiveClusterStatus['pods']>[number];

/** Role of a media pod by its label; undefined for Redis. */
export function roleOf(pod: PodObject): Role | undefined {
  const role = pod.metadata.labels?.[LABELS.role];
  return ROLES.find((each) => each === role);
}

/** Whether the pod is on its way out: it serves the sessions it has and counts no more. */
export function isLeaving(pod: PodObject): boolean {
  return pod.metadata.deletionTimestamp !== undefined;
}

/** The media pods that have an address, for a Fleet. */
export function fleetNodes(pods: readonly PodObject[]): FleetNode[] {
  return pods.flatMap((pod) => {
    const role = roleOf(pod);
    const host = pod.status?.podIP;
    const { name, uid } = pod.metadata;
    const isOver = pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';
    if (!role || !host || !uid || isOver) return [];
    return [{ name, uid, role, host, isReady: isPodReady(pod), isLeaving: isLeaving(pod) }];
  });
}

/** A media pod as the status tells it. */
export function podStatus(pod: PodObject, role: Role, report: NodeReport | undefined): PodStatus {
  return {
    name: pod.metadata.name,
    role,
    state: stateOf(pod, report),
    ...(report?.status ? { sessions: report.status.sessions } : {}),
    ...(report?.hash ? { configHash: report.hash } : {}),
  };
}

function stateOf(pod: PodObject, report: NodeReport | undefined): PodStatus['state'] {
  if (isLeaving(pod) || report?.status?.state === 'draining') return 'Draining';
  if (!pod.status?.podIP) return 'Pending';
  if (!isPodReady(pod)) return 'Starting';
  return (report?.failures ?? 0) >= UNREACHABLE_FAILURES ? 'Unreachable' : 'Ready';
}

/** How far a configuration has come among pods. */
export interface Programming {
  /** Pods that are to run it: all that are not leaving. */
  readonly total: number;
  readonly programmed: number;
  /** The first pod that refused it. */
  readonly refusal?: { readonly pod: string; readonly reason: string };
  /** Names of pods that do not run it yet, a few of them. */
  readonly waiting: readonly string[];
}

const MOST_NAMED = 5;

/** Counts the pods on which the wanted configuration of their role is in force, by what they themselves report. */
export function programmingOf(
  pods: readonly PodObject[],
  wanted: Readonly<Record<Role, string>>,
  reportOf: (podUid: string) => NodeReport | undefined,
): Programming {
  let [total, programmed] = [0, 0];
  let refusal: Programming['refusal'];
  const waiting: string[] = [];
  for (const pod of pods) {
    const role = roleOf(pod);
    if (!role || isLeaving(pod)) continue;
    total += 1;
    const report = reportOf(pod.metadata.uid ?? '');
    if (report?.hash === wanted[role]) {
      programmed += 1;
      continue;
    }
    if (report?.rejected?.hash === wanted[role]) {
      refusal ??= { pod: pod.metadata.name, reason: report.rejected.reason };
    }
    if (waiting.length < MOST_NAMED) waiting.push(pod.metadata.name);
  }
  return { total, programmed, waiting, ...(refusal ? { refusal } : {}) };
}
