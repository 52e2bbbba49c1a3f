/** `make cluster-down`: removes the cluster and everything that it left on this machine. */
import { takeDown } from './lifecycle.ts';
import { rigName } from './rig.ts';

try {
  await takeDown();
  console.log(`e2e: the cluster ${rigName} is gone`);
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
}
