import { readManifests } from '#contract/manifest.ts';
import type { LiveClusterManifest } from '#contract/manifest.ts';
import { GROUP_VERSION } from '#contract/names.ts';
import type { Cluster } from '../cluster.ts';
import type { VhostView } from '../node-config.ts';

/** For tests: a LiveCluster `default/live` with this spec (YAML), defaults filled in as the API server would. */
export function liveCluster(spec: string, metadata = '{name: live}'): LiveClusterManifest {
  const read = readManifests(`{apiVersion: ${GROUP_VERSION}, kind: LiveCluster, metadata: ${metadata}, spec: ${spec}}`);
  const [manifest] = read.liveClusters;
  if (!manifest) throw new Error(read.errors.join('; '));
  return manifest;
}

/** For tests: a Vhost `default/<name>` of the cluster `live` with this spec (YAML). */
export function vhost(name: string, spec: string, creationTimestamp?: string): VhostView {
  const read = readManifests(
    [
      `{apiVersion: ${GROUP_VERSION}, kind: Vhost, metadata: {name: ${name}}, spec: {clusterRef: {name: live}, hosts: [x]}}`,
      `{apiVersion: ${GROUP_VERSION}, kind: Vhost, metadata: {name: ${name}}, spec: {<<: [${spec}, {clusterRef: {name: live}}]}}`,
    ].join('\n---\n'),
  );
  const manifest = read.vhosts[1];
  if (!manifest) throw new Error(read.errors.join('; '));
  return creationTimestamp ? { ...manifest, metadata: { ...manifest.metadata, creationTimestamp } } : manifest;
}

/** For tests: the same LiveCluster as builders take it. */
export function cluster(spec: string): Cluster {
  const manifest = liveCluster(spec);
  return { metadata: { ...manifest.metadata, uid: 'uid-of-live' }, spec: manifest.spec };
}
