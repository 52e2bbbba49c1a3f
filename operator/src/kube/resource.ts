import { API_GROUP } from '#contract/names.ts';
import { KubeError } from './kube-error.ts';
import type { ObjectType } from './object.ts';

interface Resource {
  readonly plural: string;
  readonly namespaced: boolean;
}

/*
 * Kinds by group, without the version: a version changes neither a plural nor a scope. A fixed table and no discovery:
 * the operator touches nothing that its RBAC does not name, and a start needs no extra round trips.
 */
const RESOURCES: Readonly<Record<string, Readonly<Record<string, Resource>>>> = {
  '': {
    ConfigMap: { plural: 'configmaps', namespaced: true },
    Endpoints: { plural: 'endpoints', namespaced: true },
    Namespace: { plural: 'namespaces', namespaced: false },
    Node: { plural: 'nodes', namespaced: false },
    PersistentVolumeClaim: { plural: 'persistentvolumeclaims', namespaced: true },
    Pod: { plural: 'pods', namespaced: true },
    Secret: { plural: 'secrets', namespaced: true },
    Service: { plural: 'services', namespaced: true },
    ServiceAccount: { plural: 'serviceaccounts', namespaced: true },
  },
  apps: {
    ControllerRevision: { plural: 'controllerrevisions', namespaced: true },
    Deployment: { plural: 'deployments', namespaced: true },
    StatefulSet: { plural: 'statefulsets', namespaced: true },
  },
  autoscaling: { HorizontalPodAutoscaler: { plural: 'horizontalpodautoscalers', namespaced: true } },
  'apiextensions.k8s.io': { CustomResourceDefinition: { plural: 'customresourcedefinitions', namespaced: false } },
  'coordination.k8s.io': { Lease: { plural: 'leases', namespaced: true } },
  'discovery.k8s.io': { EndpointSlice: { plural: 'endpointslices', namespaced: true } },
  'events.k8s.io': { Event: { plural: 'events', namespaced: true } },
  'networking.k8s.io': {
    Ingress: { plural: 'ingresses', namespaced: true },
    NetworkPolicy: { plural: 'networkpolicies', namespaced: true },
  },
  policy: { PodDisruptionBudget: { plural: 'poddisruptionbudgets', namespaced: true } },
  'rbac.authorization.k8s.io': {
    Role: { plural: 'roles', namespaced: true },
    RoleBinding: { plural: 'rolebindings', namespaced: true },
  },
  [API_GROUP]: {
    LiveCluster: { plural: 'liveclusters', namespaced: true },
    Vhost: { plural: 'vhosts', namespaced: true },
  },
};

/** What follows the kind in a path. All are optional: none of them is the collection over all namespaces. */
export interface PathParts {
  readonly namespace?: string | undefined;
  readonly name?: string | undefined;
  readonly subresource?: string | undefined;
}

/**
 * The path of a kind's collection, or of an object: `/apis/apps/v1/namespaces/ns/statefulsets/name/status`.
 * Throws KubeError `bad-request`: a kind not in the table, or a named object of a namespaced kind without a namespace.
 */
export function pathOf(type: ObjectType, parts: PathParts = {}): string {
  const resource = resourceOf(type);
  const segments = type.apiVersion.includes('/') ? ['apis', type.apiVersion] : ['api', type.apiVersion];
  if (resource.namespaced && parts.namespace) {
    segments.push('namespaces', encodeURIComponent(parts.namespace));
  } else if (resource.namespaced && parts.name !== undefined) {
    throw new KubeError('bad-request', `${type.kind} ${parts.name} has no namespace: set metadata.namespace`);
  }
  segments.push(resource.plural);
  if (parts.name !== undefined) {
    // An empty name would turn a request for one object into one for all of them: DELETE above all.
    if (!parts.name) throw new KubeError('bad-request', `A ${type.kind} without a name: set metadata.name`);
    segments.push(encodeURIComponent(parts.name));
  }
  if (parts.subresource) segments.push(parts.subresource);
  return `/${segments.join('/')}`;
}

function resourceOf(type: ObjectType): Resource {
  const slash = type.apiVersion.indexOf('/');
  const group = slash < 0 ? '' : type.apiVersion.slice(0, slash);
  const kinds = Object.hasOwn(RESOURCES, group) ? RESOURCES[group] : undefined;
  const resource = kinds && Object.hasOwn(kinds, type.kind) ? kinds[type.kind] : undefined;
  if (!resource) {
    throw new KubeError('bad-request', `No path known for ${type.apiVersion} ${type.kind}: add it to kube/resource.ts`);
  }
  return resource;
}
