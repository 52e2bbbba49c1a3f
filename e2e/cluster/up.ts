/** `make cluster-up`: a Kubernetes on this machine, in a network namespace of its own; `--keep` uses one that is up already. */
import { bringUp } from './lifecycle.ts';
import { netnsPrefix } from './netns.ts';
import { kubeconfigPath, logFolder } from './rig.ts';
import { ensureTools } from './tools.ts';

try {
  await bringUp({ reuse: process.argv.includes('--keep') });
  const { kubectl, helm } = await ensureTools();
  const enter = netnsPrefix.join(' ');
  console.log(`
export KUBECONFIG=${kubeconfigPath}
${enter} ${kubectl} get pods -A
${enter} ${helm} list -A

The cluster's addresses are reachable behind \`${enter}\` only. Logs: ${logFolder}
`);
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
}
