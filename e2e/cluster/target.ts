/** The cluster that the end-to-end tests run on: the rig's own, or an existing one named by E2E_KUBECONFIG. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { collectLogs } from './collect.ts';
import { bringUp, takeDown } from './lifecycle.ts';
import { netnsPrefix } from './netns.ts';
import { kubeconfigPath } from './rig.ts';

export interface Target {
  /** `rig`: this machine's; processes of its pods can be killed from here (podProcesses). `existing`: somebody's. */
  readonly kind: 'rig' | 'existing';
  /** Path of the admin's kubeconfig. */
  readonly kubeconfig: string;
  /** Put before a command, lets it reach the cluster: enters the rig's network; empty for an existing cluster. */
  readonly prefix: readonly string[];
  /** Keeps the logs when asked to, then takes the rig down (not with E2E_KEEP=1). An existing cluster is left as it is. */
  close(options: { keepLogs: boolean }): Promise<void>;
}

/**
 * Opens the cluster. The rig is brought up anew; with E2E_KEEP=1 one that is up already is used again, with the images of now.
 *
 * @throws Error when E2E_KUBECONFIG names no file; RigError, ToolsError from the rig
 */
export async function openTarget(print: (line: string) => void = (line) => console.error(line)): Promise<Target> {
  const existing = process.env['E2E_KUBECONFIG'];
  const keepsRig = process.env['E2E_KEEP'] === '1';
  const common: Omit<Target, 'close'> = existing
    ? { kind: 'existing', kubeconfig: resolve(existing), prefix: [] }
    : { kind: 'rig', kubeconfig: kubeconfigPath, prefix: netnsPrefix };
  const close: Target['close'] = async ({ keepLogs }) => {
    if (keepLogs) print(`e2e: logs are kept in ${await collectLogs(common, 'end')}`);
    if (common.kind === 'rig' && !keepsRig) await takeDown(print);
  };
  if (common.kind === 'existing') {
    if (!existsSync(common.kubeconfig)) throw new Error(`E2E_KUBECONFIG: there is no file ${common.kubeconfig}`);
    return { ...common, close };
  }
  try {
    await bringUp({ reuse: keepsRig }, print);
  } catch (error) {
    if (existsSync(kubeconfigPath)) await close({ keepLogs: true });
    throw error;
  }
  return { ...common, close };
}
