import { LiveClusterSpec } from '#contract/crd/live-cluster.ts';
import type { LiveClusterStatus } from '#contract/crd/live-cluster-status.ts';
import { VhostSpec } from '#contract/crd/vhost.ts';
import type { VhostStatus } from '#contract/crd/vhost.ts';
import { GROUP_VERSION } from '#contract/names.ts';
import type { z } from 'zod';
import type { Cluster } from '../desired/cluster.ts';
import type { VhostView } from '../desired/node-config.ts';
import type { KubeObject, ObjectType } from '../kube/object.ts';

/*
 * Objects as the API server gives them, as far as the reconcilers read them.
 */

export const LIVE_CLUSTER: ObjectType = { apiVersion: GROUP_VERSION, kind: 'LiveCluster' };
export const VHOST: ObjectType = { apiVersion: GROUP_VERSION, kind: 'Vhost' };
export const POD: ObjectType = { apiVersion: 'v1', kind: 'Pod' };

/** As the API server has it; `spec` is parsed by contract/crd before use. */
export interface LiveClusterObject extends KubeObject {
  readonly status?: LiveClusterStatus;
}

/** As the API server has it; `spec` is parsed by contract/crd before use. */
export interface VhostObject extends KubeObject {
  readonly status?: VhostStatus;
}

/** core/v1 PodCondition. */
interface PodCondition {
  readonly type: string;
  readonly status: string;
  readonly reason?: string;
  readonly message?: string;
}

/** core/v1 Pod. */
export interface PodObject extends KubeObject {
  readonly status?: {
    readonly phase?: string;
    readonly podIP?: string;
    readonly conditions?: readonly PodCondition[];
    readonly containerStatuses?: readonly {
      readonly name: string;
      readonly restartCount?: number;
      readonly state?: { readonly waiting?: { readonly reason?: string; readonly message?: string } };
    }[];
  };
}

/** apps/v1 StatefulSet. */
export interface StatefulSetObject extends KubeObject {
  readonly status?: {
    readonly observedGeneration?: number;
    readonly replicas?: number;
    readonly readyReplicas?: number;
    readonly updatedReplicas?: number;
    readonly currentRevision?: string;
    readonly updateRevision?: string;
  };
}

/** core/v1 Service. */
export interface ServiceObject extends KubeObject {
  readonly spec?: {
    readonly type?: string;
    readonly ports?: readonly { readonly name?: string; readonly port: number; readonly nodePort?: number }[];
  };
  readonly status?: {
    readonly loadBalancer?: { readonly ingress?: readonly { readonly ip?: string; readonly hostname?: string }[] };
  };
}

/** An object read against its schema: what it says, or what is wrong with it. */
export type Read<T> = { readonly value: T } | { readonly fault: string };

/**
 * Reads a LiveCluster. The API server has judged it already; a fault means that its CRD and this operator are of
 * different versions.
 */
export function readLiveCluster(object: KubeObject): Read<Cluster> {
  const spec = readSpec(LiveClusterSpec, object.spec);
  if ('fault' in spec) return spec;
  const { name, namespace = '', uid = '' } = object.metadata;
  return { value: { metadata: { name, namespace, uid }, spec: spec.value } };
}

/** Reads a Vhost; see readLiveCluster. */
export function readVhost(object: KubeObject): Read<VhostView> {
  const spec = readSpec(VhostSpec, object.spec);
  if ('fault' in spec) return spec;
  const { name, namespace = '', creationTimestamp } = object.metadata;
  return { value: { metadata: { name, namespace, creationTimestamp }, spec: spec.value } };
}

function readSpec<S extends z.ZodType>(schema: S, spec: unknown): Read<z.output<S>> {
  const parsed = schema.safeParse(spec ?? {});
  if (parsed.success) return { value: parsed.data };
  const [issue] = parsed.error.issues;
  const where = ['spec', ...(issue?.path ?? [])].join('.');
  return { fault: `${where}: ${issue?.message ?? 'is wrong'}; install the CRDs of this operator's version` };
}

/** Whether a pod passes its readiness probe. */
export function isPodReady(pod: PodObject): boolean {
  return pod.status?.conditions?.some((each) => each.type === 'Ready' && each.status === 'True') ?? false;
}

/** Reasons of a waiting container that do not pass by themselves soon, with what to do. */
const WAITING: Readonly<Record<string, string>> = {
  CrashLoopBackOff: 'it ends soon after each start: read its log with kubectl logs --previous',
  ImagePullBackOff: 'its image cannot be had: check spec.image and spec.image.pullSecrets',
  ErrImagePull: 'its image cannot be had: check spec.image and spec.image.pullSecrets',
  InvalidImageName: 'its image has no valid name: check spec.image',
  CreateContainerConfigError: 'its container cannot be set up: check what spec.…extraEnv refers to',
  CreateContainerError: 'its container cannot be created: see kubectl describe pod',
  RunContainerError: 'its container cannot be run: see kubectl describe pod',
};

/** What keeps a pod from running, with the mend; undefined while nothing is known to be wrong. */
export function podProblem(pod: PodObject): string | undefined {
  const { name } = pod.metadata;
  for (const { state } of pod.status?.containerStatuses ?? []) {
    const reason = state?.waiting?.reason ?? '';
    if (Object.hasOwn(WAITING, reason)) return `pod ${name} is in ${reason}: ${WAITING[reason]}`;
  }
  const scheduled = pod.status?.conditions?.find((each) => each.type === 'PodScheduled');
  if (scheduled?.status === 'False' && scheduled.reason === 'Unschedulable') {
    const said = (scheduled.message ?? 'no reason given').slice(0, 300);
    return `pod ${name} finds no node (${said}): add nodes, or ask for less in resources, nodeSelector or affinity`;
  }
  return undefined;
}

/** Whether more than the status changed: a custom resource's generation counts its spec and its deletion. */
export function isSpecChange(object: KubeObject, previous: KubeObject): boolean {
  const [is, was] = [object.metadata, previous.metadata];
  return (
    is.generation !== was.generation ||
    is.deletionTimestamp !== was.deletionTimestamp ||
    is.finalizers?.join() !== was.finalizers?.join()
  );
}

/** Whether an object is being deleted by `kubectl delete --cascade=orphan`: what it owns stays, and goes on. */
export function isDeletedAlone({ metadata }: KubeObject): boolean {
  return metadata.deletionTimestamp !== undefined && (metadata.finalizers?.includes('orphan') ?? false);
}
