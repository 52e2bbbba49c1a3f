/** A rule of a Role or ClusterRole (rbac.authorization.k8s.io/v1 PolicyRule). */
export interface RbacRule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

/** What the operator does with everything that a LiveCluster owns; apply is `patch`, and `create` when it is not there. */
const OWNED_VERBS = ['get', 'list', 'watch', 'create', 'patch', 'delete'] as const;

/**
 * The rights that the operator needs in each namespace that it serves, and no more: the chart's role has exactly these,
 * and the reconciler's test makes no call that they don't cover and leaves none of them unused.
 */
export const RBAC_RULES: readonly RbacRule[] = [
  { apiGroups: ['livecluster.io'], resources: ['liveclusters', 'vhosts'], verbs: ['list', 'watch'] },
  { apiGroups: ['livecluster.io'], resources: ['liveclusters/status', 'vhosts/status'], verbs: ['patch'] },
  // Asked for by the admission plugin OwnerReferencesPermissionEnforcement, where it is on, for blockOwnerDeletion.
  { apiGroups: ['livecluster.io'], resources: ['liveclusters/finalizers'], verbs: ['update'] },
  { apiGroups: ['apps'], resources: ['statefulsets'], verbs: OWNED_VERBS },
  { apiGroups: [''], resources: ['services', 'secrets', 'serviceaccounts'], verbs: OWNED_VERBS },
  { apiGroups: ['policy'], resources: ['poddisruptionbudgets'], verbs: OWNED_VERBS },
  { apiGroups: ['networking.k8s.io'], resources: ['networkpolicies'], verbs: OWNED_VERBS },
  { apiGroups: [''], resources: ['pods'], verbs: ['list', 'watch'] },
  { apiGroups: ['events.k8s.io'], resources: ['events'], verbs: ['create', 'patch'] },
];

/** The lease for leader election, in the operator's own namespace. */
export const LEASE_NAME = 'livecluster-operator';

/** The rights that the lease needs there; RBAC can't tie `create` to a name. */
export const LEASE_RULES: readonly (RbacRule & { readonly resourceNames?: readonly string[] })[] = [
  { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['create'] },
  {
    apiGroups: ['coordination.k8s.io'],
    resources: ['leases'],
    resourceNames: [LEASE_NAME],
    verbs: ['get', 'update'],
  },
];
