import { afterEach } from 'node:test';
import { collectLogs } from '../cluster/collect.ts';

/** Keeps the pods' logs at the first failure of a file's tests: later ones go on, and those logs with them. Called once. */
export function keepFirstFailure(): void {
  let hasFailed = false;
  afterEach(async (context) => {
    if (hasFailed || !('error' in context) || !context.error) return;
    hasFailed = true;
    const folder = await collectLogs({ kubeconfig: process.env['KUBECONFIG'] ?? '', prefix: [] }, 'first-failure');
    console.log(`logs of the first failure are in ${folder}`);
  });
}
