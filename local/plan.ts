import { readManifests } from '#contract/manifest.ts';
import type { Role } from '#contract/names.ts';
import type { NodeConfig } from '#contract/node-config.ts';
import { judgeVhosts, renderNodeConfig } from '../operator/src/desired/node-config.ts';

/** Nodes that one process runs at most; beyond that a real cluster is the better place. */
export const MOST_NODES = 32;

/** One node to run. */
export interface PlannedNode {
  /** As its pod would be named after the cluster: `origin-0`, `edge-1`. */
  readonly name: string;
  readonly role: Role;
  readonly ordinal: number;
  readonly config: NodeConfig;
}

/** What a file of manifests asks for. */
export interface Plan {
  readonly namespace: string;
  readonly cluster: string;
  /** Whether the nodes listen for RTMPS. */
  readonly rtmps: boolean;
  /** Whether the origins record what Vhosts want recorded. */
  readonly records: boolean;
  /** Whether the origins keep segments on a disk besides. */
  readonly keepsSegments: boolean;
  /** Origins first, each role by ordinal. */
  readonly nodes: readonly PlannedNode[];
  /** Lines for who wrote the file: what is left out, and why. */
  readonly notes: readonly string[];
}

/** The file cannot be run; one line a fault, each with its mend. */
export class PlanError extends Error {
  override readonly name = 'PlanError';
  readonly faults: readonly string[];
  constructor(faults: readonly string[]) {
    super(faults.join('\n'));
    this.faults = faults;
  }
}

/** Reads the text of a YAML file as the operator would read its manifests from Kubernetes. Throws PlanError. */
export function planFrom(text: string): Plan {
  const { liveClusters, vhosts, errors } = readManifests(text);
  if (errors.length > 0) throw new PlanError(errors);
  const [cluster, ...others] = liveClusters;
  if (cluster === undefined) {
    throw new PlanError(['the file has no LiveCluster; examples/livecluster.yaml shows the six lines']);
  }
  const { name, namespace } = cluster.metadata;
  const notes = others.map(
    (other) => `LiveCluster ${other.metadata.name} is left out: one file runs its first one, ${name}`,
  );
  const { accepted, refused } = judgeVhosts(cluster, vhosts);
  notes.push(...refused.map(({ vhost, message }) => `Vhost ${vhost.metadata.name} is left out: ${message}`));
  for (const vhost of vhosts) {
    const isOfCluster = vhost.spec.clusterRef.name === name && vhost.metadata.namespace === namespace;
    if (!isOfCluster)
      notes.push(`Vhost ${vhost.metadata.name} is left out: its clusterRef is not ${namespace}/${name}`);
  }
  const { origin, edge } = cluster.spec;
  const records = origin.storage.dvr.type !== 'None';
  if (origin.storage.dvr.type === 'S3') notes.push('recordings go into a folder of this machine, not to S3');
  for (const { metadata, spec } of accepted.filter((vhost) => vhost.spec.dvr.enabled && !records)) {
    notes.push(
      `Vhost ${metadata.name} of ${spec.hosts.join(', ')} is not recorded: set spec.origin.storage.dvr.type of the LiveCluster, to EmptyDir for example`,
    );
  }
  const total = origin.replicas + edge.replicas;
  if (total > MOST_NODES) {
    throw new PlanError([`${total} nodes are more than one process runs (${MOST_NODES}): ask for fewer replicas`]);
  }
  if (origin.replicas < 1) throw new PlanError(['spec.origin.replicas is 0: nobody could publish; ask for 1 or more']);
  const nodes = (['origin', 'edge'] as const).flatMap((role) => {
    const config = renderNodeConfig(cluster, role, vhosts);
    return Array.from({ length: cluster.spec[role].replicas }, (_, ordinal) => ({
      name: `${role}-${ordinal}`,
      role,
      ordinal,
      config,
    }));
  });
  const keepsSegments = origin.storage.hls.type !== 'Memory';
  const rtmps = cluster.spec.protocols.rtmps.enabled;
  return { namespace, cluster: name, rtmps, records, keepsSegments, nodes, notes };
}
