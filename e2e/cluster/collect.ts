/** Keeps what helps to understand a failure: components' logs, objects, events, pods' logs. */
import { cpSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { run } from './processes.ts';
import { logFolder } from './rig.ts';
import { ensureTools } from './tools.ts';

/** Where logs of a failed run are kept, a folder for each moment at which they were taken. */
const artifactsFolder = resolve(import.meta.dirname, '../artifacts');

const dumps: Readonly<Record<string, readonly string[]>> = {
  'objects.txt': ['get', 'nodes,pods,services,endpointslices,statefulsets,deployments,leases', '-A', '-o', 'wide'],
  'events.txt': ['get', 'events', '-A', '--sort-by=.metadata.creationTimestamp'],
  'pods.txt': ['describe', 'pods', '-A'],
  'liveclusters.yaml': ['get', 'liveclusters,vhosts', '-A', '-o', 'yaml'],
};

/**
 * Writes logs and objects into a folder named after the moment, in place of an earlier run's. What can't be had is left
 * out: a cluster that fails may not answer.
 *
 * @returns the folder
 */
export async function collectLogs(
  target: { kubeconfig: string; prefix: readonly string[] },
  moment: 'first-failure' | 'end',
): Promise<string> {
  const folder = join(artifactsFolder, moment);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  if (existsSync(logFolder)) cpSync(logFolder, join(folder, 'components'), { recursive: true });
  const { kubectl } = await ensureTools();
  const call = (args: readonly string[]) => {
    try {
      const common = [`--kubeconfig=${target.kubeconfig}`, '--request-timeout=10s'];
      return run([...target.prefix, kubectl, ...common, ...args]);
    } catch (error) {
      return `${(error as Error).message}\n`;
    }
  };
  for (const [file, args] of Object.entries(dumps)) writeFileSync(join(folder, file), call(args));

  const names = 'jsonpath={range .items[*]}{.metadata.namespace} {.metadata.name}{"\\n"}{end}';
  for (const line of call(['get', 'pods', '-A', '-o', names]).split('\n')) {
    const [namespace, pod] = line.split(' ');
    if (!namespace || !pod || !/^[a-z0-9.-]+$/.test(pod)) continue;
    const log = (options: readonly string[]) => call(['-n', namespace, 'logs', pod, '--all-containers', ...options]);
    writeFileSync(join(folder, `${namespace}_${pod}.log`), log([]));
    const previous = log(['--previous']);
    // Most containers never restarted and have none.
    if (!previous.startsWith('e2e: ')) writeFileSync(join(folder, `${namespace}_${pod}.previous.log`), previous);
  }
  return folder;
}
