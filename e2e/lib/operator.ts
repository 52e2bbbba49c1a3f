import { join } from 'node:path';
import { helm, kubectl } from './kubectl.ts';

/** Namespace of the operator in the tests; nobody's own installation is in one of this name. */
export const OPERATOR_NAMESPACE = 'livecluster-e2e-system';
const RELEASE = 'livecluster';
const CHART = join(import.meta.dirname, '..', '..', 'charts', 'livecluster');

/** An empty namespace that admits restricted pods alone, in place of one that an interrupted run left. */
export async function makeNamespace(name: string): Promise<void> {
  await kubectl(['delete', 'namespace', name, '--ignore-not-found', '--wait=true']);
  await kubectl(['create', 'namespace', name]);
  await kubectl(['label', 'namespace', name, 'pod-security.kubernetes.io/enforce=restricted']);
}

/** Installs the chart as it stands in this repository, and waits until the operator is up. */
export async function installOperator(): Promise<void> {
  await makeNamespace(OPERATOR_NAMESPACE);
  const args = ['upgrade', '--install', RELEASE, CHART, '-n', OPERATOR_NAMESPACE, '--wait', '--timeout', '300s'];
  await helm(args, { timeoutMs: 330_000 });
}

/** Removes the release and its namespace; the custom resource definitions stay. */
export async function uninstallOperator(): Promise<void> {
  await helm(['uninstall', RELEASE, '-n', OPERATOR_NAMESPACE, '--wait']);
  await kubectl(['delete', 'namespace', OPERATOR_NAMESPACE, '--wait=true']);
}
